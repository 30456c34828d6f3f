"""Required and avoided terms: matching them in prose and in documents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast


def mentions(text: str, element: str) -> bool:
    """Whether a text mentions an element.

    Case, a plural s, and the separator between the words of ``phone_ring`` (underscore, hyphen or space) do not
    matter.  A part of a longer word does not match: ``ring`` is not in ``spring``.
    """
    words = [re.escape(word) for word in re.split(r"[\W_]+", element.casefold()) if word]
    forms = [re.escape(element.casefold()), *([r"[\s_-]+".join(words)] if words else [])]
    return re.search(rf"(?<![^\W_])(?:{'|'.join(forms)})s?(?![^\W_])", text.casefold()) is not None


def normalise_term(element: str) -> str:
    """The words of an element in lower case, one blank between them: ``phone ring`` for ``Phone_Ring``."""
    return " ".join(word for word in re.split(r"[\W_]+", element.casefold()) if word)


def term_includes(element: str, part: str) -> bool:
    """Whether every text that mentions an element also mentions another: ``phone_ring`` includes ``phone``.

    Equivalent to :func:`names` for two elements, without compiling a pattern for each pair.
    """
    whole, inner = f" {normalise_term(element)} ", normalise_term(part)
    if not inner:
        return element.casefold() == part.casefold()
    return f" {inner} " in whole or f" {inner}s " in whole


def find_faults(text: str, *, required: Sequence[str], avoid: Sequence[str]) -> tuple[str, ...]:
    """Missing required elements and present avoided elements of a text; one line each.

    Args:
        text: prose, or a document's texts (:func:`texts`).
        required: elements that the text must mention.
        avoid: elements that the text must not mention.
    """
    missing = [f"required element {each!r} is missing" for each in required if not mentions(text, each)]
    found = [f"element {each!r} must not appear" for each in avoid if mentions(text, each)]
    return (*missing, *found)


def join_texts(document: Any) -> str:
    """Every string value of a JSON document, one per line, without field names."""
    return "\n".join(iter_strings(document))


def iter_strings(value: Any) -> Iterator[str]:
    """Every string value in a JSON value, in document order."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += reversed(cast("dict[str, Any]", each).values())
        elif isinstance(each, list):
            waiting += reversed(cast("list[Any]", each))

"""Does a text name what must appear, and leave out what must not?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast


def names(text: str, element: str) -> bool:
    """Whether a text names an element.

    Case does not matter, nor whether ``phone_ring`` has an underscore, a hyphen or a space between its
    words, nor a plural s.  A part of a longer word is not a name: ``ring`` is not in ``spring``.
    """
    words = [re.escape(word) for word in re.split(r"[\W_]+", element.casefold()) if word]
    forms = [re.escape(element.casefold()), *([r"[\s_-]+".join(words)] if words else [])]
    return re.search(rf"(?<![^\W_])(?:{'|'.join(forms)})s?(?![^\W_])", text.casefold()) is not None


def words(element: str) -> str:
    """The words of an element in lower case, one blank between them: ``phone ring`` for ``Phone_Ring``."""
    return " ".join(word for word in re.split(r"[\W_]+", element.casefold()) if word)


def includes(element: str, part: str) -> bool:
    """Whether whoever names an element also names another: ``phone_ring`` includes ``phone``.

    As :func:`names` for two elements, without a pattern for each pair.
    """
    whole, inner = f" {words(element)} ", words(part)
    if not inner:
        return element.casefold() == part.casefold()
    return f" {inner} " in whole or f" {inner}s " in whole


def faults(text: str, *, required: Sequence[str], avoid: Sequence[str]) -> tuple[str, ...]:
    """What is missing from a text, and what should not be in it; one line each.

    Args:
        text: prose, or a document's texts (:func:`texts`).
        required: what must be named.
        avoid: what must not be named.
    """
    missing = [f"required element {each!r} is missing" for each in required if not names(text, each)]
    found = [f"element {each!r} must not appear" for each in avoid if names(text, each)]
    return (*missing, *found)


def texts(document: Any) -> str:
    """Every string value of a JSON document, one per line; names of fields are not content."""
    return "\n".join(strings(document))


def strings(value: Any) -> Iterator[str]:
    """Every string value in a JSON value, in its order."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += reversed(cast("dict[str, Any]", each).values())
        elif isinstance(each, list):
            waiting += reversed(cast("list[Any]", each))

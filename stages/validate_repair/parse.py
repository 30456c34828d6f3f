"""Which document does a model's text hold?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, cast

import json_repair
import msgspec

#: Longest text that is looked at, characters.
MAX_TEXT = 200_000
#: Deepest nesting that is read; far from where a recursion over a document ends.
MAX_DEPTH = 100

#: Changes and filled values that are told.
MAX_TOLD = 12


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A document and how it was read."""

    document: Any
    #: The text was no JSON and was mended.
    repaired: bool = False
    #: What was mended, one line each.
    changes: tuple[str, ...] = ()
    #: Paths of values that stand in the document and not in the text.
    filled: tuple[str, ...] = ()


class Unparsable(ValueError):  # noqa: N818 - names the text's state
    """The text holds no document; the message says why."""


def parse(text: str) -> Parsed:
    """Read strict JSON (RFC 8259), else mend it once.

    Raises:
        Unparsable: no document can be read even then.
    """
    if len(text) > MAX_TEXT:
        raise Unparsable(f"the text has {len(text)} characters; at most {MAX_TEXT} are read")
    try:
        strict = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        pass
    else:
        _refuse_what_changes_underway(strict)
        return Parsed(document=strict)
    try:
        document, changes = _mended(text)
    except (ValueError, RecursionError) as error:
        raise Unparsable(f"the text is no JSON and cannot be mended: {error}") from None
    if not isinstance(document, dict | list) or not document:
        raise Unparsable("the text is no JSON and nothing in it can be mended into a document")
    _refuse_what_changes_underway(document)
    return Parsed(
        document=document,  # pyright: ignore[reportUnknownArgumentType]
        repaired=True,
        changes=changes,
        filled=tuple(islice(_unwritten(document, text), MAX_TOLD)),
    )


def _refuse_what_changes_underway(document: Any) -> None:
    """Python reads more than JSON can carry: ``1e999`` would arrive as null, half a pair not at all.

    Raises:
        Unparsable: the document would not arrive as it was checked.
    """
    level, depth = [document], 0
    while level:
        if depth > MAX_DEPTH:
            raise Unparsable(f"the document is nested more than {MAX_DEPTH} deep")
        level, depth = [inner for value in level for inner in _within(value)], depth + 1
    try:
        same = msgspec.json.decode(msgspec.json.encode(document)) == document
    except UnicodeEncodeError:
        same = False
    if not same:
        raise Unparsable("the document holds half a surrogate pair, or a number too large for JSON")


def _within(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return cast("dict[str, Any]", value).values()
        case list():
            return cast("list[Any]", value)
        case _:
            return ()


def _mended(text: str) -> tuple[Any, tuple[str, ...]]:
    document, log = cast(
        "tuple[Any, list[dict[str, str]]]", json_repair.loads(text, skip_json_loads=True, logging=True)
    )
    changes = [entry["text"] for entry in log]
    before = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=0)
    if text[:before].strip():
        changes.append(f"left out {before} characters before the document")
    # What json-repair does at the end of a text it does without a word.
    return document, tuple(dict.fromkeys(changes or ["closed what was left open"]))[:MAX_TOLD]


def _unwritten(value: Any, text: str, path: str = "") -> Iterator[str]:
    """Where a value stands that the text does not hold in any spelling."""
    match value:
        case dict():
            for name, inner in cast("dict[str, Any]", value).items():
                yield from _unwritten(inner, text, f"{path}.{name}" if path else name)
        case list():
            for index, inner in enumerate(cast("list[Any]", value)):
                yield from _unwritten(inner, text, f"{path}.{index}" if path else str(index))
        case str():
            spelled = json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1], value
            if not (any(one in text for one in spelled) if value else '""' in text or "''" in text):
                yield path
        case _:
            if json.dumps(value) not in text and str(value) not in text:
                yield path


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")

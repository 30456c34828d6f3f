"""Names that a JSON text gives more than once.

Parsers let the last value win; then the one that somebody meant may be lost without a word.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from contracts.nodes.field_aliases import Path

#: Places that are told.
MOST: Final = 10


class _Twice(dict[str, Any]):
    """An object with the names that it gave more than once."""

    names: tuple[str, ...]


def given_twice(body: bytes) -> tuple[Path, ...]:
    """The places of such names, in the order of the text, at most :data:`MOST`; in linear time.

    Args:
        body: JSON in UTF-8; what is none has no names.
    """
    found = False

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        found = True
        seen: set[str] = set()
        again: dict[str, None] = {}
        for name, _ in pairs:
            if name in seen:
                again[name] = None
            seen.add(name)
        marked = _Twice(made)
        marked.names = tuple(again)
        return marked

    try:
        # Numbers are of no interest here, and huge ones take long to read.
        whole = json.loads(body.decode(), object_pairs_hook=collect, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return ()
    return _places(whole) if found else ()


def _places(whole: Any) -> tuple[Path, ...]:
    places: list[Path] = []
    waiting: list[tuple[Path, Any]] = [((), whole)]
    while waiting and len(places) < MOST:
        at, value = waiting.pop()
        if isinstance(value, _Twice):
            places += [(*at, name) for name in value.names]
        if isinstance(value, dict):
            inner = list(cast("dict[str, Any]", value).items())
        elif isinstance(value, list):
            inner = list(enumerate(cast("list[Any]", value)))
        else:
            continue
        # Backwards: the last one that waits is looked at first.
        waiting += [((*at, name), each) for name, each in reversed(inner) if isinstance(each, dict | list)]
    return tuple(places[:MOST])

"""Duplicate names in a JSON text.

Parsers keep only the last value, so the intended one may be lost silently.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from contracts.nodes.field_aliases import Path

#: Most duplicates that are reported.
MOST: Final = 10


class _WithDuplicates(dict[str, Any]):
    """An object that remembers its duplicate names."""

    names: tuple[str, ...]


class _Duplicate(Exception):  # noqa: N818 - names what was found
    """Some name is given twice."""


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Duplicate
    return made


#: Numbers do not matter here, and huge ones are slow to parse.
_scan: Final = json.JSONDecoder(object_pairs_hook=_refuse_duplicates, parse_int=str, parse_float=str).decode


def find_duplicates(body: bytes) -> tuple[Path, ...]:
    """The paths of duplicate names, in the order of the text, at most :data:`MOST`; in linear time.

    Args:
        body: JSON in UTF-8; anything else has no names.
    """
    try:
        text = body.decode()
        try:
            # Nearly every text has none: only one that has some is read for where they are.
            _scan(text)
        except _Duplicate:
            return _places(json.loads(text, object_pairs_hook=_mark, parse_int=str, parse_float=str))
    except (ValueError, RecursionError):
        pass
    return ()


def _mark(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    again: dict[str, None] = {}
    for name, _ in pairs:
        if name in seen:
            again[name] = None
        seen.add(name)
    marked = _WithDuplicates(made)
    marked.names = tuple(again)
    return marked


def _places(whole: Any) -> tuple[Path, ...]:
    places: list[Path] = []
    waiting: list[tuple[Path, Any]] = [((), whole)]
    while waiting and len(places) < MOST:
        at, value = waiting.pop()
        if isinstance(value, _WithDuplicates):
            places += [(*at, name) for name in value.names]
        if isinstance(value, dict):
            inner = list(cast("dict[str, Any]", value).items())
        elif isinstance(value, list):
            inner = list(enumerate(cast("list[Any]", value)))
        else:
            continue
        # Reversed: the last entry is visited first.
        waiting += [((*at, name), each) for name, each in reversed(inner) if isinstance(each, dict | list)]
    return tuple(places[:MOST])

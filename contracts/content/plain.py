"""Values that JSON can carry: numbers, depth and size within bounds that everything here can work with."""

from __future__ import annotations

import math
from typing import Any, Final, cast

#: Whole numbers have 64 bits.
LEAST, GREATEST = -(2**63), 2**64 - 1
_MAX_PATH: Final = 300


def fault(value: Any, *, levels: int, values: int, names: int = 1000) -> tuple[str, str] | None:
    """The first place where a value is beyond the bounds, and why; ``None``: nowhere.

    Linear, and not recursive.

    Args:
        value: made of what :mod:`json` reads.
        levels: deepest nesting of lists and objects.
        values: most values in it, those in lists and objects included.
        names: most names in one object.

    Returns:
        the path, dotted, empty for the value as a whole, and what is wrong there.
    """
    left: list[tuple[tuple[Any, ...], Any, int]] = [((), value, 0)]
    seen = 0
    while left:
        at, each, depth = left.pop()
        seen += 1
        if not isinstance(each, dict | list):
            why = _scalar(each)
            if why is not None:
                return _path(at), why
            continue
        if isinstance(each, dict) and len(cast("dict[str, Any]", each)) > names:
            size = len(cast("dict[str, Any]", each))
            return _path(at), f"has {size} names, and at most {names} are accepted; make it smaller"
        if seen + len(left) + len(cast("list[Any]", each)) > values:
            return _path(at), f"has more than {values} values, with those before it; make it smaller"
        if depth == levels:
            return "", f"is nested more than {levels} levels deep; make it flatter"
        if isinstance(each, dict):
            named = cast("dict[str, Any]", each)
            half = next((name for name in named if _halved(name)), None)
            if half is not None:
                return _path(
                    at
                ), f"has the name {half!r:.60} with half of a surrogate pair; write the whole character"
            left += [((at, name), inner, depth + 1) for name, inner in named.items()]
        else:
            left += [((at, index), inner, depth + 1) for index, inner in enumerate(cast("list[Any]", each))]
    return None


def name(said: str) -> str:
    """A name as part of a path: short, and nothing that a terminal would obey."""
    return said[:60] if said.isprintable() else repr(said)[1:-1][:60]


def _scalar(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "is no number of JSON, or one too large; write a smaller one"
    if isinstance(value, int) and not LEAST <= value <= GREATEST:
        return "is a number of more than 64 bits; write a smaller one"
    if isinstance(value, str) and _halved(value):
        return "has half of a surrogate pair; write the whole character"
    return None


def _halved(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _path(at: tuple[Any, ...]) -> str:
    parts: list[str] = []
    while at:
        at, key = at
        parts.append(name(str(key)))
    return ".".join(reversed(parts))[:_MAX_PATH]

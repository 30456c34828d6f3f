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
    # In a list of its own, so that it is looked at like all others.
    left: list[tuple[tuple[Any, ...], dict[str, Any] | list[Any], int]] = [((), [value], -1)]
    seen = 0
    while left:
        at, holder, depth = left.pop()
        named = isinstance(holder, dict)
        if named and len(holder) > names:
            return _path(at), f"has {len(holder)} names, and at most {names} are accepted; make it smaller"
        seen += len(holder)
        if seen > values:
            return _path(at), f"has more than {values} values, with those before it; make it smaller"
        if depth == levels:
            return "", f"is nested more than {levels} levels deep; make it flatter"
        for key, each in holder.items() if named else enumerate(holder):
            if isinstance(each, dict | list):
                left.append(((at, key) if depth >= 0 else (), cast("Any", each), depth + 1))
                continue
            why = _scalar(each)
            if why is not None:
                return _path((at, key) if depth >= 0 else ()), why
        if named and not "".join(holder).isascii() and (half := next(filter(_halved, holder), None)):
            return _path(
                at
            ), f"has the name {half!r:.60} with half of a surrogate pair; write the whole character"
    return None


def name(said: str) -> str:
    """A name as part of a path: short, and nothing that a terminal would obey."""
    return said[:60] if said.isprintable() else repr(said)[1:-1][:60]


def _scalar(value: Any) -> str | None:
    # By its exact type, the commonest first: this is asked of every value of every request.
    kind = type(cast("object", value))
    if kind is str:
        halved = not value.isascii() and _halved(value)
        return "has half of a surrogate pair; write the whole character" if halved else None
    if kind is int:
        fits = LEAST <= value <= GREATEST
        return None if fits else "is a number of more than 64 bits; write a smaller one"
    if kind is float:
        fits = math.isfinite(value)
        return None if fits else "is no number of JSON, or one too large; write a smaller one"
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

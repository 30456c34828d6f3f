"""Differences of two documents as operations of RFC 6902, each with the value that it replaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, Literal, cast

import msgspec

from contracts.policy import fingerprint

#: Items of the longer list up to which equal items are found wherever they are; longer lists are compared place by place.
_MOST_ALIGNED: Final = 500
#: Characters of a text whose likeness is measured.
_MOST_CHARACTERS: Final = 2_000


class PointerDifference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation of RFC 6902, to be applied in order; ``old`` is an addition."""

    op: Literal["add", "remove", "replace", "move"]
    #: JSON Pointer into the document as the operations before left it.
    path: str
    #: Of ``move``.
    from_: str | msgspec.UnsetType = msgspec.field(name="from", default=msgspec.UNSET)
    value: Any = msgspec.UNSET
    #: What was there.
    old: Any = msgspec.UNSET
    #: How alike two texts are, 0 to 1.
    likeness: float | msgspec.UnsetType = msgspec.UNSET


def diff(before: Any, after: Any) -> tuple[PointerDifference, ...]:
    """The operations that make one JSON value of another; none for equal ones.

    Items of a list are matched by their ``id`` where each has one of its own, otherwise by their order.

    Args:
        before: any JSON value.
        after: another.
    """
    return tuple(_values(before, after, ""))


def _values(before: Any, after: Any, path: str) -> Iterator[PointerDifference]:
    if _key(before) == _key(after) or _is_same_number(before, after):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _objects(cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", after), path)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        yield from _lists(cast("Sequence[Any]", before), cast("Sequence[Any]", after), path)
    elif isinstance(before, str) and isinstance(after, str):
        yield PointerDifference(
            op="replace", path=path, value=after, old=before, likeness=_likeness(before, after)
        )
    else:
        yield PointerDifference(op="replace", path=path, value=after, old=before)


def _objects(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[PointerDifference]:
    for name in sorted(before.keys() - after.keys()):
        yield PointerDifference(op="remove", path=_inside(path, name), old=before[name])
    for name in sorted(after):
        if name in before:
            yield from _values(before[name], after[name], _inside(path, name))
        else:
            yield PointerDifference(op="add", path=_inside(path, name), value=after[name])


def _lists(before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[PointerDifference]:
    names_before, names_after = _ids(before), _ids(after)
    if names_before is not None and names_after is not None:
        yield from _by_id(before, after, names_before, names_after, path)
    elif max(len(before), len(after)) <= _MOST_ALIGNED:
        yield from _aligned(before, after, path)
    else:
        yield from _in_place(before, after, path, at=0)


def _by_id(
    before: Sequence[Any],
    after: Sequence[Any],
    names_before: Sequence[str],
    names_after: Sequence[str],
    path: str,
) -> Iterator[PointerDifference]:
    """Removals from the end, then each place of the new list in turn, then what changed inside."""
    kept = set(names_after)
    for index in range(len(before) - 1, -1, -1):
        if names_before[index] not in kept:
            yield PointerDifference(op="remove", path=_inside(path, index), old=before[index])
    old = dict(zip(names_before, before, strict=True))
    order = [name for name in names_before if name in kept]
    for index, name in enumerate(names_after):
        if index < len(order) and order[index] == name:
            continue
        if name in old:
            place = order.index(name, index)
            order.insert(index, order.pop(place))
            yield PointerDifference(op="move", path=_inside(path, index), from_=_inside(path, place))
        else:
            order.insert(index, name)
            yield PointerDifference(op="add", path=_inside(path, index), value=after[index])
    for index, name in enumerate(names_after):
        if name in old:
            yield from _values(old[name], after[index], _inside(path, index))


def _aligned(before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[PointerDifference]:
    """Equal items stay where the longest common order has them; between them items change, come and go."""
    at = done_before = done_after = 0
    for same_before, same_after in (*_common(before, after), (len(before), len(after))):
        gap_before, gap_after = before[done_before:same_before], after[done_after:same_after]
        yield from _in_place(gap_before, gap_after, path, at=at)
        at += len(gap_after) + 1
        done_before, done_after = same_before + 1, same_after + 1


def _in_place(
    before: Sequence[Any], after: Sequence[Any], path: str, *, at: int
) -> Iterator[PointerDifference]:
    """Items one by one, the first at index ``at``; what is left goes from the end, or comes at the end."""
    both = min(len(before), len(after))
    for index in range(both):
        yield from _values(before[index], after[index], _inside(path, at + index))
    for index in range(len(before) - 1, both - 1, -1):
        yield PointerDifference(op="remove", path=_inside(path, at + index), old=before[index])
    for index in range(both, len(after)):
        yield PointerDifference(op="add", path=_inside(path, at + index), value=after[index])


def _common(before: Sequence[Any], after: Sequence[Any]) -> list[tuple[int, int]]:
    """Places of the longest common subsequence of equal items, in order."""
    left, right = [_key(each) for each in before], [_key(each) for each in after]
    lengths = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            same = left[i] == right[j]
            lengths[i][j] = lengths[i + 1][j + 1] + 1 if same else max(lengths[i + 1][j], lengths[i][j + 1])
    found: list[tuple[int, int]] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def _ids(items: Sequence[Any]) -> list[str] | None:
    """The ids of a list of objects; ``None`` unless each has one, and each a different one."""
    found: list[str] = []
    for each in items:
        match each:
            case {"id": str() as name}:
                found.append(name)
            case _:
                return None
    return found if len(set(found)) == len(found) else None


def _key(value: Any) -> bytes:
    return fingerprint.canonical_json(value)


def _is_same_number(before: Any, after: Any) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (before, after))
    return numbers and before == after


def _likeness(before: str, after: str) -> float:
    left, right = before[:_MOST_CHARACTERS], after[:_MOST_CHARACTERS]
    return round(SequenceMatcher(None, left, right, autojunk=False).ratio(), 3)


def _inside(path: str, name: str | int) -> str:
    return f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}"

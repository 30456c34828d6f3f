"""Can a document that breaks a rule across its fields be mended without inventing anything?

One rule can: ids that are used twice.  Where nothing refers to the id, the later ones get a number.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

_ID = "id"


def with_unique_ids(document: Any) -> tuple[Any, tuple[str, ...]]:
    """The document with ids that tell its parts apart, and what was changed, one line each.

    An id that another field names is left alone: nobody knows which of the two was meant.
    """
    mended = copy.deepcopy(document)
    parts = list(_parts(mended, ""))
    used = Counter(part[_ID] for _, part in parts)
    named = Counter(_texts(mended))
    taken = set(used)
    seen: set[str] = set()
    changes: list[str] = []
    for path, part in parts:
        ident: str = part[_ID]
        if ident not in seen:
            seen.add(ident)
            continue
        if named[ident] > used[ident]:
            continue
        number = 2
        while f"{ident}_{number}" in taken:
            number += 1
        part[_ID] = f"{ident}_{number}"
        taken.add(part[_ID])
        changes.append(f"{path}.{_ID}: {ident!r} was used before, now {part[_ID]!r}")
    return mended, tuple(changes)


def _parts(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object with a textual id, and where it stands."""
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        if isinstance(found.get(_ID), str):
            yield path or "document", found
        for name, inner in found.items():
            yield from _parts(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _parts(inner, f"{path}.{index}" if path else str(index))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in cast("dict[str, Any]", value).values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _texts(inner)

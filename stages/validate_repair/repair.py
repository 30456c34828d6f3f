"""Semantic repair: rules across a document's fields, fixed without inventing content.

Three rules can.  Ids that are used twice: where nothing refers to the id, the later ones get a number.
People who are listed twice: the first entry of a name stays, if the later ones say nothing else.  People who
speak and are not listed: they are listed, by the name that their lines have.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from contracts.nodes import required_terms
from contracts.policy import fingerprint

_ID = "id"
#: Lists of people, whom others name by their names.
_PEOPLE = ("speakers", "characters")


def mended(document: Any) -> tuple[Any, tuple[str, ...]]:
    """The document with the rules kept as far as they can be, and what was changed, one line each."""
    listed_once, dropped = with_people_once(document)
    listed, added = with_speakers_listed(listed_once)
    with_ids, renamed = with_unique_ids(listed)
    return with_ids, (*dropped, *added, *renamed)


def with_speakers_listed(document: Any) -> tuple[Any, tuple[str, ...]]:
    """The document with an entry for everyone who has a line, where it lists speakers at all."""
    if not isinstance(document, dict):
        return document, ()
    fields = cast("dict[str, Any]", document)
    speakers, lines = fields.get("speakers"), fields.get("lines")
    if not isinstance(speakers, list) or not speakers or not isinstance(lines, list):
        return fields, ()
    listed = [*cast("list[Any]", speakers)]
    known = {str(cast("dict[str, Any]", entry).get("name")) for entry in listed if isinstance(entry, dict)}
    changes: list[str] = []
    for index, line in enumerate(cast("list[Any]", lines)):
        match line:
            case {"speaker": str() as name} if name not in known:
                known.add(name)
                listed.append({"name": name})
                changes.append(f"lines.{index}.speaker: {name!r} was not listed in speakers, now is")
            case _:
                pass
    return {**fields, "speakers": listed}, tuple(changes)


def with_people_once(document: Any) -> tuple[Any, tuple[str, ...]]:
    """The document without entries of people of whom an earlier entry says as much; others are left alone."""
    if not isinstance(document, dict):
        return document, ()
    kept = dict(cast("dict[str, Any]", document))
    changes: list[str] = []
    for field in _PEOPLE:
        entries = kept.get(field)
        if not isinstance(entries, list):
            continue
        first: dict[str, dict[str, Any]] = {}
        once: list[Any] = []
        for index, entry in enumerate(cast("list[Any]", entries)):
            match entry:
                case {"name": str() as name, **rest}:
                    known = first.setdefault(name.strip(), entry)
                    if known is not entry and all(
                        each in known
                        and fingerprint.canonical_json(known[each]) == fingerprint.canonical_json(said)
                        for each, said in rest.items()
                    ):
                        changes.append(f"{field}.{index}: {name.strip()!r} was listed before, now left out")
                        continue
                case _:
                    pass
            once.append(entry)
        kept[field] = once
    return kept, tuple(changes)


def with_unique_ids(document: Any) -> tuple[Any, tuple[str, ...]]:
    """The document with ids that tell its parts apart, and what was changed, one line each.

    An id that another field names is left alone: nobody knows which of the two was meant.
    """
    mended = copy.deepcopy(document)
    parts = list(_parts(mended, ""))
    used = Counter(part[_ID] for _, part in parts)
    named = Counter(required_terms.iter_strings(mended))
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

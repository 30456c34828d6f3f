"""Semantic repair: rules across a document's fields, fixed without inventing content.

Four rules can.  Ids that are used twice: where nothing refers to the id, the later ones get a number; where a line of a
dialogue jumps to it, only after the model was asked again and repeats itself: then the first is meant.
People who are listed twice: the first entry stays, if the later ones say nothing else; where the model was asked
again and repeats itself, their entries become one with the texts of all, or the first stays where that is too long.
People who speak and are not listed: they are listed, by the name that their lines have.
Optional fields that name what does not exist, a line or a moment of time: they are left out, where the model was asked
again and repeats itself.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, cast

from contracts.content.dialogue import END
from contracts.policy import fingerprint

_ID = "id"
#: Characters of a model's text that a receipt shows.
_SHOWN = 80
_NAME = "name"
#: Characters of :data:`contracts.content.document.Id`.
_LONGEST_ID = 64
#: Lists of people, whom others name by their names.
_PEOPLE = ("speakers", "characters")
#: Fields of the built-in kinds that name ids; in another kind every field may.
_REFERENCES = {
    "layout": frozenset[str](),
    "plot": frozenset[str](),
    "scene": frozenset[str](),
    "dialogue": frozenset({"goto"}),
    "transition": frozenset[str](),
}


#: What becomes of different entries of one person.
People = Literal["apart", "joined", "first"]


def mended(document: Any, *, kind: str, people: People = "apart") -> tuple[Any, tuple[str, ...]]:
    """The document with the rules kept as far as they can be, and what was changed, one line each.

    Args:
        document: the document.
        kind: its kind.
        people: what becomes of different entries of one person: each stays, they become one with the texts of all,
            or only the first stays.
    """
    listed_once, dropped = with_people_once(document, people=people)
    listed, added = with_speakers_listed(listed_once)
    references = _REFERENCES.get(kind)
    if people != "apart" and references:
        # A jump to an id that two lines have goes to the first of them.
        references = frozenset[str]()
    with_ids, renamed = with_unique_ids(listed, references=references)
    if people == "apart":
        return with_ids, (*dropped, *added, *renamed)
    pointing, left_out = without_dangling(with_ids, kind=kind)
    return pointing, (*dropped, *added, *renamed, *left_out)


def without_dangling(document: Any, *, kind: str) -> tuple[Any, tuple[str, ...]]:
    """The document without jumps to lines that do not exist, and without times outside of a transition.

    Args:
        document: a dialogue or a transition; others stay as they are.
        kind: its kind.
    """
    change = {"dialogue": _jumps, "transition": _times}.get(kind)
    if change is None or not isinstance(document, dict):
        return document, ()
    kept = copy.deepcopy(cast("dict[str, Any]", document))
    changes = tuple(change(kept))
    return kept, changes


def _jumps(document: dict[str, Any]) -> Iterator[str]:
    """Take out jumps to nowhere, and say so."""
    lines = _objects(document, "lines")
    known = {END, *(ident for each in lines if isinstance(ident := each.get(_ID), str))}
    for index, line in enumerate(lines):
        for number, choice in enumerate(_objects(line, "choices")):
            goal = choice.get("goto")
            if isinstance(goal, str) and goal not in known:
                del choice["goto"]
                yield f"lines.{index}.choices.{number}.goto: no line is {goal[:_SHOWN]!r}, now the next line"


def _times(document: dict[str, Any]) -> Iterator[str]:
    """Take out times after the end and times that run backwards, and say so."""
    end, last = document.get("duration_s"), 0.0
    for index, beat in enumerate(_objects(document, "beats")):
        at = beat.get("at_s")
        if not isinstance(at, int | float) or not isinstance(end, int | float):
            continue
        if last <= at <= end:
            last = at
        else:
            del beat["at_s"]
            yield f"beats.{index}.at_s: before an earlier beat or after the end, now left out"


def _objects(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of a list, in their places; other items are empty ones."""
    items = holder.get(name)
    if not isinstance(items, list):
        return []
    return [each if isinstance(each, dict) else {} for each in cast("list[Any]", items)]


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


def with_people_once(document: Any, *, people: People = "apart") -> tuple[Any, tuple[str, ...]]:
    """The document without entries of people of whom an earlier entry says as much; others are left alone.

    Args:
        document: of any kind.
        people: what becomes of entries that differ.
    """
    if not isinstance(document, dict):
        return document, ()
    kept = dict(cast("dict[str, Any]", document))
    changes: list[str] = []
    for field in _PEOPLE:
        entries = kept.get(field)
        if not isinstance(entries, list):
            continue
        at: dict[str, int] = {}
        once: list[Any] = []
        for index, entry in enumerate(cast("list[Any]", entries)):
            match entry:
                case {"name": str() as said}:
                    name = said.strip()
                    first = once[at[name]] if name in at else None
                    joined = None if first is None else _joined(first, entry)
                    if joined is not None and joined == first:
                        changes.append(f"{field}.{index}: {name!r} was listed before, now left out")
                        continue
                    if joined is not None and people != "apart":
                        how = "now once with both texts" if people == "joined" else "the first entry stays"
                        changes.append(f"{field}.{index}: {name!r} was listed before, {how}")
                        once[at[name]] = joined if people == "joined" else first
                        continue
                    at.setdefault(name, len(once))
                case _:
                    pass
            once.append(entry)
        kept[field] = once
    return kept, tuple(changes)


def _joined(first: dict[str, Any], later: dict[str, Any]) -> dict[str, Any] | None:
    """One entry that says what both say; ``None``: they contradict each other."""
    made = dict(first)
    for name, said in later.items():
        if name == _NAME or name not in made:
            made.setdefault(name, said)
            continue
        before = made[name]
        if fingerprint.canonical_json(before) == fingerprint.canonical_json(said):
            continue
        if not isinstance(before, str) or not isinstance(said, str):
            return None
        if said.strip() not in before:
            made[name] = f"{before}{_between(before)}{said}"
    return made


def _between(text: str) -> str:
    """What separates a text from the one that follows it: nothing but a space after a whole sentence."""
    return " " if text.rstrip().endswith((".", "!", "?", "…")) else "; "


def with_unique_ids(
    document: Any, *, references: frozenset[str] | None = None
) -> tuple[Any, tuple[str, ...]]:
    """The document with ids that tell its parts apart, and what was changed, one line each.

    An id that another field names is left alone: nobody knows which of the two was meant.

    Args:
        document: of any kind.
        references: fields that name ids; ``None``: any field may.
    """
    mended = copy.deepcopy(document)
    parts = list(_parts(mended, ""))
    used = Counter(part[_ID] for _, part in parts)
    named = Counter(_named(mended, references))
    taken = set(used)
    seen: set[str] = set()
    changes: list[str] = []
    for path, part in parts:
        ident: str = part[_ID]
        if ident not in seen:
            seen.add(ident)
            continue
        if named[ident]:
            continue
        number = 2
        while _numbered(ident, number) in taken:
            number += 1
        part[_ID] = _numbered(ident, number)
        taken.add(part[_ID])
        changes.append(f"{path}.{_ID}: {ident!r} was used before, now {part[_ID]!r}")
    return mended, tuple(changes)


def _numbered(ident: str, number: int) -> str:
    """An id with a number, no longer than an id may be."""
    return f"{ident[: _LONGEST_ID - len(str(number)) - 1]}_{number}"


def _named(value: Any, references: frozenset[str] | None) -> Iterator[str]:
    """Texts of the fields that may name an id."""
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            if isinstance(inner, str):
                if name != _ID and (references is None or name in references):
                    yield inner
            else:
                yield from _named(inner, references)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            if isinstance(inner, str):
                if references is None:
                    yield inner
            else:
                yield from _named(inner, references)


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

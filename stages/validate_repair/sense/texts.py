"""Visible texts of a document: what a person reads, with their paths and roles.

Ids, references and other tokens are no visible prose: a text without a blank that is not in the place of a
name or a mood is looked at for debris alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Any, Final, cast

import msgspec

#: Most texts and characters of a document that are measured.
MAX_TEXTS: Final = 10_000
MAX_CHARACTERS: Final = 200_000
#: Longest path in a reason.
_MAX_PATH: Final = 80
_PEOPLE: Final = frozenset({"speaker", "speakers", "character", "characters"})
_NAMES: Final = frozenset({"name", "title", "scene_name", "place", "location", "item", "species", "looks"})
_MOODS: Final = frozenset({"mood", "mood_from", "mood_to", "emotion"})
#: Fields of ids, references and enumerations.
_HIDDEN: Final = frozenset(
    {
        *(
            "id",
            "ids",
            "key",
            "type",
            "kind",
            "goto",
            "asset_id",
            "color",
            "colour",
            "slug",
            "url",
            "uri",
            "path",
        ),
        *("behavior", "pacing", "transition_type", "structure_type", "facing"),
    }
)
#: Fields that hold signs on purpose; they are not measured.
_CODE: Final = frozenset(
    {"code", "regex", "pattern", "format", "separator", "delimiter", "template", "query", "json", "command"}
)
_HIDDEN_ENDINGS: Final = ("_id", "_ids", "Id", "Ids", "_key", "_url", "Url", "_uri", "_code", "_type", "Type")


class TextRole(StrEnum):
    """What a text is in its document."""

    #: Name of somebody who speaks or acts.
    PERSON = "person"
    #: Name of something else: a title, a place, an item.
    NAME = "name"
    #: A mood or an emotion: ordinary words, also as a single word.
    MOOD = "mood"
    #: Sentences and phrases.
    PROSE = "prose"
    #: Ids, references, single words in fields of which nothing is known.
    TOKEN = "token"  # noqa: S105 - no secret


class VisibleText(msgspec.Struct, frozen=True):
    """One visible text."""

    path: str
    role: TextRole
    value: str


def visible_texts(document: Any, *, fixed: Collection[str] = ()) -> list[VisibleText]:
    """Every visible text of a document, in its order, within :data:`MAX_TEXTS` and :data:`MAX_CHARACTERS`.

    Args:
        document: any JSON value.
        fixed: texts that the request's schema gives; they are not the model's.
    """
    found: list[VisibleText] = []
    characters = 0
    for path, field, value, below in _strings(document):
        if not value or value in fixed or field in _CODE:
            continue
        characters += len(value)
        if len(found) == MAX_TEXTS or characters > MAX_CHARACTERS:
            break
        found.append(VisibleText(path, _role(field, value, below), value))
    return found


def _strings(document: Any) -> Iterator[tuple[str, str, str, str]]:
    """Path, field, text and the field above it; without recursion, since documents nest as they like."""
    waiting: list[tuple[str, str, str, Any]] = [("", "", "", document)]
    while waiting:
        path, field, above, value = waiting.pop()
        if isinstance(value, str):
            yield path or "document", field, value, above
        elif isinstance(value, dict):
            items = list(cast("dict[str, Any]", value).items())
            waiting += [(_join(path, name), name, field, inner) for name, inner in reversed(items)]
        elif isinstance(value, list):
            inner_values = cast("list[Any]", value)
            waiting += [
                (_join(path, str(index)), field, above, inner_values[index])
                for index in range(len(inner_values) - 1, -1, -1)
            ]


def _join(path: str, name: str) -> str:
    joined = f"{path}.{name}" if path else name
    # A path that grows with the depth would make a deep document quadratic.
    return joined if len(joined) <= _MAX_PATH else f"…{joined[-_MAX_PATH + 1 :]}"


def _role(field: str, value: str, above: str) -> TextRole:
    if field in _MOODS:
        return TextRole.MOOD
    if field in _HIDDEN or field.endswith(_HIDDEN_ENDINGS):
        return TextRole.TOKEN
    if field in _PEOPLE or (field == "name" and above in _PEOPLE):
        return TextRole.PERSON
    if field in _NAMES or field.endswith(("_name", "Name")):
        return TextRole.NAME
    return TextRole.PROSE if _BLANK.search(value) else TextRole.TOKEN


_BLANK: Final = re.compile(r"\S\s+\S")

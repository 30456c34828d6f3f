"""Fields of a node that rules can set, and their values."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from contracts.nodes.node import (
    FILM_RATINGS,
    FallbackMode,
    Pacing,
    Rating,
    SeedSource,
    Strategy,
    TransitionType,
)
from contracts.nodes.rules.mistake import did_you_mean
from contracts.nodes.rules.tree import Scalar


class Takes(StrEnum):
    """The type of a field's value."""

    #: A text, such as a mood.
    TEXT = "a text"
    #: One of a closed list.
    CHOICE = "one of"
    #: A rating on either scale.
    RATING = "a rating"
    #: Yes or no.
    FLAG = "true or false"
    #: A whole number, 1 or more.
    COUNT = "a whole number from 1"
    #: Seconds, 0 to a day.
    SECONDS = "a number of seconds from 0 to 86400"
    #: The name of a file, without its ending.
    ID = "a name of letters, digits, - and _"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a node, by its path in snake_case."""

    path: str
    takes: Takes
    #: For :attr:`Takes.CHOICE`.
    values: tuple[str, ...] = ()

    @property
    def leaf(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2]


def _words(of: type[StrEnum]) -> tuple[str, ...]:
    return tuple(str(each) for each in of)


_MODES: Final = _words(FallbackMode)

#: By path.
FIELDS: Final[dict[str, Field]] = {
    each.path: each
    for each in (
        Field(path="purpose", takes=Takes.TEXT),
        Field(path="strategy", takes=Takes.CHOICE, values=_words(Strategy)),
        Field(path="seed_source", takes=Takes.CHOICE, values=_words(SeedSource)),
        Field(path="enabled", takes=Takes.FLAG),
        Field(path="style.mood_from", takes=Takes.TEXT),
        Field(path="style.mood_to", takes=Takes.TEXT),
        Field(path="style.pacing", takes=Takes.CHOICE, values=_words(Pacing)),
        Field(path="style.transition_type", takes=Takes.CHOICE, values=_words(TransitionType)),
        Field(path="duration.min", takes=Takes.SECONDS),
        Field(path="duration.max", takes=Takes.SECONDS),
        Field(path="duration.target", takes=Takes.SECONDS),
        Field(path="constraints.rating", takes=Takes.RATING),
        Field(path="fallback.mode", takes=Takes.CHOICE, values=_MODES),
        Field(path="fallback.default_content_id", takes=Takes.ID),
        Field(path="fallback.retries", takes=Takes.COUNT),
        Field(path="fallback.timeout_ms", takes=Takes.COUNT),
        Field(path="fallback.then", takes=Takes.CHOICE, values=_MODES),
    )
}

#: Fields of a node that an assignment cannot set, with a suggestion.
REFUSED: Final[dict[str, str]] = {
    "constraints.required_elements": "write INCLUDE",
    "constraints.avoid_elements": "write AVOID",
    "constraints.content_rules": "write RULE",
    "duration": "write DURATION 20-40s TARGET 30s",
    "style": "write STYLE moodTo=… pacing=…",
    "constraints": "write CONSTRAINT rating=…",
    "generation_type": "the request's kind decides; leave it out",
    "template_id": "the request or node names its template; leave it out",
    "version": "raise it in the node; leave it out",
}

#: Names that are valid without their part, beside every leaf that only one field has.
_SHORT: Final = {
    "fallback": "fallback.mode",
    **{
        path.rpartition(".")[2]: path
        for path in (*FIELDS, *REFUSED)
        if not path.startswith(("duration.", "fallback."))
    },
    "default_content_id": "fallback.default_content_id",
}

#: Both scales.
RATINGS: Final[dict[str, Rating]] = {**{str(each): each for each in Rating}, **FILM_RATINGS}

#: Functions of INCLUDE and the element that each produces.
FUNCTIONS: Final[dict[str, str]] = {"callback_to_scene": "{}_callback"}

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_TEXT_MAX: Final = 80
DAY_S: Final = 86_400
#: A day in milliseconds: the fallback's maximum.
_COUNT_MAX: Final = 1000 * DAY_S


def snake(name: str) -> str:
    """A name in snake_case: ``moodTo`` is ``mood_to``."""
    return _HUMP.sub("_", name).lower()


def path_of(name: str, *, within: str = "") -> str | None:
    """The path of a field in any spelling, including fields that rules cannot set; ``None`` if unknown.

    Args:
        name: ``moodTo``, ``mood_to``, ``style.moodTo``.
        within: the part that holds it, such as ``constraints``; empty for any.
    """
    said = snake(name)
    path = said if said in FIELDS or said in REFUSED else _SHORT.get(said, f"{within}{said}")
    if path not in FIELDS and path not in REFUSED:
        return None
    return path if path.startswith(within) else None


def like(name: str, *, within: str = "") -> str:
    """A suggestion for a misspelt field, as a sentence; in camelCase if the name is."""
    known = [each for each in (*FIELDS, *_SHORT) if path_of(each, within=within) in FIELDS]
    if "_" not in name and name != name.lower():
        known = [_camel(each) for each in known]
    return did_you_mean(name, known) or f"the fields are {', '.join(_camel(each) for each in names(within))}"


def names(within: str = "") -> tuple[str, ...]:
    """The shortest name of every field."""
    short = {path: name for name, path in _SHORT.items()}
    return tuple(short.get(path, path) for path in FIELDS if path.startswith(within))


def value_for(field: Field, value: Scalar) -> Scalar | None:  # noqa: PLR0911 - one for each type
    """A field's value in the node's form; ``None`` if the field cannot have it."""
    match field.takes:
        case Takes.TEXT:
            return value if isinstance(value, str) and text_ok(value) else None
        case Takes.CHOICE:
            return value if isinstance(value, str) and value in field.values else None
        case Takes.RATING:
            rating = RATINGS.get(value) if isinstance(value, str) else None
            return None if rating is None else str(rating)
        case Takes.FLAG:
            return value if isinstance(value, bool) else None
        case Takes.COUNT:
            if isinstance(value, bool | float | str):
                return None
            return value if 1 <= value <= _COUNT_MAX else None
        case Takes.SECONDS:
            return None if isinstance(value, bool | str) or not 0 <= value <= DAY_S else value
        case Takes.ID:
            return value if isinstance(value, str) and _ID.fullmatch(value) else None


def text_ok(text: str) -> bool:
    """Whether a text is valid as mood, element or rule: 1 to 80 characters, no control characters."""
    return bool(text.strip()) and len(text) <= _TEXT_MAX and not _CONTROL.search(text)


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)

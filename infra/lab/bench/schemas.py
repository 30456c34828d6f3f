"""JSON Schemas of foreign requests, for fuzzing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random

_NAMES: Final = (
    "name",
    "title",
    "mood",
    "price",
    "level",
    "owner",
    "weight",
    "colors",
    "parts",
    "exits",
    "hidden",
    "origin",
    "reward",
    "guards",
    "weather",
    "notes",
    "größe",
    "first-seen",
    "max speed",
    "kind_of",
)
#: Every one of them bounded: a pattern is a grammar of its own, which nothing else ends.
_PATTERNS: Final = (
    "^[A-Z]{2}-[0-9]{3}$",
    "^#[0-9a-f]{6}$",
    "^(north|south|east|west)$",
    "^[a-z]{2,12}(_[a-z]{2,12}){0,2}$",
    "^v[0-9]{1,2}[.][0-9]{1,2}$",
)
_WORDS: Final = ("calm", "tense", "frozen", "golden", "lost", "très grand", 'so-called "safe"', "a\\b")
_FORMATS: Final = ("date", "date-time", "email", "uuid")

_Schema = dict[str, Any]


def draw(rng: random.Random, *, levels: int = 2) -> _Schema:
    """A schema of an object with a field or more, of what the local model's grammar can hold.

    Objects in objects, arrays with and without bounds, enums and constants, numbers with bounds and
    steps, patterns and formats, optional fields, alternatives, and references, recursive ones too.

    Args:
        rng: decides all of it.
        levels: of objects, arrays and alternatives below the root.
    """
    drawing = _Drawing(rng)
    root = drawing.object(levels, most=5)
    return {**root, "$defs": drawing.shared} if drawing.shared else root


class _Drawing:
    """One schema in the making."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        #: What references point to.
        self.shared: dict[str, _Schema] = {}

    def object(self, levels: int, *, most: int = 3) -> _Schema:
        """An object that requires a field at least."""
        names = self._rng.sample(_NAMES, self._rng.randint(1, most))
        made: _Schema = {
            "type": "object",
            "properties": {name: self._value(levels) for name in names},
            "required": self._rng.sample(names, self._rng.randint(1, len(names))),
        }
        if self._rng.random() < 0.5:  # noqa: PLR2004 - half of them
            made["additionalProperties"] = False
        return made

    def _value(self, levels: int) -> _Schema:
        plain: tuple[Callable[[], _Schema], ...] = (
            self._text,
            self._text,
            self._formed,
            self._whole,
            self._number,
            self._choice,
            lambda: {"type": "boolean"},
            lambda: {"type": ["string", "null"], "maxLength": 20},
            lambda: {"const": self._rng.choice((*_WORDS, 7, True))},
        )
        if not levels:
            return self._rng.choice(plain)()
        nested: tuple[Callable[[], _Schema], ...] = (
            lambda: self.object(levels - 1),
            lambda: self._list(levels - 1),
            lambda: self._list(levels - 1),
            self._pair,
            lambda: self._either(levels - 1),
            self._reference,
        )
        return self._rng.choice(plain + nested)()

    def _text(self) -> _Schema:
        low, high = sorted(self._rng.sample(range(41), 2))
        return self._rng.choice(
            (
                {"type": "string", "maxLength": high},
                {"type": "string", "minLength": low, "maxLength": high},
                {"type": "string", "minLength": 1},
                {"type": "string"},
            )
        )

    def _formed(self) -> _Schema:
        if self._rng.random() < 0.3:  # noqa: PLR2004 - fewer of them: there are only a few formats
            return {"type": "string", "format": self._rng.choice(_FORMATS)}
        return {"type": "string", "pattern": self._rng.choice(_PATTERNS)}

    def _whole(self) -> _Schema:
        low = self._rng.randint(-50, 50)
        high = low + self._rng.randint(0, 500)
        return self._rng.choice(
            (
                {"type": "integer"},
                {"type": "integer", "minimum": low},
                {"type": "integer", "minimum": low, "maximum": high},
                {"type": "integer", "exclusiveMinimum": low, "maximum": high + 10},
                {"type": "integer", "minimum": 0, "maximum": 500, "multipleOf": self._rng.choice((5, 25))},
            )
        )

    def _number(self) -> _Schema:
        low = self._rng.randint(-5, 5)
        return self._rng.choice(
            (
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "number", "minimum": low, "maximum": low + 3.5},
                {"type": "number", "exclusiveMinimum": low},
            )
        )

    def _choice(self) -> _Schema:
        words = self._rng.sample(_WORDS, self._rng.randint(1, 4))
        return self._rng.choice(
            ({"enum": words}, {"type": "string", "enum": words}, {"enum": [*words, 3, None]})
        )

    def _list(self, levels: int) -> _Schema:
        low = self._rng.randint(0, 2)
        made: _Schema = {"type": "array", "items": self._value(levels)}
        match self._rng.randrange(4):
            case 0:
                return made | {"minItems": low, "maxItems": low + self._rng.randint(0, 2)}
            case 1:
                return made | {"minItems": low}
            case _:
                return made | {"maxItems": low + 1}

    def _pair(self) -> _Schema:
        place = {"type": "integer", "minimum": 0, "maximum": 999}
        return {"type": "array", "prefixItems": [place, place], "items": False, "minItems": 2}

    def _either(self, levels: int) -> _Schema:
        if self._rng.random() < 0.5:  # noqa: PLR2004 - half of them
            return {"anyOf": [{"type": "boolean"}, self._whole(), {"type": "null"}]}
        return {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"type": {"const": name}, "value": self._value(levels)},
                    "required": ["type", "value"],
                    "additionalProperties": False,
                }
                for name in ("near", "far")
            ]
        }

    def _reference(self) -> _Schema:
        if self._rng.random() < 0.5:  # noqa: PLR2004 - half of them
            self.shared.setdefault("place", self.object(0))
            return {"$ref": "#/$defs/place"}
        self.shared.setdefault(
            "chain",
            {
                "type": "object",
                "properties": {"name": self._choice(), "next": {"$ref": "#/$defs/chain"}},
                "required": ["name"],
                "additionalProperties": False,
            },
        )
        return {"$ref": "#/$defs/chain"}

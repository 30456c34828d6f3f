"""Random JSON Schemas of all keywords, those that no grammar enforces among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random

_Schema = dict[str, Any]
_NAMES: Final = ("a", "b", "c", "ab", "d1")
_TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", "null")
_PATTERNS: Final = ("^a", "b$", "^[a-c]{1,3}$", "^(?!a)[a-z]+$", "[0-9]", "^a?b?$")
_FORMATS: Final = (
    "date",
    "time",
    "date-time",
    "uuid",
    "ipv4",
    "email",
    "hostname",
    "uri",
    "duration",
    "color",
)
_VALUES: Final = (
    0,
    1,
    2,
    3,
    -1,
    2.5,
    10,
    "",
    "a",
    "b",
    "ab",
    "x1",
    None,
    True,
    False,
    [],
    [1],
    {"a": 1},
    {"b": "a"},
)


def draw(rng: random.Random) -> _Schema:
    """A schema of two to four levels, whose keywords are combined without regard to sense.

    Args:
        rng: decides all of it.
    """
    drawing = _Drawing(rng)
    made = drawing.object(3)
    for _ in range(rng.choice((0, 0, 1, 2))):
        made |= drawing.applicator(2)
    return {**made, "$defs": {"d": drawing.schema(1), "e": drawing.object(1)}}


class _Drawing:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def schema(self, levels: int) -> Any:
        if self._rng.random() < 0.04:  # noqa: PLR2004 - few
            return self._rng.random() < 0.7  # noqa: PLR2004 - most of them true
        made = self._rng.choice((self.object, self.array, self.text, self.number, self.other, self.object))(
            levels
        )
        if levels and self._rng.random() < 0.3:  # noqa: PLR2004 - some
            made = {**made, **self.applicator(levels - 1)}
        return made

    def chance(self, share: float) -> bool:
        return self._rng.random() < share

    def some(self, made: _Schema, share: float, keyword: str, value: Callable[[], Any]) -> None:
        if self.chance(share):
            made[keyword] = value()

    def object(self, levels: int) -> _Schema:
        rng, inner = self._rng, max(levels - 1, 0)
        names = rng.sample(_NAMES, rng.randint(1, 3))
        made: _Schema = {
            "properties": {name: self.schema(inner) if levels else self.text(0) for name in names}
        }
        self.some(made, 0.85, "type", lambda: "object")
        self.some(made, 0.6, "required", lambda: rng.sample(_NAMES, rng.randint(1, 2)))
        self.some(made, 0.3, "additionalProperties", lambda: rng.choice((False, True, self.number(0))))
        self.some(made, 0.12, "patternProperties", lambda: {rng.choice(_PATTERNS): self.text(0)})
        self.some(
            made,
            0.1,
            "propertyNames",
            lambda: rng.choice(({"maxLength": 1}, {"pattern": "^[a-c]"}, {"enum": ["a", "b"]})),
        )
        self.some(made, 0.1, "minProperties", lambda: rng.randint(0, 3))
        self.some(made, 0.1, "maxProperties", lambda: rng.randint(1, 3))
        self.some(made, 0.1, "dependentRequired", lambda: {rng.choice(_NAMES): [rng.choice(_NAMES)]})
        self.some(made, 0.08, "dependentSchemas", lambda: {rng.choice(_NAMES): self.object(0)})
        self.some(made, 0.08, "unevaluatedProperties", lambda: rng.choice((False, self.text(0))))
        return made

    def array(self, levels: int) -> _Schema:
        rng, inner = self._rng, max(levels - 1, 0)
        made: _Schema = {"type": "array"}
        self.some(made, 0.7, "items", lambda: self.schema(inner) if levels else self.number(0))
        self.some(made, 0.3, "prefixItems", lambda: [self.number(0), self.text(0)])
        self.some(made, 0.3, "minItems", lambda: rng.randint(0, 2))
        self.some(made, 0.4, "maxItems", lambda: rng.randint(1, 3))
        self.some(made, 0.2, "uniqueItems", lambda: rng.random() < 0.8)  # noqa: PLR2004 - most of them
        self.some(made, 0.2, "contains", lambda: self.number(0))
        self.some(made, 0.1, "minContains", lambda: rng.randint(0, 2))
        self.some(made, 0.1, "maxContains", lambda: rng.randint(1, 2))
        self.some(made, 0.1, "unevaluatedItems", lambda: rng.choice((False, self.text(0))))
        return made

    def text(self, levels: int) -> _Schema:
        del levels
        rng = self._rng
        made: _Schema = {"type": "string"}
        self.some(made, 0.3, "minLength", lambda: rng.randint(0, 3))
        self.some(made, 0.5, "maxLength", lambda: rng.randint(2, 12))
        self.some(made, 0.3, "pattern", lambda: rng.choice(_PATTERNS))
        self.some(made, 0.2, "format", lambda: rng.choice(_FORMATS))
        return made

    def number(self, levels: int) -> _Schema:
        del levels
        rng = self._rng
        made: _Schema = {"type": rng.choice(("integer", "number"))}
        self.some(made, 0.3, "minimum", lambda: rng.randint(-5, 5))
        self.some(made, 0.3, "maximum", lambda: rng.randint(0, 9) + rng.choice((0, 0.5)))
        self.some(made, 0.1, "exclusiveMinimum", lambda: rng.randint(-5, 5))
        self.some(made, 0.1, "exclusiveMaximum", lambda: rng.randint(0, 9))
        self.some(made, 0.2, "multipleOf", lambda: rng.choice((2, 3, 0.5, 0.1, 20_000)))
        return made

    def other(self, levels: int) -> _Schema:
        del levels
        rng = self._rng
        return rng.choice(
            (
                {"enum": rng.sample(_VALUES, rng.randint(1, 5))},
                {"const": rng.choice(_VALUES)},
                {"type": rng.sample(_TYPES, rng.randint(1, 3))},
                {"$ref": rng.choice(("#", "#/$defs/d", "#/$defs/e"))},
                {},
            )
        )

    def applicator(self, levels: int) -> _Schema:
        rng = self._rng
        several = [self.schema(levels) for _ in range(rng.randint(1, 3))]
        required = {"required": rng.sample(_NAMES, rng.randint(1, 2))}
        return rng.choice(
            (
                {"allOf": several},
                {"anyOf": several},
                {"oneOf": several},
                {"oneOf": [{"required": [name]} for name in rng.sample(_NAMES, 2)]},
                {"not": rng.choice((required, {"type": rng.choice(_TYPES)}, self.schema(0)))},
                {"if": {"properties": {"a": {"const": rng.choice((1, "a", True))}}}, "then": required},
                {"if": required, "then": self.schema(0), "else": self.object(0)},
                {"$ref": rng.choice(("#/$defs/d", "#/$defs/e"))},
            )
        )

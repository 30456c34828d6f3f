"""Small documents that follow a request's JSON Schema: labelled placeholders and scripted answers.

One pass, no search: it knows objects, lists, listed values, types, bounds and the checked formats.  The
result is validated; "no document found" is a possible answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, Protocol, cast

from contracts.content import conformance, formats, pattern, plain
from contracts.content.conformance import Budget
from contracts.content.custom import Usable
from contracts.content.possible import exact

_MAX_DEPTH: Final = 40
_MAX_ITEMS: Final = 200
_MAX_TEXT: Final = 20_000
#: Levels of optional properties: a recursive schema ends.
_FULL_LEVELS: Final = 6
_LOW: Final = ("minimum", "exclusiveMinimum")
_HIGH: Final = ("maximum", "exclusiveMaximum")
#: The type of a schema that names none, by the first keyword found.
_TYPE_OF: Final = {
    **dict.fromkeys(("properties", "required", "additionalProperties", "minProperties"), "object"),
    **dict.fromkeys(("items", "prefixItems", "minItems", "contains", "uniqueItems"), "array"),
    **dict.fromkeys(("minLength", "maxLength", "pattern", "format"), "string"),
    **dict.fromkeys((*_LOW, *_HIGH, "multipleOf"), "number"),
}


class Voice(Protocol):
    """Chooses what a schema leaves open: the words, and one of several values."""

    def text(self, path: str) -> str:
        """The text for a field."""
        ...

    def pick(self, path: str, size: int) -> int:
        """An index below ``size``."""
        ...


class _NoFit(Exception):  # noqa: N818 - ends one pass, seen in this module alone
    """This pass cannot write a document."""


def build(schema: Usable, voice: Voice, *, full: bool = False, budget: Budget | None = None) -> Any | None:
    """A document that follows the schema and is not empty; ``None`` where none is found.

    Args:
        schema: a usable schema.
        voice: words and choices.
        full: try every property first, and the required ones alone second; by default the other way round.
        budget: steps for the whole; none: as many as one document's check may take.

    Raises:
        conformance.TooMuchWork: past the budget.
    """
    budget = budget or Budget()
    for every in (full, not full):
        try:
            document = _Pass(schema.targets, voice, budget, full=every).value(schema.root, "", 0)
        except (_NoFit, RecursionError, OverflowError):
            continue
        empty = not isinstance(document, dict | list) or not document
        if not empty and not conformance.faults(schema, document, budget):
            return cast("Any", document)
    return None


class _Pass:
    def __init__(self, targets: Mapping[str, Any], voice: Voice, budget: Budget, *, full: bool) -> None:
        self.targets = targets
        self.voice = voice
        self.budget = budget
        self.full = full
        #: Position in a list of unique items; moves choices on.
        self.nth = 0

    def value(self, schema: Any, path: str, depth: int) -> Any:
        self.budget.spend()
        if schema is False or depth > _MAX_DEPTH:
            raise _NoFit
        flat = {} if schema is True else self.flatten(schema)
        options: list[Any] = [flat["const"]] if "const" in flat else flat.get("enum", [])
        if options:
            return options[(self.voice.pick(path, len(options)) + self.nth) % len(options)]
        return self.typed(_type(flat, "object" if depth == 0 else "string"), flat, path, depth)

    def typed(self, name: str, flat: dict[str, Any], path: str, depth: int) -> Any:
        match name:
            case "object":
                return self.object(flat, path, depth)
            case "array":
                return self.array(flat, path, depth)
            case "string":
                return self.string(flat, path)
            case "boolean":
                return (self.voice.pick(path, 2) + self.nth) % 2 == 0
            case "null":
                return None
            case _:
                return self.number(flat, path, whole=name == "integer")

    def flatten(self, schema: dict[str, Any]) -> dict[str, Any]:
        """One level without references, ``allOf`` and alternatives: their keywords are laid over it."""
        flat = dict(schema)
        parts: list[Any] = ([self.targets[flat.pop("$ref")]] if "$ref" in flat else []) + flat.pop(
            "allOf", []
        )
        parts += [min(flat.pop(word), key=self.recurs) for word in ("anyOf", "oneOf") if word in flat]
        for part in parts:
            if part is False:
                raise _NoFit
            inner = {} if part is True else self.flatten(part)
            self.budget.spend(1 + len(inner))
            properties = {**flat.get("properties", {}), **inner.get("properties", {})}
            required = [*flat.get("required", []), *inner.get("required", [])]
            flat = {**flat, **inner}
            flat |= {"properties": properties} if properties else {}
            flat |= {"required": required} if required else {}
        return flat

    def recurs(self, option: Any) -> bool:
        """Whether an alternative is taken last: nothing fits it, or a small document has no need of it."""
        return option is False or (not self.full and isinstance(option, dict) and "$ref" in option)

    def object(self, flat: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        known: dict[str, Any] = flat.get("properties", {})
        names = dict.fromkeys(flat.get("required", []))
        optional = [name for name, inner in known.items() if inner is not False and name not in names]
        least = min(max(flat.get("minProperties", 0), depth == 0), _MAX_ITEMS)
        shown = len(optional) if self.full and depth < _FULL_LEVELS else max(least - len(names), 0)
        names |= dict.fromkeys(optional[:shown])
        names |= {f"placeholder_{number}": None for number in range(1, least - len(names) + 1)}
        other = flat.get("additionalProperties", True)
        return {name: self.value(known.get(name, other), f"{path}.{name}", depth + 1) for name in names}

    def array(self, flat: dict[str, Any], path: str, depth: int) -> list[Any]:
        head: list[Any] = flat.get("prefixItems", [])
        rest: Any = flat.get("contains", flat.get("items", True))
        size = max(flat.get("minItems", 0), flat.get("minContains", 0), 1 if depth == 0 else 0)
        if self.full:
            size = max(size, len(head), min(2, flat.get("maxItems", 2)) if rest is not False else 0)
        made: list[Any] = []
        for index in range(min(size, _MAX_ITEMS)):
            self.nth += flat.get("uniqueItems") is True and index > 0
            made.append(self.value(head[index] if index < len(head) else rest, f"{path}.{index}", depth + 1))
        return made

    def string(self, flat: dict[str, Any], path: str) -> str:
        if flat.get("format") in formats.FORMATS:
            return formats.FORMATS[flat["format"]].sample
        text = self.voice.text(path) + (f" {self.nth + 1}" if self.nth else "")
        least, most = flat.get("minLength", 0), flat.get("maxLength", _MAX_TEXT)
        for said in (text, "placeholder", "PLACEHOLDER"):
            fitted = said.ljust(min(least, _MAX_TEXT), ".")[:most]
            if "pattern" not in flat or pattern.matches(flat["pattern"], fitted):
                return fitted
        raise _NoFit

    def number(self, flat: dict[str, Any], path: str, *, whole: bool) -> int | float:
        step = exact(flat.get("multipleOf", 1))
        # Whole multiples of n/d, in lowest terms, are those of n.
        step = Fraction(step.numerator) if whole else step
        lows = [(exact(flat[word]), word == "exclusiveMinimum") for word in _LOW if word in flat]
        highs = [(exact(flat[word]), word != "exclusiveMaximum") for word in _HIGH if word in flat]
        low, above = max(lows, default=(None, False))
        high, closed = min(highs, default=(None, True))
        if low is not None:
            first = math.floor(low / step) + 1 if above else math.ceil(low / step)
        else:
            first = 0 if high is None else min(0, math.floor(high / step) - (not closed))
        room = 100 if high is None else min(max(math.floor(high / step) - (not closed) - first, 0), 100)
        value = step * (first + self.voice.pick(path, room + 1) + self.nth)
        if low is not None and high is not None and value >= high and not whole and "multipleOf" not in flat:
            value = low + (high - low) / (2 + self.nth)
        fits = value.denominator == 1 and plain.LEAST <= value <= plain.GREATEST
        return int(value) if fits else float(value)


def _type(flat: dict[str, Any], otherwise: str) -> str:
    named: Any = flat.get("type") or next((_TYPE_OF[word] for word in flat if word in _TYPE_OF), otherwise)
    if isinstance(named, list):
        return next((each for each in cast("list[str]", named) if each != "null"), "null")
    return named

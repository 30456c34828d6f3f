"""A small document that follows a JSON Schema, for placeholders.

A search with a fixed budget, not a solver: what it returns was validated, and where it finds
nothing it says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final, Protocol, cast

from contracts.content import conformance, formats, pattern, plain
from contracts.content.conformance import Budget
from contracts.content.custom import REFS, Usable
from contracts.content.possible import exact

_MAX_NODES: Final = 2000
_MAX_DEPTH: Final = 40
_MAX_ITEMS: Final = 200
_MAX_TEXT: Final = 20_000
#: Branches of ``anyOf`` and ``oneOf`` that are tried.
_BRANCHES: Final = 6


class Voice(Protocol):
    """Decides what is free: the words, and which of several values."""

    def text(self, path: str) -> str:
        """The text for a field."""
        ...

    def pick(self, path: str, size: int) -> int:
        """An index below ``size``."""
        ...


class _Stuck(Exception):  # noqa: N818 - ends one try, seen in this module alone
    """Nothing can be built this way."""


def build(schema: Usable, voice: Voice, *, full: bool = False, budget: Budget | None = None) -> Any | None:
    """A document that follows the schema and is not empty; ``None`` where none is found.

    Args:
        schema: a schema that was looked through.
        voice: words and choices.
        full: begin with every property instead of those required.
        budget: steps for all tries together; none: as many as one document's check may take.

    Raises:
        conformance.TooMuchWork: past the budget.
    """
    budget = budget or Budget()
    for rich in (True, False) if full else (False, True):
        for branch in range(_BRANCHES):
            attempt = _Attempt(schema, voice, budget, full=rich, branch=branch)
            try:
                document = attempt.value(schema.root, "")
            except (_Stuck, RecursionError, OverflowError):
                document = None
            if (
                isinstance(document, dict | list)
                and document
                and not conformance.faults(schema, document, budget)
            ):
                return cast("Any", document)
            if not attempt.branched:
                break
    return None


class _Attempt:
    def __init__(self, schema: Usable, voice: Voice, budget: Budget, *, full: bool, branch: int) -> None:
        self.budget = budget
        self.targets = schema.targets
        self.voice = voice
        self.full = full
        self.branch = branch
        self.branched = False
        self.nodes = 0
        #: Moves free choices on, so that equal neighbours become different ones.
        self.shift = 0

    def value(self, schema: Any, path: str, depth: int = 0) -> Any:
        self.nodes += 1
        self.budget.spend()
        if self.nodes > _MAX_NODES or depth > _MAX_DEPTH or schema is False:
            raise _Stuck
        if schema is True:
            return self.voice.text(path)
        flat = self.flatten(schema)
        if "const" in flat:
            return flat["const"]
        if "enum" in flat:
            options = flat["enum"]
            return options[(self.voice.pick(path, len(options)) + self.shift) % len(options)]
        return self.typed(_type(flat), flat, path, depth)

    def typed(self, name: str, flat: dict[str, Any], path: str, depth: int) -> Any:
        match name:
            case "object":
                return self.object(flat, path, depth)
            case "array":
                return self.array(flat, path, depth)
            case "string":
                return self.string(flat, path)
            case "integer" | "number":
                return self.number(flat, path, whole=name == "integer")
            case "boolean":
                return (self.voice.pick(path, 2) + self.shift) % 2 == 0
            case _:
                return None

    def flatten(self, schema: dict[str, Any]) -> dict[str, Any]:
        """One level without references and alternatives, as far as merging by keyword goes."""
        flat = dict(schema)
        for _ in range(_MAX_DEPTH):
            extra: list[Any] = [self.targets[flat.pop(ref)] for ref in REFS if ref in flat]
            extra += flat.pop("allOf", [])
            for keyword in ("anyOf", "oneOf"):
                if keyword in flat:
                    options = flat.pop(keyword)
                    self.branched = self.branched or len(options) > 1
                    extra.append(options[self.branch % len(options)])
            if not extra:
                return flat
            for part in extra:
                if part is False:
                    raise _Stuck
                if part is not True:
                    self.budget.spend(1 + len(part.get("properties", ())) // 16)
                    flat = _merged(flat, part)
        raise _Stuck

    def object(self, flat: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        known: dict[str, Any] = flat.get("properties", {})
        required: list[str] = flat.get("required", [])
        named = [*known, *(name for name in required if name not in known)]
        first = next((name for name, inner in known.items() if inner is not False), None)
        optional = self.full and depth < 6  # noqa: PLR2004 - deep enough to show, bounded if recursive
        wanted = [name for name in named if name in required or (optional and known[name] is not False)]
        if not wanted and first is not None and depth == 0:
            wanted = [first]
        least = max(flat.get("minProperties", 0), 1 if depth == 0 else 0)
        for name in known:
            if len(wanted) < least and name not in wanted:
                wanted.append(name)
        if least - len(wanted) > _MAX_ITEMS:
            raise _Stuck
        expressions: dict[str, Any] = flat.get("patternProperties", {})
        names = self.names(flat, expressions, least - len(wanted))
        made = {
            name: self.value(known.get(name, self.other(flat, name)), f"{path}.{name}", depth + 1)
            for name in wanted
        }
        return made | {
            name: self.value(self.other(flat, name), f"{path}.{name}", depth + 1) for name in names
        }

    def names(self, flat: dict[str, Any], expressions: Mapping[str, Any], count: int) -> list[str]:
        """Names for properties that the schema does not name itself."""
        if count <= 0:
            return []
        if expressions:
            made = pattern.example(next(iter(expressions)), bool)
            return [made] if made is not None else []
        if flat.get("additionalProperties", True) is False:
            return []
        return [f"placeholder_{index}" for index in range(1, count + 1)]

    def other(self, flat: dict[str, Any], name: str) -> Any:
        for expression, inner in flat.get("patternProperties", {}).items():
            if pattern.matches(expression, name):
                return inner
        return flat.get("additionalProperties", True)

    def array(self, flat: dict[str, Any], path: str, depth: int) -> list[Any]:
        head: list[Any] = flat.get("prefixItems", [])
        inner: Any = flat.get("contains", flat.get("items", True))
        size = max(flat.get("minItems", 0), flat.get("minContains", 0), 1 if depth == 0 or self.full else 0)
        if self.full and inner is not False and not head:
            size = max(size, min(2, flat.get("maxItems", 2)))
        size = max(size, len(head)) if self.full or size else size
        if inner is False:
            size = min(size, len(head))
        size = min(size, flat.get("maxItems", size))
        if size > _MAX_ITEMS:
            raise _Stuck
        made: list[Any] = []
        for index in range(size):
            schema = head[index] if index < len(head) else inner
            made.append(
                self.distinct(
                    schema, f"{path}.{index}", depth + 1, made, unique=flat.get("uniqueItems") is True
                )
            )
        return made

    def distinct(self, schema: Any, path: str, depth: int, others: list[Any], *, unique: bool) -> Any:
        before = self.shift
        value = self.value(schema, path, depth)
        while unique and value in others:
            self.shift += 1
            if self.shift - before > _MAX_ITEMS:
                raise _Stuck
            value = self.value(schema, path, depth)
        self.shift = before
        return value

    def string(self, flat: dict[str, Any], path: str) -> str:
        least, most = flat.get("minLength", 0), flat.get("maxLength", _MAX_TEXT)
        if least > min(most, _MAX_TEXT):
            raise _Stuck
        form = formats.FORMATS.get(flat.get("format", ""))
        if form is not None:
            return form.sample
        said = self.voice.text(path) + (f" {self.shift + 1}" if self.shift else "")
        if "pattern" not in flat:
            return _fitted(said, least, most)
        expression: str = flat["pattern"]

        def fits(text: str) -> bool:
            return least <= len(text) <= most

        tries: tuple[Callable[[], str], ...] = (
            lambda: _fitted(said, least, most),
            lambda: _fitted(f"placeholder{self.shift or ''}", least, most),
            lambda: _fitted(f"Placeholder{self.shift or ''}", least, most),
            lambda: _fitted(f"PLACEHOLDER{self.shift or ''}", least, most),
        )
        for made in tries:
            if pattern.matches(expression, made()) and fits(made()):
                return made()
        found = pattern.example(expression, fits)
        if found is None:
            raise _Stuck
        return found

    def number(self, flat: dict[str, Any], path: str, *, whole: bool) -> int | float:
        least = self.end(flat, "minimum", "exclusiveMinimum", max)
        most = self.end(flat, "maximum", "exclusiveMaximum", min)
        step = exact(flat["multipleOf"]) if "multipleOf" in flat else None
        if whole:
            # Whole multiples of n/d, in lowest terms, are those of n.
            step = Fraction(1 if step is None else step.numerator)
        low = Fraction(0)
        if step is None and least is not None and most is not None and most[0] - least[0] <= 4:  # noqa: PLR2004 - well inside a narrow range
            step = (most[0] - least[0]) / 4 or Fraction(1)
            low = least[0] + (step if least[1] else 0)
        elif least is not None:
            step = step or Fraction(1)
            low = math.ceil(least[0] / step) * step
            low += step if least[1] and low == least[0] else 0
        elif most is not None and most[0] <= 0:
            step = step or Fraction(1)
            low = math.floor(most[0] / step) * step
            low -= step if most[1] and low == most[0] else 0
        step = step or Fraction(1)
        room = 100 if most is None else min(max(int((most[0] - low) / step), 0), 100)
        value = low + step * ((self.voice.pick(path, room + 1) + self.shift) if room else self.shift)
        fits = value.denominator == 1 and plain.LEAST <= value <= plain.GREATEST
        return int(value) if fits else float(value)

    def end(
        self, flat: dict[str, Any], plain: str, exclusive: str, stricter: Callable[..., Any]
    ) -> tuple[Fraction, bool] | None:
        """One end of a range, and whether it is left out itself."""
        ends = [(exact(flat[key]), key == exclusive) for key in (plain, exclusive) if key in flat]
        if len(ends) > 1 and ends[0][0] == ends[1][0]:
            return ends[1]
        return stricter(ends) if ends else None


def _type(flat: dict[str, Any]) -> str:
    named: Any = flat.get("type")
    if isinstance(named, list):
        kinds = [str(item) for item in cast("list[Any]", named) if item != "null"]
        return kinds[0] if kinds else "null"
    if isinstance(named, str):
        return named
    hints = {
        "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties"),
        "array": ("items", "prefixItems", "minItems", "contains", "uniqueItems"),
        "string": ("pattern", "minLength", "maxLength", "format"),
        "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
    return next(
        (name for name, keywords in hints.items() if any(each in flat for each in keywords)), "object"
    )


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = {**one, **other}
    for keyword in ("properties", "patternProperties"):
        if keyword in one and keyword in other:
            both: dict[str, Any] = {**one[keyword], **other[keyword]}
            shared = one[keyword].keys() & other[keyword].keys()
            merged[keyword] = {
                name: {"allOf": [one[keyword][name], other[keyword][name]]} if name in shared else inner
                for name, inner in both.items()
            }
    for keyword in ("required", "allOf", "anyOf", "oneOf"):
        if keyword in one and keyword in other:
            merged[keyword] = [*one[keyword], *other[keyword]]
    for keyword, stricter in (("minimum", max), ("maximum", min), ("minLength", max), ("maxLength", min)):
        if keyword in one and keyword in other:
            merged[keyword] = stricter(one[keyword], other[keyword])
    return merged


def _fitted(text: str, least: int, most: int) -> str:
    if len(text) < least:
        text += " " + (text + " ") * (least // max(len(text), 1) + 1)
        text = text[:least].rstrip().ljust(least, ".")
    return text[:most]

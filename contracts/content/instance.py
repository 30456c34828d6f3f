"""What is a small document that follows a JSON Schema?

A search with a fixed budget, not a solver: what it returns was validated, and where it finds
nothing it says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast

from contracts.content import conformance, pattern
from contracts.content.custom import REFS, Usable

_MAX_NODES: Final = 2000
_MAX_DEPTH: Final = 40
_MAX_ITEMS: Final = 200
_MAX_TEXT: Final = 20_000
#: Branches of ``anyOf`` and ``oneOf`` that are tried.
_BRANCHES: Final = 6
_FORMATS: Final = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "placeholder@example.org",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.org/placeholder",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


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


def build(schema: Usable, voice: Voice, *, full: bool = False) -> Any | None:
    """A document that follows the schema and is not empty; ``None`` where none is found.

    Args:
        schema: a schema that was looked through.
        voice: words and choices.
        full: begin with every property instead of those required.

    Raises:
        conformance.TooMuchWork: when documents of this schema cannot be checked within the bound.
    """
    for rich in (True, False) if full else (False, True):
        for branch in range(_BRANCHES):
            attempt = _Attempt(schema, voice, full=rich, branch=branch)
            try:
                document = attempt.value(schema.root, "")
            except (_Stuck, RecursionError, OverflowError):
                document = None
            if isinstance(document, dict | list) and document and not conformance.faults(schema, document):
                return cast("Any", document)
            if not attempt.branched:
                break
    return None


class _Attempt:
    def __init__(self, schema: Usable, voice: Voice, *, full: bool, branch: int) -> None:
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
        if "format" in flat and flat["format"] in _FORMATS:
            return _FORMATS[flat["format"]]
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
        low, high = flat.get("minimum", -math.inf), flat.get("maximum", math.inf)
        above, below = flat.get("exclusiveMinimum", -math.inf), flat.get("exclusiveMaximum", math.inf)
        gap = min(high, below) - max(low, above)
        nudge = 1 if whole or gap > 4 else gap / 4  # noqa: PLR2004 - well inside a narrow range
        low, high = max(low, above + nudge), min(high, below - nudge)
        step = flat.get("multipleOf", 1 if whole else None)
        start = low if low > -math.inf else min(0, high)
        room = min(high - start, 100)
        value = start + self.voice.pick(path, int(room) + 1 if room >= 1 else 1) + self.shift
        if step is not None:
            value = math.ceil(value / step) * step
            value = value - step if value > high else value
        value = min(value, high) if step is None else value
        return int(value) if float(value).is_integer() else float(value)


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

"""Sketch of a JSON Schema for a model to read: one line of names and types, a tenth of the schema's length.

A grammar or a validator holds the document to the whole schema; the sketch only has to say what is expected where.
``{name: text, health: 1-100, mood?: "calm"|"angry", loot: [text] 1-3}`` reads: ``mood`` may be left out, ``loot``
has one to three items.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

#: Bounds beyond this say nothing to a writer.
_TELLING: Final = 10_000
#: Longest text bound that is worth telling; longer texts are prose.
_SHORT: Final = 100
#: Most values of an enum that are listed, and characters of a description.
_MOST_VALUES: Final = 24
_MOST_SAID: Final = 80
#: Deepest nesting that is sketched; deeper parts are ``…``.
_DEEPEST: Final = 8
_NAMES: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true|false",
    "null": "null",
    "object": "{}",
    "array": "[]",
}
_REFS: Final = "$ref"


def sketch(schema: Mapping[str, Any], *, described: bool = False) -> str:
    """The sketch of a schema.

    Args:
        schema: JSON Schema, draft 2020-12; references point into it.
        described: add descriptions of fields, each cut at 80 characters.

    Returns:
        One line for the root, and one for each part that is used twice or contains itself.
    """
    return _Sketch(schema, described=described).text()


class _Sketch:
    def __init__(self, root: Mapping[str, Any], *, described: bool) -> None:
        self._root = root
        self._described = described
        counted = Counter(each for each in _references(root))
        self._named = {
            reference: _name_of(reference)
            for reference, times in counted.items()
            if times > 1 or reference in set(_references(self._target(reference)))
        }
        self._left: list[str] = []
        self._done: set[str] = set()

    def text(self) -> str:
        lines = [self.of(self._root, 0)]
        while self._left:
            reference = self._left.pop(0)
            lines.append(f"{self._named[reference]} = {self.of(self._target(reference), 1)}")
        return "\n".join(lines)

    def of(self, schema: Any, depth: int) -> str:  # noqa: PLR0911 - one for each form of a schema
        if depth > _DEEPEST:
            return "…"
        if not isinstance(schema, Mapping):
            return "anything" if schema is not False else "nothing"
        own = cast("Mapping[str, Any]", schema)
        if isinstance(own.get(_REFS), str):
            return self._reference(own[_REFS], depth)
        if "const" in own:
            return _json(own["const"])
        if isinstance(own.get("enum"), list):
            values = cast("list[Any]", own["enum"])
            more = "|…" if len(values) > _MOST_VALUES else ""
            return "|".join(_json(each) for each in values[:_MOST_VALUES]) + more
        branches = own.get("anyOf") or own.get("oneOf")
        if isinstance(branches, list) and not ("properties" in own or own.get("type") in ("object", "array")):
            return " | ".join(dict.fromkeys(self.of(each, depth + 1) for each in cast("list[Any]", branches)))
        merged = self._merged(own)
        kind = merged.get(
            "type", "object" if "properties" in merged else "array" if "items" in merged else None
        )
        if isinstance(kind, list):
            return "|".join(
                dict.fromkeys(self._typed(str(each), merged, depth) for each in cast("list[Any]", kind))
            )
        return self._typed(kind, merged, depth) if isinstance(kind, str) else "anything"

    def _merged(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields of ``allOf`` beside those of the schema itself."""
        parts = own.get("allOf")
        if not isinstance(parts, list):
            return own
        made: dict[str, Any] = {}
        for part in (*cast("list[Any]", parts), own):
            each = _fields(part)
            if isinstance(each.get(_REFS), str):
                each = _fields(self._target(each[_REFS]))
            if each:
                properties = {**made.get("properties", {}), **each.get("properties", {})}
                required = [*made.get("required", ()), *each.get("required", ())]
                made |= each
                made |= {"properties": properties} if properties else {}
                made |= {"required": required} if required else {}
        return made

    def _typed(self, kind: str, own: Mapping[str, Any], depth: int) -> str:
        match kind:
            case "object":
                return self._object(own, depth)
            case "array":
                return self._array(own, depth)
            case "integer" | "number":
                return _number(own, _NAMES[kind])
            case "string":
                return _text(own)
            case _:
                return _NAMES.get(kind, "anything")

    def _object(self, own: Mapping[str, Any], depth: int) -> str:
        required = own.get("required", ())
        fields: list[str] = []
        for name, each in cast("Mapping[str, Any]", own.get("properties", {})).items():
            mark = "" if name in required else "?"
            said = _fields(each).get("description", "") if self._described else ""
            aside = f" ({said[:_MOST_SAID].strip()})" if isinstance(said, str) and said.strip() else ""
            fields.append(f"{name}{mark}: {self.of(each, depth + 1)}{aside}")
        fields += [f"{name}: anything" for name in required if name not in own.get("properties", {})]
        others = own.get("additionalProperties")
        if isinstance(others, Mapping) and others:
            fields.append(f"any name: {self.of(others, depth + 1)}")
        return f"{{{', '.join(fields)}}}"

    def _array(self, own: Mapping[str, Any], depth: int) -> str:
        first = [self.of(each, depth + 1) for each in own.get("prefixItems", ())]
        items = own.get("items")
        inner = ", ".join([*first, *([self.of(items, depth + 1)] if isinstance(items, Mapping) else [])])
        low, high = own.get("minItems", 0), own.get("maxItems")
        number = ""
        if isinstance(high, int) and high <= _SHORT:
            number = f" {low}" if low == high else f" {low}-{high}"
        elif low:
            number = f" {low} or more"
        return f"[{inner}]{number}"

    def _reference(self, reference: str, depth: int) -> str:
        if reference not in self._named:
            return self.of(self._target(reference), depth)
        if reference not in self._done:
            self._done.add(reference)
            self._left.append(reference)
        return self._named[reference]

    def _target(self, reference: str) -> Any:
        value: Any = self._root
        for token in reference.removeprefix("#").split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            value = cast("Mapping[str, Any]", value).get(key) if isinstance(value, Mapping) else None
        return value


def _fields(schema: Any) -> Mapping[str, Any]:
    """A subschema's keywords; ``true`` and ``false`` have none."""
    return cast("Mapping[str, Any]", schema) if isinstance(schema, Mapping) else {}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        own = cast("Mapping[str, Any]", schema)
        if isinstance(own.get(_REFS), str):
            yield own[_REFS]
        for each in own.values():
            yield from _references(each)
    elif isinstance(schema, list):
        for each in cast("list[Any]", schema):
            yield from _references(each)


def _name_of(reference: str) -> str:
    return reference.rsplit("/", 1)[-1] or "Document"


def _number(own: Mapping[str, Any], name: str) -> str:
    low = own.get("minimum", own.get("exclusiveMinimum"))
    high = own.get("maximum", own.get("exclusiveMaximum"))
    low = low if isinstance(low, int | float) and abs(low) < _TELLING else None
    high = high if isinstance(high, int | float) and abs(high) <= _TELLING else None
    if low is not None and high is not None:
        return f"{name} {low}-{high}"
    if low:
        return f"{name} {low} or more"
    return name if high is None else f"{name} up to {high}"


def _text(own: Mapping[str, Any]) -> str:
    if isinstance(own.get("pattern"), str) and len(own["pattern"]) <= _MOST_SAID:
        return f"text like {own['pattern']}"
    if isinstance(own.get("format"), str):
        return f"text ({own['format'][:_MOST_SAID]})"
    most = own.get("maxLength")
    return f"text up to {most} characters" if isinstance(most, int) and most < _SHORT else "text"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

"""Sketch of a JSON Schema for a model to read: one line of names and types, a tenth of the schema's length.

A grammar or a validator holds the document to the whole schema; the sketch only has to say what is expected where.
``{name: text, health: 1-100, mood?: "calm"|"angry", loot: [text] 1-3}`` reads: ``mood`` may be left out, ``loot``
has one to three items.  A long sketch is shortened: patterns and unions that repeat get a name and a line of their
own, and neighbouring fields of one type share it (``x, y?: number``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import count, groupby
from operator import itemgetter
from typing import Any, Final, cast

#: Bounds beyond this say nothing to a writer.
_TELLING: Final = 10_000
#: Characters from which a sketch is shortened.
_LONG: Final = 1_000
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
_UNIONS: Final = ("anyOf", "oneOf")
#: Before the key of a union that was visited.
_SEEN: Final = "seen "
#: Longest union that is one line, characters.
_LINE: Final = 200


def sketch(schema: Mapping[str, Any], *, described: bool = False) -> str:
    """The sketch of a schema.

    Args:
        schema: JSON Schema, draft 2020-12; references point into it.
        described: add descriptions of fields, each cut at 80 characters.

    Returns:
        One line for the root, and one for each part that is used twice or contains itself.
    """
    whole = _Sketch(schema, described=described)
    text = whole.text()
    if len(text) < _LONG:
        return text
    repeated = frozenset(each for each, times in whole.fragments.items() if times > 1)
    return _Sketch(schema, described=described, repeated=repeated).text()


class _Sketch:
    """A rendering of one schema.

    Args:
        root: the schema.
        described: add descriptions of fields.
        repeated: keys of the fragments that get a name; not ``None``: the sketch is shortened.
    """

    def __init__(
        self, root: Mapping[str, Any], *, described: bool, repeated: frozenset[str] | None = None
    ) -> None:
        self._root = root
        self._described = described
        self._repeated = repeated
        # A union that gets a name is rendered once.
        found = list(_references(root, once=set(repeated or ())))
        counted = Counter(reference for _, reference in found)
        contained = {reference for place, reference in found if place.startswith(f"{reference}/")}
        self._named = {
            reference: _name_of(reference)
            for reference, times in counted.items()
            if times > 1 or reference in contained
        }
        self._left: list[str] = []
        self._done: set[str] = set()
        #: How often each pattern and each union was rendered.
        self.fragments: Counter[str] = Counter()
        #: Name and text of each repeated fragment, by its key.
        self._fragments: dict[str, tuple[str, str]] = {}
        #: The field that is being rendered.
        self._field = "value"

    def text(self) -> str:
        lines = [self.of(self._root, 0)]
        while self._left:
            reference = self._left.pop(0)
            lines.append(f"{self._named[reference]} = {self.of(self._target(reference), 1)}")
        lines += [f"{name} = {text}" for name, text in self._fragments.values()]
        return "\n".join(lines)

    def _shared(self, key: str, render: Callable[[], str], *, named: str | None = None) -> str:
        """A pattern or a union; where it repeats, the name of its line."""
        self.fragments[key] += 1
        if key not in (self._repeated or ()):
            return render()
        if key not in self._fragments:
            name = named or self._field
            taken = {*(each for each, _ in self._fragments.values()), *self._named.values()}
            numbered = (f"{name}{number}" for number in count(2))
            name = name if name not in taken else next(each for each in numbered if each not in taken)
            # A union may contain itself.
            self._fragments[key] = name, ""
            self._fragments[key] = name, render()
        return self._fragments[key][0]

    def of(self, schema: Any, depth: int) -> str:
        """The sketch of a part."""
        if depth > _DEEPEST or not isinstance(schema, Mapping):
            return "…" if depth > _DEEPEST else "nothing" if schema is False else "anything"
        own = cast("dict[str, Any]", schema)
        branches: Any = own.get("anyOf") or own.get("oneOf")
        match own:
            case {"$ref": str(reference)}:
                return self._reference(reference, depth)
            case {"const": value}:
                return _json(value)
            case {"enum": list()}:
                return _enum(own["enum"])
            case _ if isinstance(branches, list) and not (
                "properties" in own or own.get("type") in ("object", "array")
            ):
                return self._union(cast("list[Any]", branches), depth)
            case _:
                return self._any_type(self._merged(own), depth)

    def _any_type(self, own: Mapping[str, Any], depth: int) -> str:
        kind: Any = own.get("type", "object" if "properties" in own else "array" if "items" in own else None)
        kinds = cast("list[Any]", kind) if isinstance(kind, list) else [kind]
        return "|".join(dict.fromkeys(self._typed(str(each), own, depth) for each in kinds)) or "anything"

    def _union(self, branches: list[Any], depth: int) -> str:
        def render() -> str:
            parts = dict.fromkeys(self.of(each, depth + 1) for each in branches)
            long = sum(map(len, parts)) > _LINE and self._repeated is not None
            return ("\n| " if long else " | ").join(parts)

        named = self._field[:1].upper() + self._field[1:]
        return self._shared(_key(branches), render, named=named) if len(branches) > 2 else render()  # noqa: PLR2004

    def _merged(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields of ``allOf`` beside those of the schema itself."""
        parts = own.get("allOf")
        if not isinstance(parts, list):
            return own
        made: dict[str, Any] = {}
        for part in (*cast("list[Any]", parts), own):
            each = cast("dict[str, Any]", part) if isinstance(part, Mapping) else {}
            if isinstance(each.get(_REFS), str):
                target = self._target(each[_REFS])
                each = cast("dict[str, Any]", target) if isinstance(target, Mapping) else {}
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
                text = _text(own)
                return self._shared(text, lambda: text) if "pattern" in own else text
            case _:
                return _NAMES.get(kind, "anything")

    def _object(self, own: Mapping[str, Any], depth: int) -> str:
        required = own.get("required", ())
        fields: list[tuple[str, str]] = []
        for name, each in cast("Mapping[str, Any]", own.get("properties", {})).items():
            mark = "" if name in required else "?"
            aside = _description(each) if self._described else ""
            self._field = name
            fields.append((f"{name}{mark}", f"{self.of(each, depth + 1)}{aside}"))
        fields += [(name, "anything") for name in required if name not in own.get("properties", {})]
        others = own.get("additionalProperties")
        if isinstance(others, Mapping) and others:
            fields.append(("any name", self.of(others, depth + 1)))
        if self._repeated is not None:
            groups = groupby(fields, key=itemgetter(1))
            fields = [(", ".join(name for name, _ in group), typed) for typed, group in groups]
        return f"{{{', '.join(f'{name}: {typed}' for name, typed in fields)}}}"

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
            match value:
                case Mapping():
                    value = cast("Mapping[str, Any]", value).get(key)
                case [*items] if key.isdecimal() and int(key) < len(items):
                    value = items[int(key)]
                case _:
                    return None
        return value


def _references(schema: Any, *, once: set[str], place: str = "#") -> Iterator[tuple[str, str]]:
    """Every reference in a schema, after the JSON pointer of the place that it is in.

    Args:
        schema: the schema.
        once: keys of unions that are visited once.
        place: the schema's own pointer.
    """
    if isinstance(schema, Mapping):
        own = cast("Mapping[str, Any]", schema)
        if isinstance(own.get(_REFS), str):
            yield f"{place}/", own[_REFS]
        for name, each in own.items():
            if once and name in _UNIONS and isinstance(each, list):
                key = _key(cast("list[Any]", each))
                if _SEEN + key in once:
                    continue
                if key in once:
                    once.add(_SEEN + key)
            token = name.replace("~", "~0").replace("/", "~1")
            yield from _references(each, once=once, place=f"{place}/{token}")
    elif isinstance(schema, list):
        for index, each in enumerate(cast("list[Any]", schema)):
            yield from _references(each, once=once, place=f"{place}/{index}")


def _key(branches: list[Any]) -> str:
    return json.dumps(branches, sort_keys=True)


def _name_of(reference: str) -> str:
    return reference.rsplit("/", 1)[-1].strip("#") or "Document"


def _enum(values: list[Any]) -> str:
    more = "|…" if len(values) > _MOST_VALUES else ""
    return "|".join(_json(each) for each in values[:_MOST_VALUES]) + more


def _description(field: Any) -> str:
    said: Any = cast("Mapping[str, Any]", field).get("description") if isinstance(field, Mapping) else None
    return f" ({said[:_MOST_SAID].strip()})" if isinstance(said, str) and said.strip() else ""


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

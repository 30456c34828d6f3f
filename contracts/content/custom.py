"""Can the JSON Schema that a request brings be used?

It comes from a stranger: nothing is fetched, every walk is bounded, and regular expressions run on
a linear-time engine (see :mod:`contracts.content.pattern`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, cast
from urllib.parse import unquote

import msgspec
from jsonschema import Draft202012Validator, SchemaError

from contracts.content import pattern

#: Most subschemas in one schema.
MAX_NODES: Final = 1000
#: Deepest nesting of subschemas.
MAX_DEPTH: Final = 64
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

#: Keywords that hold one subschema, a list of them, or a map of them.
_ONE: Final = frozenset(
    {
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
#: Those that look at the same value as the schema around them: a cycle through them never ends.
_IN_PLACE: Final = frozenset({"allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"})
REFS: Final = ("$ref", "$dynamicRef")


class Unusable(ValueError):  # noqa: N818 - names the schema's state
    """A request's schema that cannot be used; the text begins with the path of the keyword."""


class Usable(msgspec.Struct, frozen=True, kw_only=True):
    """A request's schema that was looked through."""

    #: Without ``$schema`` and ``$id``: they would change the rules, or what ``#`` means.
    root: dict[str, Any]
    #: Every local reference with the subschema it means.
    targets: dict[str, Any]


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """A subschema and where it stands."""

    path: str
    schema: Any
    depth: int

    @property
    def keywords(self) -> dict[str, Any]:
        """Its keywords; none for ``true`` and ``false``."""
        has_any = isinstance(self.schema, dict)
        return cast("dict[str, Any]", self.schema) if has_any else {}

    def at(self, keyword: str) -> str:
        """The path of one of its keywords."""
        return f"{self.path}.{keyword}" if self.path else keyword


def usable(own: Mapping[str, Any]) -> Usable:
    """Look a request's schema through.

    Raises:
        Unusable: with the path of the keyword at fault and what to do.
    """
    try:
        # Keys keep their order: a document is written in the order of the properties.
        encoded = msgspec.json.encode(own)
    except (RecursionError, TypeError, ValueError):
        raise Unusable("schema: is nested too deep, or is no JSON") from None
    found = _looked_through(encoded)
    if isinstance(found, str):
        raise Unusable(found)
    return found


@lru_cache(maxsize=64)
def _looked_through(encoded: bytes) -> Usable | str:
    try:
        return _look_through(msgspec.json.decode(encoded, type=dict[str, Any]))
    except Unusable as error:
        return str(error)
    except (RecursionError, msgspec.DecodeError):
        return "schema: is nested too deep, or is no JSON object"


def _look_through(root: dict[str, Any]) -> Usable:
    dialect = root.pop("$schema", DIALECT)
    if not isinstance(dialect, str) or dialect.rstrip("#") != DIALECT:
        raise Unusable(f"$schema: {dialect!r:.200} is not supported; write for {DIALECT}")
    root.pop("$id", None)
    places = _places(root)
    try:
        Draft202012Validator.check_schema(root)
    except SchemaError as error:
        path = ".".join(str(part) for part in error.absolute_path) or "schema"
        raise Unusable(f"{path:.200}: is not valid in a JSON Schema: {error.message:.300}") from None
    for place in places:
        _check_place(place)
    everywhere = {keyword for place in places for keyword in place.keywords}
    if {"unevaluatedProperties", "patternProperties"} <= everywhere:
        raise Unusable(
            "unevaluatedProperties: cannot be used beside patternProperties; use additionalProperties"
        )
    targets = _targets(root, places)
    _refuse_endless(places, targets)
    return Usable(root=root, targets=targets)


def _places(root: dict[str, Any]) -> list[_Place]:
    """Every subschema, the root first; breadth-first, so that the path told is the shortest."""
    places = [_Place(path="", schema=root, depth=0)]
    for place in places:
        for keyword, inner in _inner(place, _ONE | _LIST | _MAP):
            if place.depth == MAX_DEPTH:
                raise Unusable(f"schema: is nested more than {MAX_DEPTH} levels deep; make it flatter")
            if len(places) == MAX_NODES:
                raise Unusable(f"schema: has more than {MAX_NODES} subschemas; make it smaller")
            places.append(_Place(path=place.at(keyword), schema=inner, depth=place.depth + 1))
    return places


def _inner(place: _Place, keywords: frozenset[str]) -> Iterator[tuple[str, Any]]:
    for keyword, value in place.keywords.items():
        if keyword not in keywords:
            continue
        if keyword in _ONE:
            yield keyword, value
        elif keyword in _LIST and isinstance(value, list):
            for index, item in enumerate(cast("list[Any]", value)):
                yield f"{keyword}.{index}", item
        elif keyword in _MAP and isinstance(value, dict):
            for name, item in cast("dict[str, Any]", value).items():
                yield f"{keyword}.{name:.60}", item


def _check_place(place: _Place) -> None:
    for keyword in ("$schema", "$id"):
        if place.path and keyword in place.keywords:
            raise Unusable(f"{place.at(keyword)}: is supported at the root alone; leave it out")
    expressions = [("pattern", place.keywords["pattern"])] if "pattern" in place.keywords else []
    expressions += [("patternProperties", each) for each in place.keywords.get("patternProperties", {})]
    for keyword, expression in expressions:
        why = pattern.fault(expression)
        if why is not None:
            raise Unusable(f"{place.at(keyword)}: {expression!r:.80} is no usable regular expression: {why}")


def _targets(root: dict[str, Any], places: list[_Place]) -> dict[str, Any]:
    known = {id(place.schema) for place in places}
    anchors = {
        place.keywords[keyword]: place.schema
        for place in places
        for keyword in ("$dynamicAnchor", "$anchor")
        if keyword in place.keywords
    }
    targets: dict[str, Any] = {}
    for place in places:
        for keyword in REFS:
            reference = place.keywords.get(keyword)
            if reference is None or reference in targets:
                continue
            shown = f"{place.at(keyword)}: {reference!r:.200}"
            if not reference.startswith("#"):
                raise Unusable(f"{shown} is outside of this schema, and nothing is fetched; copy it to $defs")
            found = _resolved(reference, root, anchors)
            if found is None:
                raise Unusable(f"{shown} points to nothing in this schema; name one of its $defs")
            # What is no subschema was not looked through: it may hold anything.
            if id(found) not in known:
                raise Unusable(f"{shown} does not point to a subschema; move it to $defs")
            targets[reference] = found
    return targets


def _resolved(reference: str, root: dict[str, Any], anchors: dict[str, Any]) -> Any | None:
    """What a local reference means (RFC 6901 for pointers); ``None`` for nothing."""
    pointer = unquote(reference[1:])
    if pointer and not pointer.startswith("/"):
        return anchors.get(pointer)
    value: Any = root
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(cast("list[Any]", value)):
            value = cast("list[Any]", value)[int(key)]
        else:
            return None
    return value


def _refuse_endless(places: list[_Place], targets: dict[str, Any]) -> None:
    path_of = {id(place.schema): place.path for place in places if place.keywords}
    graph: dict[int, list[int]] = {}
    for place in places:
        steps = [inner for _, inner in _inner(place, _IN_PLACE)]
        steps += [targets[place.keywords[keyword]] for keyword in REFS if keyword in place.keywords]
        if place.keywords:
            graph[id(place.schema)] = [id(step) for step in steps if id(step) in path_of]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise Unusable(f"{path_of[error.args[1][0]] or 'schema'}: refers to itself without end") from None


def only_empty(schema: Usable) -> str | None:
    """Why no document with anything in it can follow the schema, where its root shows that."""
    root = schema.root
    while "$ref" in root and isinstance(schema.targets[root["$ref"]], dict):
        root = {**schema.targets[root["$ref"]], **{key: root[key] for key in root if key != "$ref"}}
    named: Any = root.get("type", ["object", "array"])
    kinds = {named} if isinstance(named, str) else set(named)
    if not kinds & {"object", "array"}:
        return f"type: {named!r} is no document; use an object, with the value in one of its properties"
    for keyword in ("const", "enum"):
        values: list[Any] = (
            [root[keyword]] if keyword == "const" and keyword in root else root.get(keyword, [{"": 0}])
        )
        if not any(bool(value) and isinstance(value, dict | list) for value in values):
            return f"{keyword}: allows no object with anything in it"
    closed = root.get("additionalProperties") is False or root.get("maxProperties") == 0
    names = [name for name, inner in root.get("properties", {}).items() if inner is not False]
    none_left = root.get("maxProperties") == 0 or (closed and not names and not root.get("patternProperties"))
    if "array" not in kinds and none_left:
        return "schema: accepts the empty object alone, which is no content; name its properties"
    if kinds & {"object", "array"} == {"array"} and root.get("maxItems") == 0:
        return "maxItems: accepts the empty array alone, which is no content"
    return None

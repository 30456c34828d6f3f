"""A request's own JSON Schema: what of it is usable, and why the rest is not.

It comes from a stranger: nothing is fetched, every walk is bounded, every keyword is enforced, known to ask
nothing, or refused with its path (:mod:`contracts.content.keywords`), and regular expressions run on a
linear-time engine (:mod:`contracts.content.pattern`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

import msgspec

from contracts.content import bounds, dialect, least, pattern, possible
from contracts.content.subschemas import Subschema, Unusable, inner, walk

#: Largest as JSON, bytes; and all that ``enum`` and ``const`` hold, bytes.
MAX_BYTES: Final = 256 * 1024
MAX_VALUES_BYTES: Final = 64 * 1024
#: Regular expressions in one schema, and for one text.
MAX_PATTERNS: Final = 200
MAX_TEXT_PATTERNS: Final = 4
#: Weight of all its regular expressions, see :func:`contracts.content.pattern.weight`.
MAX_PATTERN_WEIGHT: Final = 100_000
#: Subschemas that one value is held against.
MAX_CHECKS: Final = 5000

#: Those that look at the same value as the schema around them: a cycle through them never ends.
_IN_PLACE: Final = frozenset({"allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"})


class Usable(msgspec.Struct, frozen=True, kw_only=True):
    """A request's schema that passed every check."""

    #: As it came, in JSON.
    encoded: bytes
    #: In the words of 2020-12, with local references and without annotations.
    root: dict[str, Any]
    #: Every local reference with the subschema it means.
    targets: dict[str, Any]
    #: Words that ask nothing of a document, for its author.
    warnings: tuple[str, ...] = ()
    #: Path in the original of every subschema that is an object, by its identity.
    paths: dict[int, str] = {}
    #: Whether 2.0 is no integer, as draft-04 has it.
    strict_integers: bool = False
    #: Subschemas that one value is held against at most.
    checks: int = 1
    #: Of all its regular expressions, see :func:`contracts.content.pattern.weight`.
    pattern_weight: int = 0
    #: Keywords that are in it somewhere.
    words: frozenset[str] = frozenset()
    #: Whether lists or objects are among the values of its ``enum`` and ``const``.
    nested_values: bool = False


def usable(own: Mapping[str, Any]) -> Usable:
    """Check a request's schema.

    Raises:
        Unusable: with the path of the keyword at fault and what to do.
    """
    found = _looked_through(encode(own))
    if isinstance(found, str):
        raise Unusable(found)
    return found


def encode(own: Mapping[str, Any]) -> bytes:
    """A request's schema as JSON, its keys in their order: documents are written in that of the properties.

    Raises:
        Unusable: its JSON is too deep or too large, or has a number that is too large.
    """
    if bounds.find_schema_fault(own) is not None:
        own = bounds.drop_vacuous(own)
        beyond = bounds.find_schema_fault(own)
        if beyond is not None:
            raise Unusable(f"{beyond[0] or 'schema'}: {beyond[1]}")
    try:
        encoded = msgspec.json.encode(own)
    except (RecursionError, TypeError, ValueError):
        raise Unusable("schema: is nested too deep, or is no JSON") from None
    if len(encoded) > MAX_BYTES:
        raise Unusable(
            f"schema: has {len(encoded)} bytes, and at most {MAX_BYTES} are accepted; make it smaller"
        )
    return encoded


@lru_cache(maxsize=64)
def _looked_through(encoded: bytes) -> Usable | str:
    try:
        return _look_through(encoded)
    except Unusable as error:
        return str(error)
    except (RecursionError, msgspec.DecodeError):
        return "schema: is nested too deep, or is no JSON object"


def _look_through(encoded: bytes) -> Usable:
    found = dialect.rewrite(msgspec.json.decode(encoded, type=dict[str, Any]))
    root, targets = found.root, found.targets
    places = walk(root, found.paths)
    words = frozenset(word for place in places for word in place.keywords)
    weight = _pattern_weight(places)
    _require_small_values(places)
    checks = _checks(places, targets)
    paths = {id(place.schema): place.path for place in places if place.keywords}
    why = possible.fault(root, paths, targets) or least.fault(root, paths, targets)
    if why is not None:
        raise Unusable(why)
    return Usable(
        encoded=encoded,
        root=root,
        targets=targets,
        paths=found.paths,
        strict_integers=found.strict_integers,
        warnings=found.warnings,
        checks=checks,
        pattern_weight=weight,
        words=words,
        nested_values=any(
            isinstance(value, dict | list)
            for place in places
            for value in (*place.keywords.get("enum", ()), place.keywords.get("const"))
        ),
    )


def _pattern_weight(places: list[Subschema]) -> int:
    weight = count = 0
    for place in places:
        own = place.keywords
        expressions = [("pattern", own["pattern"])] if "pattern" in own else []
        expressions += [("patternProperties", each) for each in own.get("patternProperties", {})]
        for keyword, expression in expressions:
            count, weight = count + 1, weight + pattern.weight(expression)
            if count > MAX_PATTERNS or weight > MAX_PATTERN_WEIGHT:
                raise Unusable(
                    f"{place.at(keyword)}: with it, all regular expressions are {count} and need about {weight} "
                    f"states; at most {MAX_PATTERNS} and {MAX_PATTERN_WEIGHT} are accepted"
                )
            why = pattern.fault(expression)
            if why is not None:
                raise Unusable(
                    f"{place.at(keyword)}: {expression!r:.80} is no usable regular expression: {why}"
                )
    return weight


def _require_small_values(places: list[Subschema]) -> None:
    size = 0
    for place in places:
        for keyword in ("enum", "const"):
            if keyword in place.keywords:
                size += len(msgspec.json.encode(place.keywords[keyword]))
                if size > MAX_VALUES_BYTES:
                    raise Unusable(
                        f"{place.at(keyword)}: with it, all values of enum and const have {size} bytes, and at "
                        f"most {MAX_VALUES_BYTES} are accepted; list less"
                    )


def _checks(places: list[Subschema], targets: dict[str, Any]) -> int:
    """How many subschemas one value is held against at most.

    Raises:
        Unusable: without end; or against too many, or with too many regular expressions at once.
    """
    place_of = {id(place.schema): place for place in places if place.keywords}
    graph: dict[int, list[int]] = {}
    for ident, place in place_of.items():
        steps = [below for _, below in inner(place, _IN_PLACE)]
        steps += [targets[place.keywords["$ref"]]] if "$ref" in place.keywords else []
        graph[ident] = [id(step) for step in steps if id(step) in place_of]
    try:
        order = tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise Unusable(
            f"{place_of[error.args[1][0]].path or 'schema'}: refers to itself without end"
        ) from None
    checks: dict[int, int] = {}
    expressions: dict[int, int] = {}
    for ident in order:
        place = place_of[ident]
        checks[ident] = 1 + sum(checks[each] for each in graph[ident])
        expressions[ident] = ("pattern" in place.keywords) + sum(expressions[each] for each in graph[ident])
        if checks[ident] > MAX_CHECKS:
            raise Unusable(
                f"{place.path or 'schema'}: holds each value against more than {MAX_CHECKS} subschemas; "
                "make it simpler"
            )
        # What is a choice is looked at one by one.
        if expressions[ident] > MAX_TEXT_PATTERNS and not {"anyOf", "oneOf"} & place.keywords.keys():
            raise Unusable(
                f"{place.path or 'schema'}: holds a text against {expressions[ident]} regular expressions at once, "
                f"and at most {MAX_TEXT_PATTERNS} are accepted; join them"
            )
    return max(checks.values(), default=1)


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

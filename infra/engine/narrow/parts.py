"""Parts of a schema that hold for one value: references and ``allOf`` resolved, alternatives apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from contracts.content import keywords

Part = dict[str, Any]
_IN_PLACE: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf", "$defs", "definitions"})
#: Keywords that speak of values of one type alone.
FAMILIES: Final[dict[str, frozenset[str]]] = {
    "object": frozenset(
        {
            "additionalProperties",
            "dependentRequired",
            "dependentSchemas",
            "maxProperties",
            "minProperties",
            "patternProperties",
            "properties",
            "propertyNames",
            "required",
            "unevaluatedProperties",
        }
    ),
    "array": frozenset(
        {"contains", "items", "maxItems", "minItems", "prefixItems", "unevaluatedItems", "uniqueItems"}
    ),
    "string": frozenset({"maxLength", "minLength", "pattern", "format"}),
    "number": frozenset({"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}),
}


class BranchPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Alternatives, one of which a value follows."""

    #: The subschema that holds them.
    holder: Part
    #: ``anyOf`` or ``oneOf``.
    keyword: str
    branches: tuple[Any, ...]


class Conjunction(msgspec.Struct, frozen=True, kw_only=True):
    """What one value follows at the same time."""

    parts: tuple[Part, ...] = ()
    choices: tuple[BranchPoint, ...] = ()

    def joined(self, other: Conjunction) -> Conjunction:
        """Both at the same time."""
        known = {id(part) for part in self.parts}
        chosen = {(id(each.holder), each.keyword) for each in self.choices}
        return Conjunction(
            parts=(*self.parts, *(part for part in other.parts if id(part) not in known)),
            choices=(
                *self.choices,
                *(each for each in other.choices if (id(each.holder), each.keyword) not in chosen),
            ),
        )


def resolve(schemas: Iterable[Any], targets: Mapping[str, Any]) -> Conjunction | None:
    """The parts of schemas that hold at the same time; ``None``: nothing follows them.

    Args:
        schemas: subschemas, ``true`` and ``false`` among them.
        targets: the subschema of every reference.
    """
    parts: dict[int, Part] = {}
    choices: list[BranchPoint] = []
    pending = list(schemas)
    seen: set[int] = set()
    while pending:
        schema = pending.pop(0)
        if schema is False:
            return None
        if schema is True or id(schema) in seen:
            continue
        seen.add(id(schema))
        own = cast("Part", schema)
        if not own.keys() <= _IN_PLACE:
            parts[id(own)] = own
        inside = [targets[own["$ref"]]] if "$ref" in own else []
        pending = [*inside, *own.get("allOf", []), *pending]
        choices += [
            BranchPoint(holder=own, keyword=keyword, branches=tuple(own[keyword]))
            for keyword in ("anyOf", "oneOf")
            if keyword in own
        ]
    return Conjunction(parts=tuple(parts.values()), choices=tuple(choices))


def types_of(parts: Iterable[Part], *, implied: bool) -> list[str]:
    """The types that all parts allow, in the order of the first that names some.

    Args:
        parts: what holds at the same time.
        implied: where no part names a type, only those that some keyword speaks of.
    """
    found: list[str] | None = None
    for part in parts:
        if "type" not in part:
            continue
        said: Any = part["type"]
        named = cast("list[str]", [said] if isinstance(said, str) else said)
        found = named if found is None else _common(found, named)
    if found is not None:
        return ["number" if each == "number" else each for each in found if not _covered(each, found)]
    used = {keyword for part in parts for keyword in part}
    named = [name for name, family in FAMILIES.items() if used & family] if implied else []
    return named or [each for each in keywords.TYPES if each != "integer"]


def _covered(name: str, names: list[str]) -> bool:
    return name == "integer" and "number" in names


def _common(one: list[str], other: list[str]) -> list[str]:
    found = [each for each in one if each in other]
    # An integer is a number.
    if "integer" not in found and (
        ("integer" in one and "number" in other) or ("number" in one and "integer" in other)
    ):
        found.append("integer")
    return found

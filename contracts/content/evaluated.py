"""Fields and items that a schema evaluates, for ``unevaluatedProperties`` and ``unevaluatedItems``.

Source: JSON Schema 2020-12, core, section 11.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from contracts.content import pattern


def names(check: Any, targets: Mapping[str, Any], schema: Any, instance: dict[str, Any]) -> set[str]:
    """The fields of an object that a schema evaluates, ``unevaluatedProperties`` of its own apart.

    Args:
        check: a validator of the library, for what depends on whether a subschema holds.
        targets: the subschema of every reference.
        schema: the subschema around the keyword.
        instance: the object.
    """
    own = cast("dict[str, Any]", schema)
    known = {name for name in own.get("properties", {}) if name in instance}
    for expression in own.get("patternProperties", {}):
        known |= {name for name in instance if pattern.matches(expression, name)}
    if "additionalProperties" in own:
        known |= set(instance)
    for each in _in_place(check, targets, own, instance):
        known |= names(check, targets, each, instance)
        if "unevaluatedProperties" in each:
            known |= set(instance)
    return known


def indices(check: Any, targets: Mapping[str, Any], schema: Any, instance: list[Any]) -> set[int]:
    """The indices of a list's items that a schema evaluates, ``unevaluatedItems`` of its own apart.

    Args:
        check: a validator of the library.
        targets: the subschema of every reference.
        schema: the subschema around the keyword.
        instance: the list.
    """
    own = cast("dict[str, Any]", schema)
    if "items" in own:
        return set(range(len(instance)))
    known = set(range(len(own.get("prefixItems", ()))))
    if "contains" in own:
        inner = check.evolve(schema=own["contains"])
        known |= {index for index, item in enumerate(instance) if inner.is_valid(item)}
    for each in _in_place(check, targets, own, instance):
        known |= indices(check, targets, each, instance)
        if "unevaluatedItems" in each:
            known |= set(range(len(instance)))
    return known


def _in_place(
    check: Any, targets: Mapping[str, Any], own: dict[str, Any], instance: Any
) -> Iterator[dict[str, Any]]:
    """The subschemas of the same value that hold; those that do not evaluate nothing."""

    def held(schema: Any) -> bool:
        return check.evolve(schema=schema).is_valid(instance)

    found: list[Any] = [targets[own["$ref"]]] if "$ref" in own else []
    for keyword in ("allOf", "anyOf", "oneOf"):
        found += own.get(keyword, [])
    if "if" in own:
        condition = own["if"]
        met = held(condition)
        found += [condition] if met else []
        found += [own[branch] for branch in (("then",) if met else ("else",)) if branch in own]
    if isinstance(instance, dict):
        found += [each for name, each in own.get("dependentSchemas", {}).items() if name in instance]
    yield from (cast("dict[str, Any]", each) for each in found if isinstance(each, dict) and held(each))

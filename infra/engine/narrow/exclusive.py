"""Alternatives of ``oneOf``: whether a value of one of them can follow another one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from contracts.content.conformance import same
from infra.engine.narrow import objects
from infra.engine.narrow.parts import Part, resolve, types_of

if TYPE_CHECKING:
    from infra.engine.narrow.scope import Narrowing


def separate(
    narrower: Narrowing, mine: tuple[Part, ...], others: Iterable[tuple[Part, ...]]
) -> frozenset[str] | None:
    """The optional fields without which a value follows no other alternative; ``None``: no fields settle it.

    Args:
        narrower: knows the targets of references.
        mine: all that a value of this alternative follows.
        others: the parts of each other alternative.
    """
    if any("const" in part or "enum" in part for part in mine):
        # Listed values are compared one by one.
        return frozenset()
    dropped: set[str] = set()
    for other in others:
        found = _apart(narrower, mine, other, dropped)
        if found is None:
            return None
        dropped |= found
    return frozenset(dropped)


def _apart(
    narrower: Narrowing, mine: tuple[Part, ...], other: tuple[Part, ...], dropped: set[str]
) -> set[str] | None:
    common = _common_types(types_of(mine, implied=True), types_of(other, implied=False))
    if not common:
        return set()
    if common != {"object"}:
        return None
    required, theirs = objects.required_of(mine), objects.required_of(other)
    compared = [name for name in objects.names_of(other) if name in required or name in theirs]
    if any(_differ(narrower, name, mine, other) for name in compared) or any(
        _shuts_out(part, required) for part in other
    ):
        return set()
    missing = [name for name in theirs if name not in required]
    if not missing:
        return None
    # What is dropped already, then what is not even named.
    named = objects.names_of(mine)
    return {min(missing, key=lambda name: (name not in dropped, name in named))}


def _common_types(one: list[str], other: list[str]) -> set[str]:
    names = {"number" if each == "integer" else each for each in one}
    return names & {"number" if each == "integer" else each for each in other}


def _shuts_out(part: Part, required: Iterable[str]) -> bool:
    """Whether a schema excludes a field that is always written."""
    if part.get("additionalProperties") is not False or part.get("patternProperties"):
        return False
    return any(name not in part.get("properties", {}) for name in required)


def _differ(narrower: Narrowing, name: str, mine: tuple[Part, ...], other: tuple[Part, ...]) -> bool:
    """Whether the values of a field differ between the two."""
    one, two = find_values(narrower, name, mine), find_values(narrower, name, other)
    if one is not None and two is not None:
        return not {same(each) for each in one} & {same(each) for each in two}
    inner, outer = _field(narrower, name, mine), _field(narrower, name, other)
    if not inner or not outer:
        return False
    return not _common_types(types_of(inner, implied=False), types_of(outer, implied=False))


def find_values(narrower: Narrowing, name: str, parts: tuple[Part, ...]) -> list[Any] | None:
    """The values that a field may have, if they are listed; ``None``: they are not.

    Args:
        narrower: knows the targets of references.
        name: of the field.
        parts: what the object follows.
    """
    inner = _field(narrower, name, parts) or ()
    found: list[Any] | None = None
    for part in inner:
        listed: Any = [part["const"]] if "const" in part else part.get("enum")
        if listed is None:
            continue
        known = {same(each) for each in cast("list[Any]", listed)}
        found = (
            list(cast("list[Any]", listed))
            if found is None
            else [each for each in found if same(each) in known]
        )
    if found is None and inner and types_of(inner, implied=False) == ["boolean"]:
        return [True, False]
    return found


def _field(narrower: Narrowing, name: str, parts: tuple[Part, ...]) -> tuple[Part, ...] | None:
    asks = [part["properties"][name] for part in parts if name in part.get("properties", {})]
    found = resolve(asks, narrower.schema.targets)
    return None if found is None else found.parts

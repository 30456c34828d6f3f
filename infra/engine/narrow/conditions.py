"""Conditions of an object as alternatives: ``if``, ``dependentRequired``, ``dependentSchemas`` and ``not``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from contracts.content.conformance import same
from infra.engine.narrow import exclusive, objects
from infra.engine.narrow.parts import Part, resolve, types_of

if TYPE_CHECKING:
    from infra.engine.narrow.scope import Narrowing, Scope

_KEYWORDS: Final = ("if", "not", "dependentRequired", "dependentSchemas")
#: Most fields with dependents that are told apart.
_MAX_TRIGGERS: Final = 3


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to meet a condition."""

    #: Schemas that hold beside the others.
    schemas: tuple[Any, ...] = ()
    #: Fields that are not written.
    without: frozenset[str] = frozenset()


class _UnknownError(Exception):
    """A condition that is checked afterwards."""


def find(parts: tuple[Part, ...], settled: frozenset[tuple[int, str]]) -> Iterator[tuple[Part, str]]:
    """The conditions that ask something and are not settled."""
    for part in parts:
        for keyword in _KEYWORDS:
            if keyword not in part or (id(part), keyword) in settled:
                continue
            idle = {
                "if": not {"then", "else"} & part.keys(),
                "not": part["not"] is False if keyword == "not" else False,
            }.get(keyword, not part[keyword])
            if idle or (keyword == "not" and _excluded(part)):
                continue
            yield part, keyword


def excluded_types(parts: tuple[Part, ...]) -> set[str]:
    """The types that ``not`` excludes."""
    return {name for part in parts for name in _excluded(part)}


def _excluded(part: Part) -> list[str]:
    inner = part.get("not")
    if not isinstance(inner, dict) or set(cast("Part", inner)) != {"type"}:
        return []
    named: Any = inner["type"]
    names = cast("list[str]", [named] if isinstance(named, str) else named)
    # All numbers but the integers have no name.
    return [] if "integer" in names else names


def ways(
    narrower: Narrowing, part: Part, keyword: str, parts: tuple[Part, ...], scope: Scope
) -> list[Way] | None:
    """The ways to meet a condition, which may overlap; ``None``: it is checked afterwards.

    Args:
        narrower: knows the targets of references.
        part: holds the condition.
        keyword: one that :func:`find` gives.
        parts: all that the value follows.
        scope: what is decided about it.
    """
    try:
        asked = _Object(narrower, parts, scope)
        match keyword:
            case "if":
                return asked.condition(part["if"], part.get("then", True), part.get("else", True))
            case "not":
                return asked.negation(part["not"])
            case "dependentRequired":
                return asked.dependents(
                    {name: narrower.made({"required": needed}) for name, needed in part[keyword].items()}
                )
            case _:
                return asked.dependents(part[keyword])
    except _UnknownError:
        return None


class _Object:
    """The object that a condition is about."""

    def __init__(self, narrower: Narrowing, parts: tuple[Part, ...], scope: Scope) -> None:
        self.narrower = narrower
        self.parts = parts
        self.scope = scope
        self.required = objects.required_of(parts)
        self.named = objects.names_of(parts)
        self.closed = objects.closed(parts)
        kinds = types_of(parts, implied=True)
        if kinds != ["object"] and not (
            scope.root and "object" in kinds and not any("type" in each for each in parts)
        ):
            raise _UnknownError

    def never(self, name: str) -> bool:
        """Whether a field is never written."""
        return name in self.scope.without or (self.closed and name not in self.named)

    def absent(self, name: str, *schemas: Any) -> list[Way]:
        """The way without a field, unless it is required."""
        if name in self.required:
            return []
        return [Way(schemas=schemas, without=frozenset({name}))]

    def present(self, name: str, *schemas: Any) -> list[Way]:
        """The way with a field, unless it is never written."""
        if self.never(name):
            return []
        return [Way(schemas=(self.narrower.made({"required": [name]}), *schemas))]

    def condition(self, condition: Any, then: Any, otherwise: Any) -> list[Way]:
        if isinstance(condition, bool) or not condition:
            return [Way(schemas=(then if condition is not False else otherwise,))]
        required, fields = self.tested(condition)
        if not fields:
            if len(required) != 1:
                raise _UnknownError
            return [*self.present(required[0], then), *self.absent(required[0], otherwise)]
        ((name, values),) = fields.items()
        if any(each != name for each in required):
            raise _UnknownError
        if self.never(name):
            return self.absent(name, otherwise if required else then)
        listed = exclusive.find_values(self.narrower, name, self.parts)
        if listed is None:
            raise _UnknownError
        met = {same(each) for each in values}
        sides = (
            ([each for each in listed if same(each) in met], then),
            ([each for each in listed if same(each) not in met], otherwise),
        )
        found = [
            Way(
                schemas=(
                    self.narrower.made({"properties": {name: {"enum": kept}}, "required": [name]}),
                    schema,
                )
            )
            for kept, schema in sides
            if kept
        ]
        return [*found, *self.absent(name, otherwise if required else then)]

    def tested(self, condition: Any) -> tuple[list[str], dict[str, list[Any]]]:
        """The fields that a condition requires, and the values of the one field that it compares."""
        found = resolve([condition], self.narrower.schema.targets)
        if found is None or found.choices:
            raise _UnknownError
        required = list(objects.required_of(found.parts))
        fields: dict[str, list[Any]] = {}
        for part in found.parts:
            if (
                not part.keys() <= {"properties", "required", "type"}
                or part.get("type", "object") != "object"
            ):
                raise _UnknownError
            for name, schema in part.get("properties", {}).items():
                if not isinstance(schema, dict) or not cast("Part", schema).keys() <= {
                    "const",
                    "enum",
                    "type",
                }:
                    raise _UnknownError
                own = cast("Part", schema)
                if "const" not in own and "enum" not in own:
                    raise _UnknownError
                listed: list[Any] = [own["const"]] if "const" in own else own["enum"]
                fields[name] = [each for each in listed if self.narrower.holds(own, each)]
        if len(fields) > 1:
            raise _UnknownError
        return required, fields

    def negation(self, inner: Any) -> list[Way]:
        if not isinstance(inner, dict) or not inner:
            return [] if inner is not False else [Way()]
        own = cast("Part", inner)
        if own.keys() == {"required"}:
            names: list[str] = own["required"]
            never = [name for name in names if self.never(name)]
            if never:
                return self.absent(never[0])
            return [way for name in names for way in self.absent(name)]
        if own.keys() == {"anyOf"} and all(
            isinstance(each, dict) and each.keys() == {"required"} and len(each["required"]) == 1
            for each in own["anyOf"]
        ):
            names = [each["required"][0] for each in own["anyOf"]]
            without = frozenset[str]().union(*(way.without for name in names for way in self.absent(name)))
            return [Way(without=without)] if not any(name in self.required for name in names) else []
        raise _UnknownError

    def dependents(self, by_name: dict[str, Any]) -> list[Way]:
        found = [Way(without=frozenset(name for name in by_name if self.never(name)))]
        open_triggers = [name for name in by_name if not self.never(name)]
        if len(open_triggers) > _MAX_TRIGGERS:
            raise _UnknownError
        for name in open_triggers:
            each_way = [*self.present(name, by_name[name]), *self.absent(name)]
            found = [
                Way(schemas=(*one.schemas, *other.schemas), without=one.without | other.without)
                for one in found
                for other in each_way
            ]
        return found

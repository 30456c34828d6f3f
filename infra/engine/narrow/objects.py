"""Objects of a narrowed schema: they have the fields that the schema names, in its order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from contracts.content import pattern
from infra.engine.narrow import scalars
from infra.engine.narrow.parts import Part

if TYPE_CHECKING:
    from infra.engine.narrow.scope import Entry, Narrowing, Scope

#: Most fields of an object that may have any, if a schema sets no bound.
MAX_FIELDS: Final = 64
#: Most optional fields of which a grammar requires one, and of which it allows one: its size grows with their square.
_MAX_COUNTED: Final = 16
_MAX_SINGLE: Final = 64


def narrow(narrower: Narrowing, parts: tuple[Part, ...], scope: Scope) -> dict[str, Any] | None:
    """The keywords of an object; ``None``: no object follows the parts.

    Args:
        narrower: builds the fields.
        parts: what holds at the same time.
        scope: what is decided about the object.
    """
    required = required_of(parts)
    if scope.without & required.keys():
        return None
    _leave_out_inner(narrower, parts, scope)
    fields: dict[str, Entry] = {}
    absent = dict.fromkeys(scope.without)
    for name in names_of(parts):
        entry = None if name in absent else _field(narrower, name, parts)
        if entry is not None:
            fields[name] = entry
        elif name in required:
            return None
        else:
            absent[name] = None
    narrower.spend(len(fields))
    expressions = _expressions(narrower, parts)
    other = _other(narrower, parts, scope, named=bool(fields) or bool(expressions) or bool(scope.without))
    if other is not None or expressions:
        fields, expressions, other = _with_names(narrower, parts, fields, expressions, other)
    made: dict[str, Any] = {"properties": {name: fields[name] for name in fields if name not in absent}}
    if required:
        made["required"] = list(required)
    if expressions:
        made["patternProperties"] = expressions
    made["additionalProperties"] = False if other is None else other
    counted = _counted(narrower, parts, scope, made)
    if counted is not None and (
        counted["additionalProperties"] is not False or "patternProperties" in counted
    ):
        _exclude(narrower, parts, counted, absent)
    return counted


def _exclude(
    narrower: Narrowing, parts: tuple[Part, ...], made: dict[str, Any], absent: Iterable[str]
) -> None:
    """Name the fields that must not be written as fields without a name; a grammar then counts to one at most."""
    excluded = dict.fromkeys(absent, False)
    if not excluded:
        return
    made["properties"] = {**made["properties"], **excluded}
    made.pop("maxProperties", None)
    if made.get("minProperties", 0) > 1:
        made["minProperties"] = 1
        _leave_out_count(narrower, parts, "minProperties")
    _leave_out_count(narrower, parts, "maxProperties")


def names_of(parts: tuple[Part, ...]) -> dict[str, None]:
    """The fields that are named, in their order."""
    named = {name: None for part in parts for name in part.get("properties", {})}
    return {**named, **required_of(parts)}


def required_of(parts: tuple[Part, ...]) -> dict[str, None]:
    """The fields that are required."""
    return {name: None for part in parts for name in part.get("required", ())}


def closed(parts: tuple[Part, ...]) -> bool:
    """Whether only named fields are written."""
    if any(part.get("patternProperties") for part in parts):
        return False
    others = [part["additionalProperties"] for part in parts if "additionalProperties" in part]
    return any(each is False for each in others) or (
        bool(names_of(parts)) and all(each in (True, {}) for each in others)
    )


def _field(narrower: Narrowing, name: str, parts: tuple[Part, ...]) -> Entry | None:
    """The entry of a named field: what every part says of it."""
    asks: list[Any] = []
    for part in parts:
        if "propertyNames" in part and not narrower.holds(part["propertyNames"], name):
            return None
        found = [part["properties"][name]] if name in part.get("properties", {}) else []
        found += [
            each for said, each in part.get("patternProperties", {}).items() if pattern.matches(said, name)
        ]
        if not found and "additionalProperties" in part:
            found = [part["additionalProperties"]]
        asks += found
    if not asks:
        # Required and nowhere described.
        asks = [part["unevaluatedProperties"] for part in parts if "unevaluatedProperties" in part]
    return narrower.build(asks)


def _expressions(narrower: Narrowing, parts: tuple[Part, ...]) -> dict[str, Entry]:
    """Entries by the expression of their fields' names."""
    found: dict[str, Entry] = {}
    said = {each: None for part in parts for each in part.get("patternProperties", {})}
    for expression in said:
        asks: list[Any] = []
        for part in parts:
            own = part.get("patternProperties", {})
            if expression in own:
                asks.append(own[expression])
            elif "additionalProperties" in part:
                asks.append(part["additionalProperties"])
        entry = narrower.build(asks)
        rust = pattern.rust(expression)
        # A grammar needs names that no two expressions take.
        trial = {
            "type": "object",
            "patternProperties": {each: {"type": "null"} for each in (*found, rust)},
            "additionalProperties": False,
        }
        compiles = narrower.compiles(trial) if narrower.compiles is not None else not found
        kept = entry is not None and not narrower.plain and compiles
        if kept and entry is not None:
            found[rust] = entry
        if not kept or pattern.looks_around(expression):
            for part in parts:
                if expression in part.get("patternProperties", {}):
                    narrower.leave_out(part, "patternProperties")
    return found


def _other(narrower: Narrowing, parts: tuple[Part, ...], scope: Scope, *, named: bool) -> Entry | None:
    """The entry of fields without a name; ``None``: there are none."""
    asks = [part["additionalProperties"] for part in parts if "additionalProperties" in part]
    real = [each for each in asks if each not in (True, {})]
    if not real and named:
        return None
    if not asks:
        asks = [
            part["unevaluatedProperties"]
            for part in parts
            if part is scope.top and "unevaluatedProperties" in part
        ]
    return narrower.build(asks)


def _with_names(
    narrower: Narrowing,
    parts: tuple[Part, ...],
    fields: dict[str, Entry],
    expressions: dict[str, Entry],
    other: Entry | None,
) -> tuple[dict[str, Entry], dict[str, Entry], Entry | None]:
    """The fields as ``propertyNames`` restricts them."""
    limits = [part for part in parts if "propertyNames" in part]
    if len(limits) != 1 or expressions or other is None:
        for part in limits:
            narrower.leave_out(part, "propertyNames")
        return fields, expressions, other
    entry = narrower.build([limits[0]["propertyNames"], narrower.made({"type": "string"})])
    if entry is None:
        return fields, expressions, None
    body = entry.body or {}
    if "enum" in body:
        return {**fields, **{name: other for name in body["enum"] if name not in fields}}, {}, None
    if "anyOf" in body or "allOf" in body:
        narrower.leave_out(limits[0], "propertyNames")
        return fields, expressions, other
    shown = body.get("pattern")
    least, most = body.get("minLength", 0), body.get("maxLength", scalars.MAX_LENGTH)
    if shown is None:
        shown = f"^(?s:.){{{least},{most}}}$"
    elif least or most < scalars.MAX_LENGTH:
        narrower.leave_out(limits[0], "propertyNames")
    # The names that are described are not written by the expression.
    trial = {"type": "object", "patternProperties": {shown: {"type": "null"}}, "additionalProperties": False}
    if fields or (narrower.compiles is not None and not narrower.compiles(trial)):
        narrower.leave_out(limits[0], "propertyNames")
        return fields, expressions, other
    return fields, {shown: other}, None


def _counted(
    narrower: Narrowing, parts: tuple[Part, ...], scope: Scope, made: dict[str, Any]
) -> dict[str, Any] | None:
    """The object with the number of its fields, as far as a grammar counts them."""
    low = max((part["minProperties"] for part in parts if "minProperties" in part), default=0)
    low = max(low, int(scope.root))
    high = min((part["maxProperties"] for part in parts if "maxProperties" in part), default=None)
    fields: dict[str, Entry] = made["properties"]
    required: list[str] = made.get("required", [])
    is_closed = made["additionalProperties"] is False and "patternProperties" not in made
    if (high is not None and high < max(low, len(required))) or (is_closed and low > len(fields)):
        return None
    if high is not None and high == len(required):
        made["properties"] = {name: fields[name] for name in fields if name in required}
        made["additionalProperties"] = False
        made.pop("patternProperties", None)
        return made
    countable = is_closed and len(fields) - len(required) <= _MAX_COUNTED
    promoted = _promote(fields, required, low - 1 if countable else low)
    if promoted:
        made["required"] = required = [*required, *promoted]
    all_required = fields.keys() <= set(required)
    if not is_closed:
        if all_required:
            made["maxProperties"] = max(MAX_FIELDS, low, len(required)) if high is None else high
        elif high is not None:
            _leave_out_count(narrower, parts, "maxProperties")
    elif high is not None and high < len(fields):
        if high == len(required) + 1 and len(fields) - len(required) <= _MAX_SINGLE:
            made["maxProperties"] = high
        else:
            _leave_out_count(narrower, parts, "maxProperties")
    if low > len(required):
        made["minProperties"] = low
    return made


def _promote(fields: dict[str, Entry], required: list[str], count: int) -> list[str]:
    """Optional fields that are required, so that a grammar need not count: those without recursion first."""
    if count <= len(required):
        return []
    optional = [name for name in fields if name not in required]
    optional.sort(key=lambda name: fields[name].recursive or fields[name].open)
    return optional[: count - len(required)]


def _leave_out_count(narrower: Narrowing, parts: tuple[Part, ...], keyword: str) -> None:
    for part in parts:
        if keyword in part:
            narrower.leave_out(part, keyword)


def _leave_out_inner(narrower: Narrowing, parts: tuple[Part, ...], scope: Scope) -> None:
    """Take down ``unevaluatedProperties`` that does not see all parts."""
    for part in parts:
        if "unevaluatedProperties" in part and part is not scope.top:
            narrower.leave_out(part, "unevaluatedProperties")

"""A schema as servers enforce it: without alternatives that only require fields, with bounds that they can read.

llama.cpp reads ``anyOf`` and ``oneOf`` instead of the ``properties`` beside them, and then enforces nothing; OpenAI
refuses them in a root.  llama.cpp enforces bounds of whole numbers alone, and a small model fills a coordinate with
sixteen digits; it reads a bound beyond 63 bits as another number.  The document is checked under the whole schema afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

_ALTERNATIVES: Final = ("anyOf", "oneOf")
#: Keywords whose values are no schemas.
_LITERAL: Final = frozenset({"const", "enum", "default", "example", "examples"})
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
#: Keywords beside a number's type that leave it as it is.
_KEEPS_NUMBER: Final = frozenset({"const", "enum", "multipleOf"})
#: Values of a range that has fewer whole numbers.
_STEPS: Final = 11
#: Bounds up to here are exact in every server's number type.
_EXACT: Final = 2**53


def simplify_alternatives(schema: Mapping[str, Any], *, require_first: bool) -> dict[str, Any]:
    """A schema in which no alternatives that only require fields stand beside properties.

    Args:
        schema: a JSON Schema of any draft.
        require_first: the first alternative is required, for a model that needs to be led; otherwise none is.
    """
    made = {
        name: each if name in _LITERAL else _inner(each, require_first=require_first)
        for name, each in schema.items()
    }
    if not isinstance(schema.get("properties"), dict):
        return made
    for name in _ALTERNATIVES:
        branches = schema.get(name)
        if isinstance(branches, list) and branches and all(map(_only_requires, cast("list[Any]", branches))):
            del made[name]
            if require_first:
                made["required"] = list(dict.fromkeys((*made.get("required", ()), *branches[0]["required"])))
    return made


def drop_inexact_bounds(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without bounds of numbers from 2^53 on, which servers round or misread.

    Args:
        schema: a JSON Schema of any draft.
    """
    made: dict[str, Any] = {}
    for name, each in schema.items():
        value = each if name in _LITERAL else _in_schemas(each, drop_inexact_bounds)
        # A flag of draft-04 means the bound beside it.
        bound = schema.get(name.removeprefix("exclusive").lower()) if isinstance(value, bool) else value
        if name not in _BOUNDS or not _is_far(name, bound):
            made[name] = value
    return made


def bound_numbers(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema in which a bounded number is a whole one, or one of eleven values of a narrow range.

    Every number that it allows is allowed by the schema, in a range from 0 to 1 too.

    Args:
        schema: a JSON Schema; bounds that are no numbers (draft-04) are left.
    """
    made = {
        name: each if name in _LITERAL else _in_schemas(each, bound_numbers) for name, each in schema.items()
    }
    bounds = {name: schema[name] for name in _BOUNDS if name in schema}
    kind = schema.get("type")
    listed = cast("list[Any]", kind) if isinstance(kind, list) else []
    is_number = kind == "number" or ("number" in listed and "integer" not in listed)
    if not is_number or not bounds or not _KEEPS_NUMBER.isdisjoint(schema):
        return made
    if not all(map(_is_exact, bounds.values())):
        return made
    least = max(_lowest(bounds), default=None)
    greatest = min(_highest(bounds), default=None)
    if least is None or greatest is None or greatest - least + 1 >= _STEPS:
        made = {name: each for name, each in made.items() if name not in _BOUNDS}
        made["type"] = ["integer" if each == "number" else each for each in listed] if listed else "integer"
        ends = (("minimum", least), ("maximum", greatest))
        return made | {name: each for name, each in ends if each is not None}
    steps = [] if listed else _steps(bounds)
    if not steps:
        return made
    return {name: each for name, each in made.items() if name not in {"type", *_BOUNDS}} | {"enum": steps}


def _is_far(name: str, bound: Any) -> bool:
    if not isinstance(bound, (int, float)) or isinstance(bound, bool):
        return False
    return bound >= _EXACT if name.endswith("aximum") else bound <= -_EXACT


def _is_exact(bound: Any) -> bool:
    return isinstance(bound, (int, float)) and not isinstance(bound, bool) and abs(bound) < _EXACT


def _lowest(bounds: Mapping[str, float]) -> list[int]:
    found = [math.ceil(bounds["minimum"])] if "minimum" in bounds else []
    if "exclusiveMinimum" in bounds:
        found.append(math.floor(bounds["exclusiveMinimum"]) + 1)
    return found


def _highest(bounds: Mapping[str, float]) -> list[int]:
    found = [math.floor(bounds["maximum"])] if "maximum" in bounds else []
    if "exclusiveMaximum" in bounds:
        found.append(math.ceil(bounds["exclusiveMaximum"]) - 1)
    return found


def _steps(bounds: Mapping[str, float]) -> list[float]:
    """Eleven values between both bounds, without excluded ones; none where rounding leaves the range."""
    low = max(bounds[name] for name in ("minimum", "exclusiveMinimum") if name in bounds)
    high = min(bounds[name] for name in ("maximum", "exclusiveMaximum") if name in bounds)
    values = [round(low + (high - low) * step / (_STEPS - 1), 3) for step in range(_STEPS)]
    return [
        each
        for each in dict.fromkeys(values)
        if low <= each <= high
        and each > bounds.get("exclusiveMinimum", -math.inf)
        and each < bounds.get("exclusiveMaximum", math.inf)
    ]


def _in_schemas(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(value, dict):
        return change(cast("dict[str, Any]", value))
    if isinstance(value, list):
        return [_in_schemas(each, change) for each in cast("list[Any]", value)]
    return value


def _inner(value: Any, *, require_first: bool) -> Any:
    if isinstance(value, dict):
        return simplify_alternatives(cast("dict[str, Any]", value), require_first=require_first)
    if isinstance(value, list):
        return [_inner(each, require_first=require_first) for each in cast("list[Any]", value)]
    return value


def _only_requires(branch: Any) -> bool:
    own = cast("dict[str, Any]", branch) if isinstance(branch, dict) else {}
    return set(own) == {"required"} and isinstance(own["required"], list)

"""Vocabulary of JSON Schema 2020-12: the shape of each keyword's value."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

#: Keywords that hold one subschema, a list of them, or a map of them.
ONE: Final = frozenset(
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
LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
MAP: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
#: Most that a document may be asked to have, and most names and values in one list.
MAX_LENGTH: Final = 10_000
MAX_ITEMS: Final = 1000
MAX_PROPERTIES: Final = 500
MAX_NAMES: Final = 500
MAX_VALUES: Final = 3000
#: Most subschemas in one map.
MAX_NAMED: Final = 2000

_COUNTS: Final = frozenset(
    {
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
    }
)
_MOST: Final = {
    "minLength": MAX_LENGTH,
    "minItems": MAX_ITEMS,
    "minContains": MAX_ITEMS,
    "minProperties": MAX_PROPERTIES,
}
_NUMBERS: Final = frozenset({"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum"})
_TEXTS: Final = frozenset(
    {
        "$anchor",
        "$comment",
        "$dynamicAnchor",
        "$dynamicRef",
        "$id",
        "$ref",
        "$schema",
        "contentEncoding",
        "contentMediaType",
        "description",
        "format",
        "pattern",
        "title",
    }
)
_FLAGS: Final = frozenset({"deprecated", "readOnly", "uniqueItems", "writeOnly"})
_OTHERS: Final = frozenset(
    {
        "const",
        "default",
        "dependentRequired",
        "enum",
        "examples",
        "multipleOf",
        "required",
        "type",
    }
)
KNOWN: Final = ONE | LIST | MAP | _COUNTS | _NUMBERS | _TEXTS | _FLAGS | _OTHERS
#: Keywords that ask nothing of a document: whatever their value is, it has no effect.
ANNOTATIONS: Final = frozenset(
    {
        "$anchor",
        "$comment",
        "$dynamicAnchor",
        "$id",
        "$schema",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
#: Keywords that ask something of a document.
ASKING: Final = KNOWN - ANNOTATIONS - {"$defs", "definitions"}


def shape(keyword: str, value: Any) -> str | None:
    """Why a value cannot be a keyword's, and what to write; ``None`` when it can.

    Args:
        keyword: one of :data:`KNOWN`.
        value: any JSON value; what is inside subschemas is not looked at.
    """
    return _CHECKS[keyword](keyword, value)


def whole(keyword: str, value: Any) -> Any:
    """A keyword's value with 2.0 as 2 where it counts something: the standard takes both for integers."""
    counts = keyword in _COUNTS and isinstance(value, float) and value.is_integer()
    return int(value) if counts else value


def show(value: Any) -> str:
    """A value as a message shows it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:60] + "…"  # noqa: PLR2004 - a line


def is_number(value: Any) -> bool:
    """Whether it is a number of JSON that bounds can be compared with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _schema(_keyword: str, value: Any) -> str | None:
    if isinstance(value, dict | bool):
        return None
    return f"{show(value)} is no schema; write an object, true or false"


def _schemas(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return f"{show(value)} is no list of schemas; write one with a schema at least"
    return next((why for each in cast("list[Any]", value) if (why := _schema("", each))), None)


def _named(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, dict):
        return f"{show(value)} is no object; write schemas by name"
    named = cast("dict[str, Any]", value)
    if len(named) > MAX_NAMED:
        return f"names {len(named)} schemas, and at most {MAX_NAMED} are accepted; make it smaller"
    return next((f"{name!r:.60}: {why}" for name, each in named.items() if (why := _schema("", each))), None)


def _count(keyword: str, value: Any) -> str | None:
    if not is_number(value) or value != int(value) or value < 0:
        return f"{show(value)} is no count; write a whole number from 0 on"
    most = _MOST.get(keyword)
    if most is not None and value > most:
        return f"{show(value)} is more than can be written; {most} is the most"
    return None


def _number(_keyword: str, value: Any) -> str | None:
    return None if is_number(value) else f"{show(value)} is no number"


def _step(_keyword: str, value: Any) -> str | None:
    return None if is_number(value) and value > 0 else f"{show(value)} is no number above 0"


def _names(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, list):
        return f"{show(value)} is no list of names"
    names = cast("list[Any]", value)
    if len(names) > MAX_NAMES:
        return f"lists {len(names)} names, and at most {MAX_NAMES} are accepted; make it smaller"
    wrong = next((each for each in names if not isinstance(each, str)), None)
    if wrong is not None or None in names:
        return f"{show(wrong)} is no name; write it in quotes"
    if len(set(names)) < len(names):
        twice = next(each for index, each in enumerate(names) if each in names[:index])
        return f"{show(twice)} is listed twice; keep one of them"
    return None


def _needs(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, dict):
        return f"{show(value)} is no object; write lists of names by name"
    by_name = cast("dict[str, Any]", value)
    if len(by_name) > MAX_NAMES:
        return f"has {len(by_name)} names, and at most {MAX_NAMES} are accepted; make it smaller"
    return next((f"{name!r:.60}: {why}" for name, each in by_name.items() if (why := _names("", each))), None)


def _type(_keyword: str, value: Any) -> str | None:
    names: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
    for name in names[: len(TYPES) + 1]:
        if not isinstance(name, str) or name not in TYPES:
            return f"{show(name)} is no type; write one of {', '.join(TYPES)}"
    if not names or len(names) > len(set(names)):
        return f"{show(names)} is no list of different types"
    return None


def _enum(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, list):
        return f"{show(value)} is no list; write the values in brackets"
    values = cast("list[Any]", value)
    if not values:
        return "is empty, and no value follows it; list a value"
    if len(values) > MAX_VALUES:
        return f"lists {len(values)} values, and at most {MAX_VALUES} are accepted; write a pattern or less"
    return None


def _flag(_keyword: str, value: Any) -> str | None:
    return None if isinstance(value, bool) else f"{show(value)} is neither true nor false"


def _text(_keyword: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return f"{show(value)} is no text; write one in quotes"
    return None


def _anything(_keyword: str, value: Any) -> str | None:
    del value


_CHECKS: Final[Mapping[str, Callable[[str, Any], str | None]]] = {
    **dict.fromkeys(ONE, _schema),
    **dict.fromkeys(LIST, _schemas),
    **dict.fromkeys(MAP, _named),
    **dict.fromkeys(_COUNTS, _count),
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(_FLAGS, _flag),
    **dict.fromkeys(_TEXTS, _text),
    "const": _anything,
    "default": _anything,
    "dependentRequired": _needs,
    "enum": _enum,
    "examples": _anything,
    "multipleOf": _step,
    "required": _names,
    "type": _type,
}

"""Bounds of a request's body, checked before any other work: no request costs a stage much."""

from __future__ import annotations

from typing import Any, Final, cast

from pydantic_core import from_json

from contracts.content import keywords, plain

#: Most values in a body beside its JSON Schema, and most names in one of its objects.
MAX_VALUES: Final = 4000
MAX_NAMES: Final = 512
#: Deepest nesting of lists and objects in the body, most values in its JSON Schema, and most names in one object.
MAX_LEVELS: Final = 200
MAX_SCHEMA_VALUES: Final = 25_000
MAX_SCHEMA_NAMES: Final = 2000
_LOW: Final = frozenset({"exclusiveMinimum", "minimum"})
_HIGH: Final = frozenset({"exclusiveMaximum", "maximum"})
#: Keywords whose values are no schemas.
_LITERAL: Final = frozenset({"const", "default", "enum", "example", "examples"})


def fault(body: bytes) -> tuple[str, str] | None:
    """Where a body is beyond the bounds, and why; ``None`` when it is not, or is no JSON object.

    Args:
        body: a request's body of bounded length.

    Returns:
        the path of the field, dotted, and what is wrong there.
    """
    try:
        said: Any = from_json(body)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    fields = cast("dict[str, Any]", said)
    schema = fields.pop("schema", None)
    beyond = plain.fault(fields, levels=MAX_LEVELS, values=MAX_VALUES, names=MAX_NAMES)
    if beyond is not None or schema is None:
        return beyond
    beyond = find_schema_fault(schema) and find_schema_fault(drop_vacuous(schema))
    return None if beyond is None else (f"schema.{beyond[0]}" if beyond[0] else "schema", beyond[1])


def find_schema_fault(schema: Any) -> tuple[str, str] | None:
    """Where a JSON Schema is beyond the bounds, and why; ``None``: nowhere.

    Returns:
        as :func:`contracts.content.plain.fault`.
    """
    return plain.fault(schema, levels=MAX_LEVELS, values=MAX_SCHEMA_VALUES, names=MAX_SCHEMA_NAMES)


def drop_vacuous(schema: Any) -> Any:
    """A JSON Schema without the bounds of numbers that no number of 64 bits can break.

    JSON tools write ``"maximum": 18446744073709552000`` for an unsigned number of 64 bits: the nearest double, which
    is itself larger than 64 bits.
    """
    return _drop(schema, MAX_LEVELS, named=False)


def _drop(value: Any, levels: int, *, named: bool) -> Any:
    """Do so in a schema, in a map of schemas by name, or in a list of either."""
    if levels == 0:
        return value
    if isinstance(value, list):
        return [_drop(each, levels - 1, named=False) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    holder = cast("dict[str, Any]", value)
    return {
        key: each
        if not named and key in _LITERAL
        else _drop(each, levels - 1, named=not named and key in keywords.MAP)
        for key, each in holder.items()
        if named or not _is_vacuous(key, each)
    }


def _is_vacuous(keyword: str, value: Any) -> bool:
    if type(value) is not int:
        return False
    return (keyword in _HIGH and value > plain.GREATEST) or (keyword in _LOW and value < plain.LEAST)

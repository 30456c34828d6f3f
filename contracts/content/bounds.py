"""Bounds of a request's body, checked before any other work: no request costs a stage much."""

from __future__ import annotations

from typing import Any, Final, cast

from pydantic_core import from_json

from contracts.content import plain

#: Most values in a body beside its JSON Schema, and most names in one of its objects.
MAX_VALUES: Final = 4000
MAX_NAMES: Final = 512
#: Deepest nesting of lists and objects in the body, most values in its JSON Schema, and most names in one object.
MAX_LEVELS: Final = 200
MAX_SCHEMA_VALUES: Final = 25_000
MAX_SCHEMA_NAMES: Final = 2000


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
    beyond = plain.fault(schema, levels=MAX_LEVELS, values=MAX_SCHEMA_VALUES, names=MAX_SCHEMA_NAMES)
    return None if beyond is None else (f"schema.{beyond[0]}" if beyond[0] else "schema", beyond[1])

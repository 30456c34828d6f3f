"""Faults of documents of the built-in kinds, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from pydantic import ValidationError

from contracts.content.document import Document

#: Most faults listed for one document.
MAX_FAULTS: Final = 20
_MAX_VALUE: Final = 80
#: What is said instead of pydantic's words, which speak of Python.
_MESSAGES: Final = {
    "extra_forbidden": "unknown field",
    "missing": "is missing",
    "union_tag_not_found": "is missing",
    "union_tag_invalid": "{tag!r:.80} is unknown; use one of {expected_tags}",
    "literal_error": "{shown} is not one of {expected}",
    "too_short": "has {size} items, must have at least {min_length}",
    "too_long": "has {size} items, must have at most {max_length}",
    "tuple_type": "must be a list, not {shown}",
    "string_too_long": "has {size} characters, must have at most {max_length}",
    "string_pattern_mismatch": "{shown} does not match {pattern}",
    "model_type": "must be an object, not {shown}",
    "model_attributes_type": "must be an object, not {shown}",
}


def faults(model: type[Document], document: Any) -> tuple[str, ...]:
    """Lines like ``entities.2.color: unknown field``; empty when the document is valid."""
    try:
        model.model_validate(document)
    except ValidationError as error:
        found = [_line(item, document) for item in error.errors(include_url=False)]
        return tuple(dict.fromkeys(line for line in found if line))[:MAX_FAULTS]
    return ()


def _line(item: Any, document: Any) -> str:
    kind: str = item["type"]
    path = _path(item["loc"], document)
    context: dict[str, Any] = item.get("ctx", {})
    if kind == "too_short" and len(item["input"]) >= context["min_length"]:
        return ""  # pydantic counts the items that were valid; those that were not have their own line
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        path = [*path, "type"]
    return f"{'.'.join(path)[:200] or 'document'}: {_message(kind, item, context)}"


def _message(kind: str, item: Any, context: dict[str, Any]) -> str:
    given = item["input"]
    value = repr(given)
    shown = value if len(value) <= _MAX_VALUE else value[:_MAX_VALUE] + "…"
    if kind not in _MESSAGES:
        said = str(item["msg"]).removeprefix("Input ").removeprefix("Value error, ")
        return said if kind == "value_error" else f"{said}, not {shown}"
    size = len(cast("list[Any] | str", given)) if isinstance(given, list | str) else 0
    return _MESSAGES[kind].format(**context, shown=shown, size=size)


def _path(loc: Sequence[str | int], document: Any) -> list[str]:
    """The location without the union tags that pydantic puts behind an item's index."""
    path: list[str] = []
    at: Any = document
    after_index = False
    for part in loc:
        inside = cast("dict[str, Any]", at) if isinstance(at, dict) else None
        if after_index and inside is not None and "entities" in path and inside.get("type") == part:
            after_index = False
            continue
        after_index = isinstance(part, int)
        path.append(str(part))
        if inside is not None:
            at = inside.get(str(part))
        elif isinstance(at, list) and isinstance(part, int) and part < len(cast("list[Any]", at)):
            at = cast("list[Any]", at)[part]
        else:
            at = None
    return path

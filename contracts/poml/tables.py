"""Tables: records to rows, and rows to Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from contracts.poml import values
from contracts.poml.allowance import Allowance
from contracts.poml.fault import Unfit, outside


def rows(records: Any, columns: Any, allowance: Allowance) -> list[list[Any]]:
    """Rows of values, the head first.

    Args:
        records: objects, or lists of values.
        columns: objects with ``field`` and ``header``; ``None``: the fields of the records.
        allowance: what it costs is taken from it.

    Raises:
        Unfit: the records or columns are of another shape.
    """
    if not isinstance(records, list | tuple):
        raise Unfit(f"records must be a list, not {values.kind(records)}")
    items = cast("Sequence[Any]", records)
    allowance.step(len(items))
    if items and all(isinstance(each, list | tuple) for each in items):
        return _of_lists(cast("Sequence[Sequence[Any]]", items), allowance)
    if not all(isinstance(each, Mapping) for each in items):
        raise Unfit("records must be all objects, or all lists")
    objects = cast("Sequence[Mapping[str, Any]]", items)
    fields = _fields(objects) if columns is None else _columns(columns)
    if not fields:
        raise Unfit("a table has no columns; show it only if there are records")
    allowance.step(len(objects) * len(fields))
    body = [[each.get(name) for name in fields] for each in objects]
    return [list(fields.values()), *body]


def _of_lists(items: Sequence[Sequence[Any]], allowance: Allowance) -> list[list[Any]]:
    width = max(len(each) for each in items)
    if not width:
        raise Unfit("a table has no columns; show it only if there are records")
    allowance.step(len(items) * width)
    body = [[*each, *[None] * (width - len(each))] for each in items]
    return [[f"Column {index}" for index in range(width)], *body]


def _fields(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: name for each in objects for name in values.names(each)}


def _columns(columns: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for each in cast("Sequence[Any]", columns) if isinstance(columns, list | tuple) else (None,):
        if not isinstance(each, Mapping) or each.keys() - {"field", "header"}:  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            raise Unfit(outside("columns other than objects with field and header"))
        name = cast("Mapping[str, Any]", each).get("field")
        if not isinstance(name, str) or name in made:
            raise Unfit("each of the columns needs a field of its own, a text")
        made[name] = cast("Mapping[str, Any]", each).get("header")
    return made


def write(cells: Sequence[Sequence[str]], allowance: Allowance) -> str:
    """Markdown of a table.

    Args:
        cells: rows of one length, the head first.
        allowance: what it costs is taken from it.

    Raises:
        Unfit: it has too many characters.
    """
    escaped = [[each.replace("|", "\\|") for each in row] for row in cells]
    widths = [max(values.length(row[column]) for row in escaped) for column in range(len(escaped[0]))]
    allowance.characters((sum(widths) + 3 * len(widths) + 2) * (len(escaped) + 1))
    lines = [
        "| " + " ".join(f"{_padded(each, width)} |" for each, width in zip(row, widths, strict=True))
        for row in escaped
    ]
    return "\n".join([lines[0], f"| {' | '.join('-' * width for width in widths)} |", *lines[1:]])


def _padded(text: str, width: int) -> str:
    return text + " " * (width - values.length(text))

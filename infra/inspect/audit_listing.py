"""Listing of the audit: the requests that match filters, and how many more there are."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Engine, Select, func, select

from infra.inspect.filters import Filters
from infra.stores.database import GENERATIONS, reading
from stages.audit.fold import REPEATED

#: Columns of a listing; the record is for ``show``, ``open_since_ms`` for the sweeper.
_SHOWN: Final = [column for column in GENERATIONS.columns if column.name not in {"record", "open_since_ms"}]
#: Rows that the driver fetches at once.
_PAGE: Final = 1_000
#: Filters whose value must equal a column's, and the column.
_EQUAL: Final = {
    "kind": GENERATIONS.c.kind,
    "status": GENERATIONS.c.status,
    "origin": GENERATIONS.c.origin,
    "code": GENERATIONS.c.error_code,
    "stage": GENERATIONS.c.error_stage,
    "provider": GENERATIONS.c.provider,
    "model": GENERATIONS.c.model,
    "workspace": GENERATIONS.c.workspace,
}


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a listing."""

    #: Rows of ``generations``, newest first.
    rows: list[dict[str, Any]]
    #: How many more match, older than these.
    cut: int


class _Node(msgspec.Struct, frozen=True):
    id: str | None = None


class _Parameters(msgspec.Struct, frozen=True):
    node: _Node | None = None


class _Asked(msgspec.Struct, frozen=True):
    prompt: str | None = None
    parameters: _Parameters = _Parameters()


class _Record(msgspec.Struct, frozen=True):
    """The fields of a record that have no column."""

    asked: _Asked | None = None


_decode: Final = msgspec.json.Decoder(_Record).decode


def ls(engine: Engine, *, where: Filters | None = None, limit: int | None = 100) -> Listed:
    """The latest requests that match filters.

    Rows of stray events (without a request) and of repeated requests are left out; ``show`` has them.

    Args:
        engine: the database.
        where: the filters; none: all requests.
        limit: rows at most; none: all of them.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    where = where or Filters()
    asked = GENERATIONS.c.requested_at_ms
    with reading(engine) as connection:
        sqlite = connection.dialect.name == "sqlite"
        conditions = [asked.is_not(None), *_conditions(where, sqlite=sqlite)]
        if where.status != REPEATED:
            conditions.append(GENERATIONS.c.status != REPEATED)
        query = select(*_SHOWN).where(*conditions).order_by(asked.desc(), GENERATIONS.c.request_id.desc())
        if where.text is None and where.node is None:
            rows = [dict(row) for row in connection.execute(query.limit(limit)).mappings()]
            if limit is None or len(rows) < limit:
                return Listed(rows=rows, cut=0)
            count = select(func.count()).select_from(GENERATIONS).where(*conditions)
            return Listed(rows=rows, cut=int(connection.execute(count).scalar_one()) - len(rows))
        return _sift(connection.execution_options(yield_per=_PAGE).execute, query, where, limit)


def _sift(execute: Any, query: Select[Any], where: Filters, limit: int | None) -> Listed:
    """Filter by fields without a column, and by text here: databases fold case beyond ASCII differently."""
    rows: list[dict[str, Any]] = []
    cut = 0
    text = None if where.text is None else where.text.casefold()
    for found in execute(query.add_columns(GENERATIONS.c.record)).mappings():
        asked = _decode(found["record"]).asked
        if asked is None or not _holds(asked, text=text, node=where.node):
            continue
        if limit is not None and len(rows) >= limit:
            cut += 1
        else:
            rows.append({name: value for name, value in found.items() if name != "record"})
    return Listed(rows=rows, cut=cut)


def _holds(asked: _Asked, *, text: str | None, node: str | None) -> bool:
    if text is not None and text not in (asked.prompt or "").casefold():
        return False
    given = asked.parameters.node
    return node is None or (given is not None and given.id == node)


def _conditions(where: Filters, *, sqlite: bool) -> list[ColumnElement[bool]]:
    found = [
        column == _clean(wanted)
        for name, column in _EQUAL.items()
        if (wanted := getattr(where, name)) is not None
    ]
    if where.request_id is not None:
        found.append(_globbed(_clean(where.request_id), sqlite=sqlite))
    if where.since_ms is not None:
        found.append(GENERATIONS.c.requested_at_ms >= where.since_ms)
    if where.until_ms is not None:
        found.append(GENERATIONS.c.requested_at_ms < where.until_ms)
    return found


def _globbed(pattern: str, *, sqlite: bool) -> ColumnElement[bool]:
    column = GENERATIONS.c.request_id
    if "*" not in pattern and "?" not in pattern:
        return column == pattern
    if sqlite:
        # Its LIKE ignores case.
        return column.op("GLOB", is_comparison=True)(pattern.replace("[", "[[]"))
    for special in ("\\", "%", "_"):
        pattern = pattern.replace(special, f"\\{special}")
    return column.like(pattern.replace("*", "%").replace("?", "_"), escape="\\")


def _clean(value: str) -> str:
    # As it is stored; PostgreSQL refuses a statement with NUL.
    return value.replace("\x00", "\ufffd")

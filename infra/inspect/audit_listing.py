"""Listing of the audit: the requests that match a filter, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, Select, and_, func, or_, select

from infra.inspect.filter_conditions import build_conditions
from infra.inspect.request_filter import RequestFilter
from infra.stores.database import GENERATIONS, reading

#: Columns for searches and the sweeper, and the record, which ``show`` has.
_HIDDEN: Final = frozenset({"record", "open_since_ms", "searched"})
#: The columns of a row.
SHOWN: Final = [column for column in GENERATIONS.columns if column.name not in _HIDDEN]
#: Rows that the driver fetches at once.
_PAGE: Final = 1_000
#: The rest of a listing is counted up to here, so that a large database answers at once.
MOST_COUNTED: Final = 100_000


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a listing."""

    #: Rows of ``generations``, newest first.
    rows: list[dict[str, Any]]
    #: How many more match, older than these; at most :data:`MOST_COUNTED`.
    cut: int


def ls(engine: Engine, *, where: RequestFilter | None = None, limit: int = 100) -> Listed:
    """The latest requests that match a filter.

    Rows of stray events (without a request) and of repeated requests are left out; ``show`` has them.

    Args:
        engine: the database.
        where: the filter; none: all requests.
        limit: rows at most.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    where = where or RequestFilter()
    with reading(engine) as connection:
        query = _query(where, dialect=connection.dialect.name)
        rows = [dict(row) for row in connection.execute(query.limit(limit)).mappings()]
        if len(rows) < limit:
            return Listed(rows=rows, cut=0)
        conditions = build_conditions(where, dialect=connection.dialect.name)
        matching = select(GENERATIONS.c.request_id).where(*conditions).limit(limit + MOST_COUNTED).subquery()
        count = int(connection.execute(select(func.count()).select_from(matching)).scalar_one())
        return Listed(rows=rows, cut=count - len(rows))


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A row's place in the order of listings."""

    requested_at_ms: int
    request_id: str


def read_page(
    engine: Engine, *, where: RequestFilter, limit: int, after: Position | None = None
) -> tuple[list[dict[str, Any]], Position | None]:
    """A page of :func:`ls`, and where the next one begins; ``None``: there is none.

    Requests that come meanwhile move nothing to another page.

    Args:
        engine: the database.
        where: the filter.
        limit: rows at most.
        after: the last row of the page before; none: the first page.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    columns = GENERATIONS.c
    with reading(engine) as connection:
        query = _query(where, dialect=connection.dialect.name)
        if after is not None:
            query = query.where(
                or_(
                    columns.requested_at_ms < after.requested_at_ms,
                    and_(
                        columns.requested_at_ms == after.requested_at_ms,
                        columns.request_id < after.request_id,
                    ),
                )
            )
        rows = [dict(row) for row in connection.execute(query.limit(limit + 1)).mappings()]
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], Position(requested_at_ms=last["requested_at_ms"], request_id=last["request_id"])


def iterate(
    engine: Engine, *, where: RequestFilter | None = None, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of :func:`ls`, in constant memory however many there are.

    Args:
        engine: the database.
        where: the filter; none: all requests.
        limit: rows at most; none: all of them.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    with reading(engine) as connection:
        query = _query(where or RequestFilter(), dialect=connection.dialect.name).limit(limit)
        for row in connection.execution_options(yield_per=_PAGE).execute(query).mappings():
            yield dict(row)


def _query(where: RequestFilter, *, dialect: str) -> Select[Any]:
    order = GENERATIONS.c.requested_at_ms.desc(), GENERATIONS.c.request_id.desc()
    return select(*SHOWN).where(*build_conditions(where, dialect=dialect)).order_by(*order)

"""Archive: requests that the audit still has after the event log has deleted them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Engine, select

from contracts.errors import UnderstudyError, Unreadable
from contracts.events import Result
from infra.stores import audit
from infra.stores.database import GENERATIONS, reading
from infra.stores.rows import CHUNK
from stages.audit.fold import REPEATED


class ContentGone(UnderstudyError):  # noqa: N818 - names what is missing
    """A result whose content the audit does not have."""


def find_result(engine: Engine, request_id: str) -> Result | None:
    """Find the result of the latest request with an id; ``None``: the audit has none.

    Raises:
        ContentGone: the audit has the result without its content.
        Unreadable: it claims what it is not.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    row = audit.show(engine, request_id)
    end = None if row is None else row["record"].get("end")
    if end is None:
        return None
    plain = end["result"]
    if plain.get("content_left_out"):
        raise ContentGone(
            f"the result of {request_id} is no longer in the event log, and the audit has it without its content, which "
            "was too large or not to be stored (audit.store_prompts); "
            f"`understudy audit show {request_id}` has the rest"
        )
    try:
        return msgspec.convert(plain, Result)
    except msgspec.ValidationError as error:
        raise Unreadable(f"the audit's result of {request_id} cannot be read: {error}") from None


class ArchivedRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit's table has about the latest request with an id."""

    kind: str | None
    status: str
    workspace: str | None


def find_row(engine: Engine, request_id: str) -> ArchivedRow | None:
    """The latest request with an id; ``None``: the audit has none.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    columns = GENERATIONS.c
    query = (
        select(columns.kind, columns.status, columns.workspace)
        .where(
            columns.request_id == request_id,
            columns.requested_at_ms.is_not(None),
            columns.status != REPEATED,
        )
        .order_by(columns.life_ms.desc())
    )
    with reading(engine) as connection:
        row = connection.execute(query.limit(1)).first()
    return None if row is None else ArchivedRow(kind=row[0], status=row[1], workspace=row[2])


def find_workspaces(engine: Engine, request_ids: Iterable[str]) -> dict[str, str | None]:
    """The workspaces of requests by their ids; those that the audit does not have are missing.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    columns, wanted, found = GENERATIONS.c, sorted(set(request_ids)), dict[str, str | None]()
    query = select(columns.request_id, columns.workspace).order_by(columns.life_ms)
    with reading(engine) as connection:
        for start in range(0, len(wanted), CHUNK):
            some = query.where(
                columns.request_id.in_(wanted[start : start + CHUNK]), columns.requested_at_ms.is_not(None)
            )
            found |= {row.request_id: row.workspace for row in connection.execute(some)}
    return found


def has_request(engine: Engine, request_id: str) -> bool:
    """Whether the audit has a request with an id.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    query = select(GENERATIONS.c.request_id).where(
        GENERATIONS.c.request_id == request_id, GENERATIONS.c.requested_at_ms.is_not(None)
    )
    with reading(engine) as connection:
        return connection.execute(query.limit(1)).first() is not None

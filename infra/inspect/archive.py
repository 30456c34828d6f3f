"""Archive: requests that the audit still has after the event log has deleted them."""

from __future__ import annotations

import msgspec
from sqlalchemy import Engine, select

from contracts.errors import UnderstudyError, Unreadable
from contracts.events import Result
from infra.stores import audit
from infra.stores.database import GENERATIONS, reading


class ContentGone(UnderstudyError):  # noqa: N818 - names what is missing
    """A result whose content was too large for the audit."""


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
            f"the result of {request_id} is no longer in the event log, and its content was too large for the audit; "
            f"`understudy audit show {request_id}` has the rest"
        )
    try:
        return msgspec.convert(plain, Result)
    except msgspec.ValidationError as error:
        raise Unreadable(f"the audit's result of {request_id} cannot be read: {error}") from None


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

"""Record of changes: who did what over HTTP or with tokens."""

from __future__ import annotations

import msgspec
from sqlalchemy import Engine, insert, select

from infra.stores.access_tables import CHANGES
from infra.stores.database import reading

_MAX_TARGET = 255


class RecordedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change."""

    at_ms: int
    #: How the sender was known: ``token``, ``session``, ``local`` or ``command``.
    via: str
    #: ``None``: somebody at this machine, without a token.
    token_id: str | None = None
    #: The workspace that the sender is bound to.
    workspace: str | None = None
    #: What was done, such as ``tokens.create``.
    action: str
    #: The id of what was changed.
    target: str
    #: Number in the database; 0: not stored yet.
    id: int = 0


def add_change(engine: Engine, change: RecordedChange) -> None:
    """Store a change."""
    values = msgspec.structs.asdict(change)
    del values["id"]
    # What people choose as an id may have anything in it.
    target = change.target[:_MAX_TARGET].encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    with engine.begin() as connection:
        connection.execute(insert(CHANGES), values | {"target": target})


def list_changes(
    engine: Engine,
    *,
    limit: int,
    before: int | None = None,
    token_id: str | None = None,
    workspace: str | None = None,
) -> list[RecordedChange]:
    """The latest changes, newest first.

    Args:
        engine: the database.
        limit: how many at most.
        before: only changes with a lower number.
        token_id: only those of this token.
        workspace: only those of senders that are bound to this workspace.
    """
    query = select(CHANGES).order_by(CHANGES.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(CHANGES.c.id < before)
    if token_id is not None:
        query = query.where(CHANGES.c.token_id == token_id)
    if workspace is not None:
        query = query.where(CHANGES.c.workspace == workspace)
    with reading(engine) as connection:
        return [RecordedChange(**row) for row in connection.execute(query).mappings()]

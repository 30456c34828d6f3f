"""Access tokens and sessions in the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, bindparam, delete, func, insert, inspect, or_, select, update
from sqlalchemy.exc import DBAPIError

from infra.stores.access_tables import ACCESS_SESSIONS, ACCESS_TOKENS
from infra.stores.database import reading

_tokens, _sessions = ACCESS_TOKENS.c, ACCESS_SESSIONS.c


class StoredToken(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token."""

    token_id: str
    secret_hash: str
    #: For people: what it is for.
    name: str
    role: str
    #: The only workspace that it sees; ``None``: all.
    workspace: str | None = None
    #: Its clients get an error instead of a stand-in, as with ``Understudy-Require: live``.
    require_live: bool = False
    created_ms: int
    created_by: str | None = None
    expires_ms: int | None = None
    revoked_ms: int | None = None
    #: When it was last used, to the minute.
    used_ms: int | None = None

    def is_valid(self, now_ms: int) -> bool:
        """Whether it opens anything."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """A browser's session."""

    session_hash: str
    token_id: str
    created_ms: int
    expires_ms: int


class StoredAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that opens the gateway, by id and by hash."""

    tokens: Mapping[str, StoredToken]
    sessions: Mapping[str, StoredSession]


#: A database in which nobody has created a token.
NO_ACCESS: Final = StoredAccess(tokens={}, sessions={})


def read_access(engine: Engine, now_ms: int) -> StoredAccess:
    """All tokens, also those that are revoked, and the sessions that have not expired.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    try:
        return _read_access(engine, now_ms)
    except DBAPIError:
        if not inspect(engine).has_table(ACCESS_TOKENS.name):
            # Tables of an older version, which knows no tokens.
            return NO_ACCESS
    # The table may have come in between.
    return _read_access(engine, now_ms)


def _read_access(engine: Engine, now_ms: int) -> StoredAccess:
    with reading(engine) as connection:
        tokens = [_token(row) for row in connection.execute(select(ACCESS_TOKENS)).mappings()]
        query = select(ACCESS_SESSIONS).where(_sessions.expires_ms > now_ms)
        sessions = [StoredSession(**row) for row in connection.execute(query).mappings()]
    return StoredAccess(
        tokens={each.token_id: each for each in tokens},
        sessions={each.session_hash: each for each in sessions},
    )


def has_valid_token(engine: Engine, now_ms: int) -> bool:
    """Whether there is a token that opens anything."""
    return any(each.is_valid(now_ms) for each in read_access(engine, now_ms).tokens.values())


def list_tokens(engine: Engine, workspace: str | None = None) -> list[StoredToken]:
    """The tokens of a workspace, or all, the oldest first."""
    query = select(ACCESS_TOKENS).order_by(_tokens.created_ms, _tokens.token_id)
    if workspace is not None:
        query = query.where(_tokens.workspace == workspace)
    with reading(engine) as connection:
        return [_token(row) for row in connection.execute(query).mappings()]


def find_token(engine: Engine, token_id: str) -> StoredToken | None:
    """The token with an id."""
    with reading(engine) as connection:
        query = select(ACCESS_TOKENS).where(_tokens.token_id == token_id)
        row = connection.execute(query).mappings().first()
    return None if row is None else _token(row)


def add_token(engine: Engine, token: StoredToken) -> None:
    """Store a token."""
    with engine.begin() as connection:
        connection.execute(insert(ACCESS_TOKENS), msgspec.structs.asdict(token))


def revoke_token(engine: Engine, token_id: str, now_ms: int) -> StoredToken | None:
    """Revoke a token, and end its sessions; a token that is revoked stays so.

    Returns:
        the token as it is then; ``None``: there is none with this id.
    """
    with engine.begin() as connection:
        where = _tokens.token_id == token_id
        connection.execute(
            update(ACCESS_TOKENS).where(where, _tokens.revoked_ms.is_(None)).values(revoked_ms=now_ms)
        )
        connection.execute(delete(ACCESS_SESSIONS).where(_sessions.token_id == token_id))
        row = connection.execute(select(ACCESS_TOKENS).where(where)).mappings().first()
    return None if row is None else _token(row)


def note_uses(engine: Engine, used_ms: Mapping[str, int]) -> None:
    """Store when tokens were last used; an earlier time changes nothing."""
    if not used_ms:
        return
    at = bindparam("at")
    later = or_(_tokens.used_ms.is_(None), _tokens.used_ms < at)
    change = update(ACCESS_TOKENS).where(_tokens.token_id == bindparam("id"), later).values(used_ms=at)
    with engine.begin() as connection:
        connection.execute(change, [{"id": name, "at": when} for name, when in used_ms.items()])


def add_session(engine: Engine, session: StoredSession) -> None:
    """Store a session, and delete those that have expired."""
    with engine.begin() as connection:
        connection.execute(delete(ACCESS_SESSIONS).where(_sessions.expires_ms <= session.created_ms))
        connection.execute(insert(ACCESS_SESSIONS), msgspec.structs.asdict(session))


def remove_session(engine: Engine, session_hash: str) -> None:
    """End a session."""
    with engine.begin() as connection:
        connection.execute(delete(ACCESS_SESSIONS).where(_sessions.session_hash == session_hash))


def count_sessions(engine: Engine) -> int:
    """How many sessions are stored."""
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(ACCESS_SESSIONS)).scalar_one()


def _token(row: Any) -> StoredToken:
    return StoredToken(**row)

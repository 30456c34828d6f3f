"""Tables of access to the gateway: tokens, sessions, and who changed what."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table

from infra.stores.database import METADATA

ACCESS_TOKENS: Final = Table(
    "access_tokens",
    METADATA,
    Column("token_id", String(16), primary_key=True),
    # SHA-256, in hex; the secret itself is nowhere.
    Column("secret_hash", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("role", String(16), nullable=False),
    # Null: all workspaces.
    Column("workspace", String(64)),
    Column("created_ms", BigInteger, nullable=False),
    # Its clients get an error instead of a stand-in.
    Column("require_live", Boolean, nullable=False),
    # The token that created it; null: the command line, or a gateway without tokens.
    Column("created_by", String(16)),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    # To the minute.
    Column("used_ms", BigInteger),
)

ACCESS_SESSIONS: Final = Table(
    "access_sessions",
    METADATA,
    # SHA-256 of the cookie's value, in hex.
    Column("session_hash", String(64), primary_key=True),
    Column("token_id", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index("ix_access_sessions_token", "token_id"),
)

CHANGES: Final = Table(
    "changes",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    # How the sender was known: token, session, local, command.
    Column("via", String(16), nullable=False),
    # Null: somebody at this machine, without a token.
    Column("token_id", String(16)),
    # The workspace that the sender is bound to.
    Column("workspace", String(64)),
    # What was done, such as tokens.create.
    Column("action", String(64), nullable=False),
    # The id of what was changed.
    Column("target", String(255), nullable=False),
    Index("ix_changes_token", "token_id", "id"),
    # A number names one change for ever.
    sqlite_autoincrement=True,
)

"""Tables of replay jobs, beside those of the audit."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text

from infra.stores.database import METADATA

REPLAY_JOBS: Final = Table(
    "replay_jobs",
    METADATA,
    Column("job", Integer, primary_key=True, autoincrement=True),
    Column("state", String(16), nullable=False),
    # Of two jobs with the same plan only one may run.
    Column("plan_hash", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),
    Column("ended_ms", BigInteger),
    # What was selected, for people.
    Column("source", Text, nullable=False),
    # How every request is repeated: patch, first stage, cache; JSON.
    Column("options", Text, nullable=False),
    # The only workspace whose requests it repeats; none: it may repeat those of all.
    Column("workspace", String(64)),
    # Requests per second, and the most that may be spent.
    Column("rate", Float),
    Column("budget_tokens", BigInteger),
    Column("budget_money", Float),
    # What it was expected to cost, as JSON.
    Column("estimate", Text, nullable=False),
    # Why it waits or ended.
    Column("note", Text),
    # The process that runs it, and when it last said so.
    Column("runner", String(64)),
    Column("beat_ms", BigInteger),
    Index("ix_replay_jobs_plan", "plan_hash"),
    # A job's number is in its requests and their results: it is never used again.
    sqlite_autoincrement=True,
)

REPLAY_ITEMS: Final = Table(
    "replay_items",
    METADATA,
    Column("job", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    # The message that is repeated.
    Column("stream", String(32), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("letter", BigInteger),
    Column("number", Integer, nullable=False),
    # The id in that message, and the request whose subscribers get the content.
    Column("named", String(255)),
    Column("replay_of", String(64)),
    Column("kind", String(16), nullable=False),
    Column("request_id", String(64), nullable=False),
    # Of the body that is published.
    Column("sha256", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("code", String(32)),
    Column("reason", Text),
    # Whether the result cache was expected to answer, and the most tokens of its calls.
    Column("cached", Boolean, nullable=False),
    Column("max_tokens", Integer, nullable=False),
    # Where it writes its content in the result cache; none: nowhere, or the plan is older than this column.
    Column("cache_key", Text),
    Index("ix_replay_items_state", "job", "state", "position"),
    Index("ix_replay_items_origin", "stream", "sequence"),
    Index("ix_replay_items_request", "request_id"),
)

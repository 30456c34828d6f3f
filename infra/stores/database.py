"""Which tables does the audit keep, and how does a database get them?"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.engine import URL, Connection

METADATA: Final = MetaData()

GENERATIONS: Final = Table(
    "generations",
    METADATA,
    Column("request_id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("status", String(32), nullable=False),
    Column("origin", String(32)),
    Column("workspace", String(64)),
    Column("input_hash", String(64)),
    Column("prompt_hash", String(64)),
    Column("prompt_version", String(64)),
    Column("attempt", Integer),
    Column("last_event", String(32)),
    Column("error_code", String(32)),
    Column("error_stage", String(32)),
    Column("error_message", Text),
    Column("provider", String(64)),
    Column("model", String(128)),
    Column("requested_at_ms", BigInteger),
    Column("ended_at_ms", BigInteger),
    Column("replay_of", String(64)),
    Column("revised_by", String(64)),
    # The whole record of stages/audit/fold.py as JSON; the columns above are for filters.
    Column("record", Text, nullable=False),
    Column("swept", Boolean, nullable=False, server_default=text("false")),
    Index("ix_generations_status", "status", "requested_at_ms"),
    Index("ix_generations_requested", "requested_at_ms"),
    Index("ix_generations_swept", "swept", "ended_at_ms"),
)

GENERATION_LOGS: Final = Table(
    "generation_logs",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("request_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(32), nullable=False),
    Column("origin", String(32), nullable=False),
    Column("input_hash", String(64)),
    Column("prompt", Text),
    Column("prompt_hash", String(64)),
    Column("latency_ms", Float),
    Column("error_code", String(32)),
    Column("provider", String(64)),
    Column("model", String(128)),
    Column("attempts", Integer, nullable=False),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cost", Float),
    Column("ended_at_ms", BigInteger, nullable=False),
    Column("stream", String(32), nullable=False),
    Column("stream_created_ms", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    UniqueConstraint("stream", "stream_created_ms", "sequence", name="uq_generation_logs_message"),
    Index("ix_generation_logs_request", "request_id"),
)

_SCRIPTS: Final = Path(__file__).parent / "migrations"
#: Number of the PostgreSQL advisory lock that serialises folds and migrations.
LOCK: Final = 0x556E6465


def url_of(plain: str) -> URL:
    """The URL with the driver that is installed: ``postgresql://`` means psycopg 3."""
    url = make_url(plain)
    return url.set(drivername="postgresql+psycopg") if url.drivername in {"postgresql", "postgres"} else url


def engine_of(plain: str) -> Engine:
    """An engine for a database URL; connects on first use."""
    url = url_of(plain)
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 3})
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 2, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        # The driver's own transactions begin too late for BEGIN IMMEDIATE.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def lock(connection: Connection) -> None:
    """Let one fold at a time into a PostgreSQL database; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config


@contextmanager
def _one_at_a_time(engine: Engine) -> Iterator[None]:
    """Several processes may start at once; one migrates, the others find it done."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        with Path(f"{engine.url.database}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as holder:
        holder.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK + 1})
        try:
            yield
        finally:
            holder.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK + 1})


def migrate(engine: Engine) -> None:
    """Bring the database to this version's tables.

    Raises:
        sqlalchemy.exc.OperationalError: it cannot be reached or is locked.
    """
    with _one_at_a_time(engine), engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def migration_state(plain: str) -> str:
    """``current``, or what the database's tables lack.

    Raises:
        sqlalchemy.exc.OperationalError: it cannot be reached.
    """
    engine = engine_of(plain)
    try:
        with engine.connect() as connection:
            has = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    head = ScriptDirectory.from_config(_config()).get_current_head()
    return "current" if has == head else f"has {has or 'no tables'}, wants {head}"

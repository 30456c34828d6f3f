"""Audit database: its tables, migrations and locks, on SQLite and PostgreSQL."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
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
from sqlalchemy.exc import ArgumentError, DBAPIError

from contracts.errors import UnderstudyError

METADATA: Final = MetaData()


def _partial_index(name: str, column: str, *others: str) -> Index:
    """An index of the rows that have a value in a column; the others cost nothing."""
    given = text(f"{column} IS NOT NULL")
    return Index(name, column, *others, sqlite_where=given, postgresql_where=given)


GENERATIONS: Final = Table(
    "generations",
    METADATA,
    Column("request_id", String(64), primary_key=True),
    # When the broker stored the request: a swept id may be used again, for another request.
    # 0: the row names no request.
    Column("life_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(32), nullable=False),
    Column("origin", String(32)),
    Column("workspace", String(64)),
    # Id of the request's node, else of its template.
    Column("node_id", String(64)),
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
    # When a request without a result came, as far as audit knows; for the sweeper.
    Column("open_since_ms", BigInteger),
    Column("replay_of", String(64)),
    # 1: a replay for comparison, which counts in no statistic.
    Column("shadow", Integer),
    Column("revised_by", String(64)),
    # The request that a cached result was generated for.
    Column("generated_for", String(64)),
    # Prompt and error message, case-folded, for searches.
    Column("searched", Text),
    # The whole record of stages/audit/fold.py as JSON; the columns above are for filters.
    Column("record", Text, nullable=False),
    Index("ix_generations_status", "status", "requested_at_ms"),
    Index("ix_generations_requested", "requested_at_ms"),
    Index("ix_generations_ended", "ended_at_ms", "requested_at_ms"),
    Index("ix_generations_open", "open_since_ms"),
    _partial_index("ix_generations_code", "error_code", "requested_at_ms"),
    _partial_index("ix_generations_workspace", "workspace", "requested_at_ms"),
    _partial_index("ix_generations_node", "node_id", "requested_at_ms"),
    _partial_index("ix_generations_replay_of", "replay_of"),
    _partial_index("ix_generations_generated_for", "generated_for"),
)
# In most collations PostgreSQL's index of the primary key has no range for LIKE 'w-%'; SQLite's has one for GLOB 'w-*'.
Index(
    "ix_generations_id_prefix",
    GENERATIONS.c.request_id,
    postgresql_ops={"request_id": "text_pattern_ops"},
).ddl_if(dialect="postgresql")

GENERATION_LOGS: Final = Table(
    "generation_logs",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("request_id", String(64), nullable=False),
    # The life of the id that it ends; null in rows of the first version without one.
    Column("life_ms", BigInteger),
    Column("kind", String(16), nullable=False),
    Column("status", String(32), nullable=False),
    Column("origin", String(32), nullable=False),
    # Id of the request's node, else of its template.
    Column("node_id", String(64)),
    # 1: a shadow, which no statistic counts.
    Column("shadow", Integer),
    Column("input_hash", String(64)),
    # The request's prompt, or its hash as ``sha256:…``.
    Column("prompt", Text),
    # Of the rendered prompt that the model got.
    Column("prompt_hash", String(64)),
    Column("latency_ms", BigInteger),
    # Work of each stage on the request, all attempts together; null: the stage had no part in it.
    Column("context_build_ms", Float),
    Column("freeform_gen_ms", Float),
    Column("structuring_ms", Float),
    Column("validate_repair_ms", Float),
    Column("fallback_ms", Float),
    Column("error_code", String(32)),
    Column("error_stage", String(32)),
    Column("provider", String(64)),
    Column("model", String(128)),
    Column("attempts", Integer, nullable=False),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cost", Float),
    # The arm of an experiment that the request counts for, the pseudonym of its unit, and the version of the split.
    Column("experiment", String(64)),
    Column("experiment_arm", String(32)),
    Column("experiment_unit", String(16)),
    Column("experiment_revision", String(12)),
    Column("ended_at_ms", BigInteger, nullable=False),
    Column("stream", String(32), nullable=False),
    Column("stream_created_ms", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    # With the id: after a power cut a broker that lost its last writes assigns their sequences again.
    UniqueConstraint(
        "request_id", "stream", "stream_created_ms", "sequence", name="uq_generation_logs_message"
    ),
    Index("ix_generation_logs_ended", "ended_at_ms"),
    # What the latest requests of a kind took.
    Index("ix_generation_logs_kind", "kind", "status", "ended_at_ms"),
    # The latest results of a node.
    _partial_index("ix_generation_logs_node", "node_id", "ended_at_ms"),
    # The results of an experiment.
    _partial_index("ix_generation_logs_experiment", "experiment", "ended_at_ms"),
)

ANOMALIES: Final = Table(
    "anomalies",
    METADATA,
    Column("stream", String(32), primary_key=True),
    Column("stream_created_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_anomalies_at", "at_ms"),
)

_SCRIPTS: Final = Path(__file__).parent / "migrations"
#: Number of the PostgreSQL advisory lock that serialises folds; the next ones serialise migrations,
#: rebuilds and sweeps.
LOCK: Final = 0x556E6465
_MIGRATING: Final = 1
_REBUILDING: Final = 2
_SWEEPING: Final = 3
#: Execution option of connections that only read.
_READS: Final = "understudy_reads"
#: Milliseconds for which a writer waits for another one before the database counts as unavailable.
_PATIENCE_MS: Final = 2_000


class DatabaseError(UnderstudyError):
    """A database that cannot be used as it is; the text says why and what to do."""


class DatabaseBusy(DatabaseError):  # noqa: N818 - names a state
    """Another process holds the lock."""


def url_of(plain: str) -> URL:
    """Add the installed driver to a URL: ``postgresql://`` means psycopg 3.

    Raises:
        DatabaseError: it is no SQLAlchemy URL.
    """
    try:
        url = make_url(plain)
    except (ArgumentError, ValueError):
        # A ValueError: the port is no number.
        raise DatabaseError(
            "the database URL cannot be read; set UNDERSTUDY_DATABASE_URL to sqlite:////folder/file.db "
            "or postgresql://user:password@host/database"
        ) from None
    return url.set(drivername="postgresql+psycopg") if url.drivername in {"postgresql", "postgres"} else url


def engine_of(plain: str) -> Engine:
    """Make an engine for a database URL; it connects on first use.

    Raises:
        DatabaseError: the URL names an unsupported database.
    """
    url = url_of(plain)
    match url.get_backend_name():
        case "sqlite":
            return _sqlite(url)
        case "postgresql":
            return _postgresql(url)
        case other:
            raise DatabaseError(f"database {other!r} is not supported; use sqlite or postgresql")


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise DatabaseError(
            "an SQLite database in memory keeps nothing; name a file: sqlite:////folder/file.db"
        )
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _PATIENCE_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        # The driver's own transactions begin too late for BEGIN IMMEDIATE.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        # NORMAL would lose commits in a power cut after their messages were acknowledged.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        # A reader with the write lock would block audit, and audit would block the reader.
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN DEFERRED" if reads else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL) -> Engine:
    quick: dict[str, Any] = {
        "connect_timeout": 3,
        "tcp_user_timeout": 10_000,
        "options": f"-c lock_timeout={_PATIENCE_MS}",
    }
    asked = {name: value for name, value in quick.items() if name not in url.query}
    # After a restart of the server every pooled connection is dead; the ping costs one round trip.
    return create_engine(url, pool_pre_ping=True, connect_args=asked)


@contextmanager
def reading(engine: Engine) -> Generator[Connection]:
    """A connection that only reads; on SQLite it neither waits for writers nor blocks them."""
    with engine.connect() as plain, plain.execution_options(**{_READS: True}) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Generator[Connection]:
    """A transaction that folds; one at a time over all processes.

    SQLite has one writer anyway.  PostgreSQL needs the lock, which ends with the transaction: reading,
    merging and writing back without it would lose what another process merged in between.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield connection


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


@contextmanager
def rebuilding(engine: Engine) -> Generator[None]:
    """Exclude a second rebuild.

    Raises:
        DatabaseBusy: another one is running.
    """
    with _exclusive(engine, "rebuild", _REBUILDING, wait=False):
        yield


@contextmanager
def sweeping(engine: Engine) -> Generator[None]:
    """Exclude a second sweeper, over all processes.

    Raises:
        DatabaseBusy: another one is running.
    """
    with _exclusive(engine, "sweep", _SWEEPING, wait=False):
        yield


@contextmanager
def _exclusive(engine: Engine, name: str, number: int, *, wait: bool) -> Generator[None]:
    """Hold a lock over all processes with this database; it ends with its holder."""
    busy = DatabaseBusy(f"another {name} of this database is running; wait for it to end")
    if engine.dialect.name == "sqlite":
        with Path(f"{engine.url.database}.{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise busy from None
            yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as holder:
        if wait:
            holder.execute(text("SET lock_timeout = 0"))
        take = "SELECT pg_advisory_lock(:lock)" if wait else "SELECT pg_try_advisory_lock(:lock)"
        try:
            if holder.execute(text(take), {"lock": LOCK + number}).scalar() is False:
                raise busy
            yield
        finally:
            # The server frees the lock of a closed session a moment later; who comes next need not wait for that.
            with suppress(DBAPIError):
                holder.execute(text("SELECT pg_advisory_unlock_all()"))
            # Not back to the pool: the time-out ends with the session.
            holder.invalidate()


def migrate(engine: Engine) -> None:
    """Bring the database to this version's tables; several processes may start at once.

    Raises:
        DatabaseError: the tables are those of a newer Understudy.
        sqlalchemy.exc.OperationalError: it cannot be reached or is locked.
    """
    config = _config()
    script = ScriptDirectory.from_config(config)
    with _exclusive(engine, "migration", _MIGRATING, wait=True):
        with reading(engine) as connection:
            has = _revision(connection)
        _known(script, has)
        if has == script.get_current_head():
            return
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def migration_state(plain: str) -> str:
    """Compare the tables with this version: ``current``, or what they lack; creates nothing.

    Raises:
        DatabaseError: the URL cannot be used, or the tables are those of a newer Understudy.
        sqlalchemy.exc.OperationalError: it cannot be reached.
    """
    script = ScriptDirectory.from_config(_config())
    head = script.get_current_head()
    url = url_of(plain)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        return f"is empty, needs schema {head}"
    engine = engine_of(plain)
    try:
        with reading(engine) as connection:
            has = _revision(connection)
    finally:
        engine.dispose()
    _known(script, has)
    if has == head:
        return "current"
    return f"is at schema {has}, needs {head}" if has else f"is empty, needs schema {head}"


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _known(script: ScriptDirectory, has: str | None) -> None:
    if has is not None and has not in {one.revision for one in script.walk_revisions()}:
        raise DatabaseError(
            f"the database's tables are version {has}, which this Understudy does not know; "
            "use the newer release that made them, or another UNDERSTUDY_DATABASE_URL"
        )

"""How do the audit's rows reach the database, and how are they read again?"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import JSON, ColumnElement, Engine, and_, cast, func, or_, select, type_coerce
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from contracts.errors import Unavailable, Unstorable
from infra.sieve import Sieve, wild
from infra.stores import database, sweeper
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from infra.stores.rows import fold
from stages.audit.fold import Record

if TYPE_CHECKING:
    from infra.settings import Settings
    from infra.wiring import Application

#: Errors that speak about a record's values; any other one speaks about the database.
_REFUSED: Final = (DataError, IntegrityError, ArithmeticError, ValueError, TypeError, msgspec.MsgspecError)
#: A record and whoever waits for it.
_Waiting = tuple[Record, asyncio.Future[None]]


#: Seconds that a transaction waits for company; nobody waits for audit.
GATHER_S: Final = 0.1


class AuditSink:
    """Commits records in groups: whatever comes in while one transaction runs goes into the next.

    Args:
        engine: the database; opened and migrated on first use, so that a missing database stops
            nobody but audit.
        batch: records in one transaction at most.
    """

    def __init__(self, engine: Engine, *, batch: int) -> None:
        self.engine = engine
        self._batch = batch
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")
        self._migrated = False

    async def add(self, row: Record) -> None:
        """Return when the record is committed.

        Raises:
            Unavailable: the database is away or locked; nothing is written.
            Unstorable: the database refuses this record, and would again.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await future

    async def _write(self) -> None:
        group: list[_Waiting] = []
        try:
            while self._waiting:
                # Most of a request's events come within this time: gathered, they are one row and one flush.
                await asyncio.sleep(GATHER_S)
                group, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
                await self._commit(group)
        except BaseException as error:
            # A defect of ours, or the end of the loop: nobody may be left waiting for ever.
            lost = Unavailable(f"the audit's writer stopped: {type(error).__name__}: {error}")
            waiting, self._waiting = self._waiting, []
            _settle([*group, *waiting], lost)
            raise
        finally:
            self._writer = None

    async def _commit(self, group: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._transaction, [record for record, _ in group])
        except (*_REFUSED, StatementError) as error:
            if isinstance(error, DBAPIError) and not isinstance(error, _REFUSED):
                _settle(group, _away(error))
            else:
                await self._divide(group, error)
        except (SQLAlchemyError, database.DatabaseError, OSError) as error:
            _settle(group, _away(error))
        else:
            _settle(group, None)

    async def _divide(self, group: list[_Waiting], error: Exception) -> None:
        """One record that cannot be written must not take its neighbours down."""
        if len(group) > 1:
            middle = len(group) // 2
            await self._commit(group[:middle])
            await self._commit(group[middle:])
            return
        request_id = group[0][0].request_id
        refused = Unstorable(f"the database refuses what is known about {request_id}: {_said(error)}")
        _settle(group, refused)

    def _transaction(self, records: list[Record]) -> None:
        if not self._migrated:
            database.migrate(self.engine)
            self._migrated = True
        with database.writing(self.engine) as connection:
            fold(connection, records)

    async def close(self) -> None:
        """Wait for what is being written, then let the database go."""
        if self._writer is not None:
            await asyncio.wait({self._writer})
        await asyncio.to_thread(self._thread.shutdown)
        self.engine.dispose()


def _settle(group: list[_Waiting], error: Exception | None) -> None:
    for _, future in group:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"the database cannot be written: {_said(error)}")


def _said(error: BaseException) -> str:
    """The driver's own words, without statement and parameters: those hold prompts."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(origin).__name__}: {origin}".splitlines()[0]


async def open_sink(settings: Settings) -> AuditSink:
    """The sink of this process; nothing is opened before the first record.

    Raises:
        DatabaseError: the URL cannot be used.
    """
    return AuditSink(database.engine_of(settings.database), batch=settings.audit.batch)


async def sweep_forever(application: Application, *, settings: Settings, sink: AuditSink) -> None:
    """Run the sweeper beside the audit stage."""
    await application.ready.wait()
    await sweeper.run(application.wire, sink.engine, settings, log=application.log)


_SHOWN: Final = [column for column in GENERATIONS.columns if column.name not in {"record", "open_since_ms"}]


def ls(engine: Engine, wanted: Sieve | None = None, *, limit: int | None = None) -> list[dict[str, Any]]:
    """The latest ``generations`` rows, newest first.

    Args:
        engine: the database.
        wanted: only these; none: everything.
        limit: rows at most; none: all.
    """
    asked = GENERATIONS.c.requested_at_ms
    query = select(*_SHOWN).where(_matching(wanted, engine))
    query = query.order_by(asked.desc(), GENERATIONS.c.request_id.desc()).limit(limit)
    with database.reading(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def count(engine: Engine, wanted: Sieve | None = None) -> int:
    """How many rows :func:`ls` would return without a limit."""
    query = select(func.count()).select_from(GENERATIONS).where(_matching(wanted, engine))
    with database.reading(engine) as connection:
        return connection.execute(query).scalar_one()


def _matching(wanted: Sieve | None, engine: Engine) -> ColumnElement[bool]:
    # Stray events make rows that nobody asked for; `show` has them.
    asked_for = GENERATIONS.c.requested_at_ms.is_not(None)
    return and_(asked_for, *_conditions(wanted or Sieve(), engine.dialect.name))


def _conditions(wanted: Sieve, dialect: str) -> list[ColumnElement[bool]]:
    columns = GENERATIONS.c
    equal = {
        columns.kind: wanted.kind,
        columns.status: wanted.status,
        columns.origin: wanted.origin,
        columns.error_code: wanted.code,
        columns.error_stage: wanted.stage,
        columns.provider: wanted.provider,
        columns.model: wanted.model,
        columns.workspace: wanted.workspace,
    }
    found: list[ColumnElement[bool]] = [
        column == value for column, value in equal.items() if value is not None
    ]
    if wanted.request_id is not None:
        found.append(_has_id(wanted.request_id, dialect))
    if wanted.since_ms is not None:
        found.append(columns.requested_at_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        found.append(columns.requested_at_ms <= wanted.until_ms)
    if wanted.node is not None:
        found.append(_recorded(dialect, "asked", "parameters", "node", "id") == wanted.node)
    if wanted.text is not None:
        said = (_recorded(dialect, "asked", "prompt"), columns.error_message)
        found.append(or_(*(each.icontains(wanted.text, autoescape=True) for each in said)))
    return found


def _has_id(pattern: str, dialect: str) -> ColumnElement[bool]:
    column = GENERATIONS.c.request_id
    if not wild(pattern):
        return column == pattern
    if dialect == "sqlite":
        # Its LIKE takes capital and small letters for equal.
        return column.op("GLOB", is_comparison=True)(pattern)
    like = pattern.replace("_", r"\_").replace("*", "%").replace("?", "_")
    return column.like(like, escape="\\")


def _recorded(dialect: str, *path: str) -> ColumnElement[str]:
    """A text of the whole record, which is kept as JSON in a column of text."""
    record = GENERATIONS.c.record
    document = type_coerce(record, JSON) if dialect == "sqlite" else cast(record, JSON)
    return document[path].as_string()


def show(engine: Engine, request_id: str) -> dict[str, Any] | None:
    """One request's row, its whole record and its log rows; ``None`` for an unknown id."""
    with database.reading(engine) as connection:
        found = (
            connection.execute(select(GENERATIONS).where(GENERATIONS.c.request_id == request_id))
            .mappings()
            .first()
        )
        if found is None:
            return None
        logs = connection.execute(
            select(GENERATION_LOGS)
            .where(GENERATION_LOGS.c.request_id == request_id)
            .order_by(GENERATION_LOGS.c.ended_at_ms)
        ).mappings()
        return {
            **{name: value for name, value in found.items() if name not in {"record", "open_since_ms"}},
            "record": msgspec.json.decode(found["record"]),
            "logs": [dict(row) for row in logs],
        }

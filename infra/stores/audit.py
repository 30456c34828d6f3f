"""How do the audit's rows reach the database, and how are they read again?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from contracts.errors import Unavailable
from infra.stores import database, sweeper
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from infra.stores.rows import fold
from stages.audit.fold import Record

if TYPE_CHECKING:
    from infra.settings import Settings
    from infra.wiring import Application


class AuditSink:
    """Commits records in groups: everything that waits goes into one transaction.

    Args:
        engine: the database; opened and migrated on first use, so that a missing database stops
            nobody but audit.
        batch: records in one transaction at most.
    """

    def __init__(self, engine: Engine, *, batch: int) -> None:
        self.engine = engine
        self._batch = batch
        self._waiting: list[tuple[Record, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._migrated = False

    async def add(self, row: Record) -> None:
        """Return when the record is committed.

        Raises:
            Unavailable: the database is away or locked.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await future

    async def _write(self) -> None:
        try:
            # Whatever is delivered in this turn of the loop joins the first transaction.
            await asyncio.sleep(0)
            while self._waiting:
                group, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
                await self._commit(group)
        finally:
            self._writer = None

    async def _commit(self, group: list[tuple[Record, asyncio.Future[None]]]) -> None:
        try:
            await asyncio.to_thread(self._transaction, [record for record, _ in group])
        except (OperationalError, InterfaceError) as error:
            away = Unavailable(f"the database cannot be written: {error.orig or error}")
            for _, future in group:
                if not future.done():
                    future.set_exception(away)
        except (DBAPIError, SQLAlchemyError, ValueError, TypeError) as error:
            if len(group) > 1:
                # One record that cannot be written must not take its neighbours down.
                middle = len(group) // 2
                await self._commit(group[:middle])
                await self._commit(group[middle:])
                return
            if not group[0][1].done():
                group[0][1].set_exception(error)
        else:
            for _, future in group:
                if not future.done():
                    future.set_result(None)

    def _transaction(self, records: list[Record]) -> None:
        if not self._migrated:
            database.migrate(self.engine)
            self._migrated = True
        with self.engine.begin() as connection:
            database.lock(connection)
            fold(connection, records)

    async def close(self) -> None:
        """Wait for what is being written, then let the database go."""
        if self._writer is not None:
            await asyncio.wait({self._writer})
        self.engine.dispose()


async def open_sink(settings: Settings) -> AuditSink:
    """The sink of this process; nothing is opened before the first record."""
    return AuditSink(database.engine_of(settings.database), batch=settings.audit.batch)


async def sweep_forever(application: Application, *, settings: Settings, sink: AuditSink) -> None:
    """Run the sweeper beside the audit stage."""
    await application.ready.wait()
    await sweeper.run(
        application.wire.client, sink.engine, every_s=settings.audit.sweep_every, log=application.log
    )


_SHOWN: Final = [column for column in GENERATIONS.columns if column.name not in {"record", "swept"}]


def ls(
    engine: Engine,
    *,
    status: str | None = None,
    kind: str | None = None,
    since_ms: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """The latest ``generations`` rows, newest first.

    Args:
        engine: the database.
        status: only this status.
        kind: only this kind.
        since_ms: only requests from then on, ms since the epoch.
        limit: rows at most.
    """
    query = select(*_SHOWN).order_by(GENERATIONS.c.requested_at_ms.desc()).limit(limit)
    if status is not None:
        query = query.where(GENERATIONS.c.status == status)
    if kind is not None:
        query = query.where(GENERATIONS.c.kind == kind)
    if since_ms is not None:
        query = query.where(GENERATIONS.c.requested_at_ms >= since_ms)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def show(engine: Engine, request_id: str) -> dict[str, Any] | None:
    """One request's row, its whole record and its log rows; ``None`` for an unknown id."""
    with engine.connect() as connection:
        found = (
            connection.execute(select(GENERATIONS).where(GENERATIONS.c.request_id == request_id))
            .mappings()
            .first()
        )
        if found is None:
            return None
        logs = connection.execute(
            select(GENERATION_LOGS).where(GENERATION_LOGS.c.request_id == request_id)
        ).mappings()
        return {
            **{name: value for name, value in found.items() if name != "record"},
            "record": msgspec.json.decode(found["record"]),
            "logs": [dict(row) for row in logs],
        }

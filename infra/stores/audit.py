"""Audit sink: records committed in groups, and read back."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import Engine, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from contracts.errors import Unavailable, Unstorable
from infra.stores import database, remedies
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from infra.stores.rows import fold
from stages.audit.fold import REPEATED, UNKNOWN, UNREQUESTED, RequestRecord

if TYPE_CHECKING:
    from infra.settings.settings import Settings

#: Errors about a record's values; every other one is about the database.
_REFUSED: Final = (DataError, IntegrityError, ArithmeticError, ValueError, TypeError, msgspec.MsgspecError)
#: A record, and the future of its commit.
_Waiting = tuple[RequestRecord, asyncio.Future[None]]


#: Seconds that a transaction waits for more records; no request waits for audit.
GATHER_S: Final = 0.1


class AuditSink:
    """Commits records in groups: those that arrive while one transaction runs go into the next one.

    Args:
        engine: the database; opened and migrated on first use, so that a missing database stops
            audit alone.
        batch: greatest number of records in one transaction.
    """

    def __init__(self, engine: Engine, *, batch: int) -> None:
        self.engine = engine
        self._batch = batch
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")
        self._migrated = False

    async def add(self, row: RequestRecord) -> None:
        """Return when the record is committed.

        Raises:
            Unavailable: the database does not answer or is locked; nothing is written.
            Unstorable: the database refuses this record for good.
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
                # Most of a request's events arrive within this time: together they are one row and one flush.
                await asyncio.sleep(GATHER_S)
                group, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
                await self._commit(group)
        except BaseException as error:
            # A defect, or the end of the event loop: no caller may wait for ever.
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
                _settle(group, _unavailable(error))
            else:
                await self._divide(group, error)
        except (SQLAlchemyError, database.DatabaseError, OSError) as error:
            _settle(group, _unavailable(error))
        else:
            _settle(group, None)

    async def _divide(self, group: list[_Waiting], error: Exception) -> None:
        """Commit the halves: one record that cannot be written must not block the others."""
        if len(group) > 1:
            middle = len(group) // 2
            await self._commit(group[:middle])
            await self._commit(group[middle:])
            return
        request_id = group[0][0].request_id
        refused = Unstorable(f"the database refuses the record of {request_id}: {_driver_text(error)}")
        _settle(group, refused)

    def _transaction(self, records: list[RequestRecord]) -> None:
        if not self._migrated:
            database.migrate(self.engine)
            self._migrated = True
        with database.writing(self.engine) as connection:
            fold(connection, records)

    async def close(self) -> None:
        """Wait for the running transactions, then close the database."""
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


def _unavailable(error: Exception) -> Unavailable:
    hint = "; the file is damaged: move it away, then run `understudy audit rebuild`"
    return Unavailable(
        f"the database cannot be written: {_driver_text(error)}{hint if remedies.damaged(error) else ''}"
    )


def _driver_text(error: BaseException) -> str:
    """The driver's text without statement and parameters, since these contain prompts."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(origin).__name__}: {origin}".splitlines()[0]


async def open_sink(settings: Settings) -> AuditSink:
    """Make the sink of this process; it opens nothing before the first record.

    Raises:
        DatabaseError: the URL cannot be used.
    """
    return AuditSink(database.engine_of(settings.database), batch=settings.audit.batch)


def show(engine: Engine, request_id: str) -> dict[str, Any] | None:
    """Read the last request with an id: its row, its whole record and all log rows; ``None`` for an unknown id.

    An id that was swept from the log may be used again: ``earlier`` has the rows of the requests before, the
    latest first.  Rows that name no request, and repetitions, are last.
    """
    with database.reading(engine) as connection:
        query = select(GENERATIONS).where(GENERATIONS.c.request_id == request_id)
        rows = [dict(row) for row in connection.execute(query).mappings()]
        if not rows:
            return None
        logs = connection.execute(
            select(GENERATION_LOGS)
            .where(GENERATION_LOGS.c.request_id == request_id)
            .order_by(GENERATION_LOGS.c.ended_at_ms)
        ).mappings()
        aside = {UNKNOWN, UNREQUESTED, REPEATED}
        last, *earlier = sorted(rows, key=lambda row: (row["status"] in aside, -row["life_ms"]))
        return {
            **_shown(last),
            "record": msgspec.json.decode(last["record"]),
            "logs": [dict(row) for row in logs],
            "earlier": [_shown(row) for row in earlier],
        }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in {"record", "open_since_ms", "searched"}}

"""Rebuild of the audit: the log folded again into new tables.

First new tables are filled from the log while audit continues.  Then, under the lock of audit's writes, newer
messages are folded too, and in one transaction the new rows replace those of every request that the log covers.
Audit may fold any of these events again afterwards without effect.  docs/adr/0003 defines "covers".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nats import errors as nats_errors
from nats.js import errors as js_errors
from sqlalchemy import Engine, MetaData, Table, exists, func, select
from sqlalchemy.engine import Connection

from contracts import envelope, pipeline, subjects
from contracts import events as ev
from contracts.envelope import Received, Requested
from contracts.errors import NewerVersion, Unavailable, Unreadable
from contracts.outcome import Record as Recorded
from infra.nats import log as event_log
from infra.stores import database, rows
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from infra.stores.row_redaction import redact_rows
from stages.audit import handle as audit
from stages.audit.fold import RequestRecord, merge

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer

_BATCH: Final = 2_000
#: Subjects that are read, by stream.
_READ: Final = {pipeline.REQUESTS: ">", pipeline.EVENTS: ">", pipeline.DEAD: "dead.>"}
_letter: Final = msgspec.json.Decoder(ev.DeadLetter)


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild read and changed."""

    #: Messages read.
    events: int
    #: Requests that the log has messages of.
    requests: int
    #: Rows of theirs that differed from the log.
    changed: int
    #: Rows that the log no longer covers.
    kept: int
    #: Requests whose words were replaced by hashes, because none are to be kept (any more).
    redacted: int = 0


async def rebuild(
    wire: RequestMultiplexer,
    engine: Engine,
    *,
    store_prompts: bool,
    progress: Callable[[int], None] = lambda _: None,
) -> Rebuilt:
    """Fold the log into new tables and swap them in.

    Where no words are to be kept, those of rows that the log does not cover are replaced, too.

    Args:
        wire: calls to the broker.
        engine: the database.
        store_prompts: as the setting of that name.
        progress: called with the number of events read so far.

    Raises:
        DatabaseError: another rebuild is running.
        StreamMissing, Unavailable: the log cannot be read; nothing has changed.
        sqlalchemy.exc.SQLAlchemyError: the database does not answer; nothing has changed.
    """
    await asyncio.to_thread(database.migrate, engine)
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, database.rebuilding(engine))
        new = await asyncio.to_thread(_create, engine)
        stack.callback(_drop, engine, new)
        reader = _Reader(wire, store_prompts=store_prompts, progress=progress)
        async for records in reader.batches():
            await asyncio.to_thread(_fill, engine, new, records)
        connection = await asyncio.to_thread(stack.enter_context, database.writing(engine))
        async for records in reader.batches():
            await asyncio.to_thread(_fold, connection, new, records)
        requests, changed, kept = await asyncio.to_thread(_swap, connection, new)
    redacted = 0 if store_prompts else await asyncio.to_thread(redact_rows, engine)
    return Rebuilt(events=reader.events, requests=requests, changed=changed, kept=kept, redacted=redacted)


class _Reader:
    """Reads the log; each call continues where the last one stopped."""

    def __init__(
        self, wire: RequestMultiplexer, *, store_prompts: bool, progress: Callable[[int], None]
    ) -> None:
        self._wire = wire
        self._store_prompts = store_prompts
        self._progress = progress
        self._next = dict.fromkeys(_READ, 1)
        self.events = 0

    async def batches(self) -> AsyncIterator[list[RequestRecord]]:
        """Yield records of the messages between the last call's end and now."""
        waiting: list[RequestRecord] = []
        for stream, subject in _READ.items():
            created_ms = await self._created_ms(stream)
            async for entry in event_log.read(self._wire, stream, subject, start=self._next[stream]):
                self._next[stream] = entry.sequence + 1
                self.events += 1
                record = record_of(entry, created_ms, store_prompts=self._store_prompts)
                if record is not None:
                    waiting.append(record)
                if len(waiting) >= _BATCH:
                    yield waiting
                    waiting = []
                    self._progress(self.events)
        yield waiting
        self._progress(self.events)

    async def _created_ms(self, stream: str) -> int:
        try:
            info = await self._wire.client.jetstream(timeout=10).stream_info(stream)
        except js_errors.NotFoundError:
            raise event_log.StreamMissing(stream) from None
        except (nats_errors.Error, TimeoutError) as error:
            raise Unavailable(f"the broker does not answer about stream {stream}: {error}") from error
        # In ms as the runner has it: it is part of the key of log rows.
        return int(info.created.timestamp() * 1000) if info.created else 0


def record_of(entry: event_log.LogEntry, created_ms: int, *, store_prompts: bool) -> RequestRecord | None:
    """Fold one message of the log into a record; ``None`` if audit would make none either.

    Args:
        entry: the message.
        created_ms: its stream's creation time, ms since the epoch.
        store_prompts: as the setting of that name.
    """
    if pipeline.is_foreign(entry.stream, entry.subject):
        return None
    try:
        if entry.stream == pipeline.DEAD:
            _, _, kind, request_id = entry.subject.split(".")
            name, event = "dead", _letter.decode(entry.body)
        else:
            address: subjects.Subject = envelope.address(entry.subject)
            name, kind, request_id = address.event, address.kind, address.request_id
            row = pipeline.ROW_OF.get(name)
            if row is None or "audit" not in row.consumed_by:
                return None
            event = _decode(name, entry)
    except (Unreadable, NewerVersion, ValueError, msgspec.MsgspecError, RecursionError):
        return None
    received: Received[Any] = Received(
        event=event,
        name=name,
        kind=kind,
        request_id=request_id,
        stream=entry.stream,
        sequence=entry.sequence,
        time_ms=entry.time_ms,
        stream_created_ms=created_ms,
        headers=entry.headers,
    )
    outcome = audit.handle(received, store_prompts=store_prompts)
    return outcome.row if isinstance(outcome, Recorded) else None


def _decode(name: str, entry: event_log.LogEntry) -> Any:
    try:
        return envelope.decode(name, entry.body, entry.headers)
    except NewerVersion:
        if name != "requested":
            raise
        # As in the runner: a request of any version was there.
        return Requested(body=entry.body)


def _create(engine: Engine) -> tuple[Table, Table]:
    scratch = MetaData()
    tables: list[Table] = []
    for table in (GENERATIONS, GENERATION_LOGS):
        copy = table.to_metadata(scratch, name=f"{table.name}_rebuilt")
        for index in list(copy.indexes):
            copy.indexes.discard(index)
        for constraint in copy.constraints:
            constraint.name = None
        tables.append(copy)
    with engine.begin() as connection:
        # Left by a rebuild that was killed.
        scratch.drop_all(connection)
        scratch.create_all(connection)
    return tables[0], tables[1]


def _drop(engine: Engine, new: tuple[Table, Table]) -> None:
    with engine.begin() as connection:
        for table in new:
            table.drop(connection)


def _fill(engine: Engine, new: tuple[Table, Table], records: list[RequestRecord]) -> None:
    with engine.begin() as connection:
        _fold(connection, new, records)


def _fold(connection: Connection, new: tuple[Table, Table], records: list[RequestRecord]) -> None:
    rows.fold(connection, records, generations=new[0], logs=new[1])


def _swap(connection: Connection, new: tuple[Table, Table]) -> tuple[int, int, int]:
    """Replace rows; the numbers of ids, of rows that differed, and of rows that the log does not cover."""
    seen = changed = 0
    current, rebuilt = GENERATIONS.c, new[0].c
    same = exists().where(rebuilt.request_id == current.request_id, rebuilt.life_ms == current.life_ms)
    kept = int(connection.execute(select(func.count()).select_from(GENERATIONS).where(~same)).scalar_one())
    ids: list[str] = []
    while ids := rows.page_of_ids(connection, new[0], after=ids[-1] if ids else ""):
        seen += len(ids)
        stored = {
            (one.request_id, one.life_ms): one for one in rows.stored_records(connection, ids, GENERATIONS)
        }
        merged = dict(stored)
        for fresh in rows.stored_records(connection, ids, new[0]):
            life = fresh.request_id, fresh.life_ms
            had = stored.get(life)
            merged[life] = fresh if had is None or covers(fresh, had) else merge(had, fresh)
        differing = [life for life, record in merged.items() if record != stored.get(life)]
        touched = {request_id for request_id, _ in differing}
        rows.put(connection, [record for (one, _), record in merged.items() if one in touched])
        changed += len(differing)
        _swap_logs(connection, new[1], ids)
    return seen, changed, kept


def _swap_logs(connection: Connection, new: Table, ids: list[str]) -> None:
    """Replace rows of the same result and add others; no row is deleted."""

    def rows_of(table: Table) -> dict[tuple[Any, ...], dict[str, Any]]:
        columns = [table.c[name] for name in rows.LOG_COLUMNS]
        query = select(*columns).where(table.c.request_id.in_(ids))
        return {rows.log_key(found): dict(found) for found in connection.execute(query).mappings()}

    old = rows_of(GENERATION_LOGS)
    rows.put_logs(connection, [found for key, found in rows_of(new).items() if old.get(key) != found])


def covers(fresh: RequestRecord, stored: RequestRecord) -> bool:
    """Whether the log still has everything about the stored request.

    Requests are deleted from the log before their events: where the request is there, its events are too.
    """
    return fresh.asked is not None and (stored.end is None or fresh.end is not None)

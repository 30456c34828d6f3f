"""What would the audit's tables be if the log were folded again?

New tables are filled from the log, rows that the log no longer covers are carried over, and the
tables are swapped in one transaction.  Audit may go on meanwhile: what it wrote until the swap is
merged into the new tables, and the fold does not mind seeing an event twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Engine, MetaData, Table, insert, select
from sqlalchemy.engine import Connection

from contracts import envelope, pipeline
from contracts.envelope import Received
from contracts.errors import NewerVersion, Unreadable
from contracts.outcome import Record as Recorded
from infra.nats import log as event_log
from infra.stores import database
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from infra.stores.rows import fold
from stages.audit import handle as audit
from stages.audit.fold import Record

if TYPE_CHECKING:
    from infra.nats.wire import Wire

_BATCH = 2_000


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild went through."""

    events: int
    requests: int
    #: Rows that the log no longer covers.
    kept: int


async def rebuild(
    wire: Wire, engine: Engine, *, store_prompts: bool, progress: Callable[[int], None] = lambda _: None
) -> Rebuilt:
    """Fold the log into new tables and swap them in.

    Args:
        wire: calls to the broker.
        engine: the database.
        store_prompts: as the setting of that name.
        progress: told the number of events folded so far.
    """
    await asyncio.to_thread(database.migrate, engine)
    new = await asyncio.to_thread(_create, engine)
    events = 0
    waiting: list[Record] = []
    for stream in (pipeline.REQUESTS, pipeline.EVENTS):
        info = await wire.client.jetstream(timeout=10).stream_info(stream)
        created = int(info.created.timestamp() * 1000) if info.created else 0
        async for entry in event_log.read(wire, stream, ">"):
            events += 1
            record = _record(entry, created, store_prompts=store_prompts)
            if record is not None:
                waiting.append(record)
            if len(waiting) >= _BATCH:
                await asyncio.to_thread(_fill, engine, new, waiting)
                waiting = []
                progress(events)
    await asyncio.to_thread(_fill, engine, new, waiting)
    progress(events)
    requests, kept = await asyncio.to_thread(_swap, engine, new)
    return Rebuilt(events=events, requests=requests, kept=kept)


def _record(entry: event_log.Entry, created_ms: int, *, store_prompts: bool) -> Record | None:
    try:
        address = envelope.address(entry.subject)
        if address.event not in pipeline.ROW_OF or "audit" not in pipeline.ROW_OF[address.event].consumed_by:
            return None
        event = envelope.decode(address.event, entry.body, entry.headers)
    except (Unreadable, NewerVersion):
        return None
    received: Received[Any] = Received(
        event=event,
        name=address.event,
        kind=address.kind,
        request_id=address.request_id,
        stream=entry.stream,
        sequence=entry.sequence,
        time_ms=entry.time_ns // 1_000_000,
        stream_created_ms=created_ms,
        headers=entry.headers,
    )
    outcome = audit.handle(received, store_prompts=store_prompts)
    return outcome.row if isinstance(outcome, Recorded) else None


def _create(engine: Engine) -> tuple[Table, Table]:
    scratch = MetaData()
    tables: list[Table] = []
    for table in (GENERATIONS, GENERATION_LOGS):
        copy = table.to_metadata(scratch, name=f"{table.name}_rebuilt")
        for index in list(copy.indexes):
            copy.indexes.discard(index)
        tables.append(copy)
    with engine.begin() as connection:
        scratch.drop_all(connection)
        scratch.create_all(connection)
    return tables[0], tables[1]


def _fill(engine: Engine, new: tuple[Table, Table], records: list[Record]) -> None:
    with engine.begin() as connection:
        fold(connection, records, generations=new[0], logs=new[1])


def _swap(engine: Engine, new: tuple[Table, Table]) -> tuple[int, int]:
    with engine.begin() as connection:
        database.lock(connection)
        covered = {row[0] for row in connection.execute(select(new[0].c.request_id))}
        kept = _carry_over(connection, new, covered)
        for table, fresh in zip((GENERATIONS, GENERATION_LOGS), new, strict=True):
            columns = [column.name for column in table.columns if column.name != "id"]
            connection.execute(table.delete())
            source = select(*[fresh.c[name] for name in columns])
            connection.execute(insert(table).from_select(columns, source))
            fresh.drop(connection)
    return len(covered), kept


def _carry_over(connection: Connection, new: tuple[Table, Table], covered: set[str]) -> int:
    kept = 0
    swept: list[str] = []
    old = connection.execute(select(GENERATIONS.c.request_id, GENERATIONS.c.record, GENERATIONS.c.swept)).all()
    records: list[Record] = []
    for request_id, record, was_swept in old:
        kept += request_id not in covered
        if was_swept:
            swept.append(request_id)
        records.append(msgspec.json.decode(record, type=Record))
    for start in range(0, len(records), _BATCH):
        # The fold prefers what it is given over what is stored; here the log must win.
        chunk = records[start : start + _BATCH]
        known = dict(_known(connection, new[0], [record.request_id for record in chunk]))
        fold(
            connection,
            [piece for record in chunk for piece in (known.get(record.request_id), record) if piece],
            generations=new[0],
            logs=new[1],
        )
    for start in range(0, len(swept), 500):
        part = swept[start : start + 500]
        connection.execute(new[0].update().where(new[0].c.request_id.in_(part)).values(swept=True))
    return kept


def _known(connection: Connection, table: Table, ids: list[str]) -> list[tuple[str, Record]]:
    found: list[tuple[str, Record]] = []
    for start in range(0, len(ids), 500):
        query = select(table.c.request_id, table.c.record).where(table.c.request_id.in_(ids[start : start + 500]))
        found += [(row[0], msgspec.json.decode(row[1], type=Record)) for row in connection.execute(query)]
    return found

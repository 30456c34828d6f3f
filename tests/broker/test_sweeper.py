"""Does finished work make room for new work, and nothing else?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client
from sqlalchemy import Engine

from contracts import events as ev
from contracts import pipeline, subjects
from infra.inspect.audit_listing import ls
from infra.nats import log as event_log
from infra.nats import topology
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings.settings import Settings, load
from infra.stores import audit, database, stream_fill, sweeper
from infra.stores.database import GENERATION_LOGS
from infra.stores.done_requests import DoneRequests
from infra.stores.log_deletion import LogDeletion
from infra.stores.rebuild import record_of
from infra.telemetry.dispatch import Telemetry, TelemetryEvent
from infra.telemetry.store_events import SweepDelayed
from tests.broker.audit_fixtures import rows_of
from tests.broker.servers import until_read
from tests.lives import brief, success

LIMIT = 64 * 1024
BODY = b'{"prompt":"' + b"coin " * 200 + b'"}'
#: Requests that fill REQUESTS to about nine tenths.
MANY = 50


@pytest_asyncio.fixture
async def wire(bare_url: str, small: Settings, nc: Client) -> AsyncIterator[RequestMultiplexer]:
    await topology.apply_at(bare_url, small)
    opened = RequestMultiplexer()
    await opened.open(nc)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def small(settings: Settings) -> Settings:
    return load(data_dir=settings.data_dir, broker={"requests_max_bytes": LIMIT})


@pytest_asyncio.fixture
async def engine(small: Settings) -> AsyncIterator[Engine]:
    opened = database.engine_of(small.database)
    database.migrate(opened)
    yield opened
    opened.dispose()


async def _ask(wire: RequestMultiplexer, request_id: str) -> bool:
    """Publish a request; whether the broker takes it."""
    return (await wire.publish(subjects.gen("requested", "layout", request_id), BODY)).error is None


async def _event(wire: RequestMultiplexer, request_id: str, event: ev.Event) -> None:
    ack = await wire.publish(subjects.gen(event.name, "layout", request_id), msgspec.json.encode(event))
    assert ack.error is None


async def _finish(wire: RequestMultiplexer, request_id: str, *, size: int = 10) -> None:
    owner = await until_read(lambda: event_log.owner(wire, request_id))
    await _event(wire, request_id, ev.ContextBuilt(attempt=1, brief=brief(owner.time_ms, prompt="x" * size)))
    await _event(wire, request_id, success(request_id, owner.time_ms))


async def _audit(wire: RequestMultiplexer, engine: Engine, *, ack: bool = True) -> None:
    """Fold the log as audit does, and acknowledge it for every stage that the sweeper looks at."""
    sink = audit.AuditSink(engine, batch=500)
    for stream in (pipeline.REQUESTS, pipeline.EVENTS):
        info = await wire.client.jetstream().stream_info(stream)
        assert info.created is not None
        created_ms = int(info.created.timestamp() * 1000)
        found = [
            record_of(entry, created_ms, store_prompts=True)
            async for entry in event_log.read(wire, stream, ">")
        ]
        await asyncio.gather(*(sink.add(record) for record in found if record is not None))
    await sink.close()
    if ack:
        for stream, stage in (("REQUESTS", "audit"), ("REQUESTS", "context-build"), ("EVENTS", "audit")):
            await _drain(wire, stream, stage)


async def _drain(wire: RequestMultiplexer, stream: str, stage: str) -> None:
    pull = await wire.client.jetstream().pull_subscribe_bind(durable=stage, stream=stream)
    while (await pull.consumer_info()).num_pending:
        for msg in await pull.fetch(256, timeout=30):
            await msg.ack_sync()
    await pull.unsubscribe()


async def _sweep(wire: RequestMultiplexer, engine: Engine, **changes: Any) -> sweeper.Swept:
    options = {"settle_ms": 0, "now_ms": 2**50, "skew_ms": 0, **changes}
    return await sweeper.sweep_once(wire, engine, **options)


async def _left(wire: RequestMultiplexer, stream: str) -> list[str]:
    return [entry.subject.rpartition(".")[2] async for entry in event_log.read(wire, stream, ">")]


async def test_a_stream_full_of_finished_work_takes_new_work_after_a_sweep(
    wire: RequestMultiplexer, engine: Engine
) -> None:
    asked = 0
    while await _ask(wire, f"r-{asked:03}"):
        asked += 1
    for n in range(asked):
        await _finish(wire, f"r-{n:03}")
    await _audit(wire, engine)
    swept = await _sweep(wire, engine)
    assert swept.before > 0.95
    assert swept.after <= stream_fill.STOP_BELOW
    assert swept.one_by_one == 0
    left = await _left(wire, pipeline.REQUESTS)
    assert left == [f"r-{n:03}" for n in range(asked - len(left), asked)]
    assert len(left) > asked / 2, "no more than has to go"
    assert await _ask(wire, "new")
    assert len(rows_of(engine, GENERATION_LOGS)) == asked


async def test_below_the_limit_nothing_goes(wire: RequestMultiplexer, engine: Engine) -> None:
    for n in range(20):
        await _ask(wire, f"r-{n}")
        await _finish(wire, f"r-{n}")
    await _audit(wire, engine)
    swept = await _sweep(wire, engine)
    assert swept.messages == 0
    assert len(await _left(wire, pipeline.REQUESTS)) == 20


async def test_an_unfinished_request_at_the_head_stays_and_those_behind_it_go(
    wire: RequestMultiplexer, engine: Engine
) -> None:
    for n in range(MANY):
        assert await _ask(wire, f"r-{n:03}")
    timer = ev.Deadline(request_seq=1, deadline_ms=1)
    await wire.publish("gen.timer.layout.r-000", msgspec.json.encode(timer))
    for n in range(1, MANY):
        await _finish(wire, f"r-{n:03}")
    await _audit(wire, engine)
    swept = await _sweep(wire, engine)
    assert swept.after <= stream_fill.STOP_BELOW
    assert 0 < swept.one_by_one < 3 * MANY / 2, "no more than has to go"
    assert (await _left(wire, pipeline.REQUESTS))[0] == "r-000"
    assert (await _left(wire, pipeline.EVENTS))[0] == "r-000"


async def test_unfinished_work_is_never_deleted(wire: RequestMultiplexer, engine: Engine) -> None:
    for n in range(MANY):
        assert await _ask(wire, f"r-{n}")
    await _audit(wire, engine)
    swept = await _sweep(wire, engine)
    assert (swept.messages, swept.after) == (0, swept.before)
    assert len(await _left(wire, pipeline.REQUESTS)) == MANY


async def test_what_audit_has_not_acknowledged_stays(wire: RequestMultiplexer, engine: Engine) -> None:
    for n in range(MANY):
        assert await _ask(wire, f"r-{n}")
        await _finish(wire, f"r-{n}")
    await _audit(wire, engine, ack=False)
    assert (await _sweep(wire, engine)).messages == 0


async def test_what_audit_knows_no_result_of_stays(wire: RequestMultiplexer, engine: Engine) -> None:
    for n in range(MANY):
        assert await _ask(wire, f"r-{n}")
    await _audit(wire, engine)
    for n in range(MANY):
        await _finish(wire, f"r-{n}")
    await _drain(wire, pipeline.EVENTS, "audit")
    assert (await _sweep(wire, engine)).messages == 0


async def test_a_database_that_was_set_up_later_lets_nothing_go_that_it_does_not_know(
    wire: RequestMultiplexer, engine: Engine, tmp_path: Path
) -> None:
    for n in range(MANY):
        assert await _ask(wire, f"r-{n}")
    await _audit(wire, engine)
    other = database.engine_of(f"sqlite:///{tmp_path / 'other.db'}")
    database.migrate(other)
    assert (await _sweep(wire, other)).messages == 0
    other.dispose()


async def test_messages_that_belong_to_no_request_go_with_their_neighbours(
    wire: RequestMultiplexer, engine: Engine
) -> None:
    await wire.publish("gen.requested.layout.x!1", BODY)
    for n in range(MANY):
        assert await _ask(wire, f"r-{n:03}")
        await _finish(wire, f"r-{n:03}")
    await _audit(wire, engine)
    assert (await _sweep(wire, engine)).after <= stream_fill.STOP_BELOW
    assert "x!1" not in await _left(wire, pipeline.REQUESTS)


async def test_what_ended_just_now_stays(wire: RequestMultiplexer, engine: Engine) -> None:
    for n in range(MANY):
        assert await _ask(wire, f"r-{n}")
        await _finish(wire, f"r-{n}")
    await _audit(wire, engine)
    ended = max(row["ended_at_ms"] for row in rows_of(engine, GENERATION_LOGS))
    assert (await _sweep(wire, engine, now_ms=ended, settle_ms=60_000)).messages == 0
    assert (await _sweep(wire, engine, now_ms=ended + 60_000, settle_ms=60_000)).messages > 0


async def test_events_have_a_budget_too(wire: RequestMultiplexer, engine: Engine) -> None:
    for n in range(30):
        assert await _ask(wire, f"r-{n:03}")
        await _finish(wire, f"r-{n:03}", size=24_000)
    await _audit(wire, engine)
    swept = await _sweep(wire, engine)
    assert swept.before > stream_fill.START_ABOVE
    assert swept.after <= stream_fill.STOP_BELOW
    requests, events = await _left(wire, pipeline.REQUESTS), await _left(wire, pipeline.EVENTS)
    assert len(requests) < 30
    assert set(requests) == set(events), "a request goes whole"


async def _swept_and_asked_again(wire: RequestMultiplexer, engine: Engine) -> None:
    """Sweep r-000 away, let it be asked for again, and fill the streams once more."""
    for n in range(MANY):
        assert await _ask(wire, f"r-{n:03}")
        await _finish(wire, f"r-{n:03}")
    await _audit(wire, engine)
    await _sweep(wire, engine)
    assert await event_log.owner(wire, "r-000") is None
    assert await _ask(wire, "r-000")
    for name in (pipeline.REQUESTS, pipeline.EVENTS):
        await wire.call(f"$JS.API.STREAM.PURGE.{name}", b'{"filter":"gen.*.*.*","keep":1}')
    for n in range(MANY):
        assert await _ask(wire, f"s-{n:03}")
        await _finish(wire, f"s-{n:03}")


async def test_messages_that_another_sweep_has_deleted_meanwhile_are_no_failure(
    wire: RequestMultiplexer, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _swept_and_asked_again(wire, engine)
    await _audit(wire, engine)
    call, deleted = wire.call, list[str]()

    async def delete_twice(subject: str, payload: bytes = b"", **more: Any) -> Any:
        if ".STREAM.MSG.DELETE." in subject:
            deleted.append(subject)
            await call(subject, payload, **more)
        return await call(subject, payload, **more)

    monkeypatch.setattr(wire, "call", delete_twice)
    await _sweep(wire, engine)
    assert deleted


async def test_a_swept_id_is_free_again_and_its_new_request_is_as_safe(
    wire: RequestMultiplexer, engine: Engine
) -> None:
    await _swept_and_asked_again(wire, engine)
    await _audit(wire, engine)
    swept = await _sweep(wire, engine)
    assert swept.after <= stream_fill.STOP_BELOW
    assert (await _left(wire, pipeline.REQUESTS))[0] == "r-000"


async def test_a_swept_id_that_was_answered_again_goes_again(
    wire: RequestMultiplexer, engine: Engine
) -> None:
    await _swept_and_asked_again(wire, engine)
    await _finish(wire, "r-000")
    await _audit(wire, engine)
    swept = await _sweep(wire, engine)
    assert (swept.after <= stream_fill.STOP_BELOW, swept.one_by_one) == (True, 0)
    assert "r-000" not in await _left(wire, pipeline.REQUESTS)
    assert [row["request_id"] for row in rows_of(engine, GENERATION_LOGS)].count("r-000") == 2


async def test_a_late_duplicate_keeps_nothing_in_the_log(wire: RequestMultiplexer, engine: Engine) -> None:
    for n in range(MANY):
        assert await _ask(wire, f"r-{n:03}")
        await _finish(wire, f"r-{n:03}")
        if n == 0:
            assert await _ask(wire, "r-000")
    await _audit(wire, engine)
    swept = await _sweep(wire, engine)
    assert (swept.after <= stream_fill.STOP_BELOW, swept.one_by_one) == (True, 0)
    assert "r-000" not in await _left(wire, pipeline.REQUESTS)


async def _everything(wire: RequestMultiplexer, request_id: str) -> list[str]:
    """The events that the log has of a request."""
    found = await event_log.of_request(wire, request_id)
    return [entry.subject.split(".")[1] for entry in found]


async def test_what_is_swept_leaves_nothing_that_keeps_its_id_from_being_used(
    wire: RequestMultiplexer, engine: Engine
) -> None:
    for n in range(MANY):
        assert await _ask(wire, f"r-{n:03}")
        # Each has an armed deadline, and ends after later ones have come.
        await wire.publish(f"gen.timer.layout.r-{n:03}", b"{}", {"Nats-Schedule": "@at 2099-01-01T00:00:00Z"})
        await wire.publish(f"gen.timer.layout.r-{n:03}.retry", b"{}")
        if n > 20:
            await _finish(wire, f"r-{n - 20:03}")
    for n in (0, *range(MANY - 20, MANY)):
        await _finish(wire, f"r-{n:03}")
    await _audit(wire, engine)
    assert (await _sweep(wire, engine)).after <= stream_fill.STOP_BELOW
    left = set(await _left(wire, pipeline.REQUESTS))
    swept = [f"r-{n:03}" for n in range(MANY) if f"r-{n:03}" not in left]
    assert swept
    for request_id in swept:
        assert await _everything(wire, request_id) == []
    for request_id in left:
        assert {"requested", "result"} <= set(await _everything(wire, request_id))


async def test_a_repetition_goes_with_its_request(wire: RequestMultiplexer, engine: Engine) -> None:
    for n in range(MANY):
        assert await _ask(wire, f"r-{n:03}")
        await _finish(wire, f"r-{n:03}")
    assert await _ask(wire, "r-000")
    await _audit(wire, engine)
    assert (await _sweep(wire, engine)).after <= stream_fill.STOP_BELOW
    assert await event_log.owner(wire, "r-000") is None


async def test_an_id_that_is_asked_for_while_it_is_swept_is_kept(
    wire: RequestMultiplexer, engine: Engine
) -> None:
    for name in ("r-1", "r-2"):
        assert await _ask(wire, name)
        await _finish(wire, name)
    seen = await stream_fill.read_fill(wire)
    assert await _ask(wire, "r-1")
    look = LogDeletion(wire, DoneRequests(engine, ended_before_ms=2**50), skew_ms=0)
    assert await look.forget(["r-1"], seen) == 3
    assert await _everything(wire, "r-1") == ["requested"]
    assert len(await _everything(wire, "r-2")) == 3


async def test_a_database_that_cannot_be_opened_at_first_gets_its_tables_later(
    wire: RequestMultiplexer, small: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "audit.db"
    file.mkdir()
    engine = database.engine_of(f"sqlite:///{file}")
    emitted: asyncio.Queue[TelemetryEvent] = asyncio.Queue()
    often = load(data_dir=small.data_dir, audit={"sweep_every": 0.01})
    running = asyncio.create_task(sweeper.run(wire, engine, often, telemetry=Telemetry(emitted.put_nowait)))
    assert isinstance(await asyncio.wait_for(emitted.get(), 20), SweepDelayed)
    file.rmdir()
    async with asyncio.timeout(20):
        while not file.is_file() or database.migration_state(f"sqlite:///{file}") != "current":
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    engine.dispose()
    assert ls(engine).rows == []


async def test_one_copy_sweeps_at_a_time(engine: Engine) -> None:
    with (
        database.sweeping(engine),
        pytest.raises(database.DatabaseBusy, match="another sweep"),
        database.sweeping(engine),
    ):
        pass
    with database.sweeping(engine):
        pass

"""Does folding the log again give the rows that audit wrote, and keep those the log has forgotten?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client
from sqlalchemy import Engine, text

from contracts import pipeline, subjects
from infra.nats import log as event_log
from infra.nats.multiplexer import RequestMultiplexer
from infra.stores import audit, database
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from infra.stores.rebuild import Rebuilt, rebuild, record_of
from tests.broker.audit_fixtures import database_url, engine, everything, postgres, rows_of
from tests.broker.servers import until_read
from tests.lives import encoded, letter, life, received

__all__ = ["database_url", "engine", "postgres"]


@pytest_asyncio.fixture
async def wire(nats_url: str, nc: Client) -> AsyncIterator[RequestMultiplexer]:
    opened = RequestMultiplexer()
    await opened.open(nc)
    yield opened
    await opened.close()


async def _publish(wire: RequestMultiplexer, events: list[Any]) -> None:
    for event in events:
        subject = subjects.gen(event.name, event.kind, event.request_id)
        if event.name == "dead":
            subject = subjects.dead(event.event.stage, event.kind, event.request_id)
        ack = await wire.publish(subject, encoded(event.event))
        assert ack.error is None


async def _live(wire: RequestMultiplexer, *request_ids: str, events: int = 8) -> None:
    """Let requests arrive and go through their lives, by the broker's own clock."""
    for request_id in request_ids:
        asked = life(request_id)[0]
        ack = await wire.publish(subjects.gen("requested", "layout", request_id), encoded(asked.event))
        entry = await until_read(lambda sequence=ack.seq: event_log.get(wire, pipeline.REQUESTS, sequence))
        await _publish(wire, life(request_id, at_ms=entry.time_ms)[1 : events + 1])


async def _fold_log(wire: RequestMultiplexer, engine: Engine) -> None:
    """What the audit stage does, without its consumers."""
    sink = audit.AuditSink(engine, batch=500)
    for stream, subject in ((pipeline.EVENTS, ">"), (pipeline.DEAD, "dead.>"), (pipeline.REQUESTS, ">")):
        info = await wire.client.jetstream().stream_info(stream)
        assert info.created is not None
        created_ms = int(info.created.timestamp() * 1000)
        found = [
            record_of(entry, created_ms, store_prompts=True)
            async for entry in event_log.read(wire, stream, subject)
        ]
        await asyncio.gather(*(sink.add(record) for record in found if record is not None))
    await sink.close()


async def _rebuild(wire: RequestMultiplexer, engine: Engine) -> Rebuilt:
    return await rebuild(wire, engine, store_prompts=True)


async def test_what_the_log_covers_comes_out_the_same(wire: RequestMultiplexer, engine: Engine) -> None:
    await _live(wire, *(f"r-{n}" for n in range(20)))
    await _live(wire, "unfinished", events=3)
    junk = letter("gen.requested.layout.junk", stream="REQUESTS", sequence=99, body=b"\xff")
    await _publish(wire, [received(junk, "junk", sequence=1)])
    await _fold_log(wire, engine)
    before = everything(engine)
    done = await _rebuild(wire, engine)
    assert everything(engine) == before
    assert (done.requests, done.changed, done.kept) == (22, 0, 0)


async def test_lost_and_damaged_rows_come_back(wire: RequestMultiplexer, engine: Engine) -> None:
    await _live(wire, *(f"r-{n}" for n in range(5)))
    await _fold_log(wire, engine)
    before = everything(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM generations WHERE request_id = 'r-1'"))
        connection.execute(text("DELETE FROM generation_logs WHERE request_id IN ('r-1', 'r-2')"))
        connection.execute(
            text("UPDATE generation_logs SET status = 'failed', cost = 9 WHERE request_id = 'r-3'")
        )
    await _rebuild(wire, engine)
    assert everything(engine) == before
    assert {row["prompt"] for row in rows_of(engine, GENERATION_LOGS)} == {"a forest with three coins"}


async def test_a_rebuild_fills_an_empty_database(wire: RequestMultiplexer, database_url: str) -> None:
    await _live(wire, "r-1")
    engine = database.engine_of(database_url)
    done = await _rebuild(wire, engine)
    assert (done.requests, done.changed) == (1, 1)
    assert [row["status"] for row in rows_of(engine, GENERATION_LOGS)] == ["success"]
    engine.dispose()


async def test_rows_that_the_log_has_forgotten_are_kept(wire: RequestMultiplexer, engine: Engine) -> None:
    await _live(wire, "old", "new")
    await _fold_log(wire, engine)
    before = everything(engine)
    await _purge(wire, pipeline.REQUESTS, "gen.*.*.old")
    await _purge(wire, pipeline.EVENTS, "gen.*.*.old")
    done = await _rebuild(wire, engine)
    assert everything(engine) == before
    assert (done.requests, done.kept) == (1, 1)


async def test_without_words_a_rebuild_replaces_those_that_were_kept(
    wire: RequestMultiplexer, engine: Engine
) -> None:
    await _live(wire, "old", "half", "new")
    await _fold_log(wire, engine)
    for stream in (pipeline.REQUESTS, pipeline.EVENTS):
        await _purge(wire, stream, "gen.*.*.old")
    await _purge(wire, pipeline.REQUESTS, "gen.*.*.half")
    done = await rebuild(wire, engine, store_prompts=False)
    assert done.redacted >= 1
    kept = str(everything(engine))
    assert [word for word in ("three coins", "Forest", "cut off", "a test double") if word in kept] == []
    assert {row["status"] for row in rows_of(engine, GENERATION_LOGS)} == {"success"}
    again = await rebuild(wire, engine, store_prompts=False)
    assert (again.redacted, again.changed) == (0, 0)
    assert str(everything(engine)) == kept


@pytest.mark.parametrize("left", [pipeline.REQUESTS, pipeline.EVENTS])
async def test_half_a_life_takes_nothing_away(wire: RequestMultiplexer, engine: Engine, left: str) -> None:
    await _live(wire, "half")
    await _fold_log(wire, engine)
    before = everything(engine)
    gone = pipeline.EVENTS if left == pipeline.REQUESTS else pipeline.REQUESTS
    await _purge(wire, gone, "gen.*.*.half")
    await _rebuild(wire, engine)
    assert everything(engine) == before


async def test_a_swept_id_that_was_used_again_keeps_its_first_life(
    wire: RequestMultiplexer, engine: Engine
) -> None:
    for _ in range(2):
        await _live(wire, "again")
        await _fold_log(wire, engine)
        for stream in (pipeline.REQUESTS, pipeline.EVENTS):
            await _purge(wire, stream, "gen.*.*.again")
    await _live(wire, "again")
    await _fold_log(wire, engine)
    before = everything(engine)
    assert len(before["generation_logs"]) == 3
    await _rebuild(wire, engine)
    after = everything(engine)
    assert after["generations"] == before["generations"]
    assert after["generation_logs"][:2] == before["generation_logs"][:2]
    assert len(after["generation_logs"]) == 3


async def test_audit_may_go_on_meanwhile(wire: RequestMultiplexer, engine: Engine, database_url: str) -> None:
    await _live(wire, *(f"r-{n}" for n in range(300)))
    await _fold_log(wire, engine)
    others = database.engine_of(database_url)
    told: list[int] = []
    more = asyncio.Event()

    def progress(events: int) -> None:
        told.append(events)
        more.set()

    async def go_on() -> None:
        await more.wait()
        await _live(wire, *(f"r-{n}" for n in range(300, 320)))
        await _fold_log(wire, others)

    work = asyncio.create_task(go_on())
    await rebuild(wire, engine, store_prompts=True, progress=progress)
    await work
    assert len(rows_of(engine, GENERATIONS)) == len(rows_of(engine, GENERATION_LOGS)) == 320
    assert {row["status"] for row in rows_of(engine, GENERATIONS)} == {"success"}
    assert told == sorted(told)
    others.dispose()


async def test_a_rebuild_that_fails_changes_nothing(wire: RequestMultiplexer, engine: Engine) -> None:
    await _live(wire, "r-1")
    await _fold_log(wire, engine)
    before = everything(engine)
    await wire.client.jetstream().delete_stream(pipeline.DEAD)
    with pytest.raises(event_log.StreamMissing, match="DEAD"):
        await _rebuild(wire, engine)
    assert everything(engine) == before


async def _purge(wire: RequestMultiplexer, stream: str, subject: str) -> None:
    await wire.call(f"$JS.API.STREAM.PURGE.{stream}", msgspec.json.encode({"filter": subject}))

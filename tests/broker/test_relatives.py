"""Relatives of a request: which requests descend from it, and which one it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest_asyncio
from sqlalchemy import Engine

from contracts.result import Origin, Status
from infra.inspect import relatives
from infra.inspect.explanation import explain, to_json
from infra.inspect.relatives import find_leader, find_relatives
from infra.nats import log
from infra.nats.connection import dial
from infra.nats.multiplexer import RequestMultiplexer
from infra.stores import database, rows
from stages.audit.fold import RequestRecord
from tests.broker.audit_fixtures import database_url, engine, postgres
from tests.lives import START_MS, life, received, records, success

__all__ = ["database_url", "engine", "postgres"]

_BODY = b'{"prompt": "a forest with three coins"}'


@pytest_asyncio.fixture
async def wire(nats_url: str) -> AsyncIterator[RequestMultiplexer]:
    """Calls to the shared broker, which has its topology."""
    client = await dial(nats_url, name="test")
    found = RequestMultiplexer()
    await found.open(client)
    yield found
    await found.close()
    await client.close()


def _replay(request_id: str, at_ms: int, *, shadow: bool = False) -> RequestRecord:
    body = b'{"prompt": "a forest", "replay_of": "r-1"}'
    (record,) = records([received(body, request_id, sequence=at_ms - START_MS + 100, at_ms=at_ms)])
    assert record.asked is not None
    parameters = record.asked.parameters | ({"shadow": True} if shadow else {})
    return msgspec.structs.replace(record, asked=msgspec.structs.replace(record.asked, parameters=parameters))


def _cached(request_id: str, at_ms: int, *, first: int) -> list[RequestRecord]:
    meta = msgspec.structs.replace(success(request_id, at_ms).meta, generated_for="r-1")
    ended = success(request_id, at_ms, status=Status.CACHED, origin=Origin.CACHE, meta=meta)
    return records(
        [
            received(_BODY, request_id, sequence=first, at_ms=at_ms),
            received(ended, request_id, sequence=first + 1, at_ms=at_ms + 1),
        ]
    )


async def test_replays_shadows_followers_and_reuses_are_told_apart(engine: Engine) -> None:
    found = [
        *records(life("r-1")),
        *_cached("early", START_MS + 10, first=20),
        *_cached("late", START_MS + 500, first=30),
        _replay("again", START_MS + 600),
        _replay("beside", START_MS + 700, shadow=True),
        *records(life("other", first=40)),
    ]
    with database.writing(engine) as connection:
        rows.fold(connection, found)
    listed = find_relatives(engine, "r-1", ended_at_ms=START_MS + 70)
    assert [(each.request_id, each.relation, each.status) for each in listed.found] == [
        ("early", "follower", "cached"),
        ("late", "reuse", "cached"),
        ("again", "replay", "pending"),
        ("beside", "shadow", "pending"),
    ]
    assert listed.more == 0
    assert find_relatives(engine, "other").found == ()


async def test_a_long_list_says_what_it_leaves_out(engine: Engine) -> None:
    with database.writing(engine) as connection:
        rows.fold(
            connection,
            [_replay(f"again-{number}", START_MS + number) for number in range(relatives.MOST + 2)],
        )
    listed = find_relatives(engine, "r-1")
    assert (len(listed.found), listed.found[0].request_id, listed.more) == (relatives.MOST, "again-0", 2)


async def test_a_waiting_request_names_the_one_that_it_waits_for(wire: RequestMultiplexer) -> None:
    for request_id, body in (("lead", _BODY), ("wait", _BODY), ("other", b'{"prompt": "a plot"}')):
        await wire.publish(f"gen.requested.layout.{request_id}", body)
    await wire.publish("$KV.flights.key-1", b"lead")
    await wire.publish("$KV.flights.key-2", b"gone")
    waiting, other = await log.owner(wire, "wait"), await log.owner(wire, "other")
    assert waiting is not None
    assert other is not None
    assert await find_leader(wire, waiting) == "lead"
    assert await find_leader(wire, other) is None
    unreadable = msgspec.structs.replace(waiting, subject="gen.requested.poem.wait")
    assert await find_leader(wire, unreadable) is None

    def no_audit() -> Engine:
        raise FileNotFoundError("there is no file audit.db")

    explained = await explain(wire, "wait", audit=no_audit)
    assert explained is not None
    shown = to_json(explained)
    assert (shown["status"], shown["follows"], shown["related"]) == ("pending", "lead", ())
    assert shown["related_fault"] == "there is no file audit.db"
    assert (shown["follows_fault"], shown["waiting_for"]) == (None, "context-build")
    assert await explain(wire, "nobody", audit=no_audit) is None

    # More leases than the broker lists in one answer, and one that has ended.
    leases = (wire.publish(f"$KV.flights.more-{number}", b"a-%d" % number) for number in range(1_100))
    await asyncio.gather(*leases)
    await wire.publish("$KV.flights.more-0", b"", {"KV-Operation": "PURGE"})
    assert await find_leader(wire, waiting) == "lead"

    await wire.call("$JS.API.STREAM.DELETE.KV_flights")
    explained = await explain(wire, "wait", audit=no_audit)
    assert explained is not None
    shown = to_json(explained)
    assert (shown["status"], shown["follows"]) == ("pending", None)
    assert "KV_flights is missing" in shown["follows_fault"]

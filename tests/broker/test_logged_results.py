"""Results in the event log, as single flight reads them and as reservations wait for them."""

from __future__ import annotations

import asyncio

import msgspec
from nats.aio.client import Client

from infra.nats.results import LoggedResults
from tests import lives
from tests.broker.test_cache_store import caching


async def test_a_result_is_found_with_its_time_whatever_its_kind(nats_url: str, nc: Client) -> None:
    result = lives.success("r-1")
    await nc.jetstream().publish("gen.result.layout.r-1", msgspec.json.encode(result))
    async with caching(nats_url) as cache:
        results = LoggedResults(wire=cache.wire, lookup=cache.lookup)
        found = await results.find("r-1")
        stored = await nc.jetstream().get_last_msg("EVENTS", "gen.result.layout.r-1", direct=True)
        known = await results.exists("r-1"), await results.exists("r-2")
        missing = await results.find("r-2")

    assert found is not None
    assert found.result == result
    assert stored.time is not None
    assert found.at_ms == int(stored.time.timestamp() * 1000)
    assert (known, missing) == ((True, False), None)


async def test_a_wait_ends_with_the_result_before_or_after_it_begins(nats_url: str, nc: Client) -> None:
    async with caching(nats_url) as cache:
        results = LoggedResults(wire=cache.wire, lookup=cache.lookup)
        assert not await results.wait("r-1", 0.01)
        waiting = asyncio.create_task(results.wait("r-1", 60))
        body = msgspec.json.encode(lives.success("r-1"))
        while not waiting.done():
            # Whenever the subscription is there, one of them reaches it.
            await nc.jetstream().publish("gen.result.layout.r-1", body)
        assert await waiting
        assert await results.wait("r-1", 0.01)

"""Result cache and leases in their buckets: whole entries, their life, purges, keys of the previous release."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client
from understudy_client.connection import flushed

from contracts.cache_entry import CacheEntry, CacheLayer
from contracts.policy import fingerprint
from contracts.policy.cache_key import CacheKey
from contracts.ports import Lease
from infra.nats import buckets
from infra.nats.leases import KvLeases
from infra.nats.log import LogEntry
from infra.nats.lookup import Lookup
from infra.nats.multiplexer import RequestMultiplexer
from infra.stores import cache_listing
from infra.stores.assets import Assets
from infra.stores.cache_listing import CacheFilter
from infra.stores.cache_stats import CacheStats
from infra.stores.cache_store import CacheMemory, CacheStore
from infra.telemetry.log_lines import to_log
from tests.broker.conftest import connect
from tests.import_path import IMPORT_PATH

_ROOT = Path(__file__).parents[2]
SLOT = CacheKey(key="scene.ambient.=.=.once.=.1.f1", ttl_s=3600, node="n1")
_WAIT_S = 60.0


class Cache:
    """The layers of one process."""

    def __init__(self, wire: RequestMultiplexer, *, entries: int = 8) -> None:
        self.wire = wire
        self.lookup = Lookup(wire)
        self.assets = Assets(wire)
        self.memory = CacheMemory(entries=entries, max_bytes=1 << 20)
        self.stats = CacheStats(wire=wire, instance="test")
        self.results = CacheStore(
            wire=wire,
            lookup=self.lookup,
            assets=self.assets,
            memory=self.memory,
            count=self.stats.count,
            telemetry=to_log(),
        )

    async def keys(self) -> list[str]:
        return [item.key async for item in cache_listing.items(self.wire, CacheFilter())]


def entry(content: Any, request_id: str = "r1") -> CacheEntry:
    return CacheEntry(
        request_id=request_id,
        kind="custom",
        content=content,
        content_hash=fingerprint.digest(content),
        provider="scripted",
    )


@asynccontextmanager
async def caching(url: str) -> AsyncGenerator[Cache]:
    nc = await connect(url)
    wire = RequestMultiplexer()
    await wire.open(nc)
    cache = Cache(wire)
    await cache.results.open()
    yield cache
    await cache.stats.close()
    await wire.close()
    await nc.close()


async def test_another_process_finds_it_and_then_has_it_in_memory(nats_url: str) -> None:
    async with caching(nats_url) as one, caching(nats_url) as other:
        await one.results.put(SLOT, entry({"a": 1}))
        found = [await other.results.get(SLOT), await other.results.get(SLOT), await one.results.get(SLOT)]
        missed = await one.results.get(CacheKey(key="scene.ambient.=.=.once.=.1.f2", ttl_s=1))

    assert [each[1] for each in found if each] == [CacheLayer.SHARED, CacheLayer.MEMORY, CacheLayer.MEMORY]
    assert {msgspec.json.encode(each[0].content) for each in found if each} == {b'{"a":1}'}
    assert missed is None


async def test_an_entry_dies_with_its_time_in_memory_and_in_the_bucket(nats_url: str) -> None:
    over = CacheKey(key="scene.over", ttl_s=0)
    async with caching(nats_url) as cache:
        await cache.results.put(SLOT, entry({"a": 1}))
        await cache.results.put(over, entry({"a": 1}))
        stored = await cache.lookup.last("KV_cache", f"$KV.cache.{SLOT.key}")
        assert stored is not None
        # The broker removes it; until then, and in memory, nobody takes it for alive.
        assert stored.headers[buckets.TTL] == "3600s"
        assert len(cache.memory) == 2
        assert await cache.results.get(SLOT) is not None
        assert await cache.results.get(over) is None


async def test_a_purge_reaches_every_memory(nats_url: str) -> None:
    async with caching(nats_url) as one, caching(nats_url) as other:
        await one.results.put(SLOT, entry({"a": 1}))
        await other.results.get(SLOT)
        await cache_listing.purge(one.wire, SLOT.key)
        await asyncio.gather(flushed(one.wire.client), flushed(other.wire.client))
        assert [await one.results.get(SLOT), await other.results.get(SLOT)] == [None, None]
        assert await one.keys() == []


async def test_what_was_read_before_a_purge_is_not_remembered_after_it(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with caching(nats_url) as one, caching(nats_url) as other:
        await one.results.put(SLOT, entry({"a": 1}))
        read = other.lookup.last

        async def slowly(stream: str, subject: str) -> LogEntry | None:
            found = await read(stream, subject)
            await cache_listing.purge(one.wire, SLOT.key)
            await flushed(other.wire.client)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(other.lookup, "last", slowly)
            assert await other.results.get(SLOT) is not None
        assert len(other.memory) == 0
        assert await other.results.get(SLOT) is None


async def test_large_content_is_in_the_object_store_and_an_entry_without_it_is_none(nats_url: str) -> None:
    large = {"text": "x" * 700_000}
    async with caching(nats_url) as one, caching(nats_url) as other:
        await one.results.put(SLOT, entry(large))
        found = await other.results.get(SLOT)
        assert found is not None
        reference = found[0].content_ref
        assert (found[0].content, found[0].content_hash) == (None, fingerprint.digest(large))
        assert reference is not None
        assert msgspec.json.decode(await other.assets.get(reference)) == large
        store = await other.wire.client.jetstream().object_store("assets")
        await store.delete(reference.object)
        assert [await one.results.get(SLOT), await other.results.get(SLOT)] == [None, None]


async def test_an_entry_of_the_last_release_is_found_and_moves(nats_url: str, nc: Client) -> None:
    older = "v0.custom"
    moved = CacheKey(key=SLOT.key, older=(older,), ttl_s=SLOT.ttl_s)
    # As a release with other keys left it, without the fields that came later.
    async with caching(nats_url) as cache:
        await cache.results.put(CacheKey(key=older, ttl_s=900), entry({"a": 1}, "long-ago"))
        stored = await cache.lookup.last("KV_cache", f"$KV.cache.{older}")
        assert stored is not None
        body = msgspec.json.decode(stored.body)
        kept = {name: body[name] for name in ("request_id", "kind", "content", "content_hash", "provider")}
        kept |= {"expires_at_ms": body["expires_at_ms"], "a_field_that_is_gone": True}
        await nc.jetstream().publish(
            f"$KV.cache.{older}", msgspec.json.encode(kept), headers={buckets.TTL: "900s"}
        )
    async with caching(nats_url) as one, caching(nats_url) as other:
        first, second = await one.results.get(moved), await other.results.get(moved)
        assert first is not None
        assert second is not None
        assert (first[1], second[1]) == (CacheLayer.OLDER, CacheLayer.SHARED)
        assert first[0].request_id == second[0].request_id == "long-ago"
        # For the rest of its life, not for a new one.
        assert second[0].expires_at_ms == body["expires_at_ms"]


async def test_what_cannot_be_read_is_a_miss(nats_url: str, nc: Client) -> None:
    async with caching(nats_url) as cache:
        await nc.jetstream().publish(f"$KV.cache.{SLOT.key}", b'{"request_id": ')
        assert await cache.results.get(SLOT) is None
        assert await cache.keys() == [SLOT.key]


async def test_memory_is_bounded_and_forgets_what_was_unused_for_longest() -> None:
    memory = CacheMemory(entries=2, max_bytes=10)
    for key, body in (("a", b"1"), ("b", b"2")):
        memory.put(key, body)
    memory.get("a")
    memory.put("c", b"3")
    assert [memory.get(key) for key in "abc"] == [b"1", None, b"3"]
    memory.put("d", b"x" * 9)
    assert [memory.get(key) for key in "acd"] == [None, b"3", b"x" * 9]
    memory.put("d", b"x" * 11)
    assert [memory.get(key) for key in "cd"] == [b"3", None]


async def test_a_lease_is_taken_once_and_taken_over_by_one(nats_url: str) -> None:
    async with caching(nats_url) as cache:
        leases = KvLeases(wire=cache.wire, lookup=cache.lookup)

        async def race(turn: int, revision: int) -> list[bool]:
            return await asyncio.gather(
                *(
                    leases.acquire(
                        "k",
                        Lease(leader=f"r{turn}-{number}", turn=turn),
                        revision=revision,
                        remaining_s=60,
                    )
                    for number in range(20)
                )
            )

        assert await leases.find("k") == (None, 0)
        first = await race(1, 0)
        lease, revision = await leases.find("k")
        second = await race(2, revision)
        after, _ = await leases.find("k")
        stored = await cache.lookup.last("KV_flights", "$KV.flights.k")

    assert sum(first) == sum(second) == 1
    assert lease is not None
    assert after is not None
    assert (lease.leader, lease.turn) == (f"r1-{first.index(True)}", 1)
    assert (after.leader, after.turn) == (f"r2-{second.index(True)}", 2)
    assert stored is not None
    assert (stored.body.decode(), stored.headers[buckets.TTL]) == (after.leader, "70s")


async def test_a_writer_killed_in_the_middle_leaves_no_half_entry(nats_url: str) -> None:
    writer = textwrap.dedent("""
        import asyncio, sys
        from contracts.policy.cache_key import CacheKey
        from tests.broker.test_cache_store import caching, entry

        async def main():
            async with caching(sys.argv[1]) as cache:
                for number in range(10_000):
                    content = {"text": f"{sys.argv[2]}-{number} " + "x" * 3_000_000}
                    key = CacheKey(key=f"custom.{sys.argv[2]}.{number}", ttl_s=3600)
                    await cache.results.put(key, entry(content, f"{sys.argv[2]}-{number}"))

        asyncio.run(main())
    """)
    nc = await connect(nats_url)
    chunks = asyncio.Queue[bytes]()

    async def heard(msg: Any) -> None:
        await chunks.put(msg.subject.encode())

    await nc.subscribe("$O.assets.C.>", cb=heard)
    await flushed(nc)
    whole = 0
    for turn, pieces in enumerate((1, 9, 25, 40)):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", writer, nats_url, str(turn)),
            env={**os.environ, "PYTHONPATH": IMPORT_PATH},
        )
        for _ in range(pieces):
            await asyncio.wait_for(chunks.get(), _WAIT_S)
        process.kill()
        await process.wait()
        async with caching(nats_url) as cache:
            for key in await cache.keys():
                found = await cache.results.get(CacheKey(key=key, ttl_s=1))
                assert found is not None
                assert found[0].content_ref is not None
                content = msgspec.json.decode(await cache.assets.get(found[0].content_ref))
                assert fingerprint.digest(content) == found[0].content_hash
                whole += 1
        while not chunks.empty():
            chunks.get_nowait()
    await nc.close()
    assert whole > 0

"""Drift ledger in its bucket: the first writer wins over all processes."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client

from contracts.ports import SeedOutput
from infra.stores.drift_ledger import KvDriftLedger
from infra.telemetry.log_lines import to_log
from tests.broker.test_cache_store import Cache, caching


def ledger(cache: Cache) -> KvDriftLedger:
    return KvDriftLedger(wire=cache.wire, lookup=cache.lookup, count=cache.stats.count, telemetry=to_log())


def output(number: int) -> SeedOutput:
    return SeedOutput(content_hash=f"{number:064}", request_id=f"r{number}")


@pytest.mark.delivery
async def test_of_many_at_once_one_is_the_first_for_all(nats_url: str) -> None:
    async with caching(nats_url) as one, caching(nats_url) as other:
        both = (ledger(one), ledger(other))
        found = await asyncio.gather(
            *(both[number % 2].first("scene.f1", output(number)) for number in range(20))
        )
        again = await both[1].first("scene.f1", output(99))
        elsewhere = await both[0].first("scene.f2", output(99))

    assert len({first.request_id for first in found}) == 1
    assert again == found[0]
    assert elsewhere.request_id == "r99"


async def test_an_entry_that_cannot_be_read_compares_with_nothing(nats_url: str, nc: Client) -> None:
    await nc.jetstream().publish("$KV.ledger.scene.f1", b'{"content_hash": ')
    async with caching(nats_url) as cache:
        assert await ledger(cache).first("scene.f1", output(1)) == output(1)

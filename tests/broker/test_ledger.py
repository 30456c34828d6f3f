"""Is the first output of a generation the one that is remembered?"""

from __future__ import annotations

import asyncio

import structlog
from nats.aio.client import Client

from infra.stores.drift_ledger import KvDriftLedger
from stages.validate_repair.seed_drift import Claim, Output
from tests.broker.test_results import Cache, caching


def ledger(cache: Cache) -> KvDriftLedger:
    return KvDriftLedger(wire=cache.wire, lookup=cache.lookup, hits=cache.hits, log=structlog.get_logger())


def claim(number: int, key: str = "scene.f1") -> Claim:
    return Claim(key=key, output=Output(content_hash=f"{number:064}", request_id=f"r{number}"))


async def test_of_many_at_once_one_is_the_first_for_all(nats_url: str) -> None:
    async with caching(nats_url) as one, caching(nats_url) as other:
        both = (ledger(one), ledger(other))
        found = await asyncio.gather(*(both[number % 2].first(claim(number)) for number in range(20)))
        again = await both[1].first(claim(99))
        elsewhere = await both[0].first(claim(99, "scene.f2"))

    assert len({first.request_id for first in found}) == 1
    assert again == found[0]
    assert elsewhere.request_id == "r99"


async def test_an_entry_that_cannot_be_read_compares_with_nothing(nats_url: str, nc: Client) -> None:
    await nc.jetstream().publish("$KV.ledger.scene.f1", b'{"content_hash": ')
    async with caching(nats_url) as cache:
        assert await ledger(cache).first(claim(1)) == claim(1).output

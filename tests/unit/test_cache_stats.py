"""Does every count reach the broker?"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from contracts.errors import Unavailable
from infra.stores import cache_stats
from infra.stores.cache_stats import CacheStats


class _Wire:
    """A broker that answers when it is let."""

    def __init__(self) -> None:
        self.stored: list[dict[str, int]] = []
        self.away = 0
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        del subject, headers
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        self.asked.set()
        await self.answers.wait()
        self.stored.append(msgspec.json.decode(payload))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> _Wire:
    monkeypatch.setattr(cache_stats, "_DELAY_S", 0.0)
    return _Wire()


def _hits(wire: Any) -> CacheStats:
    return CacheStats(wire=wire, instance="one")


async def test_a_count_that_comes_while_others_are_written_is_written_too(wire: _Wire) -> None:
    counts = _hits(wire)
    counts.count("memory")
    await wire.asked.wait()
    counts.count("memory")
    wire.answers.set()
    async with asyncio.timeout(60):
        while {"memory": 2} not in wire.stored:
            await asyncio.sleep(0)
    await counts.close()


async def test_counts_that_met_no_broker_are_written_later(wire: _Wire) -> None:
    counts = _hits(wire)
    wire.away = 1
    wire.answers.set()
    counts.count("led")
    async with asyncio.timeout(60):
        await wire.asked.wait()
    await counts.close()
    assert wire.stored == [{"led": 1}]


async def test_an_end_in_the_middle_of_writing_loses_no_count(wire: _Wire) -> None:
    counts = _hits(wire)
    counts.count("stored")
    await wire.asked.wait()
    wire.answers.set()
    await counts.close()
    assert wire.stored[-1] == {"stored": 1}

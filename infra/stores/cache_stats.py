"""Counts of the result cache, per process, in KV bucket ``cache`` beside the entries.

Each process writes its counts under its own key, a second after they change; a reader adds them up.  A
killed process loses the counts of its last second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, get_args

import msgspec
from nats import errors as nats_errors

from contracts import bucket_table
from contracts.cache_entry import CacheCount
from contracts.errors import Unavailable
from infra.nats import buckets

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer

#: First characters of the keys of counts; no cache key begins with them.
PREFIX: Final = "=hits."
COUNTS: Final[tuple[CacheCount, ...]] = get_args(CacheCount)
#: Counts of requests that were answered without a generation.
ANSWERED: Final[tuple[CacheCount, ...]] = ("memory", "shared", "older", "followed")

_LIFE_S: Final = 30 * 86_400
_DELAY_S: Final = 1.0
#: Time-out of a write, seconds; the end of a process waits for one.
_TIMEOUT_S: Final = 1.0


class CacheStats:
    """The counts of one process.

    Args:
        wire: calls to the broker.
        instance: name of the process, one token of a subject.
    """

    def __init__(self, *, wire: RequestMultiplexer, instance: str) -> None:
        self._wire = wire
        self._subject = f"$KV.{bucket_table.CACHE.name}.{PREFIX}{instance}"
        self._counts: dict[str, int] = {}
        self._dirty = False
        self._task: asyncio.Task[None] | None = None

    @property
    def counts(self) -> Mapping[str, int]:
        """What was counted since the start of the process."""
        return self._counts

    def count(self, what: CacheCount) -> None:
        """Add one; it is written a second later."""
        self._counts[what] = self._counts.get(what, 0) + 1
        self._dirty = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._later())

    async def close(self) -> None:
        """Write the counts that are not written yet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._dirty:
            await self._flush()

    async def _later(self) -> None:
        # Counts that change during a write need another one.
        while self._dirty:
            await asyncio.sleep(_DELAY_S)
            await self._flush()

    async def _flush(self) -> None:
        self._dirty = False
        body = msgspec.json.encode(self._counts)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._wire.publish(self._subject, body, {buckets.TTL: buckets.ttl(_LIFE_S)})
        except (Unavailable, TimeoutError, nats_errors.Error):
            # Nothing else depends on counts; the next write has them.
            self._dirty = True
        except asyncio.CancelledError:
            self._dirty = True
            raise

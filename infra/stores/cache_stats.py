"""How often did the result cache have what was asked for?

Each process counts for itself and writes its counts, a second after they changed, under a key of its own beside
the entries; a reader adds them up.  A killed process loses its last second.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal, get_args

import msgspec
from nats import errors as nats_errors

from contracts import pipeline
from contracts.errors import Unavailable
from infra.nats import buckets

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer

#: Begins the keys of counts; no content's key begins so.
PREFIX: Final = "=hits."
#: What is counted.  ``memory``, ``shared``, ``older``: found there. ``followed``: waited for, and got. ``led``:
#: generated. ``taken_over``: generated after a leader had failed or was cancelled. ``stored``: kept.
#: ``drifted``: came to something else than the same before.
Count = Literal["memory", "shared", "older", "followed", "led", "taken_over", "stored", "drifted"]
COUNTS: Final[tuple[Count, ...]] = get_args(Count)
#: Those that were answered without a generation.
FOUND: Final = ("memory", "shared", "older", "followed")

_LIFE_S: Final = 30 * 86_400
_DELAY_S: Final = 1.0
#: Seconds that the end of a process waits for it at most.
_PATIENCE_S: Final = 1.0


class CacheStats:
    """The counts of one process.

    Args:
        wire: calls to the broker.
        instance: name of the process, one token of a subject.
    """

    def __init__(self, *, wire: RequestMultiplexer, instance: str) -> None:
        self._wire = wire
        self._subject = f"$KV.{pipeline.CACHE.name}.{PREFIX}{instance}"
        self._counts: dict[str, int] = {}
        self._dirty = False
        self._task: asyncio.Task[None] | None = None

    def count(self, what: Count) -> None:
        """One more; written a little later."""
        self._counts[what] = self._counts.get(what, 0) + 1
        self._dirty = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._later())

    async def close(self) -> None:
        """Write what is not written yet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._dirty:
            await self._flush()

    async def _later(self) -> None:
        # Also what is counted while the last counts are being written.
        while self._dirty:
            await asyncio.sleep(_DELAY_S)
            await self._flush()

    async def _flush(self) -> None:
        self._dirty = False
        body = msgspec.json.encode(self._counts)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._wire.publish(self._subject, body, {buckets.TTL: buckets.ttl(_LIFE_S)})
        except (Unavailable, TimeoutError, nats_errors.Error):
            # Counts are no reason to stop anything; they are written a little later.
            self._dirty = True
        except asyncio.CancelledError:
            self._dirty = True
            raise

"""Where is real content kept for those who ask for the same, and where is it found again?

Three layers: this process' memory, KV bucket ``cache`` for all processes, and the object store for content that
is too large for a message.  The object is written first and the entry last, each in one message or not at all.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import pipeline
from contracts.cache_entry import CacheEntry
from infra.nats import buckets
from infra.runner.messages import INLINE_MAX, encoded

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from structlog.typing import FilteringBoundLogger

    from contracts.policy.cache_key import CacheKey
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.stores.assets import Assets
    from infra.stores.cache_stats import CacheStats

BUCKET: Final = pipeline.CACHE.name
STREAM: Final = pipeline.CACHE.stream
_PREFIX: Final = f"$KV.{BUCKET}."
_decode: Final = msgspec.json.Decoder(CacheEntry).decode


class CacheLayer(StrEnum):
    """Where an entry was found."""

    MEMORY = "memory"
    SHARED = "shared"
    #: Under a key of the last release.
    OLDER = "older"


class CacheMemory:
    """The layer in the process: the entries used last, as bytes.

    Args:
        entries: how many are kept.
        max_bytes: how many bytes they may have together.
    """

    def __init__(self, *, entries: int, max_bytes: int) -> None:
        self._entries = entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> bytes | None:
        """The entry, which counts as used now."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: str, body: bytes) -> None:
        """Keep an entry; those that were unused for longest go."""
        self.drop(key)
        self._kept[key] = body
        self._bytes += len(body)
        while self._kept and (len(self._kept) > self._entries or self._bytes > self._max_bytes):
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone)

    def drop(self, key: str) -> None:
        """Forget an entry, if it is there."""
        self._bytes -= len(self._kept.pop(key, b""))

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._bytes = 0


class CacheStore:
    """The result cache.

    Args:
        wire: calls to the broker.
        lookup: reads the bucket.
        assets: takes large content.
        memory: the layer in the process.
        hits: counts.
        log: structured logger.
    """

    def __init__(
        self,
        *,
        wire: RequestMultiplexer,
        lookup: Lookup,
        assets: Assets,
        memory: CacheMemory,
        hits: CacheStats,
        log: FilteringBoundLogger,
    ) -> None:
        self._wire = wire
        self._lookup = lookup
        self._assets = assets
        self._memory = memory
        self._hits = hits
        self._log = log
        #: Purges heard of: what was read before one is not remembered after it.
        self._purges = 0

    async def open(self) -> None:
        """Listen to what others write and purge: memory must not outlive it."""
        await self._wire.client.subscribe(f"{_PREFIX}>", cb=self._changed)

    def forget(self) -> None:
        """Empty the memory: after a lost connection nobody knows what was purged meanwhile."""
        self._memory.clear()

    async def get(self, slot: CacheKey) -> tuple[CacheEntry, CacheLayer] | None:
        """The entry at a place, and the layer that had it; ``None``: there is none, or it has expired.

        An entry under an older key is written again under the new one, for the rest of its life.

        Raises:
            Unavailable: the broker does not answer.
        """
        found = self._usable(slot.key, self._memory.get(slot.key))
        if found is not None and await self._whole(found):
            return found, CacheLayer.MEMORY
        for key in (slot.key, *slot.older):
            purges = self._purges
            body = await self._read(key)
            found = self._usable(key, body)
            if body is None or found is None or not await self._whole(found):
                continue
            if key == slot.key:
                self._remember(key, body, purges)
                return found, CacheLayer.SHARED
            await self._write(slot.key, found)
            return found, CacheLayer.OLDER
        return None

    async def put(self, slot: CacheKey, kept: CacheEntry) -> None:
        """Keep content at a place; a second writer's replaces the first's.

        Raises:
            Unavailable: the broker does not answer.
        """
        now_ms = int(time.time() * 1000)
        entry = msgspec.structs.replace(kept, created_at_ms=now_ms, expires_at_ms=now_ms + slot.ttl_s * 1000)
        if await self._write(slot.key, entry):
            self._hits.count("stored")

    async def _write(self, key: str, entry: CacheEntry) -> bool:
        body = encoded(entry)
        if len(body) > INLINE_MAX and entry.content_ref is None:
            reference = await self._assets.put(msgspec.json.encode(entry.content))
            entry = msgspec.structs.replace(entry, content=None, content_ref=reference)
            body = encoded(entry)
        purges = self._purges
        left_s = math.ceil((entry.expires_at_ms - time.time() * 1000) / 1000)
        ack = await self._wire.publish(_PREFIX + key, body, {buckets.TTL: buckets.ttl(left_s)})
        if ack.error is not None:
            # The cache may be lost: the request's result must not be.
            self._log.warning("not kept", key=key, problem=ack.error.description)
            return False
        self._remember(key, body, purges)
        return True

    def _remember(self, key: str, body: bytes, purges: int) -> None:
        if self._purges == purges:
            self._memory.put(key, body)

    async def _read(self, key: str) -> bytes | None:
        found = await self._lookup.last(STREAM, _PREFIX + key)
        return None if found is None or buckets.OPERATION in found.headers else found.body

    def _usable(self, key: str, body: bytes | None) -> CacheEntry | None:
        if body is None:
            return None
        try:
            found = _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._log.warning("entry of the result cache cannot be read", key=key, problem=str(error))
            return None
        return found if found.expires_at_ms > time.time() * 1000 else None

    async def _whole(self, found: CacheEntry) -> bool:
        """Whether its content is there."""
        return found.content_ref is None or await self._assets.has(found.content_ref)

    async def _changed(self, msg: Msg) -> None:
        self._purges += buckets.OPERATION in (msg.headers or {})
        key = msg.subject.removeprefix(_PREFIX)
        held = self._memory.get(key)
        if held is not None and held != msg.data:
            self._memory.drop(key)

"""Result cache: process LRU, then KV bucket ``cache``, then the object store for content too large for a message.

The object is written first and the entry last, each in one message or not at all.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

import msgspec
from cachetools import LRUCache

from contracts import bucket_table
from contracts.cache_entry import CacheEntry, CacheLayer
from contracts.envelope import INLINE_MAX, encode
from infra.nats import buckets
from infra.telemetry.store_events import EntryNotStored, EntryUnreadable

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from contracts.policy.cache_key import CacheKey
    from contracts.ports import CountCache
    from infra.nats.log import LogEntry
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.stores.assets import Assets
    from infra.telemetry.dispatch import Telemetry

BUCKET: Final = bucket_table.CACHE.name
STREAM: Final = bucket_table.CACHE.stream
_PREFIX: Final = f"$KV.{BUCKET}."
FORGET: Final = bucket_table.FORGET
_decode: Final = msgspec.json.Decoder(CacheEntry).decode


def subject(key: str) -> str:
    """Where the bucket keeps an entry."""
    return _PREFIX + key


def key_of(entry: LogEntry) -> str:
    """The key of an entry, as the bucket keeps it."""
    return entry.subject.removeprefix(_PREFIX)


def is_live(entry: LogEntry) -> bool:
    """Whether a message of the bucket is an entry that has not expired."""
    if buckets.OPERATION in entry.headers:
        return False
    try:
        return _decode(entry.body).expires_at_ms > time.time() * 1000
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


class CacheMemory:
    """The layer in the process: the most recently used entries, as bytes.

    Args:
        entries: maximum number of entries.
        max_bytes: maximum size of all entries together.
    """

    def __init__(self, *, entries: int, max_bytes: int) -> None:
        self._entries = entries
        self._lru: LRUCache[str, bytes] = LRUCache(maxsize=max_bytes, getsizeof=len)

    def __len__(self) -> int:
        return len(self._lru)

    def get(self, key: str) -> bytes | None:
        """Find an entry; it counts as used now."""
        return self._lru.get(key)

    def put(self, key: str, body: bytes) -> None:
        """Store an entry and evict the least recently used ones; an entry above ``max_bytes`` is not stored."""
        self.drop(key)
        if len(body) > self._lru.maxsize:
            return
        self._lru[key] = body
        while len(self._lru) > self._entries:
            self._lru.popitem()

    def drop(self, key: str) -> None:
        """Remove an entry, if it is there."""
        self._lru.pop(key, None)

    def clear(self) -> None:
        """Remove every entry."""
        self._lru.clear()


class CacheStore:
    """The three layers; implements :class:`contracts.ports.ResultCache`.

    Args:
        wire: writes the bucket.
        lookup: reads the bucket.
        assets: stores large content.
        memory: the layer in the process.
        count: counts the entries that are written.
        telemetry: gets entries that cannot be stored or read.
    """

    def __init__(
        self,
        *,
        wire: RequestMultiplexer,
        lookup: Lookup,
        assets: Assets,
        memory: CacheMemory,
        count: CountCache,
        telemetry: Telemetry,
    ) -> None:
        self._wire = wire
        self._lookup = lookup
        self._assets = assets
        self.memory = memory
        self._count = count
        self._telemetry = telemetry
        #: Number of purges: an entry that was read before a purge is not put into memory after it.
        self._purges = 0

    async def open(self) -> None:
        """Subscribe to writes and purges of all processes, which make entries in memory stale."""
        await self._wire.client.subscribe(f"{_PREFIX}>", cb=self._changed)

    def forget(self) -> None:
        """Empty the memory: purges during a lost connection are unknown, or somebody's data was purged."""
        self._purges += 1
        self.memory.clear()

    async def get(self, key: CacheKey) -> tuple[CacheEntry, CacheLayer] | None:
        """Find an entry and the layer that held it; ``None``: there is none, or it has expired.

        An entry under a key of the previous release is written again under the new key, for the rest of its life.

        Raises:
            Unavailable: the broker does not answer.
        """
        entry = self._decode(key.key, self.memory.get(key.key))
        if entry is not None and await self._is_whole(entry):
            return entry, CacheLayer.MEMORY
        for each in (key.key, *key.older):
            purges = self._purges
            body = await self._read(each)
            entry = self._decode(each, body)
            if body is None or entry is None or not await self._is_whole(entry):
                continue
            if each == key.key:
                self._remember(each, body, purges)
                return entry, CacheLayer.SHARED
            await self._write(key.key, entry)
            return entry, CacheLayer.OLDER
        return None

    async def put(self, key: CacheKey, entry: CacheEntry) -> None:
        """Store an entry; a second one under the same key replaces the first.

        A request gets its result even if the bucket does not take the entry: that is logged.

        Raises:
            Unavailable: the broker does not answer.
        """
        now_ms = int(time.time() * 1000)
        entry = msgspec.structs.replace(entry, created_at_ms=now_ms, expires_at_ms=now_ms + key.ttl_s * 1000)
        if await self._write(key.key, entry):
            self._count("stored")

    async def _write(self, key: str, entry: CacheEntry) -> bool:
        body = encode(entry)
        if len(body) > INLINE_MAX and entry.content_ref is None:
            reference = await self._assets.put(msgspec.json.encode(entry.content))
            entry = msgspec.structs.replace(entry, content=None, content_ref=reference)
            body = encode(entry)
        purges = self._purges
        left_s = math.ceil((entry.expires_at_ms - time.time() * 1000) / 1000)
        ack = await self._wire.publish(_PREFIX + key, body, {buckets.TTL: buckets.ttl(left_s)})
        if ack.error is not None:
            self._telemetry.emit(EntryNotStored(bucket=BUCKET, key=key, problem=ack.error.description))
            return False
        self._remember(key, body, purges)
        return True

    def _remember(self, key: str, body: bytes, purges: int) -> None:
        if self._purges == purges:
            self.memory.put(key, body)

    async def _read(self, key: str) -> bytes | None:
        found = await self._lookup.last(STREAM, _PREFIX + key)
        return None if found is None or buckets.OPERATION in found.headers else found.body

    def _decode(self, key: str, body: bytes | None) -> CacheEntry | None:
        if body is None:
            return None
        try:
            found = _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._telemetry.emit(EntryUnreadable(bucket=BUCKET, key=key, problem=str(error)))
            return None
        return found if found.expires_at_ms > time.time() * 1000 else None

    async def _is_whole(self, entry: CacheEntry) -> bool:
        """Whether its content is still in the object store."""
        return entry.content_ref is None or await self._assets.has(entry.content_ref)

    async def _changed(self, msg: Msg) -> None:
        self._purges += buckets.OPERATION in (msg.headers or {})
        key = msg.subject.removeprefix(_PREFIX)
        held = self.memory.get(key)
        if held is not None and held != msg.data:
            self.memory.drop(key)

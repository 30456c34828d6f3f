"""Listing, purge and statistics of the result cache."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from contracts.cache_entry import CacheEntry
from contracts.errors import UnderstudyError
from contracts.policy.cache_key import TOKENS, matches
from infra.nats import buckets, log
from infra.stores import cache_stats, cache_store

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

#: Entries that are removed at a time.
_AT_ONCE: Final = 256
_STRATEGY: Final = TOKENS.index("strategy")
_VERSION: Final = TOKENS.index("version")


class PurgeRefusedError(UnderstudyError):
    """The broker refuses a purge."""


class CacheFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Selects entries; a field that is ``None`` selects all."""

    #: A key in the bucket, or its readable form.
    key: str | None = None
    #: The first parts of either form; whole parts only.
    prefix: str | None = None
    #: Name of a node.
    node: str | None = None
    version: int | None = None

    def __contains__(self, item: ListedEntry) -> bool:
        return (
            (self.key is None or matches(item.key, self.key, whole=True))
            and (self.prefix is None or matches(item.key, self.prefix))
            and (self.node is None or (item.entry is not None and item.entry.node == self.node))
            and (self.version is None or item.part(_VERSION) == str(self.version))
        )


class ListedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the bucket."""

    key: str
    #: Bytes in the bucket and, for large content, in the object store.
    size: int
    #: ``None``: it cannot be decoded.
    entry: CacheEntry | None

    def part(self, index: int) -> str:
        """A token of the key, as escaped there; empty where there is none."""
        tokens = self.key.split(".")
        return tokens[index] if index < len(tokens) else ""


class CacheStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of the result cache."""

    entries: int
    #: Bytes.
    size: int
    by_strategy: dict[str, int]
    #: Counts by name, over all processes of the last 30 days.
    counts: dict[str, int]
    #: Share of requests that were answered without a generation; ``None`` without requests.
    hit_rate: float | None


async def items(wire: RequestMultiplexer, selected: CacheFilter) -> AsyncIterator[ListedEntry]:
    """Yield the selected entries, oldest first.

    Raises:
        StreamMissing: the topology is not applied.
        Unavailable: the broker does not answer.
    """
    async for entry in log.read(wire, cache_store.STREAM, f"$KV.{cache_store.BUCKET}.>"):
        if buckets.OPERATION in entry.headers or _key(entry).startswith(cache_stats.PREFIX):
            continue
        item = _item(entry)
        if item in selected:
            yield item


async def purge(wire: RequestMultiplexer, key: str) -> None:
    """Remove one entry, also from the memory of every process.

    Raises:
        PurgeRefusedError: naming the broker's reason.
        Unavailable: the broker does not answer.
    """
    ack = await wire.publish(f"$KV.{cache_store.BUCKET}.{key}", b"", buckets.PURGE)
    if ack.error is not None:
        raise PurgeRefusedError(f"the broker refuses to remove {key}: {ack.error.description}")


async def purge_all(wire: RequestMultiplexer, keys: Iterable[str]) -> None:
    """Remove several entries, as :func:`purge`.

    Raises:
        PurgeRefusedError: naming the broker's reason.
        Unavailable: the broker does not answer.
    """
    left = iter(keys)
    while batch := list(islice(left, _AT_ONCE)):
        await asyncio.gather(*(purge(wire, each) for each in batch))


async def statistics(wire: RequestMultiplexer) -> CacheStatistics:
    """Read all entries and counts.

    Raises:
        StreamMissing: the topology is not applied.
        Unavailable: the broker does not answer.
    """
    counts: Counter[str] = Counter()
    by_strategy: Counter[str] = Counter()
    entries = size = 0
    async for entry in log.read(wire, cache_store.STREAM, f"$KV.{cache_store.BUCKET}.>"):
        if buckets.OPERATION in entry.headers:
            continue
        if _key(entry).startswith(cache_stats.PREFIX):
            counts.update(msgspec.json.decode(entry.body, type=dict[str, int]))
            continue
        item = _item(entry)
        entries, size = entries + 1, size + item.size
        by_strategy[item.part(_STRATEGY)] += 1
    answered = sum(counts[name] for name in cache_stats.ANSWERED)
    asked = answered + counts["led"] + counts["taken_over"]
    return CacheStatistics(
        entries=entries,
        size=size,
        by_strategy=dict(sorted(by_strategy.items())),
        counts={name: counts[name] for name in cache_stats.COUNTS},
        hit_rate=answered / asked if asked else None,
    )


def _key(entry: LogEntry) -> str:
    return entry.subject.removeprefix(f"$KV.{cache_store.BUCKET}.")


def _item(entry: LogEntry) -> ListedEntry:
    try:
        cached = msgspec.json.decode(entry.body, type=CacheEntry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        cached = None
    large = cached.content_ref.size if cached is not None and cached.content_ref is not None else 0
    return ListedEntry(key=_key(entry), size=len(entry.body) + large, entry=cached)

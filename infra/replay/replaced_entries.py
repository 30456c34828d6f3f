"""Cache entries that replays replace: kept before a replay is published, and put back when its job is undone."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import bucket_table, envelope
from contracts.cache_entry import CacheEntry
from infra.nats import buckets, submissions
from infra.nats.atomic import Publication
from infra.nats.submissions import Submission
from infra.replay import earlier
from infra.replay.logged_ends import read_each
from infra.stores import cache_store

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

#: Ids have no dot: a kept entry never meets the mark of a replay.
_PREFIX: Final = f"$KV.{bucket_table.REPLAYS.name}.entry."
_decode: Final = msgspec.json.Decoder(CacheEntry).decode


class RemovedEntries(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the cache entries of replays that are undone."""

    #: Entries that were still the replay's, and are no longer there.
    removed: int
    #: Of them, those whose place has the entry again that the replay had replaced.
    put_back: int


async def keep(wire: RequestMultiplexer, keys: Mapping[str, str]) -> None:
    """Keep the entries that the cache has for replays that are about to be published.

    Args:
        wire: an open wire.
        keys: by the id of a replay, the key that it will write under.

    Raises:
        UnderstudyError: the broker refuses one.
        StreamMissing, Unavailable: the broker does not answer.
    """
    stored = await _read_live(wire, keys.values())
    kept = [
        Publication(
            subject=_PREFIX + request_id, body=stored[key].body, headers={envelope.EXPECTED_LAST: "0"}
        )
        for request_id, key in keys.items()
        # Its own: an earlier run had published it, and kept what was there then.
        if key in stored and _decode(stored[key].body).request_id != request_id
    ]
    states = await submissions.store_once(wire, kept, lambda ids: _read_kept(wire, ids))
    taken = {
        _find_id(each): each for each, state in zip(kept, states, strict=True) if state is Submission.TAKEN
    }
    if not taken:
        return
    before, published = await _read_kept(wire, taken), await submissions.owners(wire, list(taken))
    for request_id in taken.keys() - published.keys():
        # Kept by a run that did not come to publish its request.
        headers = {envelope.EXPECTED_LAST: str(before[request_id].sequence)}
        await wire.publish(taken[request_id].subject, taken[request_id].body, headers)


async def remove(
    wire: RequestMultiplexer, engine: Engine, job: int, keys: Mapping[str, str]
) -> RemovedEntries:
    """Remove the entries that replays have made, unless others have replaced them, and put back those before them.

    Args:
        wire: an open wire.
        engine: the database.
        job: the job that is being undone.
        keys: by the id of a replay, the key that it wrote under.

    Raises:
        StreamMissing, Unavailable: the broker does not answer.
        sqlalchemy.exc.SQLAlchemyError: the database.
    """
    own = await _read_own(wire, keys)
    before = await _find_before(wire, engine, job, own)
    removed = put_back = 0
    for request_id, entry in own.items():
        # On its revision: an entry that another request writes meanwhile stays.
        condition = {envelope.EXPECTED_LAST: str(entry.sequence)}
        known = before.get(request_id)
        left_s = _count_seconds_left(known)
        if known is not None and left_s > 0:
            headers = {buckets.TTL: buckets.ttl(math.ceil(left_s)), **condition}
            ack = await wire.publish(entry.subject, known, headers)
            put_back += ack.error is None
        else:
            ack = await wire.publish(entry.subject, b"", {**buckets.PURGE, **condition})
        removed += ack.error is None
    return RemovedEntries(removed=removed, put_back=put_back)


async def count(
    wire: RequestMultiplexer, engine: Engine, job: int, keys: Mapping[str, str]
) -> RemovedEntries:
    """What :func:`remove` would do now; nothing changes.

    Raises:
        StreamMissing, Unavailable: the broker does not answer.
        sqlalchemy.exc.SQLAlchemyError: the database.
    """
    own = await _read_own(wire, keys)
    before = await _find_before(wire, engine, job, own)
    put_back = sum(_count_seconds_left(before.get(each)) > 0 for each in own)
    return RemovedEntries(removed=len(own), put_back=put_back)


async def _read_own(wire: RequestMultiplexer, keys: Mapping[str, str]) -> dict[str, LogEntry]:
    """By replay, the entry that is still its own."""
    stored = await _read_live(wire, keys.values())
    return {
        request_id: stored[key]
        for request_id, key in keys.items()
        if key in stored and _decode(stored[key].body).request_id == request_id
    }


def _count_seconds_left(entry: bytes | None) -> float:
    return 0.0 if entry is None else _decode(entry).expires_at_ms / 1000 - time.time()


async def _find_before(
    wire: RequestMultiplexer, engine: Engine, job: int, request_ids: Collection[str]
) -> dict[str, bytes]:
    """By replay, the entry that its own replaced, or the last one before it that is of no undone replay."""
    found: dict[str, bytes] = {}
    #: By replay, the one whose kept entry comes next.
    following = {each: each for each in request_ids}
    seen: set[str] = set()
    while following:
        kept = await _read_kept(wire, set(following.values()))
        makers = {request_id: _decode(entry.body).request_id for request_id, entry in kept.items()}
        gone = await asyncio.to_thread(earlier.find_gone, engine, job, makers.values())
        seen.update(following.values())
        further: dict[str, str] = {}
        for request_id, at in following.items():
            maker = makers.get(at)
            if maker is None:
                continue
            if maker not in gone:
                found[request_id] = kept[at].body
            elif maker not in seen:
                further[request_id] = maker
        following = further
    return found


async def _read_live(wire: RequestMultiplexer, keys: Collection[str]) -> dict[str, LogEntry]:
    """The entries that the cache has now, by key."""
    asked = [cache_store.subject(each) for each in sorted(set(keys))]
    entries = await read_each(wire, cache_store.STREAM, asked)
    return {cache_store.key_of(entry): entry for entry in entries if cache_store.is_live(entry)}


async def _read_kept(wire: RequestMultiplexer, request_ids: Collection[str]) -> dict[str, LogEntry]:
    """The entries that were kept, by replay."""
    entries = await read_each(wire, bucket_table.REPLAYS.stream, [_PREFIX + each for each in request_ids])
    return {entry.subject.removeprefix(_PREFIX): entry for entry in entries}


def _find_id(kept: Publication) -> str:
    return kept.subject.removeprefix(_PREFIX)

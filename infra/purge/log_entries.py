"""Messages of the broker that are a person's: in the log, in buckets and in the object store."""

from __future__ import annotations

import asyncio
import base64
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import bucket_table, pipeline, subjects
from contracts.bucket_table import Bucket
from contracts.errors import Unavailable
from contracts.ownership import PurgeScope, ScopeKind
from contracts.policy import cache_key
from contracts.policy.budget_scope import parse_account_name
from infra.nats import buckets, log
from infra.stores import assets, cache_store
from infra.stores.stream_fill import call_api

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.purge.persons_requests import PersonsRequests

#: Calls to the broker at once.
_AT_ONCE: Final = 16
#: JetStream errors: there is no such message; the stream does not allow its deletion.
_GONE: Final = 10043
_NOT_ALLOWED: Final = 10057
#: A reference to an object, as messages have it.
_OBJECT: Final = re.compile(rb'"object":"([0-9a-f]{64})"')
#: Buckets whose entries name a request.
_NAMED: Final = (
    bucket_table.CACHE,
    bucket_table.FLIGHTS,
    bucket_table.LEDGER,
    bucket_table.REPLAYS,
    bucket_table.BUDGETS,
    bucket_table.STRIKES,
)
_SEED: Final = cache_key.TOKENS.index("seed")
_KEPT_ENTRY: Final = "entry."


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message to be deleted."""

    stream: str
    sequence: int
    subject: str
    #: Objects that it refers to.
    objects: tuple[str, ...] = ()


class _Named(msgspec.Struct, frozen=True):
    """What entries and events say of the request that they are about."""

    request_id: str = ""
    replay_of: str = ""
    revised_by: str = ""
    undoes: str | None = None


def _names(body: bytes) -> _Named:
    with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return msgspec.json.decode(body, type=_Named)
    return _Named()


async def find_messages(wire: RequestMultiplexer, found: PersonsRequests) -> list[StoredMessage]:
    """Every message of the log about a person's requests.

    Raises:
        StreamMissing, Unavailable: the broker does not answer.
    """
    messages: dict[tuple[str, int], StoredMessage] = {}
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(request_id: str) -> None:
        async with limit:
            for stream, subject in _places(request_id):
                async for entry in log.read(wire, stream, subject):
                    messages[stream, entry.sequence] = _stored(entry)

    async with asyncio.TaskGroup() as group:
        for each in sorted(found.ids):
            if subjects.addressable(each):
                group.create_task(one(each))
    for stream, sequence in found.messages:
        entry = await log.get(wire, stream, sequence)
        if entry is not None:
            messages[stream, sequence] = _stored(entry)
    # What replays of the person's brought to the subscribers of others.
    async for entry in log.read(wire, pipeline.EVENTS, "gen.revised.>"):
        named = _names(entry.body)
        if named.revised_by in found.ids or named.undoes in found.ids:
            messages[entry.stream, entry.sequence] = _stored(entry)
    return list(messages.values())


def _places(request_id: str) -> Iterator[tuple[str, str]]:
    for stream in (pipeline.REQUESTS, pipeline.EVENTS):
        yield stream, subjects.all_events(request_id)
    yield pipeline.EVENTS, f"gen.timer.*.{request_id}.*"
    # Copies of letters among the events are foreign, and go too.
    for stream in (pipeline.DEAD, pipeline.EVENTS):
        yield stream, subjects.dead("*", "*", request_id)


def _stored(entry: LogEntry) -> StoredMessage:
    objects = tuple(sorted({each.decode() for each in _OBJECT.findall(entry.body)}))
    return StoredMessage(stream=entry.stream, sequence=entry.sequence, subject=entry.subject, objects=objects)


async def find_entries(
    wire: RequestMultiplexer, found: PersonsRequests, messages: Iterable[StoredMessage]
) -> list[StoredMessage]:
    """Entries of buckets that a person's requests made, and copies of them among the events.

    Raises:
        StreamMissing, Unavailable: the broker does not answer.
    """
    strikes = {f"{each.stream}-{each.sequence}" for each in messages}
    entries: list[StoredMessage] = []
    for bucket in _NAMED:
        prefix = bucket.subjects[0].removesuffix(">")
        for stream in (bucket.stream, pipeline.EVENTS):
            entries += [
                _stored(entry)
                async for entry in log.read(wire, stream, f"{prefix}>")
                if _is_theirs(bucket, entry, entry.subject.removeprefix(prefix), found, strikes)
            ]
    return entries


def _is_theirs(bucket: Bucket, entry: LogEntry, key: str, found: PersonsRequests, strikes: set[str]) -> bool:
    match bucket:
        case bucket_table.CACHE:
            return _names(entry.body).request_id in found.every_id or _is_players(found.scope, key)
        case bucket_table.FLIGHTS:
            return entry.body.decode("ascii", "replace") in found.every_id or _is_players(found.scope, key)
        case bucket_table.LEDGER:
            return _names(entry.body).request_id in found.every_id
        case bucket_table.REPLAYS:
            named = _names(entry.body)
            of = key.removeprefix(_KEPT_ENTRY)
            return of in found.ids or bool({named.request_id, named.replay_of} & found.every_id)
        case bucket_table.BUDGETS:
            account = parse_account_name(key)
            workspace = found.scope.kind is ScopeKind.WORKSPACE
            return workspace and account is not None and account.workspace == found.scope.value
        case _:
            return key.rpartition(".")[2] in strikes


def _is_players(scope: PurgeScope, key: str) -> bool:
    """Whether a cache key is of content that a player shares with nobody."""
    if scope.kind is not ScopeKind.PLAYER:
        return False
    return key.split(".")[_SEED : _SEED + 1] == [cache_key.escape(f"player:{scope.value}")]


async def find_objects(wire: RequestMultiplexer, gone: Iterable[StoredMessage]) -> list[StoredMessage]:
    """Objects that only these messages refer to: their metadata, their bytes, and copies among the events.

    Args:
        wire: an open wire.
        gone: messages and entries that are deleted, or are going to be.

    Raises:
        StreamMissing, Unavailable: the broker does not answer.
    """
    gone = list(gone)
    left = {each for one in gone for each in one.objects}
    if not left:
        return []
    places = {(each.stream, each.sequence) for each in gone}
    async for entry in _referring(wire):
        if (entry.stream, entry.sequence) not in places:
            left -= {each.decode() for each in _OBJECT.findall(entry.body)}
    found: list[StoredMessage] = []
    for each in sorted(left):
        name = base64.urlsafe_b64encode(each.encode()).decode()
        places_of = [f"$O.{assets.BUCKET}.M.{name}"]
        info = await log.last(wire, assets.STREAM, places_of[0])
        if info is not None:
            places_of.append(f"$O.{assets.BUCKET}.C.{_nuid(info)}")
        for stream in (assets.STREAM, pipeline.EVENTS):
            for subject in places_of:
                found += [_stored(entry) async for entry in log.read(wire, stream, subject)]
    return found


async def _referring(wire: RequestMultiplexer) -> AsyncIterator[LogEntry]:
    for stream, subject in (
        (pipeline.EVENTS, "gen.>"),
        (pipeline.DEAD, "dead.>"),
        (cache_store.STREAM, ">"),
        (bucket_table.REPLAYS.stream, ">"),
    ):
        async for entry in log.read(wire, stream, subject):
            yield entry


def _nuid(info: LogEntry) -> str:
    try:
        return str(msgspec.json.decode(info.body, type=dict[str, object])["nuid"])
    except (msgspec.MsgspecError, KeyError):
        return "-"


async def erase(
    wire: RequestMultiplexer, messages: Iterable[StoredMessage], not_erased: set[str]
) -> Counter[str]:
    """Delete messages, and have the broker overwrite their bytes; how many, by stream.

    Args:
        wire: an open wire.
        messages: what goes.
        not_erased: gets the streams that do not let the bytes of single messages be overwritten.

    Raises:
        Unavailable: the broker does not answer, or refuses.
    """
    # Requests first: what is left of a request without its ``requested`` is no request.
    ordered = sorted(
        messages, key=lambda each: (each.stream != pipeline.REQUESTS, each.stream, each.sequence)
    )
    removed: Counter[str] = Counter()
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        counts = await asyncio.gather(*(_erase(wire, each, not_erased) for each in some))
        for each, count in zip(some, counts, strict=True):
            removed[each.stream] += count
    return removed


async def _erase(wire: RequestMultiplexer, message: StoredMessage, not_erased: set[str]) -> int:
    call = f"STREAM.MSG.DELETE.{message.stream}"
    answer = await call_api(wire, call, {"seq": message.sequence}, unless=frozenset({_GONE, _NOT_ALLOWED}))
    if "error" not in answer:
        return 1
    if await log.get(wire, message.stream, message.sequence) is None:
        return 0
    if not message.stream.startswith("KV_"):
        raise Unavailable(f"the broker refuses {call}: {answer['error'].get('description')}")
    # Buckets of earlier releases deny it, and allow their entries to be purged.
    not_erased.add(message.stream)
    purged = await call_api(wire, f"STREAM.PURGE.{message.stream}", {"filter": message.subject})
    return int(purged["purged"])


async def tell_processes(wire: RequestMultiplexer) -> None:
    """Have every running process empty its caches.

    Raises:
        Unavailable: the broker does not answer.
    """
    ack = await wire.publish(cache_store.FORGET, b"", buckets.PURGE)
    if ack.error is not None:
        raise Unavailable(f"the broker refuses to tell the stages: {ack.error.description}")

"""Tail of the log: past and new messages of all streams, in the order of their time."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from nats import errors as nats_errors
from understudy_client.tasks import end_tasks

from contracts import events as ev
from contracts import pipeline, subjects
from contracts.errors import UnderstudyError
from infra.inspect import record
from infra.inspect.record import LogRecord
from infra.nats import log, ordered
from infra.nats.inbox import BoundedInbox

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.nats.ordered import LogGap

#: Progress messages, core NATS.
_PROGRESS: Final = tuple(f"gen.{each.name}.>" for each in (ev.Progress, ev.ShadowProgress))
#: Seconds that a live message waits for an earlier one of another stream.
_SETTLE_S: Final = 0.05
#: Records that wait to be shown.
_MOST: Final = 10_000


class PatternError(UnderstudyError):
    """A pattern that cannot match anything; the text says why."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """The subscriptions that a pattern and an id resolve to."""

    #: Filters by stream; they do not overlap.
    streams: dict[str, tuple[str, ...]]
    #: Subjects of progress messages; none: none are shown.
    progress: tuple[str, ...]


def intersect(one: str, other: str) -> str | None:
    """The subject pattern that matches what both patterns match; ``None`` where that is nothing."""
    left, right = one.split("."), other.split(".")
    met: list[str] = []
    while left and right:
        if left == [">"]:
            return ".".join([*met, *right])
        if right == [">"]:
            return ".".join([*met, *left])
        mine, yours = left.pop(0), right.pop(0)
        if mine in ("*", yours):
            met.append(yours)
        elif yours == "*":
            met.append(mine)
        else:
            return None
    return None if left or right else ".".join(met)


def resolve(pattern: str | None, request_id: str | None, *, progress: bool | None = None) -> Watched:
    """Resolve a pattern and an id to subscriptions.

    Progress messages outnumber all others, so by default they are included only for one request.

    Args:
        pattern: a NATS subject, wildcards allowed; none: everything.
        request_id: only this request.
        progress: whether to include progress messages; a pattern for them always does.

    Raises:
        PatternError: it is no subject, or no subject of the pipeline matches it.
    """
    pattern = _checked(pattern or ">")
    wanted: tuple[str, ...] = (pattern,)
    if request_id is not None:
        # Events about a rejected id exist too.
        if not subjects.addressable(request_id):
            raise PatternError(f"request id {request_id!r} cannot be part of a subject")
        lives = (subjects.all_events(request_id), subjects.dead("*", "*", request_id))
        wanted = _met((pattern,), lives)
    streams: dict[str, tuple[str, ...]] = {}
    for stream in (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD):
        kept = pipeline.stream_subjects(stream)
        found = _met(wanted, kept)
        if found:
            streams[stream] = found
    included = request_id is not None if progress is None else progress
    included = included or pattern.startswith(tuple(each.removesuffix(">") for each in _PROGRESS))
    written = _met(wanted, _PROGRESS) if included else ()
    if not streams and not written:
        raise PatternError(
            f"no subject of the pipeline matches {pattern!r}; they are gen.<event>.<kind>.<request_id> and "
            "dead.<stage>.<kind>.<request_id>, for instance gen.failed.> or gen.*.layout.*"
        )
    return Watched(streams=streams, progress=written)


def names_shadows(pattern: str | None) -> bool:
    """Whether a pattern asks for shadows: by their result's event, or by an id."""
    tokens = (pattern or "").split(".")
    events = {ev.Shadowed.name, ev.ShadowProgress.name}
    return bool(events.intersection(tokens[1:2])) or any(map(subjects.is_shadow, tokens[3:4]))


def _met(ones: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    pairs = (intersect(one, other) for one in ones for other in others)
    return tuple(met for met in pairs if met is not None)


def _checked(pattern: str) -> str:
    tokens = pattern.split(".")
    whole = all(token and not any(char.isspace() for char in token) for token in tokens)
    wild = all(token in ("*", ">") or not set(token) & {"*", ">"} for token in tokens)
    if not whole or not wild or ">" in tokens[:-1]:
        raise PatternError(
            f"{pattern!r} is not a NATS subject: tokens are separated by dots and not empty, "
            "* stands for one token, > for the rest, at the end; for a part of an id use --id 'w-*'"
        )
    return pattern


async def past(
    wire: RequestMultiplexer,
    what: Watched,
    *,
    start: Mapping[str, int] | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    until: Mapping[str, int] | None = None,
) -> AsyncIterator[LogRecord]:
    """Yield the stored messages, merged by time.

    Args:
        wire: an open wire.
        what: from :func:`resolve`.
        start: first sequence by stream; none: from the start.
        since_ms: first broker timestamp, ms since the epoch; replaces ``start``.
        until_ms: first broker timestamp to leave out, ms since the epoch; none: to the end.
        until: first sequence by stream to leave out.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
    """
    sources = [
        _before(
            log.read(wire, stream, subject, start=(start or {}).get(stream, 1), since_ms=since_ms),
            (until or {}).get(stream),
        )
        for stream, filters in what.streams.items()
        for subject in _widest(filters)
    ]
    heads: list[tuple[int, int, LogEntry]] = []
    for index, source in enumerate(sources):
        await _push(heads, source, index)
    while heads:
        _, index, entry = heapq.heappop(heads)
        if until_ms is not None and entry.time_ms >= until_ms:
            return
        found = record.decode(entry)
        if _wanted(found.subject, what):
            yield found
        await _push(heads, sources[index], index)


async def live(
    client: Client,
    what: Watched,
    *,
    start: Mapping[str, int],
    on_gap: Callable[[LogGap], None] | None = None,
    on_dropped: Callable[[int], None] | None = None,
    on_fault: Callable[[str], None] | None = None,
) -> AsyncGenerator[LogRecord, None]:
    """Yield new messages and progress as they come; never ends.

    Messages of different streams that arrive within 50 ms are sorted by time; those of one stream keep its order.

    Args:
        client: a connected client.
        what: from :func:`resolve`.
        start: first sequence by stream.
        on_gap: called when a stream has deleted messages before they could be read.
        on_dropped: called with the number of progress messages that came faster than they are read.
        on_fault: called with the reason when a stream cannot be followed at present.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.ordered.follow`.
    """
    arrived: BoundedInbox[LogRecord | Exception] = BoundedInbox(_MOST)

    async def read(stream: str, filters: tuple[str, ...]) -> None:
        try:
            entries = ordered.follow(
                client, stream, filters, start=start[stream], on_gap=on_gap, on_fault=on_fault
            )
            async for entry in entries:
                await arrived.put(record.decode(entry))
        except Exception as error:  # noqa: BLE001 - the reader of the tail gets it
            await arrived.put(error)

    async def written(msg: Msg) -> None:
        now = time.time_ns()
        arrived.offer(record.progress(msg.subject, msg.data, dict(msg.headers or {}), time_ns=now))

    listening: list[Subscription] = []
    readers = [asyncio.create_task(read(stream, filters)) for stream, filters in what.streams.items()]
    try:
        listening += [await client.subscribe(subject, cb=written) for subject in what.progress]
        async for found in _settled(arrived):
            if arrived.dropped and on_dropped is not None:
                on_dropped(arrived.dropped)
            arrived.dropped = 0
            yield found
    finally:
        await end_tasks(*readers)
        for each in () if client.is_closed else listening:
            with contextlib.suppress(nats_errors.Error):
                await each.unsubscribe()


async def _settled(arrived: BoundedInbox[LogRecord | Exception]) -> AsyncIterator[LogRecord]:
    """Hold each record for a moment, so that earlier ones of other streams come first."""
    loop = asyncio.get_running_loop()
    held: list[tuple[int, int, LogRecord]] = []
    # When each record's wait is over, in the order of arrival, and its place in the order of the log.
    due: deque[tuple[float, tuple[int, int]]] = deque()
    # The latest time by stream: a broker's clock that is set back must not change the order of a stream.
    latest: dict[str | None, int] = {}
    count = 0
    while True:
        now = loop.time()
        # Everything up to the latest record whose wait is over, in the order of the log.
        last = (-1, -1)
        while due and due[0][0] <= now:
            last = max(last, due.popleft()[1])
        while held and held[0][:2] <= last:
            yield heapq.heappop(held)[2]
        for came in await arrived.take(max(0.0, due[0][0] - loop.time()) if due else None):
            if isinstance(came, Exception):
                raise came
            count += 1
            at_ns = latest[came.stream] = max(came.time_ns, latest.get(came.stream, 0))
            heapq.heappush(held, (at_ns, count, came))
            due.append((loop.time() + _SETTLE_S, (at_ns, count)))


async def _before(entries: AsyncIterator[LogEntry], end: int | None) -> AsyncIterator[LogEntry]:
    async for entry in entries:
        if end is not None and entry.sequence >= end:
            return
        yield entry


async def _push(heads: list[tuple[int, int, LogEntry]], source: AsyncIterator[LogEntry], index: int) -> None:
    entry = await anext(source, None)
    if entry is not None:
        heapq.heappush(heads, (entry.time_ns, index, entry))


def _widest(filters: tuple[str, ...]) -> tuple[str, ...]:
    """The subjects to read: one filter as it is, several in one pass over the stream."""
    if len(filters) == 1:
        return filters
    # One read instead of eleven; the caller drops what does not match.
    tokens = [subject.split(".") for subject in filters]
    if len({len(each) for each in tokens}) > 1 or any(">" in each for each in tokens):
        return (">",)
    return (".".join(column[0] if len(set(column)) == 1 else "*" for column in zip(*tokens, strict=True)),)


def _wanted(subject: str, what: Watched) -> bool:
    return any(intersect(subject, one) is not None for filters in what.streams.values() for one in filters)

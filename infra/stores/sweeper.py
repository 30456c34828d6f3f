"""Which finished work leaves the log when its streams fill up?

First the head is cut off both streams, one call each: everything before the oldest request that is
not done.  What a request that is cut off leaves behind the cut goes message by message.  Only if that is
not enough, because an old request holds the head, finished requests behind it go message by message too.
docs/adr/0003 has the figures, and why not by subject.

A request is done when audit has its result's row, when that was long enough ago for late stages to
have noticed, and when audit has acknowledged everything up to then.  Its id is free again afterwards:
the log has forgotten it, and a new request with the same id is a new request.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import Engine, exists, func, select
from sqlalchemy.exc import SQLAlchemyError

from contracts import pipeline, subjects
from contracts.errors import Unavailable, UnderstudyError
from infra.nats import log as event_log
from infra.nats.topology_fields import BUDGET_KEY
from infra.stores import anomalies, database
from infra.stores.database import GENERATION_LOGS, GENERATIONS, reading
from infra.telemetry.store_events import AnomaliesFound, StreamsFilling, StreamsSwept, SweepDelayed
from stages.audit.fold import REPEATED

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.settings.settings import Settings
    from infra.stores.anomalies import Anomalies
    from infra.telemetry.dispatch import Telemetry

#: Share of a stream's byte limit above which the sweeper starts, and at which it stops.
START_ABOVE: Final = 0.8
STOP_BELOW: Final = 0.7
#: Clocks of a cluster's servers may differ by this much, ms.
SKEW_MS: Final = 1_000
#: Messages that one look deletes one by one at most.
ONE_BY_ONE: Final = 20_000

#: What is deleted must have passed these; what context-build refuses unread has no row until then.
_PASSED: Final = {
    pipeline.REQUESTS: ("context-build", "audit"),
    # A plot that waits for its scenes is not acknowledged: it still looks at their results.
    pipeline.EVENTS: ("context-build", "audit"),
}
#: The request goes before its events: what is left of a life without its ``requested`` is no request.
_ORDER: Final = (pipeline.REQUESTS, pipeline.EVENTS)
_ROUNDS: Final = 5
#: How far back each look searches for anomalies, ms.
_TELL_MS: Final = 3_600_000
_PAGE: Final = 256
_AT_ONCE: Final = 16
#: Ids that are looked up in one call; the broker answers with up to 1024 messages.
_IDS: Final = 32
#: Requests that one cut parts from their events at most.
_STRADDLING: Final = 2_000
#: Requests asked about in the log because audit cannot tell whether they are open.
_DOUBTS: Final = 500
#: JetStream errors: there is no message with this sequence; it cannot be deleted, for one because it is gone.
_NOT_DELETED: Final = frozenset({10043, 10057})


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What one look led to."""

    #: Messages deleted from both streams.
    messages: int = 0
    #: How many of them went message by message, because an old request holds the head.
    one_by_one: int = 0
    #: Fullest stream's share of its limit, before and after.
    before: float
    after: float


class _Stream(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    bytes: int
    limit: int
    messages: int
    first: int
    last: int

    @property
    def share(self) -> float:
        return self.bytes / self.limit if self.limit > 0 else 0.0

    @property
    def excess(self) -> float:
        """Share of its messages that has to go, were they of equal size."""
        return max(0.0, 1 - STOP_BELOW * self.limit / self.bytes) if self.bytes and self.limit > 0 else 0.0

    @property
    def target(self) -> int:
        """First sequence to keep, were messages evenly spread."""
        return self.first + round((self.last - self.first + 1) * self.excess)


async def sweep_once(
    wire: RequestMultiplexer, engine: Engine, *, settle_ms: int, now_ms: int, skew_ms: int = SKEW_MS
) -> Swept:
    """Delete done requests from the log, oldest first, until there is room.

    Args:
        wire: an open wire.
        engine: the audit's database.
        settle_ms: how long ago a request must have ended.
        now_ms: ms since the epoch.
        skew_ms: how far the clocks of a cluster's servers may be apart.

    Raises:
        Unavailable: the broker does not answer; try again at the next look.
        sqlalchemy.exc.SQLAlchemyError: nor does the database.
    """
    streams = await _streams(wire)
    before = _fullest(streams)
    if before <= START_ABOVE:
        return Swept(before=before, after=before)
    look = _Look(wire, engine, ended_before_ms=now_ms - settle_ms, skew_ms=skew_ms)
    messages = 0
    for _ in range(_ROUNDS):
        cut_ms = await look.cut_ms(streams)
        whole_ms, ids = await look.straddling(cut_ms)
        gone = await look.cut_head(streams[pipeline.REQUESTS], whole_ms)
        gone += await look.forget(ids, streams)
        gone += await look.cut_head(streams[pipeline.EVENTS], cut_ms)
        messages += gone
        streams = await _streams(wire)
        if not gone or _fullest(streams) <= STOP_BELOW:
            break
    one_by_one = 0
    for name in _ORDER:
        if streams[name].share > STOP_BELOW:
            one_by_one += await look.pick(name, streams)
    return Swept(
        messages=messages + one_by_one,
        one_by_one=one_by_one,
        before=before,
        after=_fullest(await _streams(wire)),
    )


async def run(wire: RequestMultiplexer, engine: Engine, settings: Settings, *, telemetry: Telemetry) -> None:
    """Look again and again, one copy of audit at a time; a look that fails is reported and repeated."""
    # A worker that lost its result to another one has noticed by then, or lost its lease.
    settle_ms = round(settings.ack_wait * 3000)
    told: dict[str, int] = {}
    while True:
        await asyncio.sleep(settings.audit.sweep_every)
        now_ms = round(time.time() * 1000)
        try:
            async with _alone(engine):
                swept = await sweep_once(wire, engine, settle_ms=settle_ms, now_ms=now_ms)
                found = await look_for_anomalies(wire, engine, now_ms=now_ms)
        except database.DatabaseBusy:
            continue
        except (UnderstudyError, SQLAlchemyError) as error:
            telemetry.emit(SweepDelayed(problem=f"{type(error).__name__}: {error}".splitlines()[0]))
            continue
        if swept.after > START_ABOVE:
            telemetry.emit(StreamsFilling(**msgspec.structs.asdict(swept)))
        elif swept.before > START_ABOVE:
            telemetry.emit(StreamsSwept(**msgspec.structs.asdict(swept)))
        if any(count > told.get(kind, 0) for kind, count in found.counts.items()):
            telemetry.emit(AnomaliesFound(counts=found.counts, request_ids=found.ids))
        told = found.counts


@asynccontextmanager
async def _alone(engine: Engine) -> AsyncGenerator[None]:
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, database.sweeping(engine))
        yield


async def look_for_anomalies(wire: RequestMultiplexer, engine: Engine, *, now_ms: int) -> Anomalies:
    """What came within the last hour and is not what it says.

    Raises:
        Unavailable: the broker does not answer.
        sqlalchemy.exc.SQLAlchemyError: nor does the database.
    """
    stream = await _api(wire, f"STREAM.INFO.{pipeline.REQUESTS}")
    consumer = await _api(wire, f"CONSUMER.INFO.{pipeline.REQUESTS}.audit")
    return await asyncio.to_thread(
        anomalies.find,
        engine,
        now_ms=now_ms,
        log_since_ms=anomalies.log_since_ms(stream, consumer),
        since_ms=now_ms - _TELL_MS,
    )


class _Look:
    """One look of the sweeper, and what it may delete."""

    def __init__(
        self, wire: RequestMultiplexer, engine: Engine, *, ended_before_ms: int, skew_ms: int
    ) -> None:
        self._wire = wire
        self._engine = engine
        self._ended_before_ms = ended_before_ms
        self._skew_ms = skew_ms

    async def cut_ms(self, streams: dict[str, _Stream]) -> int:
        """Everything before this time may go, and no more than has to; ms since the epoch."""
        # Past the target: many messages share a millisecond.
        wanted = [
            entry.time_ms + 1
            for stream in streams.values()
            if stream.share > STOP_BELOW
            if (entry := await event_log.first(self._wire, stream.name, ">", start=stream.target)) is not None
        ]
        heads = [head async for head in self._heads()]
        if not wanted or not heads or not await self._covers_head():
            return 0
        bounds = [max(wanted)]
        for stream in _ORDER:
            floor = await self._floor(streams[stream])
            waiting = await event_log.first(self._wire, stream, ">", start=floor + 1)
            if waiting is not None and floor < streams[stream].last:
                bounds.append(waiting.time_ms)
        undone = await asyncio.to_thread(self._undone, min(heads))
        bounds += [at_ms for at_ms in (undone, await self._reopened(min(heads))) if at_ms is not None]
        return min(bounds) - self._skew_ms

    async def straddling(self, cut_ms: int) -> tuple[int, list[str]]:
        """Where to cut REQUESTS, and which ids would leave something behind the cut.

        An id of which a result or a timer is left is taken again and not answered, since the broker has
        both; one of which a repetition of its request is left is not taken as a new request.  So what is
        left goes message by message, and no more requests are cut off than that can be done for.

        Returns:
            ms since the epoch, and ids.
        """
        heads = [head async for head in self._heads()]
        whole_ms, lives = await asyncio.to_thread(self._straddling, cut_ms, min(heads, default=cut_ms))
        ids: list[str] = []
        for start in range(0, len(lives), _AT_ONCE):
            some = lives[start : start + _AT_ONCE]
            owners = await asyncio.gather(*(event_log.owner(self._wire, each[0]) for each in some))
            # Only the request that has ended: an operator may have purged it, and somebody asked again.
            ids += [
                each[0]
                for each, owner in zip(some, owners, strict=True)
                if owner is not None and owner.time_ms == each[1]
            ]
        return whole_ms, ids

    def _straddling(self, cut_ms: int, head_ms: int) -> tuple[int, list[tuple[str, int]]]:
        row, again = GENERATIONS.c, GENERATIONS.alias().c
        late = (
            select(row.request_id, row.requested_at_ms)
            .where(row.ended_at_ms >= cut_ms, row.requested_at_ms.between(head_ms, cut_ms - 1))
            .order_by(row.requested_at_ms)
            .limit(_STRADDLING + 1)
        )
        with reading(self._engine) as connection:
            found = [(each[0], each[1]) for each in connection.execute(late)]
            whole_ms = found[_STRADDLING][1] if len(found) > _STRADDLING else cut_ms
            # The first request still stood there when it was repeated.
            repeated = select(row.request_id, row.requested_at_ms).where(
                row.requested_at_ms.between(head_ms, whole_ms - 1),
                row.status != REPEATED,
                exists().where(
                    again.request_id == row.request_id, again.life_ms >= whole_ms, again.status == REPEATED
                ),
            )
            lives = {(each[0], each[1]) for each in connection.execute(repeated)}
        return whole_ms, sorted(lives | {each for each in found if each[1] < whole_ms})

    async def forget(self, ids: list[str], streams: dict[str, _Stream]) -> int:
        """Delete what the log had about some ids, their requests first; how many messages.

        What came after the look at the streams stays: it may be a new request with an id that is free now.
        """
        gone = 0
        for start in range(0, len(ids), _IDS):
            for stream in _ORDER:
                gone += await self._forget(streams[stream], ids[start : start + _IDS])
        return gone

    async def cut_head(self, stream: _Stream, cut_ms: int) -> int:
        """Delete what is older than a time; how many messages."""
        if cut_ms <= 0:
            return 0
        keep = stream.last + 1
        async for entry in event_log.read(self._wire, stream.name, ">", since_ms=cut_ms):
            keep = entry.sequence
            break
        return await self._purge(stream.name, seq=keep) if keep > stream.first else 0

    async def pick(self, name: str, streams: dict[str, _Stream]) -> int:
        """Delete done requests one by one, from the head of a stream on; how many messages.

        Each goes whole, its ``requested`` first: an id whose result alone is left would be taken again, and
        its new request would get no result, since the broker has one.
        """
        events = streams[pipeline.EVENTS]
        floor = await self._floor(streams[name])
        gone = 0
        async for page in self._pages(name, floor):
            done = await asyncio.to_thread(self._done, {_id(each) for each in page}, events)
            stream = (await _streams(self._wire))[name]
            need = math.ceil(stream.messages * stream.excess)
            chosen = [each for each in page if _id(each) in done][: min(need, ONE_BY_ONE - gone)]
            gone += await self.forget(sorted({_id(each) for each in chosen}), streams)
            if need <= len(chosen) or gone >= ONE_BY_ONE:
                break
        return gone

    async def _forget(self, stream: _Stream, ids: list[str]) -> int:
        gone = 0
        wanted = [subject for one in ids for subject in (subjects.all_events(one), f"gen.timer.*.{one}.*")]
        while True:
            # The last message of each subject: what was asked twice comes up in the next round.
            found = await event_log.last_of_each(self._wire, stream.name, wanted, up_to=stream.last)
            if not found:
                return gone
            for start in range(0, len(found), _AT_ONCE):
                some = found[start : start + _AT_ONCE]
                gone += sum(
                    await asyncio.gather(*(self._delete(stream.name, each.sequence) for each in some))
                )

    async def _heads(self) -> AsyncIterator[int]:
        for name in _ORDER:
            head = await event_log.first(self._wire, name, ">")
            if head is not None:
                yield head.time_ms

    async def _covers_head(self) -> bool:
        """Does the database know the oldest request?  One that was set up later cannot tell what is open."""
        async for page in self._pages(pipeline.REQUESTS, sys.maxsize):
            for entry in page:
                with suppress(subjects.SubjectError):
                    address = subjects.parse(entry.subject)
                    # Audit writes nothing down about an id that no request can have.
                    if address.event == "requested" and address.acceptable:
                        return await asyncio.to_thread(self._knows, address.request_id)
            break
        return True

    def _knows(self, request_id: str) -> bool:
        query = select(GENERATIONS.c.request_id).where(GENERATIONS.c.request_id == request_id)
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None

    async def _pages(self, name: str, floor: int) -> AsyncIterator[list[LogEntry]]:
        page: list[LogEntry] = []
        async for entry in event_log.read(self._wire, name, ">"):
            if entry.sequence > floor:
                break
            page.append(entry)
            if len(page) >= _PAGE:
                yield page
                page = []
        yield page

    async def _floor(self, stream: _Stream) -> int:
        """Everything up to this sequence is acknowledged by all who count."""
        floors = [stream.last]
        for consumer in _PASSED[stream.name]:
            info = await _api(self._wire, f"CONSUMER.INFO.{stream.name}.{consumer}")
            if info["num_pending"] or info["num_ack_pending"]:
                floors.append(int(info["ack_floor"]["stream_seq"]))
        return min(floors)

    def _undone(self, since_ms: int) -> int | None:
        """When the oldest request came that has no result, or one of just now."""
        row = GENERATIONS.c
        opened = select(func.min(row.open_since_ms)).where(
            row.open_since_ms >= since_ms, row.status != REPEATED
        )
        fresh = select(func.min(row.requested_at_ms)).where(
            row.requested_at_ms >= since_ms, row.ended_at_ms > self._ended_before_ms
        )
        with reading(self._engine) as connection:
            found = [connection.execute(query).scalar() for query in (opened, fresh)]
        return min((at_ms for at_ms in found if at_ms is not None), default=None)

    async def _reopened(self, since_ms: int) -> int | None:
        """When the oldest request came whose id had been swept, used again, and that no stage has taken up.

        A duplicate looks the same to audit; but then the log still has the result, or the request is open.
        """
        doubts = await asyncio.to_thread(self._doubts, since_ms)
        for request_id, at_ms in doubts:
            result = subjects.any_kind("result", request_id)
            if await event_log.first(self._wire, pipeline.EVENTS, result) is None:
                return at_ms
        return doubts[-1][1] if len(doubts) >= _DOUBTS else None

    def _doubts(self, since_ms: int) -> list[tuple[str, int]]:
        row = GENERATIONS.c
        query = (
            select(row.request_id, row.open_since_ms)
            .where(row.open_since_ms >= since_ms, row.status == REPEATED)
            .order_by(row.open_since_ms)
            .limit(_DOUBTS)
        )
        with reading(self._engine) as connection:
            return [(found[0], found[1]) for found in connection.execute(query)]

    def _done(self, ids: set[str], events: _Stream) -> set[str]:
        """Those whose result has its log row and still stands in the log, and that nobody asked since."""
        log, row = GENERATION_LOGS.c, GENERATIONS.c
        since = exists().where(row.request_id == log.request_id, row.open_since_ms > log.ended_at_ms)
        query = select(log.request_id).where(
            log.request_id.in_(sorted(ids)),
            log.sequence.between(events.first, events.last),
            log.ended_at_ms <= self._ended_before_ms,
            ~since,
        )
        with reading(self._engine) as connection:
            return {found[0] for found in connection.execute(query)}

    async def _purge(self, stream: str, **what: Any) -> int:
        """Delete messages below ``seq``, or of a ``filter``; how many."""
        return int((await _api(self._wire, f"STREAM.PURGE.{stream}", what))["purged"])

    async def _delete(self, stream: str, sequence: int) -> int:
        call = f"STREAM.MSG.DELETE.{stream}"
        answer = await _api(self._wire, call, {"seq": sequence, "no_erase": True}, unless=_NOT_DELETED)
        if "error" in answer and await event_log.get(self._wire, stream, sequence) is not None:
            raise Unavailable(f"the broker refuses {call}: {answer['error'].get('description')}")
        return int("error" not in answer)


def _id(entry: LogEntry) -> str:
    # gen.<event>.<kind>.<id>, and a slot behind it for some timers.
    return entry.subject.split(".")[3]


async def _streams(wire: RequestMultiplexer) -> dict[str, _Stream]:
    found: dict[str, _Stream] = {}
    for name in _ORDER:
        info = await _api(wire, f"STREAM.INFO.{name}")
        config, state = info["config"], info["state"]
        # EVENTS cannot have a byte limit; its budget stands in the metadata.
        limit = int(config.get("max_bytes", 0))
        if limit <= 0:
            limit = int((config.get("metadata") or {}).get(BUDGET_KEY, 0))
        found[name] = _Stream(
            name=name,
            bytes=state["bytes"],
            limit=limit,
            messages=state["messages"],
            first=state["first_seq"],
            last=state["last_seq"],
        )
    return found


def _fullest(streams: dict[str, _Stream]) -> float:
    return max(stream.share for stream in streams.values())


async def _api(
    wire: RequestMultiplexer,
    call: str,
    body: dict[str, Any] | None = None,
    *,
    unless: frozenset[int] = frozenset(),
) -> dict[str, Any]:
    payload = msgspec.json.encode(body) if body else b""
    answer: dict[str, Any] = msgspec.json.decode((await wire.call(f"$JS.API.{call}", payload)).data or b"{}")
    error = answer.get("error")
    if error is not None and error.get("err_code") not in unless:
        raise Unavailable(f"the broker refuses {call}: {error.get('description')}")
    return answer

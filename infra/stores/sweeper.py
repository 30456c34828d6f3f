"""Which finished work leaves the log when its streams fill up?

First the head is cut off both streams, one call each: everything before the oldest request that is
not done.  Only if that is not enough, because an old request holds the head, finished requests
behind it go one by one, which costs the broker far more.  docs/adr/0003 has the figures.

A request is done when its row says that it ended, long enough ago for late stages to have noticed,
and when audit has acknowledged everything up to then.  Its id is free again afterwards: the log has
forgotten it, and a new request with the same id is a new request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import Engine, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from contracts import pipeline, subjects
from contracts.errors import Unavailable, UnderstudyError
from infra.nats import log as event_log
from infra.nats.drift import BUDGET_KEY
from infra.stores.database import GENERATION_LOGS, GENERATIONS, reading

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from infra.nats.wire import Wire
    from infra.settings import Settings

#: Share of a stream's byte limit above which the sweeper starts, and at which it stops.
START_ABOVE: Final = 0.8
STOP_BELOW: Final = 0.7
#: Requests that one look deletes one by one at most.
ONE_BY_ONE: Final = 2_000

#: What is deleted must have passed these; what context-build refuses unread has no row until then.
_PASSED: Final = (
    (pipeline.REQUESTS, "context-build"),
    (pipeline.REQUESTS, "audit"),
    (pipeline.EVENTS, "audit"),
)
#: The request goes before its events: what is left of a life without its ``requested`` is no request.
_ORDER: Final = (pipeline.REQUESTS, pipeline.EVENTS)
#: Clocks of a cluster's servers may differ by this much, ms.
SKEW_MS: Final = 1_000
_ROUNDS: Final = 5
_PAGE: Final = 256
_AT_ONCE: Final = 16


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What one look led to."""

    #: Messages deleted from both streams.
    messages: int = 0
    #: Requests among them that were deleted one by one.
    one_by_one: int = 0
    #: Fullest stream's share of its limit, before and after.
    before: float
    after: float


class _Stream(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    bytes: int
    limit: int
    first: int
    last: int

    @property
    def share(self) -> float:
        return self.bytes / self.limit if self.limit > 0 else 0.0

    @property
    def target(self) -> int:
        """First sequence to keep, if messages were of equal size and evenly spread."""
        excess = max(0.0, 1 - STOP_BELOW * self.limit / self.bytes) if self.bytes else 0.0
        return self.first + round((self.last - self.first + 1) * excess)


async def sweep_once(
    wire: Wire, engine: Engine, *, settle_ms: int, now_ms: int, skew_ms: int = SKEW_MS
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
    messages = 0
    for _ in range(_ROUNDS):
        cut = await _cut_ms(wire, engine, streams, ended_before_ms=now_ms - settle_ms) - skew_ms
        gone = 0
        for name in _ORDER:
            gone += await _cut_head(wire, streams[name], cut)
        messages += gone
        streams = await _streams(wire)
        if not gone or _fullest(streams) <= STOP_BELOW:
            break
    one_by_one = 0
    if _fullest(streams) > STOP_BELOW:
        one_by_one, gone = await _pick(wire, engine, ended_before_ms=now_ms - settle_ms)
        messages += gone
        streams = await _streams(wire)
    return Swept(messages=messages, one_by_one=one_by_one, before=before, after=_fullest(streams))


async def run(wire: Wire, engine: Engine, settings: Settings, *, log: FilteringBoundLogger) -> None:
    """Look again and again; a look that fails is told and repeated."""
    # A worker that lost its result to another one has noticed by then, or lost its lease.
    settle_ms = round(settings.ack_wait * 3000)
    while True:
        await asyncio.sleep(settings.audit.sweep_every)
        try:
            swept = await sweep_once(wire, engine, settle_ms=settle_ms, now_ms=round(time.time() * 1000))
        except (UnderstudyError, SQLAlchemyError) as error:
            log.warning("sweep put off", problem=f"{type(error).__name__}: {error}".splitlines()[0])
            continue
        if swept.after > START_ABOVE:
            log.warning("streams are filling up with unfinished work", **msgspec.structs.asdict(swept))
        elif swept.before > START_ABOVE:
            log.info("swept", **msgspec.structs.asdict(swept))


async def _cut_ms(wire: Wire, engine: Engine, streams: dict[str, _Stream], *, ended_before_ms: int) -> int:
    """Everything before this time may go, and no more than has to; ms since the epoch."""
    wanted = [
        # Past the target: many messages share a millisecond.
        entry.time_ms + 1
        for stream in streams.values()
        if stream.share > STOP_BELOW
        if (entry := await event_log.first(wire, stream.name, ">", start=stream.target)) is not None
    ]
    heads = [
        entry.time_ms
        for stream in streams.values()
        if (entry := await event_log.first(wire, stream.name, ">")) is not None
    ]
    if not wanted or not heads:
        return 0
    bounds = [max(wanted)]
    for stream, consumer in _PASSED:
        floor = await _floor(wire, stream, consumer)
        waiting = await event_log.first(wire, stream, ">", start=floor + 1) if floor is not None else None
        if waiting is not None:
            bounds.append(waiting.time_ms)
    undone = await asyncio.to_thread(
        _oldest_undone, engine, since_ms=min(heads), ended_before_ms=ended_before_ms
    )
    if undone is not None:
        bounds.append(undone)
    return min(bounds)


def _oldest_undone(engine: Engine, *, since_ms: int, ended_before_ms: int) -> int | None:
    row = GENERATIONS.c
    query = select(func.min(row.requested_at_ms)).where(
        row.requested_at_ms >= since_ms,
        or_(row.ended_at_ms.is_(None), row.ended_at_ms > ended_before_ms),
    )
    with reading(engine) as connection:
        return connection.execute(query).scalar()


async def _floor(wire: Wire, stream: str, consumer: str) -> int | None:
    """Everything up to this sequence is acknowledged; ``None``: everything there is."""
    info = await _api(wire, f"CONSUMER.INFO.{stream}.{consumer}")
    if not info["num_pending"] and not info["num_ack_pending"]:
        return None
    return int(info["ack_floor"]["stream_seq"])


async def _cut_head(wire: Wire, stream: _Stream, cut_ms: int) -> int:
    if cut_ms <= 0:
        return 0
    keep = stream.last + 1
    async for entry in event_log.read(wire, stream.name, ">", since_ms=cut_ms):
        keep = entry.sequence
        break
    return await _purge(wire, stream.name, seq=keep) if keep > stream.first else 0


async def _pick(wire: Wire, engine: Engine, *, ended_before_ms: int) -> tuple[int, int]:
    """Delete done requests by subject, in the order of their results; how many, and messages."""
    floor = await _floor(wire, pipeline.EVENTS, "audit")
    upto = (await _streams(wire))[pipeline.EVENTS].last if floor is None else floor
    requests = messages = 0
    async for page in _ended(wire, upto=upto, ended_before_ms=ended_before_ms):
        ids = await asyncio.to_thread(_logged, engine, page)
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            messages += sum(await asyncio.gather(*(_purge_life(wire, one, upto) for one in some)))
            requests += len(some)
            if requests >= ONE_BY_ONE or _fullest(await _streams(wire)) <= STOP_BELOW:
                return requests, messages
    return requests, messages


async def _ended(wire: Wire, *, upto: int, ended_before_ms: int) -> AsyncIterator[list[event_log.Entry]]:
    """Yield results, oldest first, page by page."""
    page: list[event_log.Entry] = []
    async for entry in event_log.read(wire, pipeline.EVENTS, "gen.result.>"):
        if entry.sequence > upto or entry.time_ms > ended_before_ms:
            break
        page.append(entry)
        if len(page) >= _PAGE:
            yield page
            page = []
    yield page


async def _purge_life(wire: Wire, request_id: str, upto: int) -> int:
    life = subjects.whole_life(request_id)
    gone = await _purge(wire, pipeline.REQUESTS, filter=life)
    return gone + await _purge(wire, pipeline.EVENTS, filter=life, seq=upto + 1)


def _id(result: event_log.Entry) -> str:
    return result.subject.rpartition(".")[2]


def _logged(engine: Engine, results: list[event_log.Entry]) -> list[str]:
    """The requests whose very result has its log row, in the same order."""
    row = GENERATION_LOGS.c
    query = select(row.request_id, row.sequence, row.ended_at_ms).where(
        row.request_id.in_([_id(each) for each in results])
    )
    with reading(engine) as connection:
        logged = {tuple(found) for found in connection.execute(query)}
    return [_id(each) for each in results if (_id(each), each.sequence, each.time_ms) in logged]


async def _streams(wire: Wire) -> dict[str, _Stream]:
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
            first=state["first_seq"],
            last=state["last_seq"],
        )
    return found


def _fullest(streams: dict[str, _Stream]) -> float:
    return max(stream.share for stream in streams.values())


async def _purge(wire: Wire, stream: str, **what: Any) -> int:
    """Delete messages below ``seq``, of a ``filter``, or both; how many."""
    return int((await _api(wire, f"STREAM.PURGE.{stream}", what))["purged"])


async def _api(wire: Wire, call: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    payload = msgspec.json.encode(body) if body else b""
    answer: dict[str, Any] = msgspec.json.decode((await wire.call(f"$JS.API.{call}", payload)).data or b"{}")
    if "error" in answer:
        raise Unavailable(f"the broker refuses {call}: {answer['error'].get('description')}")
    return answer

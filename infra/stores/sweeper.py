"""Sweeper: deletes done requests from the log when its streams fill up, and reports anomalies.

First it cuts the head off both streams, one call each: everything before the oldest request that is not
done.  What such a request has behind the cut is deleted message by message.  If that is not enough, because an
old request is still open, done requests behind it are deleted message by message too.  docs/adr/0003 has the
figures, and the reason why not by subject.

A request is done when audit has the row of its result, when that is long enough ago for late stages to have
noticed, and when audit has acknowledged everything up to then.  Afterwards its id is free: a new request with
the same id is a new request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from contracts import pipeline
from contracts.errors import UnderstudyError
from infra.stores import anomalies, database
from infra.stores.done_requests import DoneRequests
from infra.stores.foreign_messages import ForeignMessages
from infra.stores.log_deletion import LogDeletion
from infra.stores.stream_fill import ORDER, START_ABOVE, STOP_BELOW, call_api, fullest_share, read_fill
from infra.telemetry.store_events import (
    AnomaliesFound,
    ForeignMessagesFound,
    StreamsFilling,
    StreamsSwept,
    SweepDelayed,
)

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.settings.settings import Settings
    from infra.stores.anomalies import Anomalies
    from infra.telemetry.dispatch import Telemetry

#: Milliseconds by which the clocks of a cluster's servers may differ.
SKEW_MS: Final = 1_000
_ROUNDS: Final = 5
#: Milliseconds back from now that each look searches for anomalies.
_ANOMALIES_MS: Final = 3_600_000


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What one look deleted."""

    #: Messages deleted from both streams.
    messages: int = 0
    #: Those of them deleted one by one, because an older request is still open.
    one_by_one: int = 0
    #: Share of its limit that the fullest stream takes, before and after.
    before: float
    after: float


async def sweep_once(
    wire: RequestMultiplexer, engine: Engine, *, settle_ms: int, now_ms: int, skew_ms: int = SKEW_MS
) -> Swept:
    """Delete done requests from the log, oldest first, until there is room.

    Args:
        wire: an open wire.
        engine: the audit's database.
        settle_ms: how long ago a request must have ended, ms.
        now_ms: ms since the epoch.
        skew_ms: how far the clocks of a cluster's servers may differ, ms.

    Raises:
        Unavailable: the broker does not answer; try again at the next look.
        sqlalchemy.exc.SQLAlchemyError: the database does not answer.
    """
    streams = await read_fill(wire)
    before = fullest_share(streams)
    if before <= START_ABOVE:
        return Swept(before=before, after=before)
    requests = DoneRequests(engine, ended_before_ms=now_ms - settle_ms)
    log = LogDeletion(wire, requests, skew_ms=skew_ms)
    messages = 0
    for _ in range(_ROUNDS):
        cut_ms = await log.cut_ms(streams)
        whole_ms, ids = await log.straddling(cut_ms)
        gone = await log.cut_head(streams[pipeline.REQUESTS], whole_ms)
        gone += await log.forget(ids, streams)
        gone += await log.cut_head(streams[pipeline.EVENTS], cut_ms)
        messages += gone
        streams = await read_fill(wire)
        if not gone or fullest_share(streams) <= STOP_BELOW:
            break
    one_by_one = 0
    for name in ORDER:
        if streams[name].share > STOP_BELOW:
            one_by_one += await log.pick(name, streams)
    return Swept(
        messages=messages + one_by_one,
        one_by_one=one_by_one,
        before=before,
        after=fullest_share(await read_fill(wire)),
    )


async def run(wire: RequestMultiplexer, engine: Engine, settings: Settings, *, telemetry: Telemetry) -> None:
    """Sweep at intervals, in one copy of audit at a time; a failure is reported, and the next look tries again.

    First it creates or migrates the tables: before the first record, listings are empty and no errors.
    """
    await _prepare(engine, settings, telemetry=telemetry)
    # By then a worker whose result came second has noticed, or lost its lease.
    settle_ms = round(settings.ack_wait * 3000)
    reported: dict[str, int] = {}
    foreign = ForeignMessages()
    while True:
        await asyncio.sleep(settings.audit.sweep_every)
        now_ms = round(time.time() * 1000)
        try:
            async with _exclusive(engine):
                swept = await sweep_once(wire, engine, settle_ms=settle_ms, now_ms=now_ms)
                for stream, count in (await foreign.look(wire, engine)).items():
                    telemetry.emit(ForeignMessagesFound(stream=stream, count=count))
                found = await look_for_anomalies(wire, engine, now_ms=now_ms)
        except database.DatabaseBusy:
            continue
        except (UnderstudyError, SQLAlchemyError) as error:
            telemetry.emit(_delayed(error))
            continue
        if swept.after > START_ABOVE:
            telemetry.emit(StreamsFilling(**msgspec.structs.asdict(swept)))
        elif swept.before > START_ABOVE:
            telemetry.emit(StreamsSwept(**msgspec.structs.asdict(swept)))
        if any(count > reported.get(kind, 0) for kind, count in found.counts.items()):
            telemetry.emit(AnomaliesFound(counts=found.counts, request_ids=found.ids))
        reported = found.counts


async def _prepare(engine: Engine, settings: Settings, *, telemetry: Telemetry) -> None:
    while True:
        try:
            return await asyncio.to_thread(database.migrate, engine)
        except (UnderstudyError, SQLAlchemyError, OSError) as error:
            telemetry.emit(_delayed(error))
        await asyncio.sleep(settings.audit.sweep_every)


def _delayed(error: Exception) -> SweepDelayed:
    return SweepDelayed(problem=f"{type(error).__name__}: {error}".splitlines()[0])


@asynccontextmanager
async def _exclusive(engine: Engine) -> AsyncGenerator[None]:
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, database.sweeping(engine))
        yield


async def look_for_anomalies(wire: RequestMultiplexer, engine: Engine, *, now_ms: int) -> Anomalies:
    """Find messages of the last hour that are not what they claim to be.

    Raises:
        Unavailable: the broker does not answer.
        sqlalchemy.exc.SQLAlchemyError: the database does not answer.
    """
    stream = await call_api(wire, f"STREAM.INFO.{pipeline.REQUESTS}")
    consumer = await call_api(wire, f"CONSUMER.INFO.{pipeline.REQUESTS}.audit")
    return await asyncio.to_thread(
        anomalies.find,
        engine,
        now_ms=now_ms,
        log_since_ms=anomalies.log_since_ms(stream, consumer),
        since_ms=now_ms - _ANOMALIES_MS,
    )

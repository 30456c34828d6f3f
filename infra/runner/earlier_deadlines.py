"""Deadlines that an earlier life armed: after a restart the log says which, so that they too have a second guard.

What a killed process had in memory is gone; without this a timer that the broker then does not fire would be
missed until the broker starts again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec
from understudy_client.protocol import TRACEPARENT

from contracts import envelope, pipeline, subjects
from contracts import events as ev
from infra.nats import log
from infra.runner.deadlines import Armed

if TYPE_CHECKING:
    from infra.nats.clock import BrokerClock
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.runner.deadlines import Deadlines

#: Milliseconds that the broker's timer and the other processes have before these are looked at.
_GRACE_MS: Final = 1000
#: Seconds between two looks.
_LOOK_S: Final = 0.5
#: Requests of one question for their results.
_BATCH: Final = 256
#: Timers that are kept in memory; of twice as many the later ones are read again once these are over.
_MOST: Final = 20_000
_AT: Final = "@at "


class EarlierDeadlines:
    """What was armed before this process began and is not answered yet.

    Args:
        wire: an open wire.
        clock: the broker's time.
        deadlines: answers those that turn out to be missed.
    """

    def __init__(self, *, wire: RequestMultiplexer, clock: BrokerClock, deadlines: Deadlines) -> None:
        self._wire = wire
        self._clock = clock
        self._deadlines = deadlines
        #: By the time at which they are due.
        self._open: deque[Armed] = deque()

    async def run(self) -> None:
        """Read the timers of the log, and see to it until the last of them is answered.

        Raises:
            StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
        """
        whole = False
        while not whole:
            self._open, whole = await self.read()
            while self._open:
                await self._look()
                await asyncio.sleep(_LOOK_S)

    async def read(self) -> tuple[deque[Armed], bool]:
        """The timers that are due first, and whether these are all.

        Raises:
            StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
        """
        found: list[Armed] = []
        whole = True
        async for entry in log.read(self._wire, pipeline.EVENTS, subjects.gen("timer", "*", "*")):
            armed = read_timer(entry)
            if armed is not None:
                found.append(armed)
            if len(found) == 2 * _MOST:
                found, whole = heapq.nsmallest(_MOST, found, key=_due), False
        return deque(sorted(found, key=_due)), whole

    async def _look(self) -> None:
        until_ms = self._clock.now_ms() - _GRACE_MS
        while self._open and self._open[0].due_ms <= until_ms:
            some: list[Armed] = []
            while self._open and len(some) < _BATCH and self._open[0].due_ms <= until_ms:
                some.append(self._open.popleft())
            filters = sorted({subjects.any_answer(each.request_id) for each in some})
            results = await log.last_of_each(self._wire, pipeline.EVENTS, filters)
            answered = {entry.subject.rpartition(".")[2] for entry in results}
            for each in some:
                if each.request_id not in answered:
                    self._deadlines.armed(each)


def _due(armed: Armed) -> int:
    return armed.due_ms


def read_timer(entry: LogEntry) -> Armed | None:
    """The deadline of a timer; ``None``: it is another one, or cannot be read."""
    try:
        target = subjects.parse(entry.headers.get(envelope.SCHEDULE_TARGET, ""))
        at = datetime.fromisoformat(entry.headers.get(envelope.SCHEDULE, "").removeprefix(_AT))
        event = msgspec.json.decode(entry.body, type=ev.Deadline)
    except (subjects.SubjectError, ValueError):
        return None
    if target.event != ev.Deadline.name or at.tzinfo is None:
        return None
    return Armed(
        request_id=target.request_id,
        kind=target.kind,
        request_seq=event.request_seq,
        deadline_ms=event.deadline_ms,
        due_ms=round(at.timestamp() * 1000),
        traceparent=entry.headers.get(TRACEPARENT, ""),
    )

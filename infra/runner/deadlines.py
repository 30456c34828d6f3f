"""The deadlines that this process has armed, in memory: a second guard beside the broker's schedules.

The broker fires thousands of timers in a second only one by one; what it has not fired in time is answered
from here.  Rule 3 keeps a second answer out.  What is forgotten here is still with the broker.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec
from nats.aio.msg import Msg
from understudy_client.protocol import TRACEPARENT

from contracts import events as ev
from contracts import pipeline, subjects

if TYPE_CHECKING:
    from infra.nats.clock import BrokerClock
    from infra.nats.pull import Delivery

#: Milliseconds that the broker's own timer has before an answer comes from memory.
GRACE_MS: Final = 150
#: Milliseconds for an answer that is under way.
_CLAIMED_MS: Final = 2000
#: Seconds between two looks.
_LOOK_S: Final = 0.05
#: Answers from memory that are worked on at once.
_AT_ONCE: Final = 1024
#: Ended requests that are remembered, so that their late timers cost nothing.
_ENDED: Final = 20_000


class Armed(msgspec.Struct, frozen=True, kw_only=True):
    """One armed deadline."""

    request_id: str
    kind: str
    #: Sequence in REQUESTS.
    request_seq: int
    deadline_ms: int
    #: Broker's time, ms since the epoch.
    due_ms: int
    #: W3C trace context of the timer; empty: none.
    traceparent: str = ""


class DeadlineState(Enum):
    """What is known here of a deadline that the broker has fired."""

    OPEN = "open"
    #: It is being answered from memory.
    BUSY = "busy"
    ENDED = "ended"
    #: A result was heard of, which the broker may have refused.
    HEARD = "heard"
    #: Another process has armed it, or this one in an earlier life.
    UNKNOWN = "unknown"


class OverdueDeadline:
    """A deadline that the broker has not fired, in the shape of a delivery."""

    stream = pipeline.EVENTS
    sequence = 0
    deliveries = 1

    def __init__(self, armed: Armed, deadlines: Deadlines, now_ms: int) -> None:
        self._armed = armed
        self._deadlines = deadlines
        event = ev.Deadline(request_seq=armed.request_seq, deadline_ms=armed.deadline_ms)
        self.time_ms = now_ms
        self.msg = Msg(
            _client=None,  # pyright: ignore[reportArgumentType] - it is settled here, not there
            subject=subjects.gen("deadline", armed.kind, armed.request_id),
            data=msgspec.json.encode(event),
            headers={TRACEPARENT: armed.traceparent} if armed.traceparent else None,
        )

    async def ack(self) -> None:
        """Answered, by whomever."""
        self._deadlines.ended(self._armed.request_id, stored=True)

    async def nak(self, delay_s: float) -> None:
        """Not answered: again after a delay."""
        self._deadlines.put_off(self._armed, delay_s)

    async def in_progress(self) -> None:
        """Nothing to extend."""


class Deadlines:
    """What was armed here and is not answered yet.

    Args:
        clock: the broker's time.
    """

    def __init__(self, clock: BrokerClock) -> None:
        self._clock = clock
        self._open: dict[str, Armed] = {}
        #: When each is looked at next, ms.
        self._next: dict[str, int] = {}
        #: The same by time; entries that say another time than :attr:`_next` are out of date.
        self._heap: list[tuple[int, str]] = []
        #: Ended lately: the sequence of the request (0 where it ended before it was armed), and whether its
        #: result is known to be stored.
        self._ended: OrderedDict[str, tuple[int, bool]] = OrderedDict()
        #: Being answered from memory.
        self._busy: set[str] = set()
        #: Deadlines armed since the start.
        self.count = 0
        self._latest_ms = 0
        #: When the broker came back: time without it is nobody's lateness.
        self._since_ms = 0

    @property
    def open(self) -> int:
        """Requests without an answer."""
        return len(self._open)

    def armed(self, armed: Armed) -> None:
        """A request's deadline is stored at the broker."""
        self.count += 1
        seq, stored = self._ended.get(armed.request_id, (-1, False))
        if seq in {0, armed.request_seq}:
            self._ended[armed.request_id] = armed.request_seq, stored
            return
        held = self._open.get(armed.request_id)
        if held is not None and held.request_seq <= armed.request_seq:
            return
        self._open[armed.request_id] = armed
        self._push(armed, armed.due_ms + GRACE_MS)

    def ended(self, request_id: str, *, stored: bool) -> None:
        """A request has its result.

        Args:
            request_id: which request.
            stored: the broker has acknowledged it; else it was only heard of, and may have been refused.
        """
        armed = self._open.pop(request_id, None)
        self._next.pop(request_id, None)
        self._busy.discard(request_id)
        seq, was_stored = self._ended.get(request_id, (0, False))
        if armed is not None:
            self._latest_ms = max(self._latest_ms, self._behind_ms(armed))
            seq, was_stored = armed.request_seq, False
        self._ended[request_id] = seq, stored or was_stored
        self._ended.move_to_end(request_id)
        if len(self._ended) > _ENDED:
            self._ended.popitem(last=False)

    def claim(self, request_id: str, request_seq: int) -> DeadlineState:
        """Take a deadline that the broker has fired; one that is open is not answered from memory meanwhile."""
        seq, stored = self._ended.get(request_id, (0, False))
        if request_seq and seq == request_seq:
            return DeadlineState.ENDED if stored else DeadlineState.HEARD
        armed = self._open.get(request_id)
        if armed is None or armed.request_seq != request_seq:
            return DeadlineState.UNKNOWN
        if request_id in self._busy:
            return DeadlineState.BUSY
        self._push(armed, self._clock.now_ms() + _CLAIMED_MS)
        return DeadlineState.OPEN

    def put_off(self, armed: Armed, delay_s: float) -> None:
        """Look at one again later."""
        self._busy.discard(armed.request_id)
        self._push(armed, self._clock.now_ms() + int(delay_s * 1000) + GRACE_MS)

    def lateness_ms(self) -> int:
        """How long behind its deadline the latest answer came since the last question, or is due by now."""
        latest, self._latest_ms = self._latest_ms, 0
        while self._heap and self._stale(self._heap[0]):
            heapq.heappop(self._heap)
        if self._heap:
            latest = max(latest, self._behind_ms(self._open[self._heap[0][1]]))
        return latest

    def reconnected(self) -> None:
        """There is a broker again: what is late because there was none is not counted as late."""
        self._since_ms = self._clock.now_ms()
        self._latest_ms = 0

    def _behind_ms(self, armed: Armed) -> int:
        return self._clock.now_ms() - max(armed.due_ms, self._since_ms)

    def due(self, most: int) -> list[Armed]:
        """Take what should have been answered by now."""
        found: list[Armed] = []
        now_ms = self._clock.now_ms()
        while self._heap and len(found) < most and self._heap[0][0] <= now_ms:
            entry = heapq.heappop(self._heap)
            if self._stale(entry):
                continue
            armed = self._open[entry[1]]
            self._push(armed, now_ms + _CLAIMED_MS)
            self._busy.add(armed.request_id)
            found.append(armed)
        return found

    async def watch(self, answer: Callable[[Delivery], Awaitable[None]]) -> None:
        """Answer what the broker's timers have not reached, for ever.

        Args:
            answer: works on one deadline; it settles it.
        """
        running: set[asyncio.Task[None]] = set()

        async def one(overdue: OverdueDeadline) -> None:
            await answer(overdue)  # pyright: ignore[reportArgumentType] - the same shape

        while True:
            await asyncio.sleep(_LOOK_S)
            for armed in self.due(_AT_ONCE - len(running)):
                task = asyncio.create_task(one(OverdueDeadline(armed, self, self._clock.now_ms())))
                running.add(task)
                task.add_done_callback(running.discard)

    def _push(self, armed: Armed, at_ms: int) -> None:
        if self._open.get(armed.request_id) is not armed:
            return
        self._next[armed.request_id] = at_ms
        heapq.heappush(self._heap, (at_ms, armed.request_id))
        if len(self._heap) > 4 * len(self._open) + 1024:
            # Long deadlines of requests that ended long ago.
            self._heap = [entry for entry in self._heap if not self._stale(entry)]
            heapq.heapify(self._heap)

    def _stale(self, entry: tuple[int, str]) -> bool:
        return self._next.get(entry[1]) != entry[0]

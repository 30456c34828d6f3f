"""Export of spans: whole traces are kept or left out, a bounded queue, and a thread that sends batches.

A collector that is away or slow costs spans, never time of a stage.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from contracts.subjects import REQUEST_ID
from infra.telemetry.events import MessageEnding
from infra.telemetry.trace_events import MessageTraced
from infra.telemetry.trace_facts import WorkFacts, read_facts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.telemetry.dispatch import TelemetryEvent
    from infra.telemetry.trace_context import TraceContext

#: Works of stages that wait to be sent, at most.
QUEUE: Final = 2_048
_BATCH: Final = 256
#: Seconds between two batches that are not full: each one takes its turns from the event loop.
_EVERY_S: Final = 2.0
#: Seconds over which the rate of spans is measured.
_MEASURED_S: Final = 1.0
#: Seconds that say something about the rest of that second.
_SHORTEST_S: Final = 0.1
_ALL: Final = 1 << 64
#: Spans that are kept in a second at most while there is a limit, as a multiple of it: a share does not bound one trace
#: that every request names.
_CUT: Final = 4
#: Spans of a work as far as none were counted: the work itself, and one message.
_SPANS: Final = 2.0


class Build(Protocol):
    """Makes encoded spans of facts."""

    def __call__(self, facts: WorkFacts, related: str | None) -> Iterable[bytes]:
        """The spans; ``related`` is the ``traceparent`` of the related request."""
        ...


class Send(Protocol):
    """Sends encoded spans to a collector."""

    def __call__(self, spans: Sequence[bytes]) -> bool:
        """Whether the collector took them; waits for a bounded time, in a thread."""
        ...


#: Finds the ``traceparent`` of requests by their ids, in a thread.
Find = Callable[[Sequence[str]], Mapping[str, str]]


class TraceSampler:
    """Decides by its id whether a trace is kept, so that all processes keep the same ones.

    It decides when a stage begins its work: nothing is recorded of a trace that is left out.  Above the limit a process
    keeps a smaller share.  The shares contain each other: what the busiest process keeps, the others keep, too.

    Args:
        ratio: share of all traces that is kept.
        spans_per_second: limit of this process.
        clock: seconds, never going back.
    """

    def __init__(
        self, *, ratio: float, spans_per_second: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = int(ratio * _ALL)
        self._limit = spans_per_second
        self._clock = clock
        self._kept_below = self._most
        self._since = clock()
        #: In this second: works on traces within the ratio, works of kept traces that ended, and their spans.
        self._offered = 0
        self._ended = 0
        self._spans = 0
        self._kept = 0
        self._spans_per_work = _SPANS
        #: Works that were left out of traces which are kept.
        self.cut = 0

    def keeps(self, trace_id: str) -> bool:
        """Whether the work that begins on a trace is recorded.

        Args:
            trace_id: 32 hexadecimal digits.
        """
        place = int(trace_id[16:], 16)
        if place >= self._most:
            return False
        passed = self._clock() - self._since
        if passed >= _MEASURED_S:
            self._begin_second(passed)
            passed = 0.0
        self._offered += 1
        spans = self._offered * self._spans_per_work
        if spans > self._limit:
            # The share falls as soon as there is too much, to what the whole second may have at this rate.
            self._kept_below = min(self._kept_below, self._share(spans / max(passed, _SHORTEST_S)))
        return place < self._kept_below

    def admits(self, spans: int) -> bool:
        """Whether the spans of a work that was recorded are sent.

        Args:
            spans: how many; 0: nothing of it is worth a span.
        """
        self._ended += 1
        self._spans += spans
        limited = self._kept_below < self._most
        if limited and self._kept + spans > _CUT * self._limit:
            self.cut += 1
            return False
        self._kept += spans
        return spans > 0

    def _begin_second(self, passed: float) -> None:
        # Few works say little of the others.
        self._spans_per_work = (self._spans + _SPANS) / (self._ended + 1)
        self._kept_below = self._share(self._offered * self._spans_per_work / passed)
        self._since += passed
        self._offered = self._ended = self._spans = self._kept = 0

    def _share(self, rate: float) -> int:
        """The bound of what is kept at so many spans per second."""
        return int(self._most * min(1.0, self._limit / rate)) if rate else self._most


class SpanExport:
    """Subscriber that sends the spans of this process.

    Args:
        sampler: decides which traces are kept.
        build: makes the spans.
        send: sends them.
        find: finds related requests.
        on_dropped: gets the number of stages' works that were not sent, in the thread.
        on_defect: gets an error that building or sending should not have raised, in the thread.
    """

    def __init__(
        self,
        *,
        sampler: TraceSampler,
        build: Build,
        send: Send,
        find: Find,
        on_dropped: Callable[[int], object],
        on_defect: Callable[[Exception], object],
    ) -> None:
        self._sampler = sampler
        self._build = build
        self._send = send
        self._find = find
        self._on_dropped = on_dropped
        self._on_defect = on_defect
        self._queue: deque[WorkFacts] = deque()
        #: Each number has one writer: the event loop's thread, and the one that sends.
        self._overflowed = 0
        self._unsent = 0
        self._reported = 0
        self._on_its_way = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)

    def start(self) -> None:
        """Start the thread; after a fork it would not exist."""
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Works that were not sent: the queue was full, one trace had too many, or the collector did not take them."""
        return self._overflowed + self._unsent + self._sampler.cut

    @property
    def waiting(self) -> int:
        """Works that wait to be sent, or are being sent."""
        return len(self._queue) + self._on_its_way

    def takes(self, event: type[TelemetryEvent], level: int) -> bool:
        """Whether spans are made of such an event."""
        del level
        return event is MessageTraced

    def keeps(self, context: TraceContext) -> bool:
        """Whether the work that begins on a message of this trace is recorded."""
        return context.sampled and self._sampler.keeps(context.trace_id)

    def __call__(self, event: TelemetryEvent) -> None:
        """Queue the facts of an event; never waits."""
        if not isinstance(event, MessageTraced):
            return
        spans = 0 if _is_uneventful(event) else 1 + len(event.calls) + len(event.sent)
        if not self._sampler.admits(spans):
            return
        if len(self._queue) >= QUEUE:
            self._overflowed += 1
            return
        self._queue.append(read_facts(event))
        if len(self._queue) >= _BATCH:
            self._wake.set()

    def stop(self, seconds: float) -> None:
        """Send what waits, for a bounded time; blocks."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            self._wake.wait(_EVERY_S)
            self._wake.clear()
            stopping = self._stopping
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                self._on_its_way = len(batch)
                self._send_batch(batch)
                self._on_its_way = 0
            if self.dropped > self._reported:
                self._on_dropped(self.dropped - self._reported)
                self._reported = self.dropped
            if stopping:
                return

    def _send_batch(self, batch: Sequence[WorkFacts]) -> None:
        try:
            wanted = {
                each.related.request_id
                for each in batch
                if each.related is not None and REQUEST_ID.fullmatch(each.related.request_id)
            }
            found = self._find(sorted(wanted)) if wanted else {}
            spans = [
                span
                for each in batch
                for span in self._build(each, found.get(each.related.request_id) if each.related else None)
            ]
            sent = self._send(spans)
        except Exception as error:  # noqa: BLE001 - reported; without the thread nothing more would be sent
            self._on_defect(error)
            sent = False
        if not sent:
            self._unsent += len(batch)


def _is_uneventful(event: MessageTraced) -> bool:
    """Whether a message was only put off, as decided: it comes again every moment."""
    return event.ending is MessageEnding.PUT_OFF and not event.sent

"""Times at which the broker stored requests and results, and lateness.

Read from the streams, while load is on and after it: who listens for results hears neither when they were stored
nor that one was refused.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import pipeline
from contracts.errors import Unavailable
from infra.lab.bench.publisher import SILENT, TAKEN, UNSENT, Published
from infra.nats import log as event_log

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer

#: Seconds beyond the deadline that the promise allows.
PROMISED_S: Final = 2.0
#: Seconds between two looks into the streams.
_LOOK_S: Final = 0.5


class _Told(msgspec.Struct, frozen=True):
    code: str = "none"


class _Body(msgspec.Struct, frozen=True):
    """The fields of a result that a bench needs."""

    status: str
    origin: str
    reason: str | None = None
    error: _Told | None = None


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A stored result."""

    #: Broker's timestamp, milliseconds since the epoch.
    time_ms: float
    status: str
    origin: str
    code: str
    reason: str


class Outcomes:
    """Follows requests and results of a broker.

    Both may be removed again while load is on, once a request has ended: so look often.

    Args:
        wire: an open wire with a long time-out.
    """

    def __init__(self, wire: RequestMultiplexer) -> None:
        self._wire = wire
        self._news = asyncio.Condition()
        self._next = {pipeline.REQUESTS: 1, pipeline.EVENTS: 1}
        #: Broker's timestamp of the first ``requested`` by id, milliseconds since the epoch.
        self.asked: dict[str, float] = {}
        #: Every stored result by id.
        self.answered: dict[str, list[StoredAnswer]] = {}

    async def look(self) -> None:
        """Read the messages stored since; those that the broker does not return are read the next time."""
        try:
            async for entry in self._new(pipeline.REQUESTS, "gen.requested.>"):
                self.note_request(_id(entry), entry)
            async for entry in self._new(pipeline.EVENTS, "gen.result.>"):
                self.note_result(_id(entry), entry)
        except (Unavailable, event_log.StreamMissing):
            # A broker that starts again says that too.
            return

    def note_request(self, request_id: str, entry: event_log.LogEntry) -> None:
        """A stored request."""
        self.asked.setdefault(request_id, entry.time_ns / 1e6)

    def note_result(self, request_id: str, entry: event_log.LogEntry) -> None:
        """A stored result."""
        self.answered.setdefault(request_id, []).append(_answered(entry))

    async def _new(self, stream: str, subject: str) -> AsyncIterator[event_log.LogEntry]:
        async for entry in event_log.read(self._wire, stream, subject, start=self._next[stream]):
            self._next[stream] = entry.sequence + 1
            yield entry

    async def keep_looking(self) -> None:
        """Read repeatedly, until cancelled."""
        while True:
            await self.look()
            async with self._news:
                self._news.notify_all()
            await asyncio.sleep(_LOOK_S)

    async def until(self, holds: Callable[[], bool], *, timeout_s: float) -> bool:
        """Wait until a condition holds, while another task keeps reading; false: timed out."""
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(holds), timeout_s)
            except TimeoutError:
                return False
        return True

    async def until_answered(self, ids: Sequence[str], *, timeout_s: float) -> bool:
        """Wait until each of these has a result, as :meth:`until`."""
        left = list(ids)

        def answered() -> bool:
            left[:] = [one for one in left if one not in self.answered]
            return not left

        return await self.until(answered, timeout_s=timeout_s)

    def forget(self) -> None:
        """Drop the data so far, and keep the position in the streams."""
        self.asked.clear()
        self.answered.clear()


def _id(entry: event_log.LogEntry) -> str:
    return entry.subject.rpartition(".")[2]


def _answered(entry: event_log.LogEntry) -> StoredAnswer:
    body = msgspec.json.decode(entry.body, type=_Body)
    return StoredAnswer(
        time_ms=entry.time_ns / 1e6,
        status=body.status,
        origin=body.origin,
        code=body.error.code if body.error else "none",
        reason=body.reason or "",
    )


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Distribution of values; all ``None`` without values."""

    p50: float | None
    p99: float | None
    max: float | None


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How requests of one step ended."""

    requests: int
    #: Sent per second; a request that found too many unanswered ones before it is not sent.
    offered_per_s: float
    unsent: int
    #: Acknowledged by the broker, and per second until its last answer.
    accepted: int
    accepted_per_s: float
    #: The broker answered with an error: their share of what was sent, and how many by its ``err_code``.
    refused_share: float
    refused: dict[str, int]
    #: The broker did not answer the publish in time; how many of them were stored all the same.
    silent: int
    silent_stored: int
    #: Share of the accepted ones whose result was stored by the deadline and 2 s.
    in_time_share: float
    late: int
    #: Accepted, and no result at all.
    lost: int
    #: Results beyond the first.
    doubled: int
    #: Shares of the accepted ones by ``status/origin``.
    endings: dict[str, float]
    #: Results that carry an error code, by code.
    codes: dict[str, int]
    #: Seconds of the result beyond the deadline; before it: below 0.
    late_s: Spread
    #: Seconds until the broker acknowledged or refused a publish.
    publish_s: Spread
    #: Seconds that the worst publish was sent behind its moment.
    behind_s: float

    @property
    def passed(self) -> bool:
        """Every accepted request has one result, in time."""
        return not (self.late or self.lost or self.doubled)


#: From when to when there was no broker, milliseconds since the epoch.
Outage = tuple[float, float]


def overdue_ms(due_ms: float, answered_ms: float, outages: Sequence[Outage] = ()) -> float:
    """Milliseconds from the deadline to the result, without time when the broker was down.

    Args:
        due_ms: the deadline, since the epoch.
        answered_ms: when the result was stored.
        outages: in any order, not overlapping.

    Returns:
        Below 0 for a result before the deadline.
    """
    away = sum(max(0.0, min(answered_ms, end) - max(due_ms, start)) for start, end in outages)
    return answered_ms - due_ms - away


def percentile(ordered: Sequence[float], share: float) -> float:
    """Quantile of sorted values (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(values: Sequence[float]) -> Spread:
    """Median, 99th percentile and maximum."""
    if not values:
        return Spread(p50=None, p99=None, max=None)
    ordered = sorted(values)
    return Spread(
        p50=round(percentile(ordered, 0.5), 3),
        p99=round(percentile(ordered, 0.99), 3),
        max=round(ordered[-1], 3),
    )


def tally(
    prefix: str,
    published: Published,
    asked: Mapping[str, float],
    answered: Mapping[str, Sequence[StoredAnswer]],
    *,
    outages: Sequence[Outage] = (),
    promised_s: float = PROMISED_S,
) -> Tally:
    """Judge a step.

    Args:
        prefix: of its request ids.
        published: what its publisher says.
        asked: when the broker stored requests; one that is not there (any more) counts from its publish, by the
            clock of the same machine.
        answered: every stored result.
        outages: times without a broker, which do not count.
        promised_s: seconds beyond the deadline that are still in time.
    """
    ids = [f"{prefix}{number}" for number in range(len(published.codes))]
    accepted = [number for number, code in enumerate(published.codes) if code == TAKEN]
    silent = [number for number, code in enumerate(published.codes) if code == SILENT]
    unsent = published.codes.count(UNSENT)
    sent = len(ids) - unsent
    late_s: list[float] = []
    endings: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    for number in accepted:
        results = answered.get(ids[number])
        if not results:
            continue
        first = min(results, key=lambda each: each.time_ms)
        due = asked.get(ids[number], published.sent_ms[number]) + published.deadlines_ms[number]
        late_s.append(overdue_ms(due, first.time_ms, outages) / 1000)
        endings[f"{first.status}/{first.origin}"] += 1
        if first.code != "none":
            codes[first.code] += 1
    late = sum(one > promised_s for one in late_s)
    refused = Counter(str(code) for code in published.codes if code > TAKEN)
    whole = max(len(accepted), 1)
    return Tally(
        requests=len(ids),
        offered_per_s=round(sent / max(published.sending_s, 1e-9), 1),
        unsent=unsent,
        accepted=len(accepted),
        accepted_per_s=round(len(accepted) / max(published.taking_s, 1e-9), 1),
        refused_share=round(refused.total() / max(sent, 1), 4),
        refused=dict(refused),
        silent=len(silent),
        silent_stored=sum(ids[number] in asked or ids[number] in answered for number in silent),
        in_time_share=round((len(late_s) - late) / whole, 5),
        late=late,
        lost=len(accepted) - len(late_s),
        doubled=sum(max(0, len(answered.get(one, ())) - 1) for one in ids),
        endings={name: round(count / whole, 4) for name, count in endings.most_common()},
        codes=dict(codes),
        late_s=spread(late_s),
        publish_s=spread(
            [
                published.taken_ms[number] / 1000
                for number, code in enumerate(published.codes)
                if code >= TAKEN
            ]
        ),
        behind_s=round(published.behind_ms / 1000, 3),
    )

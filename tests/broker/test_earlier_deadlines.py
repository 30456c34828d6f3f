"""After a restart the fallback knows the deadlines that the process before it armed, and answers those that are missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from nats.aio.client import Client

from contracts import events as ev
from contracts.outcome import Schedule
from infra.nats.multiplexer import RequestMultiplexer
from infra.runner import earlier_deadlines, messages
from infra.runner.deadlines import Armed, Deadlines
from infra.runner.earlier_deadlines import EarlierDeadlines
from infra.runner.messages import Sender

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HOUR_MS = 3_600_000


class Clock:
    """A broker's clock that is ahead of the broker, whose timers have not fired yet."""

    offset_s = 0.0

    def __init__(self, ahead_ms: int) -> None:
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return round(time.time() * 1000) + self._ahead_ms


@pytest_asyncio.fixture
async def wire(nc: Client, nats_url: str) -> AsyncIterator[RequestMultiplexer]:
    opened = RequestMultiplexer()
    await opened.open(nc)
    yield opened
    await opened.close()


async def _arm(wire: RequestMultiplexer, request_id: str, at_ms: int, *, slot: str = "") -> None:
    schedule = Schedule(event=ev.Deadline(request_seq=7, deadline_ms=1000), at_ms=at_ms, slot=slot)
    sender = Sender(stage="fallback", now=time.time(), traceparent=TRACE, request_seq=7)
    timer = messages.of_schedule(schedule, kind="layout", request_id=request_id, sender=sender)
    ack = await wire.publish(timer.subject, timer.body, timer.headers)
    assert ack.error is None


async def _missed(wire: RequestMultiplexer, *, ahead_ms: int) -> list[Armed]:
    clock = Clock(ahead_ms)
    deadlines = Deadlines(clock)  # type: ignore[arg-type]
    running = asyncio.create_task(
        EarlierDeadlines(wire=wire, clock=clock, deadlines=deadlines).run()  # type: ignore[arg-type]
    )
    await asyncio.wait([running], timeout=0.4)
    # The grace of the memory.
    await asyncio.sleep(0.2)
    found = deadlines.due(100)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return found


async def test_what_is_due_and_has_no_result_is_answered_from_memory(wire: RequestMultiplexer) -> None:
    due_ms = round(time.time() * 1000) + HOUR_MS
    for request_id in ("open-1", "answered-1"):
        await _arm(wire, request_id, due_ms)
    await _arm(wire, "later-1", due_ms + HOUR_MS)
    # A timer of another kind, and one that cannot be read.
    await _arm(wire, "retry-1", due_ms, slot="context_built")
    await wire.publish("gen.timer.layout.junk-1", b"{}")
    await wire.publish("gen.result.layout.answered-1", b"{}")
    assert await _missed(wire, ahead_ms=HOUR_MS - 60_000) == []
    (found,) = await _missed(wire, ahead_ms=HOUR_MS + 60_000)
    assert (found.request_id, found.kind, found.request_seq) == ("open-1", "layout", 7)
    assert (found.deadline_ms, found.traceparent) == (1000, TRACE)
    assert abs(found.due_ms - due_ms) < 2


async def test_of_more_than_fit_in_memory_those_that_are_due_first_are_kept(
    wire: RequestMultiplexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier_deadlines, "_MOST", 2)
    due_ms = round(time.time() * 1000) + HOUR_MS
    for number in range(5):
        await _arm(wire, f"many-{number}", due_ms - number * 1000)
    clock = Clock(2 * HOUR_MS)
    deadlines = Deadlines(clock)  # type: ignore[arg-type]
    earlier = EarlierDeadlines(wire=wire, clock=clock, deadlines=deadlines)  # type: ignore[arg-type]
    first, whole = await earlier.read()
    assert ([each.request_id for each in first], whole) == (["many-4", "many-3", "many-2"], False)
    monkeypatch.setattr(earlier_deadlines, "_MOST", 3)
    every, whole = await earlier.read()
    assert (len(every), whole) == (5, True)

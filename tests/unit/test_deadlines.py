"""Is every armed deadline answered once, from memory where the broker is late?"""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from infra.runner.deadlines import _CLAIMED_MS, GRACE_MS, Armed, Deadlines, DeadlineState, OverdueDeadline


class Clock:
    """A broker's clock that is set by hand."""

    offset_s = 0.0

    def __init__(self) -> None:
        self.ms = 1_000_000

    def now_ms(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def deadlines(clock: Clock) -> Deadlines:
    return Deadlines(clock)  # type: ignore[arg-type]


def armed(request_id: str = "r-1", *, seq: int = 1, due_ms: int = 1_001_000) -> Armed:
    return Armed(request_id=request_id, kind="layout", request_seq=seq, deadline_ms=1000, due_ms=due_ms)


def test_nothing_is_due_before_the_broker_had_its_time(deadlines: Deadlines, clock: Clock) -> None:
    deadlines.armed(armed())
    clock.ms = 1_001_000 + GRACE_MS - 1
    assert deadlines.due(10) == []
    clock.ms += 1
    assert deadlines.due(10) == [armed()]
    assert deadlines.open == 1


def test_one_that_is_being_answered_waits_and_comes_again(deadlines: Deadlines, clock: Clock) -> None:
    deadlines.armed(armed())
    clock.ms = 1_002_000
    assert len(deadlines.due(10)) == 1
    assert deadlines.due(10) == []
    clock.ms += _CLAIMED_MS
    assert len(deadlines.due(10)) == 1


def test_the_same_request_is_not_answered_from_two_sides(deadlines: Deadlines, clock: Clock) -> None:
    deadlines.armed(armed("memory"))
    deadlines.armed(armed("broker"))
    assert deadlines.claim("broker", 1) is DeadlineState.OPEN
    clock.ms = 1_001_500
    assert [each.request_id for each in deadlines.due(10)] == ["memory"]
    assert deadlines.claim("memory", 1) is DeadlineState.BUSY
    clock.ms += _CLAIMED_MS
    assert len(deadlines.due(10)) == 2


def test_what_has_ended_is_not_due_and_its_timer_costs_nothing(deadlines: Deadlines, clock: Clock) -> None:
    deadlines.armed(armed())
    deadlines.ended("r-1", stored=True)
    clock.ms = 1_009_000
    assert deadlines.due(10) == []
    assert deadlines.claim("r-1", 1) is DeadlineState.ENDED
    assert deadlines.claim("r-1", 2) is DeadlineState.UNKNOWN
    assert deadlines.open == 0


def test_what_was_only_heard_of_is_looked_for(deadlines: Deadlines) -> None:
    deadlines.armed(armed())
    deadlines.ended("r-1", stored=False)
    assert deadlines.claim("r-1", 1) is DeadlineState.HEARD
    deadlines.ended("r-1", stored=True)
    assert deadlines.claim("r-1", 1) is DeadlineState.ENDED


def test_an_answer_may_be_heard_before_the_timer_is_stored(deadlines: Deadlines, clock: Clock) -> None:
    deadlines.ended("r-1", stored=True)
    deadlines.armed(armed())
    assert deadlines.open == 0
    assert deadlines.claim("r-1", 1) is DeadlineState.ENDED


def test_a_second_life_of_an_id_is_another_deadline(deadlines: Deadlines, clock: Clock) -> None:
    deadlines.armed(armed(seq=1))
    deadlines.ended("r-1", stored=True)
    deadlines.armed(armed(seq=9))
    assert deadlines.open == 1
    assert deadlines.claim("r-1", 9) is DeadlineState.OPEN
    clock.ms = 1_009_000
    assert [each.request_seq for each in deadlines.due(10)] == [9]


def test_of_two_requests_with_one_id_the_first_counts(deadlines: Deadlines, clock: Clock) -> None:
    deadlines.armed(armed(seq=9))
    deadlines.armed(armed(seq=3))
    deadlines.armed(armed(seq=5))
    clock.ms = 1_009_000
    assert [each.request_seq for each in deadlines.due(10)] == [3]


def test_lateness_is_told_once_and_counts_what_is_still_open(deadlines: Deadlines, clock: Clock) -> None:
    deadlines.armed(armed("a"))
    deadlines.armed(armed("b", due_ms=1_003_000))
    clock.ms = 1_001_700
    deadlines.ended("a", stored=True)
    assert deadlines.lateness_ms() == 700
    assert deadlines.lateness_ms() <= 0
    clock.ms = 1_003_400
    assert deadlines.lateness_ms() == 400


def test_time_without_a_broker_is_nobodys_lateness(deadlines: Deadlines, clock: Clock) -> None:
    deadlines.armed(armed("a"))
    deadlines.armed(armed("b"))
    clock.ms = 1_031_000
    deadlines.reconnected()
    clock.ms += 300
    deadlines.ended("a", stored=True)
    assert deadlines.lateness_ms() == 300


def test_a_day_of_short_requests_with_long_deadlines_does_not_pile_up(deadlines: Deadlines) -> None:
    for number in range(10_000):
        deadlines.armed(armed(f"r-{number}", seq=number, due_ms=90_000_000))
        deadlines.ended(f"r-{number}", stored=True)
    assert len(deadlines._heap) < 2000


async def test_an_overdue_one_that_nobody_could_answer_comes_again(
    deadlines: Deadlines, clock: Clock
) -> None:
    deadlines.armed(armed())
    clock.ms = 1_001_500
    (found,) = deadlines.due(1)
    await OverdueDeadline(found, deadlines, clock.ms).nak(0.5)
    clock.ms += 500 + GRACE_MS
    assert deadlines.due(1) == [found]


async def test_the_watch_answers_each_and_stops_with_its_task(deadlines: Deadlines, clock: Clock) -> None:
    answered: list[str] = []
    all_in = asyncio.Event()

    async def answer(delivery: OverdueDeadline) -> None:
        answered.append(delivery.msg.subject)
        await delivery.ack()
        if len(answered) == 3:
            all_in.set()

    for name in "abc":
        deadlines.armed(armed(name))
    clock.ms = 1_009_000
    watching = asyncio.create_task(deadlines.watch(answer))  # type: ignore[arg-type]
    await asyncio.wait_for(all_in.wait(), 60)
    watching.cancel()
    assert sorted(answered) == [f"gen.deadline.layout.{name}" for name in "abc"]
    assert deadlines.open == 0


def test_an_answer_from_memory_continues_the_trace_of_its_timer(deadlines: Deadlines, clock: Clock) -> None:
    timer = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    held = msgspec.structs.replace(armed(), traceparent=timer)
    assert OverdueDeadline(held, deadlines, clock.ms).msg.headers == {"traceparent": timer}
    assert OverdueDeadline(armed(), deadlines, clock.ms).msg.headers is None

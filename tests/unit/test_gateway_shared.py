"""Shared answers: one computation for all, kept for a while, errors not at all."""

from __future__ import annotations

import asyncio

import pytest

from infra.gateway.shared import SharedAnswers


class Question:
    """A computation that tests hold back, and a clock that they set."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()
        self.takes_s = 0.0

    async def compute(self) -> int:
        self.asked += 1
        await self.go.wait()
        self.now_s += self.takes_s
        return self.asked

    async def fail(self) -> int:
        self.asked += 1
        await self.go.wait()
        raise ValueError(str(self.asked))

    def clock(self) -> float:
        return self.now_s


async def test_askers_at_a_time_and_soon_after_get_one_answer() -> None:
    it = Question()
    shared = SharedAnswers(clock=it.clock)
    it.go.clear()
    asking = [asyncio.create_task(shared.get("a", it.compute, kept_s=5)) for _ in range(50)]
    await asyncio.sleep(0)
    it.go.set()
    assert set(await asyncio.gather(*asking)) == {1}
    it.now_s = 4.9
    assert await shared.get("a", it.compute, kept_s=5) == 1
    it.now_s = 5.0
    assert await shared.get("a", it.compute, kept_s=5) == 2
    assert await shared.get("b", it.compute, kept_s=5) == 3


async def test_a_costly_answer_is_kept_longer() -> None:
    it = Question()
    it.takes_s = 2.0
    shared = SharedAnswers(clock=it.clock)
    assert await shared.get("a", it.compute, kept_s=1) == 1
    it.now_s += 19.9
    assert await shared.get("a", it.compute, kept_s=1) == 1
    it.now_s += 0.1
    assert await shared.get("a", it.compute, kept_s=1) == 2


async def test_an_asker_that_leaves_does_not_end_the_computation() -> None:
    it = Question()
    shared = SharedAnswers(clock=it.clock)
    it.go.clear()
    leaving = asyncio.create_task(shared.get("a", it.compute, kept_s=5))
    staying = asyncio.create_task(shared.get("a", it.compute, kept_s=5))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    it.go.set()
    assert await staying == 1


async def test_an_error_goes_to_all_and_is_not_kept() -> None:
    it = Question()
    shared = SharedAnswers(clock=it.clock)
    found = await asyncio.gather(
        *(shared.get("a", it.fail, kept_s=5) for _ in range(3)), return_exceptions=True
    )
    assert [str(each) for each in found] == ["1", "1", "1"]
    assert await shared.get("a", it.compute, kept_s=5) == 2


async def test_answers_and_computations_are_bounded() -> None:
    it = Question()
    shared = SharedAnswers(clock=it.clock, kept=2, at_once=2)
    it.go.clear()
    asking = [asyncio.create_task(shared.get(key, it.compute, kept_s=5, in_turn=True)) for key in "abcd"]
    for _ in range(10):
        await asyncio.sleep(0)
    assert it.asked == 2
    # What needs no turn does not wait.
    aside = asyncio.create_task(shared.get("e", it.compute, kept_s=5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert it.asked == 3
    it.go.set()
    await asyncio.gather(*asking, aside)
    assert it.asked == 5
    await shared.get("d", it.compute, kept_s=5)
    assert it.asked == 5
    await shared.get("a", it.compute, kept_s=5)
    assert it.asked == 6


async def test_closing_ends_what_runs() -> None:
    it = Question()
    shared = SharedAnswers(clock=it.clock)
    it.go.clear()
    asking = asyncio.create_task(shared.get("a", it.compute, kept_s=5))
    await asyncio.sleep(0)
    await shared.close()
    with pytest.raises(asyncio.CancelledError):
        await asking

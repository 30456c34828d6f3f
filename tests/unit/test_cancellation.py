"""Cancellation: work stops when its request gets a result elsewhere, and for no other reason."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.errors import Unavailable
from contracts.outcome import Emit, Outcome, Wait
from infra.runner import cancellation
from tests.unit.fake_broker import FakeBroker

RECEIVED: Any = SimpleNamespace(request_id="r-1")
DONE = Wait(seconds=1, why="done")


class Work:
    """Work that ends when it is released, and says whether it was stopped."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.stopped = False

    async def __call__(self) -> Outcome:
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        return DONE


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    monkeypatch.setattr(cancellation, "PATIENCE_S", 0.0)
    monkeypatch.setattr(cancellation, "_LOOK_S", 0.001)
    return FakeBroker()


def watch(broker: FakeBroker) -> cancellation.Cancellation:
    parts: Any = broker
    return cancellation.Cancellation(wire=parts, lookup=parts)


async def hear(broker: FakeBroker) -> None:
    """A result passes by on the wire."""
    (listener,) = broker.heard.values()
    await listener(None)


async def test_what_ends_soon_costs_no_subscription(broker: FakeBroker) -> None:
    async def work() -> Outcome:
        return DONE

    assert await watch(broker).run(RECEIVED, work()) == DONE
    assert not broker.subscribed.is_set()


async def test_a_result_by_somebody_else_stops_the_work(broker: FakeBroker) -> None:
    work = Work()
    running = asyncio.create_task(watch(broker).run(RECEIVED, work()))
    await broker.subscribed.wait()
    assert list(broker.heard) == ["gen.result.*.r-1"]
    broker.put("gen.result.plot.r-1")
    await hear(broker)
    assert await asyncio.wait_for(running, 10) == Emit()
    assert work.stopped
    assert broker.heard == {}


async def test_work_that_loses_its_cancellation_is_stopped_again(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancellation, "_AGAIN_S", 0.01)
    lost: list[int] = []

    async def work() -> Outcome:
        # As asyncio.wait_for of Python 3.11 does when its answer comes at the moment of the cancellation.
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            lost.append(1)
        await asyncio.sleep(3600)
        return DONE

    broker.put("gen.result.plot.r-1")
    running = asyncio.create_task(watch(broker).run(RECEIVED, work()))
    assert await asyncio.wait_for(running, 10) == Emit()
    assert lost == [1]
    assert running.cancelling() == 0


async def test_a_result_from_before_the_subscription_stops_the_work(broker: FakeBroker) -> None:
    broker.put("gen.result.plot.r-1")
    work = Work()
    assert await asyncio.wait_for(watch(broker).run(RECEIVED, work()), 10) == Emit()
    assert work.stopped


async def test_a_result_that_was_heard_and_refused_stops_nothing(broker: FakeBroker) -> None:
    work = Work()
    running = asyncio.create_task(watch(broker).run(RECEIVED, work()))
    await broker.subscribed.wait()
    await hear(broker)
    work.release.set()
    assert await asyncio.wait_for(running, 10) == DONE
    assert not work.stopped


async def test_a_broker_that_is_away_stops_nothing(broker: FakeBroker) -> None:
    broker.away = Unavailable("away")
    work = Work()
    running = asyncio.create_task(watch(broker).run(RECEIVED, work()))
    await broker.subscribed.wait()
    await hear(broker)
    work.release.set()
    assert await asyncio.wait_for(running, 10) == DONE


async def test_an_error_of_the_work_is_its_callers(broker: FakeBroker) -> None:
    release = asyncio.Event()

    async def work() -> Outcome:
        await release.wait()
        raise KeyError("beats")

    running = asyncio.create_task(watch(broker).run(RECEIVED, work()))
    await broker.subscribed.wait()
    release.set()
    with pytest.raises(KeyError):
        await running
    assert broker.heard == {}


async def test_a_stop_of_the_caller_stops_the_work(broker: FakeBroker) -> None:
    work = Work()
    running = asyncio.create_task(watch(broker).run(RECEIVED, work()))
    await broker.subscribed.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.stopped


async def test_what_the_work_makes_of_its_stop_does_not_matter(broker: FakeBroker) -> None:
    work = Work()

    async def converts() -> Outcome:
        try:
            return await work()
        except asyncio.CancelledError:
            raise KeyError("beats") from None

    broker.put("gen.result.plot.r-1")
    assert await asyncio.wait_for(watch(broker).run(RECEIVED, converts()), 10) == Emit()
    assert work.stopped


async def test_the_works_own_time_out_is_its_callers(broker: FakeBroker) -> None:
    async def work() -> Outcome:
        await broker.subscribed.wait()
        raise TimeoutError("the model")

    with pytest.raises(TimeoutError, match="the model"):
        await watch(broker).run(RECEIVED, work())
    assert broker.heard == {}


async def test_without_a_subscription_the_work_stops_and_its_caller_gets_the_error(
    broker: FakeBroker,
) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("closed")

    broker.client.subscribe = refuse
    work = Work()
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(watch(broker).run(RECEIVED, work()), 10)
    assert work.stopped

"""Does the pull loop keep to its credits, keep its leases, and come back after an outage?"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, StreamConfig

from infra.nats.embedded import Embedded
from infra.nats.pull import ConsumerMissing, CreditPull, Delivery

_STREAM, _DURABLE = "WORK", "worker"


class Hands:
    """Works on a message until it is let go; counts what happens."""

    def __init__(self) -> None:
        self.began: Counter[int] = Counter()
        self.in_hand: dict[int, Delivery] = {}
        self.most = 0
        self.done = 0
        self.free = asyncio.Event()
        self._news = asyncio.Condition()

    async def __call__(self, delivery: Delivery) -> None:
        self.began[delivery.sequence] += 1
        self.in_hand[delivery.sequence] = delivery
        self.most = max(self.most, len(self.in_hand))
        await self._changed()
        await self.free.wait()
        await delivery.ack()
        del self.in_hand[delivery.sequence]
        self.done += 1
        await self._changed()

    async def _changed(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait; looks again ten times a second, since a lease changes without a word."""
        async with asyncio.timeout(60), self._news:
            while not done():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 0.1)


async def _stream(nc: Client, *, ack_wait: float = 10) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name=_STREAM, subjects=["work.>"]))
    await js.add_consumer(
        _STREAM, ConsumerConfig(durable_name=_DURABLE, ack_wait=ack_wait, ack_policy="explicit")
    )


async def _publish(nc: Client, count: int) -> None:
    for number in range(count):
        await nc.jetstream().publish(f"work.{number}", b"")


@asynccontextmanager
async def _pulling(
    nc: Client, hands: Hands, *, credits: int, heartbeat_s: float
) -> AsyncIterator[CreditPull]:
    lost: list[ConsumerMissing] = []
    pull = CreditPull(
        stream=_STREAM,
        durable=_DURABLE,
        credits=credits,
        heartbeat_s=heartbeat_s,
        work=hands,
        lost=lost.append,
    )
    await pull.open(nc)
    watching = asyncio.create_task(pull.watch())
    try:
        yield pull
    finally:
        hands.free.set()
        await pull.stop(grace_s=5)
        await watching
    assert lost == []


async def _owed(nc: Client) -> tuple[int, int]:
    """Messages that wait, and messages that are given out and not acknowledged."""
    info = await nc.jetstream().consumer_info(_STREAM, _DURABLE)
    assert info.num_pending is not None
    assert info.num_ack_pending is not None
    return info.num_pending, info.num_ack_pending


async def test_no_more_is_fetched_than_can_be_worked_on(nc: Client) -> None:
    await _stream(nc)
    await _publish(nc, 20)
    hands = Hands()
    async with _pulling(nc, hands, credits=3, heartbeat_s=3):
        await hands.until(lambda: len(hands.in_hand) == 3)
        assert await _owed(nc) == (17, 3)
        hands.free.set()
        await hands.until(lambda: hands.done == 20)
    assert hands.most == 3
    assert hands.began == Counter(range(1, 21))
    assert await _owed(nc) == (0, 0)


async def test_work_that_outlasts_its_lease_keeps_it(nc: Client) -> None:
    await _stream(nc, ack_wait=2)
    await _publish(nc, 1)
    hands = Hands()
    signs = await nc.subscribe(f"$JS.ACK.{_STREAM}.>")
    async with _pulling(nc, hands, credits=2, heartbeat_s=0.3):
        for _ in range(10):
            assert (await signs.next_msg(timeout=30)).data == b"+WPI"
        hands.free.set()
        await hands.until(lambda: hands.done == 1)
    info = await nc.jetstream().consumer_info(_STREAM, _DURABLE)
    assert info.delivered is not None
    assert info.delivered.consumer_seq == 1


@pytest.mark.delivery
async def test_a_message_that_comes_again_while_it_is_in_hand_runs_once(nc: Client) -> None:
    await _stream(nc, ack_wait=1)
    await _publish(nc, 1)
    hands = Hands()
    async with _pulling(nc, hands, credits=2, heartbeat_s=60) as pull:
        await hands.until(lambda: 1 in hands.in_hand)
        await hands.until(lambda: hands.in_hand[1].deliveries == 2)
        assert pull.in_hand == 1
        hands.free.set()
        await hands.until(lambda: hands.done == 1)
    assert hands.began == Counter({1: 1})
    assert await _owed(nc) == (0, 0)


async def test_after_a_restart_of_the_broker_the_rest_is_fetched(broker: Embedded) -> None:
    reconnected: list[CreditPull] = []

    async def renew() -> None:
        for pull in reconnected:
            pull.renew()

    nc = Client()
    await nc.connect(broker.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, reconnected_cb=renew)
    await _stream(nc)
    await _publish(nc, 1)
    hands = Hands()
    hands.free.set()
    async with _pulling(nc, hands, credits=2, heartbeat_s=3) as pull:
        reconnected.append(pull)
        await hands.until(lambda: hands.done == 1)
        await broker.kill()
        await broker.start()
        await _publish(nc, 2)
        await hands.until(lambda: hands.done >= 3)
    await nc.close()


async def test_a_consumer_that_is_not_there_is_told_with_the_fix(nc: Client) -> None:
    pull = CreditPull(
        stream=_STREAM, durable=_DURABLE, credits=1, heartbeat_s=1, work=Hands(), lost=lambda _: None
    )
    with pytest.raises(ConsumerMissing, match="consumer 'worker' on stream WORK does not exist; run"):
        await pull.open(nc)

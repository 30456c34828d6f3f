"""Does no cap pass on a real broker, whoever writes, dies or loses an answer?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client
from understudy_client.calls import PubAck

from contracts.errors import Unavailable
from contracts.policy.budget import Account, Cap, Refusal, Reservation, Reserve, Settle, Spent
from infra.nats import accounts as module
from infra.nats import topology
from infra.nats.accounts import KvAccounts
from infra.nats.embedded import Embedded
from infra.nats.lookup import Lookup
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings.settings import Settings
from tests.providers.doubles import ManualClock

DAY = 86_400_000
NAME = f"{DAY}.0.total"
CAP = Cap(tokens=100)


class Process:
    """What one process has: a connection and its own view of the accounts."""

    def __init__(self, client: Client, clock: ManualClock) -> None:
        self.client = client
        self.wire = RequestMultiplexer(timeout_s=1.0)
        self.accounts = KvAccounts(wire=self.wire, lookup=Lookup(self.wire), clock=clock)

    async def reserve(
        self, key: str, tokens: int, *, run: str = "a", until_s: float = 160.0
    ) -> Refusal | None:
        hold = Reservation(most=Spent(tokens=tokens), until_ms=int(until_s * 1000), run=run)
        return await self.accounts.change(NAME, Reserve(key=key, hold=hold, cap=CAP), ends_ms=DAY)

    def settle(self, key: str, tokens: int, *, run: str = "a") -> Awaitable[Any]:
        done = Settle(key=key, run=run, used=Spent(tokens=tokens))
        return self.accounts.change(NAME, done, ends_ms=DAY)

    async def seen(self) -> tuple[int, int]:
        """Tokens spent and reserved."""
        (kept,) = await module.current(self.wire, 100_000)
        return kept.account.spent.tokens, sum(hold.most.tokens for hold in kept.account.held.values())


Start = Callable[[str], Awaitable[Process]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture
async def start(clock: ManualClock) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def make(url: str) -> Process:
            client = Client()
            await client.connect(
                url,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.05,  # pyright: ignore[reportArgumentType]
            )
            process = Process(client, clock)
            await process.wire.open(client)
            stack.push_async_callback(client.close)
            stack.push_async_callback(process.wire.close)
            stack.push_async_callback(process.accounts.close)
            return process

        yield make


async def test_two_processes_at_once_never_pass_the_cap(nats_url: str, start: Start) -> None:
    processes = [await start(nats_url), await start(nats_url)]

    async def call(number: int) -> int:
        process = processes[number % 2]
        if await process.reserve(f"r{number}:1", 10) is not None:
            return 0
        spent, reserved = await process.seen()
        assert spent + reserved <= 100
        await process.settle(f"r{number}:1", 10)
        return 1

    made = await asyncio.gather(*(call(number) for number in range(50)))
    assert sum(made) == 10
    assert await processes[0].seen() == (100, 0)


async def test_changes_that_wait_together_are_written_together(nats_url: str, start: Start) -> None:
    process = await start(nats_url)
    await asyncio.gather(*(process.reserve(f"r{number}:1", 1) for number in range(100)))
    assert await process.seen() == (0, 100)
    info = await process.client.jetstream().stream_info("KV_budgets")
    assert info.state.last_seq <= 2


async def test_a_dead_workers_reservation_is_taken_over_and_comes_back_at_its_deadline(
    nats_url: str, start: Start, clock: ManualClock
) -> None:
    dead, alive = await start(nats_url), await start(nats_url)
    assert await dead.reserve("r1:1", 60) is None
    await dead.client.close()
    assert await alive.reserve("r1:1", 60, run="b") is None
    assert await alive.seen() == (0, 60)
    assert isinstance(await alive.reserve("r2:1", 60), Refusal)
    clock.after(60)
    assert await alive.reserve("r2:1", 100, until_s=300) is None
    assert await alive.seen() == (0, 100)


async def test_an_account_goes_when_its_window_and_its_reservations_have_ended(
    nats_url: str, start: Start
) -> None:
    process = await start(nats_url)
    await process.reserve("r1:1", 1, until_s=160)
    stored = await process.client.jetstream().get_last_msg("KV_budgets", module.PREFIX + NAME)
    assert stored.headers is not None
    assert stored.headers["Nats-TTL"] == f"{DAY // 1000 - 100 + 60}s"


async def test_a_reservation_without_a_broker_is_none(
    broker: Embedded, settings: Settings, start: Start
) -> None:
    await topology.apply_at(broker.url, settings)
    process = await start(broker.url)
    await process.reserve("r1:1", 60)
    await broker.stop()
    waits = asyncio.ensure_future(process.settle("r1:1", 40))
    with pytest.raises(Unavailable):
        await process.reserve("r2:1", 10)
    assert not waits.done()
    await broker.start()
    await asyncio.wait_for(waits, 60)
    assert await process.seen() == (40, 0)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("between", [True, False])
async def test_a_write_whose_answer_is_lost_counts_once(
    nats_url: str, start: Start, monkeypatch: pytest.MonkeyPatch, *, stored: bool, between: bool
) -> None:
    process, other = await start(nats_url), await start(nats_url)
    await process.reserve("r1:1", 60)
    publish, lost = process.wire.publish, []

    async def losing(subject: str, payload: bytes, headers: dict[str, str] | None = None) -> PubAck:
        if lost:
            return await publish(subject, payload, headers)
        lost.append(subject)
        if stored:
            await publish(subject, payload, headers)
        if between:
            await other.reserve("r2:1", 5)
        raise Unavailable("the answer is lost")

    monkeypatch.setattr(process.wire, "publish", losing)
    await process.settle("r1:1", 40)
    assert lost
    assert await process.seen() == (40, 5 if between else 0)


async def test_what_was_spent_is_written_before_a_process_stops(nats_url: str, start: Start) -> None:
    process, other = await start(nats_url), await start(nats_url)
    await process.reserve("r1:1", 60)
    process.settle("r1:1", 30)
    await process.accounts.close()
    assert await other.seen() == (30, 0)


async def test_an_account_that_cannot_be_read_stops_nobody_for_ever(nats_url: str, start: Start) -> None:
    process = await start(nats_url)
    await process.client.jetstream().publish(module.PREFIX + NAME, b"no JSON")
    with pytest.raises(msgspec.DecodeError):
        await process.reserve("r1:1", 1)
    with pytest.raises(msgspec.DecodeError):
        await process.settle("r1:1", 1)


async def test_an_account_remembers_the_processes_that_wrote_last_alone(start: Start, nats_url: str) -> None:
    process = await start(nats_url)
    account = Account(writes={f"p{n}": n for n in range(500)})
    await process.wire.publish(module.PREFIX + NAME, msgspec.json.encode(account))
    assert await process.reserve("r:1", 10) is None
    (kept,) = await module.current(process.wire, 100_000)
    assert (len(kept.account.writes), "p499" in kept.account.writes) == (64, True)

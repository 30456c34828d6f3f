"""Does what was kept for a request's next call come back when there is none?"""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from cachetools import LRUCache

from contracts.errors import ErrorCode
from contracts.policy.budget import Spent
from contracts.policy.budget_scope import Cap as Most
from contracts.policy.budget_scope import Limits
from contracts.ports import Prompt, ProviderError
from infra.providers.budget import Budgeted
from infra.providers.reservation import StructuringReservations
from infra.providers.response_cache import CachedProvider
from tests.providers.doubles import ManualClock, Playing
from tests.providers.openai_server import params
from tests.providers.test_budgeted import DAY, SPENDER, Memo

SMALL = msgspec.structs.replace(params(), max_tokens=100)


class Results:
    """Knows which requests have ended, and wakes those who wait for it."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.changed = asyncio.Event()
        self.asked = 0

    async def within(self, request_id: str, seconds: float) -> bool:
        del seconds
        self.asked += 1
        while request_id not in self.ended:
            await self.changed.wait()
            self.changed.clear()
        return True

    def end(self, request_id: str) -> None:
        self.ended.add(request_id)
        self.changed.set()


class Till:
    """A budgeted provider that keeps 500 tokens for the call after each draft."""

    def __init__(self, *turns, cap: int = 10_000) -> None:
        self.clock = ManualClock()
        self.accounts = Memo(self.clock)
        self.results = Results()
        self.ahead = StructuringReservations(self.results.within, clock=self.clock)
        limits = Limits(window_ms=DAY, total=Most(tokens=cap))
        self.provider = Budgeted(
            Playing(*turns), accounts=self.accounts, limits=limits, clock=self.clock, ahead=self.ahead
        )

    async def draft(self, **more):
        return await self._ask(SPENDER, **more)

    async def structure(self, **more):
        return await self._ask(SPENDER.structuring(), **more)

    @property
    def reserved(self) -> int:
        return self.accounts.spent()[1].tokens

    async def _ask(self, spender, **more):
        prompt = Prompt(text="x", kind="layout", stage="s", request_id="r1", spender=spender, **more)
        return await self.provider.generate(prompt, SMALL)


async def settled() -> None:
    """Everything that is on its way has arrived."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_a_draft_keeps_comes_back_with_the_requests_result() -> None:
    till = Till("prose")
    await till.draft()
    assert till.reserved == 500
    till.results.end("r1")
    await settled()
    assert till.reserved == 0


async def test_a_result_of_another_request_frees_nothing() -> None:
    till = Till("prose")
    await till.draft()
    till.results.end("r2")
    await settled()
    assert till.reserved == 500
    await till.ahead.close()


async def test_what_needs_no_call_gives_back_at_once() -> None:
    till = Till("prose")
    await till.draft()
    till.ahead.release("r1")
    till.ahead.release("r1")
    assert till.reserved == 0


async def test_a_further_draft_that_is_refused_leaves_the_first_ones_room_to_be_given_back() -> None:
    till = Till("prose", cap=700)
    await till.draft()
    till.accounts.kept["86400000.0.total"] = msgspec.structs.replace(
        till.accounts.kept["86400000.0.total"], spent=Spent(tokens=690)
    )
    with pytest.raises(ProviderError) as found:
        await till.draft()
    assert found.value.code is ErrorCode.GEN_BUDGET_EXCEEDED
    till.ahead.release("r1")
    assert till.reserved == 0


async def test_the_call_that_follows_takes_it_over_and_nobody_watches_any_more() -> None:
    till = Till("prose", "document")
    await till.draft()
    inner = till.provider._provider
    assert isinstance(inner, Playing)
    inner.gate.clear()
    inner.waiting.clear()
    call = asyncio.create_task(till.structure())
    await inner.waiting.wait()
    till.results.end("r1")
    await settled()
    assert till.reserved > 0, "the call's own"
    inner.gate.set()
    await call
    assert till.reserved == 0
    assert till.ahead._watching == {}


async def test_another_processs_call_is_left_what_it_reserved() -> None:
    till = Till("prose")
    await till.draft()
    other = Till("document")
    other.accounts = till.accounts
    other.provider._accounts = till.accounts
    inner = other.provider._provider
    assert isinstance(inner, Playing)
    inner.gate.clear()
    call = asyncio.create_task(other.structure())
    await inner.waiting.wait()
    reserved, account = till.reserved, till.accounts.kept["86400000.0.total"]
    till.results.end("r1")
    await settled()
    assert till.reserved == reserved
    assert till.accounts.kept["86400000.0.total"] is account, "nothing is written where nothing changes"
    inner.gate.set()
    await call


async def test_a_stopping_process_leaves_it_to_whoever_is_next() -> None:
    till = Till("prose")
    await till.draft()
    await till.ahead.close()
    assert till.reserved == 500


async def test_an_answer_from_the_cache_needs_nothing_and_the_watch_ends_with_the_deadline() -> None:
    till = Till("prose")
    kept = CachedProvider(till.provider, memory=LRUCache(8))
    prompt = Prompt(text="x", kind="layout", stage="s", request_id="r1", spender=SPENDER)
    await kept.generate(prompt, SMALL)
    await kept.generate(msgspec.structs.replace(prompt, request_id="r2"), SMALL)
    assert set(till.ahead._kept) == {"r1"}
    till.ahead.release("r1")
    assert till.reserved == 0

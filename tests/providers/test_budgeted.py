"""Is every call paid for before it is made, and is only what it took kept?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

import msgspec
import pytest
from cachetools import LRUCache

from contracts.errors import ErrorCode, Unavailable
from contracts.events import Params
from contracts.policy import budget
from contracts.policy.budget import NANOS, Account, Cap, Refusal, Reserve, Settle, Spent
from contracts.policy.budget_scope import BillingContext, Limits
from contracts.ports import CallRefused, Completion, Prompt, ProviderError
from contracts.usage import Tokens
from infra.providers.budget import FREE, Budgeted, Tariff
from infra.providers.chain import Chain
from infra.providers.response_cache import CachedProvider
from infra.settings.narrative import OpenAIServer
from tests.providers.doubles import ManualClock, Playing, away, done
from tests.providers.openai_server import params

DEADLINE_MS = 160_000
SPENDER = BillingContext(
    workspace="w", node="n", deadline_at_ms=DEADLINE_MS, ahead=Tokens(prompt=300, completion=200)
)
DAY = 86_400_000
TOTAL = f"{DAY}.0.total"


class Memo:
    """Accounts in this process; away when told so."""

    def __init__(self, clock: ManualClock) -> None:
        self.kept: dict[str, Account] = {}
        self.changes: list[Reserve | Settle] = []
        self.away = False
        self._clock = clock

    def change(self, name: str, change: Reserve | Settle, *, ends_ms: int) -> Awaitable[Refusal | None]:
        del ends_ms
        future: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        if self.away:
            future.set_exception(Unavailable("no broker"))
            return future
        self.changes.append(change)
        now_ms = int(self._clock() * 1000)
        account = self.kept.get(name, Account())
        made = (
            budget.reserve(account, change, now_ms)
            if isinstance(change, Reserve)
            else budget.settle(account, change, now_ms)
        )
        if isinstance(made, Account):
            self.kept[name] = made
        future.set_result(made if isinstance(made, Refusal) else None)
        return future

    def spent(self, name: str = TOTAL) -> tuple[Spent, Spent]:
        account = self.kept[name]
        return account.spent, account.reserved(int(self._clock() * 1000))


class Till:
    """A budgeted provider with everything around it."""

    def __init__(self, inner: Any, tariff: Tariff = FREE, **caps: Any) -> None:
        self.clock = ManualClock()
        self.accounts = Memo(self.clock)
        limits = Limits(**{"window_ms": DAY, "total": Cap(tokens=10_000), **caps})
        self.provider = Budgeted(
            inner, accounts=self.accounts, limits=limits, tariff=tariff, clock=self.clock
        )

    async def ask(
        self, request_id: str = "r1", *, spender: BillingContext | None = SPENDER, **more: Any
    ) -> Completion:
        prompt = Prompt(
            text="x" * 36, kind="layout", stage="freeform-gen", request_id=request_id, spender=spender
        )
        schema = more.pop("schema", None)
        return await self.provider.generate(prompt, _params(**more), schema)


def _params(**more: Any) -> Params:
    return msgspec.structs.replace(params(), **{"max_tokens": 100, "timeout_s": 30, **more})


async def test_the_most_is_reserved_before_the_call_and_what_it_took_after_it() -> None:
    inner = Playing("twelve chars")
    inner.gate.clear()
    till = Till(inner)
    call = asyncio.create_task(till.ask())
    await inner.waiting.wait()
    # 36 bytes and 64 around them, 100 of the answer, 500 for what follows.
    assert till.accounts.spent() == (Spent(), Spent(tokens=700))
    inner.gate.set()
    await call
    assert till.accounts.spent() == (Spent(tokens=22, nanos=NANOS // 2), Spent(tokens=500))


async def test_a_budget_with_just_enough_room_for_a_draft_and_its_document_pays() -> None:
    till = Till(Playing("twelve chars"), total=Cap(tokens=700))
    await till.ask()
    assert till.accounts.spent() == (Spent(tokens=22, nanos=NANOS // 2), Spent(tokens=500))


async def test_a_budget_without_room_for_a_draft_and_its_document_pays_for_no_call() -> None:
    till = Till(Playing("fine"), total=Cap(tokens=699))
    with pytest.raises(CallRefused) as found:
        await till.ask()
    assert found.value.code is ErrorCode.GEN_BUDGET_EXCEEDED
    assert till.accounts.kept == {}


async def test_structuring_uses_what_was_kept_free_for_it() -> None:
    till = Till(Playing("twelve chars"), total=Cap(tokens=750))
    await till.ask()
    await till.ask(spender=SPENDER.structuring(), max_tokens=600)
    assert till.accounts.spent() == (Spent(tokens=44, nanos=NANOS), Spent())


async def test_without_a_cap_nobody_counts() -> None:
    till = Till(Playing("fine"), total=Cap())
    till.accounts.away = True
    assert (await till.ask()).text == "fine"
    assert till.accounts.changes == []


@pytest.mark.parametrize(
    ("turn", "took"),
    [
        (away(), Spent()),
        (ProviderError(ErrorCode.GEN_TIMEOUT, "too slow"), Spent(tokens=200)),
        (done("?"), Spent(tokens=200)),
        (done("", tokens=Tokens(prompt=7, completion=0), amount=0.0), Spent(tokens=7)),
    ],
    ids=["never began", "broke off", "does not say", "empty"],
)
async def test_what_a_call_took_that_did_not_go_well(turn: Any, took: Spent) -> None:
    till = Till(Playing(turn))
    with contextlib.suppress(ProviderError):
        await till.ask(spender=SPENDER.structuring())
    assert till.accounts.spent() == (took, Spent())


async def test_a_cancelled_call_counts_in_full_and_nobody_waits() -> None:
    inner = Playing("late")
    inner.gate.clear()
    till = Till(inner)
    call = asyncio.create_task(till.ask())
    await inner.waiting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert till.accounts.spent() == (Spent(tokens=200), Spent())


async def test_no_room_is_a_refusal_without_a_call_and_leaves_nothing_reserved() -> None:
    inner = Playing("fine")
    till = Till(inner, total=Cap(tokens=600), node=Cap(tokens=5000))
    with pytest.raises(ProviderError, match="all requests together") as caught:
        await till.ask()
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.GEN_BUDGET_EXCEEDED, False)
    assert inner.calls == 0
    assert till.accounts.spent(f"{DAY}.0.node.w.n") == (Spent(), Spent())


@pytest.mark.parametrize(
    ("spent", "seconds_left", "retryable"), [(0, 60, True), (0, 14, False), (9_500, 60, False)]
)
async def test_what_is_only_reserved_is_waited_for_while_there_is_time(
    *, spent: int, seconds_left: int, retryable: bool
) -> None:
    inner = Playing("fine")
    inner.gate.clear()
    till = Till(inner)
    till.accounts.kept[TOTAL] = Account(spent=Spent(tokens=spent))
    if not spent:
        hold = budget.Reservation(most=Spent(tokens=9_500), until_ms=200_000, run="other")
        till.accounts.kept[TOTAL] = Account(held={"other:1": hold})
    till.clock.after(60 - seconds_left)
    with pytest.raises(ProviderError) as caught:
        await till.ask()
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.GEN_BUDGET_EXCEEDED, retryable)


async def test_without_a_broker_no_call_is_made() -> None:
    inner = Playing("fine")
    till = Till(inner)
    till.accounts.away = True
    with pytest.raises(Unavailable):
        await till.ask()
    assert inner.calls == 0


async def test_the_rate_counts_generations_and_not_calls() -> None:
    inner = Playing("fine")
    till = Till(inner, total=Cap(), always_node=Cap(generations=2))
    always = msgspec.structs.replace(SPENDER, always=True)
    for request_id in ("r1", "r1", "r2"):
        await till.ask(request_id, spender=always)
        await till.ask(request_id, spender=always.structuring())
    await till.ask("r3")
    with pytest.raises(ProviderError, match="node 'n' of workspace 'w'") as caught:
        await till.ask("r3", spender=always)
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.GEN_RATE_LIMITED, False)
    till.clock.after(60)
    await till.ask("r3", spender=always)
    assert inner.calls == 8


async def test_a_generation_without_money_is_none_of_the_rates() -> None:
    till = Till(Playing("fine"), total=Cap(tokens=0), always_node=Cap(generations=2))
    with pytest.raises(ProviderError, match="all requests together"):
        await till.ask(spender=msgspec.structs.replace(SPENDER, always=True))
    assert till.accounts.spent("60000.1.always.node.w.n") == (Spent(), Spent())


async def test_money_is_bounded_by_the_servers_prices() -> None:
    server = OpenAIServer(price_prompt=1.0, price_completion=2.0)
    tariff = Tariff.of(server, "UNDERSTUDY_NARRATIVE__OPENAI")
    cap = Cap.of(None, 0.301)
    # 100 + 1 bytes with the schema, 100 tokens of the answer: 0.102 + 0.2.
    inner = Playing(done("a", tokens=Tokens(prompt=10, completion=20)))
    till = Till(inner, tariff, total=cap)
    with pytest.raises(ProviderError, match=r"0\.301 units of money per day.*may need 0\.302"):
        await till.ask(spender=None, schema={})
    await till.ask(spender=None)
    assert till.accounts.spent() == (Spent(tokens=30, nanos=50_000_000), Spent())


async def test_a_server_without_a_price_is_not_asked_where_money_is_capped() -> None:
    tariff = Tariff.of(OpenAIServer(), "UNDERSTUDY_NARRATIVE__OPENAI")
    inner = Playing("fine")
    with pytest.raises(ProviderError, match="set UNDERSTUDY_NARRATIVE__OPENAI__PRICE_PROMPT"):
        await Till(inner, tariff, total=Cap(nanos=1)).ask()
    assert inner.calls == 0
    await Till(inner, tariff, total=Cap(tokens=1000)).ask()
    assert inner.calls == 1


async def test_when_the_money_is_gone_a_chain_goes_on_to_the_free_provider() -> None:
    paid, free = Playing("paid"), Playing(done("free", tokens=Tokens(prompt=1, completion=1)), name="b")
    till = Till(paid, Tariff(prompt=1.0, completion=1.0), total=Cap(nanos=0))
    beside = Budgeted(
        free, accounts=till.accounts, limits=Limits(window_ms=DAY, total=Cap(nanos=0)), clock=till.clock
    )
    till.provider = Chain((till.provider, beside))  # pyright: ignore[reportAttributeAccessIssue] - a provider too
    answer = await till.ask()
    assert (answer.text, [each.code for each in answer.attempts]) == ("free", [ErrorCode.GEN_BUDGET_EXCEEDED])
    assert paid.calls == 0


async def test_an_answer_from_the_response_cache_costs_nothing() -> None:
    till = Till(Playing("twelve chars"))
    kept = CachedProvider(till.provider, memory=LRUCache(8))
    prompt = Prompt(text="x", kind="layout", stage="structuring", request_id="r1")
    await kept.generate(prompt, _params())
    again = await kept.generate(msgspec.structs.replace(prompt, request_id="r2"), _params())
    assert again.cached
    assert till.accounts.spent() == (Spent(tokens=22, nanos=NANOS // 2), Spent())


async def test_a_call_ends_with_its_deadline_and_its_reservation_soon_after() -> None:
    class Told(Playing):
        async def generate(
            self, prompt: Any, params: Any, schema: Any = None, on_token: Any = None
        ) -> Completion:
            self.timeouts = [*getattr(self, "timeouts", []), params.timeout_s]
            return await super().generate(prompt, params, schema, on_token)

    inner = Told("fine")
    till = Till(inner)
    till.clock.after(50)
    await till.ask("r1")
    till.clock.after(9)
    await till.ask("r2")
    (held,) = [each for each in till.accounts.changes if isinstance(each, Reserve) and each.key == "r2:1"]
    assert held.hold.until_ms == DEADLINE_MS + 2000
    # A replay whose brief is from yesterday.
    till.clock.after(1000)
    await till.ask("r3")
    assert inner.timeouts == [10, 1, 30]

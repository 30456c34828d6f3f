"""When is a provider that keeps failing asked again?"""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ErrorCode
from contracts.ports import CallRefused, ProviderError
from infra.providers import breaker as module
from infra.providers.breaker import Breaker, Circuit, CircuitChange, CircuitState
from tests.providers.doubles import ManualClock, Playing, away
from tests.providers.openai_server import ask, params


def guarded(inner, clock=None, *, failures=3, cooldown_s=30.0, on_change=None) -> Breaker:
    return Breaker(
        inner, failures=failures, cooldown_s=cooldown_s, clock=clock or ManualClock(), on_change=on_change
    )


async def fail(made: Breaker, times: int = 1) -> ProviderError:
    for _ in range(times):
        with pytest.raises(ProviderError) as found:
            await made.generate(ask(), params())
    return found.value


async def test_a_provider_that_answers_is_asked_and_named() -> None:
    made = guarded(Playing("text"))
    done = await made.generate(ask(), params())
    assert done.text == "text"
    assert (made.name, made.model, made.state) == ("a", "a-1", CircuitState.CLOSED)


async def test_failures_in_a_row_open_it_and_nobody_is_asked() -> None:
    inner, clock = Playing(away("connection refused", retryable=True)), ManualClock()
    made = guarded(inner, clock)
    await fail(made, 2)
    assert made.state is CircuitState.CLOSED
    await fail(made)
    assert made.state is CircuitState.OPEN
    clock.after(12.5)
    error = await fail(made)
    assert inner.calls == 3
    assert (error.code, error.retryable) == (ErrorCode.GEN_PROVIDER_UNAVAILABLE, False)
    assert str(error) == (
        "a is left alone after 3 failures in a row, for another 17.5 s; the last was: connection refused"
    )


async def test_a_success_in_between_starts_the_count_again() -> None:
    made = guarded(Playing(away(), away(), "text", away(), away(), away()))
    await fail(made, 2)
    await made.generate(ask(), params())
    await fail(made, 2)
    assert made.state is CircuitState.CLOSED
    await fail(made)
    assert made.state is CircuitState.OPEN


@pytest.mark.parametrize(
    "error",
    [
        CallRefused(ErrorCode.GEN_PROVIDER_UNAVAILABLE, "context is too long"),
        ProviderError(ErrorCode.GEN_BUDGET_EXCEEDED, "no money"),
    ],
    ids=["refused", "budget"],
)
async def test_what_says_nothing_about_the_provider_does_not_count(error) -> None:
    inner = Playing(error)
    made = guarded(inner)
    await fail(made, 10)
    assert (made.state, inner.calls) == (CircuitState.CLOSED, 10)


async def test_time_outs_count() -> None:
    made = guarded(Playing(ProviderError(ErrorCode.GEN_TIMEOUT, "too late")))
    await fail(made, 3)
    assert made.state is CircuitState.OPEN


async def test_after_the_cooldown_one_call_tries_and_closes_it() -> None:
    inner, clock = Playing(away(), away(), away(), "back"), ManualClock()
    made = guarded(inner, clock)
    await fail(made, 3)
    clock.after(30.0)
    inner.gate.clear()
    inner.waiting.clear()
    probe = asyncio.create_task(made.generate(ask(), params()))
    async with asyncio.timeout(60):
        await inner.waiting.wait()
        assert made.state is CircuitState.HALF_OPEN
        error = await fail(made)
        inner.gate.set()
        assert (await probe).text == "back"
    assert "until the call that tries it now has ended" in str(error)
    assert inner.calls == 4
    assert made.state is CircuitState.CLOSED


async def test_a_trial_that_fails_opens_it_for_another_cooldown() -> None:
    inner, clock = Playing(away()), ManualClock()
    made = guarded(inner, clock)
    await fail(made, 3)
    clock.after(30.0)
    await fail(made)
    assert (made.state, inner.calls) == (CircuitState.OPEN, 4)
    clock.after(29.9)
    await fail(made)
    assert inner.calls == 4


async def test_a_cancelled_trial_leaves_the_place_to_the_next() -> None:
    inner, clock = Playing(away(), away(), away(), "lost", "back"), ManualClock()
    made = guarded(inner, clock)
    await fail(made, 3)
    clock.after(30.0)
    inner.gate.clear()
    inner.waiting.clear()
    probe = asyncio.create_task(made.generate(ask(), params()))
    async with asyncio.timeout(60):
        await inner.waiting.wait()
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
    inner.gate.set()
    assert (await made.generate(ask(), params())).text == "back"
    assert made.state is CircuitState.CLOSED


async def test_a_failure_of_a_call_from_before_does_not_prolong_the_cooldown() -> None:
    late, clock = Playing(away()), ManualClock()
    made = guarded(late, clock, failures=1)
    late.gate.clear()
    old = [asyncio.create_task(made.generate(ask(), params())) for _ in range(2)]
    async with asyncio.timeout(60):
        await late.waiting.wait()
        late.gate.set()
        await asyncio.gather(*old, return_exceptions=True)
    assert made.state is CircuitState.OPEN
    clock.after(29.0)
    error = await fail(made)
    assert "for another 1.0 s" in str(error)


async def test_every_change_is_told_with_its_cause() -> None:
    changes: list[CircuitChange] = []
    clock = ManualClock()
    made = guarded(Playing(away("gone"), "back"), clock, failures=1, on_change=changes.append)
    await fail(made)
    clock.after(30.0)
    await made.generate(ask(), params())
    assert [(one.was, one.now, one.why) for one in changes] == [
        (CircuitState.CLOSED, CircuitState.OPEN, "gone"),
        (CircuitState.OPEN, CircuitState.HALF_OPEN, ""),
        (CircuitState.HALF_OPEN, CircuitState.CLOSED, ""),
    ]
    assert {(one.provider, one.model) for one in changes} == {("a", "a-1")}


@given(st.lists(st.sampled_from(["ok", "fail", "cancel", "wait"]), max_size=60), st.integers(1, 5))
def test_it_is_open_only_after_enough_failures_and_never_for_ever(steps, limit) -> None:
    circuit, now, row = Circuit(), 0.0, 0
    for step in steps:
        if step == "wait":
            now += 10.0
            continue
        let = module.admitted(circuit, now)
        if let is None:
            assert circuit.state is CircuitState.OPEN
            assert row >= limit
            assert now < circuit.until <= now + 10.0
            continue
        assert let.state in {CircuitState.CLOSED, CircuitState.HALF_OPEN}
        match step:
            case "ok":
                circuit, row = module.succeeded(let), 0
                assert (circuit.state, circuit.failures) == (CircuitState.CLOSED, 0)
            case "fail":
                circuit, row = module.failed(let, now, limit=limit, cooldown_s=10.0), row + 1
                assert (circuit.state is CircuitState.OPEN) == (row >= limit)
            case _:
                circuit = module.given_up(let, now)
                assert circuit.state is not CircuitState.HALF_OPEN

"""When is a provider that keeps failing asked again?"""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ErrorCode
from contracts.ports import CallRefused, Completion, ProviderError
from infra.providers import breaker as module
from infra.providers.breaker import Breaker, Circuit, CircuitChange, CircuitState
from infra.providers.chain import Chain
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


async def probing(inner: Playing, *, cooldown_s: float = 30.0) -> tuple[Breaker, asyncio.Task[Completion]]:
    """A breaker that has opened, and the call that tries it again, which is held at the gate."""
    clock = ManualClock()
    made = guarded(inner, clock, cooldown_s=cooldown_s)
    await fail(made, 3)
    clock.after(cooldown_s)
    inner.gate.clear()
    inner.waiting.clear()
    probe = asyncio.create_task(made.generate(ask(), params()))
    async with asyncio.timeout(60):
        await inner.waiting.wait()
    assert made.state is CircuitState.HALF_OPEN
    return made, probe


async def come(made: Breaker, many: int, **more: float) -> list[asyncio.Task[Completion]]:
    """Calls that come while a probe runs; each has gone as far as it can."""
    calls = [asyncio.create_task(made.generate(ask(), params(**more))) for _ in range(many)]
    await asyncio.sleep(0)
    return calls


async def test_after_the_cooldown_one_call_tries_and_the_others_follow_its_success() -> None:
    inner = Playing(away(), away(), away(), "back")
    made, probe = await probing(inner)
    calls = await come(made, 20)
    assert inner.calls == 4
    inner.gate.set()
    async with asyncio.timeout(60):
        assert {done.text for done in await asyncio.gather(probe, *calls)} == {"back"}
    assert (made.state, inner.calls) == (CircuitState.CLOSED, 24)


async def test_a_probe_that_fails_fails_the_calls_that_wait_for_it() -> None:
    inner = Playing(away())
    made, probe = await probing(inner)
    calls = await come(made, 20)
    inner.gate.set()
    async with asyncio.timeout(60):
        ended = await asyncio.gather(probe, *calls, return_exceptions=True)
    assert (made.state, inner.calls) == (CircuitState.OPEN, 4)
    assert {str(error) for error in ended[1:]} == {
        "a is left alone after 4 failures in a row, for another 30.0 s; the last was: connection refused"
    }


async def test_of_the_calls_that_wait_one_takes_the_turn_of_a_cancelled_probe() -> None:
    inner = Playing(away(), away(), away(), "lost", "back")
    made, probe = await probing(inner)
    calls = await come(made, 20)
    inner.waiting.clear()
    probe.cancel()
    async with asyncio.timeout(60):
        await inner.waiting.wait()
        await asyncio.gather(probe, return_exceptions=True)
        assert (made.state, inner.calls) == (CircuitState.HALF_OPEN, 5)
        inner.gate.set()
        assert {done.text for done in await asyncio.gather(*calls)} == {"back"}
    assert made.state is CircuitState.CLOSED


async def test_a_call_waits_no_longer_than_its_time_out() -> None:
    inner = Playing(away(), away(), away(), "back")
    made, probe = await probing(inner)
    (call,) = await come(made, 1, timeout_s=0.01)
    async with asyncio.timeout(60):
        with pytest.raises(ProviderError, match="until the call that tries it now has ended"):
            await call
        assert made.state is CircuitState.HALF_OPEN
        inner.gate.set()
        await probe


async def test_the_wait_is_a_part_of_the_time_out_and_a_time_out_that_it_shortened_does_not_count() -> None:
    late = ProviderError(ErrorCode.GEN_TIMEOUT, "too late")
    inner = Playing(away(), away(), away(), "back", late)
    made, probe = await probing(inner)
    calls = await come(made, 10, timeout_s=15.0)
    inner.gate.set()
    async with asyncio.timeout(60):
        ended = await asyncio.gather(probe, *calls, return_exceptions=True)
    assert [str(error) for error in ended[1:]] == ["too late"] * 10
    assert all(0 < each < 15.0 for each in inner.limits[4:])
    assert (made.state, made.failures) == (CircuitState.CLOSED, 0)
    await fail(made, 3)
    assert made.state is CircuitState.OPEN


async def test_a_cancelled_waiter_leaves_the_others_waiting() -> None:
    inner = Playing(away(), away(), away(), "back")
    made, probe = await probing(inner)
    calls = await come(made, 3)
    calls[0].cancel()
    inner.gate.set()
    async with asyncio.timeout(60):
        await asyncio.gather(calls[0], return_exceptions=True)
        assert {done.text for done in await asyncio.gather(probe, *calls[1:])} == {"back"}
    assert inner.calls == 6


async def test_no_more_calls_wait_than_the_bound() -> None:
    inner = Playing(away(), away(), away(), "back")
    made, probe = await probing(inner)
    calls = await come(made, module.WAITERS)
    error = await fail(made)
    assert "until the call that tries it now has ended" in str(error)
    inner.gate.set()
    async with asyncio.timeout(60):
        await asyncio.gather(probe, *calls)
    assert inner.calls == 4 + module.WAITERS


async def test_a_call_that_another_provider_can_answer_does_not_wait() -> None:
    inner, other = Playing(away(), away(), away(), "back"), Playing("text", name="b")
    made, probe = await probing(inner)
    async with asyncio.timeout(60):
        done = await Chain((made, other)).generate(ask(), params())
        assert (done.text, done.provider, inner.calls) == ("text", "b", 4)
        last = asyncio.create_task(Chain((Playing(away(), name="b"), made)).generate(ask(), params()))
        await asyncio.sleep(0)
        inner.gate.set()
        assert (await last).text == (await probe).text == "back"


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
    inner = Playing(away(), away(), away(), "lost", "back")
    made, probe = await probing(inner)
    async with asyncio.timeout(60):
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

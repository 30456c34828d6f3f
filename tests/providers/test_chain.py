"""Who answers when the first provider does not, and what is told of the others?"""

import asyncio

import pytest

from contracts.errors import ErrorCode
from contracts.ports import ProviderError
from contracts.usage import Attempt, Tokens
from infra.providers.chain import Chain
from tests.providers.doubles import ManualClock, Playing, away, done
from tests.providers.openai_server import ask, params

WHY = ErrorCode.GEN_PROVIDER_UNAVAILABLE


async def test_the_first_that_answers_is_the_only_one_asked() -> None:
    second = Playing("other", name="b")
    made = await Chain((Playing("text"), second)).generate(ask(), params())
    assert (made.text, made.provider, made.attempts, second.calls) == ("text", "a", (), 0)


async def test_a_failure_goes_on_to_the_next_and_is_told() -> None:
    clock = ManualClock()
    chain = Chain((Playing(away("gone", retryable=True)), Playing("text", name="b")), clock=clock)
    made = await chain.generate(ask(), params())
    assert (made.text, made.provider) == ("text", "b")
    assert made.attempts == (Attempt(provider="a", model="a-1", code=WHY, time_ms=0.0, why="gone"),)
    assert made.tokens == Tokens(prompt=10, completion=4)


async def test_a_links_own_attempts_are_kept_in_order() -> None:
    first = Attempt(provider="a", model="a-1", code=WHY, why="no json_schema")
    second = Attempt(provider="a", model="a-1", code=WHY, why="and then it went away")
    third = Attempt(provider="b", model="b-1", code=WHY, why="no seed")
    chain = Chain((Playing(away("x", attempts=(first, second))), Playing(done("t", attempts=(third,)))))
    assert (await chain.generate(ask(), params())).attempts == (first, second, third)


async def test_an_empty_answer_goes_on_and_its_tokens_count() -> None:
    chain = Chain((Playing("  "), Playing("text", name="b")))
    made = await chain.generate(ask(), params())
    assert (made.text, made.provider) == ("text", "b")
    assert [(one.provider, one.code) for one in made.attempts] == [("a", ErrorCode.GEN_EMPTY_OUTPUT)]
    assert made.tokens == Tokens(prompt=20, completion=6)
    assert made.amount == 1.0


async def test_when_nobody_writes_the_empty_answer_is_returned() -> None:
    chain = Chain((Playing(""), Playing(away("gone"), name="b")))
    made = await chain.generate(ask(), params())
    assert (made.text, made.provider) == ("", "a")
    assert [(one.provider, one.code) for one in made.attempts] == [("b", WHY)]


async def test_when_all_fail_every_call_is_told() -> None:
    chain = Chain(
        (
            Playing(ProviderError(ErrorCode.GEN_TIMEOUT, "too late")),
            Playing(away("busy", retryable=True, retry_after_s=4.0), name="b"),
            Playing(away("busy too", retryable=True, retry_after_s=3.0), name="c"),
            Playing(away("wrong key", retry_after_s=1.0), name="d"),
        )
    )
    with pytest.raises(ProviderError) as found:
        await chain.generate(ask(), params())
    error = found.value
    assert (error.code, error.retryable, error.retry_after_s) == (WHY, True, 3.0)
    assert str(error) == "too late; busy; busy too; wrong key"
    assert [(one.provider, one.code) for one in error.attempts] == [
        ("a", ErrorCode.GEN_TIMEOUT),
        ("b", WHY),
        ("c", WHY),
        ("d", WHY),
    ]


async def test_final_failures_alone_are_final() -> None:
    chain = Chain((Playing(away("wrong key")), Playing(ProviderError(ErrorCode.GEN_TIMEOUT, "late"))))
    with pytest.raises(ProviderError) as found:
        await chain.generate(ask(), params())
    assert (found.value.code, found.value.retryable) == (ErrorCode.GEN_TIMEOUT, False)


async def test_a_cancelled_call_asks_nobody_else() -> None:
    first, second = Playing("text"), Playing("other", name="b")
    first.gate.clear()
    call = asyncio.create_task(Chain((first, second)).generate(ask(), params()))
    async with asyncio.timeout(60):
        await first.waiting.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert second.calls == 0


async def test_its_name_is_that_of_its_links() -> None:
    chain = Chain((Playing("x"), Playing("y", name="b")))
    assert (chain.name, chain.model) == ("a, b", "a-1, b-1")


def test_a_chain_has_a_link() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Chain(())

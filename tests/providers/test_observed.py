"""Observed calls: each one that is made, and no other, with its own tokens and cost."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from contracts.errors import ErrorCode
from contracts.ports import ProviderError
from contracts.usage import Attempt
from infra.providers.breaker import Breaker
from infra.providers.chain import Chain
from infra.providers.observed import Observed
from infra.providers.response_cache import CachedProvider
from infra.providers.routing import providers
from infra.settings.settings import load
from infra.telemetry.dispatch import Telemetry, TelemetryEvent
from infra.telemetry.provider_events import ProviderCalled
from infra.telemetry.trace_events import CALLS, CallFacts
from tests.providers.doubles import Playing, Turn, away, done
from tests.providers.openai_server import ask, params


class Seen:
    """What providers report."""

    def __init__(self) -> None:
        self.events: list[TelemetryEvent] = []
        self.telemetry = Telemetry(self.events.append)

    def observe(self, *turns: Turn, name: str = "a") -> Observed:
        return Observed(Playing(*turns, name=name), self.telemetry)

    @property
    def calls(self) -> list[ProviderCalled]:
        return [each for each in self.events if isinstance(each, ProviderCalled)]


@pytest.fixture
def seen() -> Seen:
    return Seen()


async def test_a_call_is_reported_with_its_tokens_and_cost(seen: Seen) -> None:
    prompt = ask()
    await seen.observe("prose").generate(prompt, params())
    (call,) = seen.calls
    assert (call.provider, call.model, call.code) == ("a", "a-1", "")
    assert (call.stage, call.kind, call.request_id) == (prompt.stage, prompt.kind, prompt.request_id)
    assert (call.prompt_tokens, call.completion_tokens, call.cost) == (10, 5, 0.5)


async def test_an_empty_answer_and_a_failure_have_their_codes(seen: Seen) -> None:
    provider = seen.observe(" ", away())
    await provider.generate(ask(), params())
    with pytest.raises(ProviderError):
        await provider.generate(ask(), params())
    assert [each.code for each in seen.calls] == ["GEN_EMPTY_OUTPUT", "GEN_PROVIDER_UNAVAILABLE"]
    assert [each.cost for each in seen.calls] == [0.5, None]


async def test_a_call_that_an_open_circuit_spares_is_none(seen: Seen) -> None:
    provider = Breaker(seen.observe(away()), failures=3, cooldown_s=60)
    for _ in range(10):
        with pytest.raises(ProviderError):
            await provider.generate(ask(), params())
    assert len(seen.calls) == 3


async def test_an_answer_from_the_cache_is_no_call(seen: Seen) -> None:
    provider = CachedProvider(seen.observe("prose"), memory={})
    for _ in range(3):
        await provider.generate(ask(), params())
    assert len(seen.calls) == 1


async def test_a_cancelled_call_is_reported(seen: Seen) -> None:
    stuck = Playing("prose")
    stuck.gate.clear()
    call = asyncio.create_task(Observed(stuck, seen.telemetry).generate(ask(), params()))
    await stuck.waiting.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert [each.code for each in seen.calls] == ["GEN_CANCELLED"]


async def test_each_link_of_a_chain_has_what_it_took_itself(seen: Seen) -> None:
    free = done("prose", provider="b", model="b-1")
    chain = Chain((seen.observe(" "), seen.observe(free, name="b")))
    await chain.generate(ask(), params())
    assert [(each.provider, each.cost) for each in seen.calls] == [("a", 0.5), ("b", None)]


async def test_calls_before_the_last_one_are_calls_of_their_own(seen: Seen) -> None:
    refused = Attempt(provider="a", model="a-1", code=ErrorCode.GEN_PROVIDER_UNAVAILABLE, time_ms=7)
    answer = done("{}", attempts=(refused,))
    failure = away(attempts=(refused, msgspec.structs.replace(refused, code=ErrorCode.GEN_TIMEOUT)))
    provider = seen.observe(answer, failure)
    await provider.generate(ask(), params())
    with pytest.raises(ProviderError):
        await provider.generate(ask(), params())
    assert [each.code for each in seen.calls] == [
        "GEN_PROVIDER_UNAVAILABLE",
        "",
        "GEN_PROVIDER_UNAVAILABLE",
        "GEN_PROVIDER_UNAVAILABLE",
    ]
    assert seen.calls[0].duration_ms == 7


async def test_the_calls_of_a_message_are_recorded_for_its_trace(seen: Seen) -> None:
    traced: list[CallFacts] = []
    CALLS.set(traced)
    await seen.observe("prose").generate(ask(), params(), {"type": "object"})
    (call,) = traced
    assert (call.called, call.output, call.finish_reason) == (seen.calls[0], "json", "stop")
    assert call.response_model == "a-1"
    assert call.began_ns <= call.ended_ns


@pytest.mark.parametrize("name", ["scripted", "openai"])
async def test_every_provider_of_a_process_is_observed(seen: Seen, name: str) -> None:
    server = {"model": "m", "base_url": "http://127.0.0.1:1/v1"}
    settings = load(use_local_model=True, narrative={"providers": {"plot": name}, "openai": server})
    provider = providers(settings, telemetry=seen.telemetry)["plot"]
    await asyncio.gather(provider.generate(ask(), params()), return_exceptions=True)
    assert [each.provider for each in seen.calls] == [name]

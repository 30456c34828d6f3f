"""What does the OpenAI provider make of every answer that a server can give?"""

import asyncio
import logging

import pytest

from contracts.errors import ErrorCode
from contracts.ports import CallRefused, ProviderError
from contracts.usage import Tokens
from infra.providers.openai import OpenAIProvider
from infra.settings.narrative import OpenAIServer
from tests.providers.openai_server import (
    FakeServer,
    Said,
    Streamed,
    answer,
    ask,
    chunk,
    params,
    provider,
    refusal,
    usage,
)

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
DOCUMENT = '{"name": "x"}'


async def failure(server: FakeServer, **more) -> ProviderError:
    with pytest.raises(ProviderError) as found:
        await provider(server, **more).generate(ask(), params())
    return found.value


async def test_an_answer_streams_and_is_counted() -> None:
    seen: list[str] = []
    async with FakeServer(lambda _: answer("The ", "forest", " is old.")) as server:
        done = await provider(server).generate(ask(), params(), None, seen.append)
    assert seen == ["The ", "forest", " is old."]
    assert done.text == "The forest is old."
    assert (done.provider, done.model, done.finish_reason) == ("openai", "served-1", "stop")
    assert done.tokens == Tokens(prompt=7, completion=3)
    assert done.amount is None
    assert not done.deterministic
    assert not done.cached
    assert done.attempts == ()
    assert done.time_ms > 0


async def test_parameters_arrive_under_the_protocols_names() -> None:
    async with FakeServer(lambda _: answer("ok")) as server:
        wanted = params(temperature=0.8, top_p=0.9, max_tokens=33, seed=2**40 + 5, stop=("END", "\n\n"))
        await provider(server, api_key="sk-secret").generate(ask("write"), wanted)
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == "Bearer sk-secret"
    assert asked.body == {
        "model": "asked-1",
        "messages": [{"role": "user", "content": "write"}],
        "temperature": 0.8,
        "top_p": 0.9,
        "max_tokens": 33,
        "seed": 5,
        "stop": ["END", "\n\n"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_the_environments_key_goes_nowhere(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-somebody-elses")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    async with FakeServer(lambda _: answer("ok")) as server:
        await provider(server).generate(ask(), params())
    (asked,) = server.asked
    assert asked.headers["authorization"] == "Bearer none"
    assert "openai-organization" not in asked.headers


# -- cost --------------------------------------------------------------------------------------------


async def test_the_servers_own_cost_counts_before_prices() -> None:
    async with FakeServer(lambda _: answer("a", "b", prompt=1000, cost=0.25)) as server:
        done = await provider(server, price_prompt=9.0).generate(ask(), params())
    assert done.amount == 0.25


async def test_prices_make_a_cost_of_tokens() -> None:
    async with FakeServer(lambda _: answer("a", "b", prompt=3000)) as server:
        done = await provider(server, price_prompt=0.5, price_completion=2.0).generate(ask(), params())
    assert done.amount == pytest.approx(1.5 + 0.004)


async def test_without_usage_nothing_is_known() -> None:
    async with FakeServer(lambda _: Streamed(events=(chunk("a"), chunk(finish="stop")))) as server:
        done = await provider(server, price_prompt=0.5).generate(ask(), params())
    assert (done.tokens, done.amount) == (Tokens(), None)


# -- what an answer can look like ---------------------------------------------------------------------


async def test_a_cut_answer_says_length() -> None:
    async with FakeServer(lambda _: answer("half of", finish="length")) as server:
        done = await provider(server).generate(ask(), params())
    assert (done.text, done.finish_reason) == ("half of", "length")


async def test_a_stop_sequence_that_the_server_left_in_is_cut() -> None:
    async with FakeServer(lambda _: answer("one E", "ND two", finish="length")) as server:
        done = await provider(server).generate(ask(), params(stop=("never", "END")))
    assert (done.text, done.finish_reason) == ("one ", "stop")


@pytest.mark.parametrize(
    "events",
    [(), (usage(3, 0),), (chunk(finish="stop"),), (chunk(finish="length"), usage(3, 0))],
    ids=["nothing", "no choices", "no text", "no text in time"],
)
async def test_an_answer_without_text_is_empty(events) -> None:
    async with FakeServer(lambda _: Streamed(events=events)) as server:
        done = await provider(server).generate(ask(), params())
    assert done.text == ""
    assert ("an empty stream" in done.note) == (events == ())


async def test_reasoning_is_no_answer_and_is_told() -> None:
    thought = chunk() | {
        "choices": [{"index": 0, "delta": {"reasoning_content": "hmm, let me see"}, "finish_reason": None}]
    }
    async with FakeServer(lambda _: Streamed(events=(thought, chunk(finish="length")))) as server:
        done = await provider(server).generate(ask(), params())
    assert (done.text, done.finish_reason) == ("", "length")
    assert done.note == "15 characters of reasoning and none of an answer"


@pytest.mark.parametrize(("text", "size"), [("half", 4), (None, 0)])
async def test_a_stream_that_ends_early_is_worth_a_retry(text, size) -> None:
    async with FakeServer(lambda _: Streamed(events=(chunk(text),), done=False)) as server:
        error = await failure(server)
    assert (error.code, error.retryable) == (ErrorCode.GEN_PROVIDER_UNAVAILABLE, True)
    assert f"after {size} characters" in str(error)


async def test_a_connection_that_breaks_is_worth_a_retry() -> None:
    async with FakeServer(lambda _: Streamed(events=(chunk("half"),), abort=True)) as server:
        error = await failure(server)
    assert (error.code, error.retryable) == (ErrorCode.GEN_PROVIDER_UNAVAILABLE, True)
    assert f"the connection to openai at {server.url} broke" in str(error)


async def test_an_error_inside_the_stream_is_worth_a_retry() -> None:
    broken = Streamed(events=(chunk("half"), {"error": {"message": "the worker died"}}))
    async with FakeServer(lambda _: broken) as server:
        error = await failure(server)
    assert (error.code, error.retryable) == (ErrorCode.GEN_PROVIDER_UNAVAILABLE, True)
    assert "the worker died" in str(error)


async def test_an_event_that_is_no_json_is_told() -> None:
    async with FakeServer(lambda _: Streamed(events=(chunk("half"), "{nonsense"))) as server:
        error = await failure(server)
    assert error.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
    assert "unreadable" in str(error)


async def test_a_web_page_is_no_stream() -> None:
    async with FakeServer(lambda _: Said(status=200, body="<html>Welcome</html>")) as server:
        error = await failure(server)
    assert "text/html" in str(error)
    assert "UNDERSTUDY_NARRATIVE__OPENAI__BASE_URL" in str(error)


async def test_a_content_filter_refuses_this_one_request() -> None:
    async with FakeServer(lambda _: answer("The ", finish="content_filter")) as server:
        error = await failure(server)
    assert isinstance(error, CallRefused)
    assert not error.retryable


# -- errors by class -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_a_server_that_cannot_now_is_worth_a_retry(status: int) -> None:
    async with FakeServer(lambda _: refusal("busy", status=status)) as server:
        error = await failure(server)
    assert (error.code, error.retryable) == (ErrorCode.GEN_PROVIDER_UNAVAILABLE, True)
    assert f"{status}: busy" in str(error)
    assert error.retry_after_s is None
    assert len(server.asked) == 1, "retries are the pipeline's"
    (attempt,) = error.attempts
    assert (attempt.provider, attempt.model, attempt.code) == ("openai", "asked-1", error.code)


async def test_the_wait_that_a_server_asks_for_is_passed_on() -> None:
    busy = Said(status=429, body={"error": {"message": "slow down"}}, headers={"retry-after": "7"})
    async with FakeServer(lambda _: busy) as server:
        error = await failure(server)
    assert error.retry_after_s == 7.0


async def test_an_empty_account_is_not_asked_again() -> None:
    async with FakeServer(lambda _: refusal("quota", status=429, code="insufficient_quota")) as server:
        error = await failure(server)
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "UNDERSTUDY_NARRATIVE__OPENAI__API_KEY"),
        (403, "UNDERSTUDY_NARRATIVE__OPENAI__API_KEY"),
        (404, "UNDERSTUDY_NARRATIVE__OPENAI__MODEL"),
    ],
)
async def test_a_wrong_setting_is_final_and_named(status: int, hint: str) -> None:
    async with FakeServer(lambda _: refusal("no", status=status)) as server:
        error = await failure(server)
    assert (error.code, error.retryable) == (ErrorCode.GEN_PROVIDER_UNAVAILABLE, False)
    assert hint in str(error)
    assert not isinstance(error, CallRefused)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_request_that_is_at_fault_is_final(status: int) -> None:
    async with FakeServer(lambda _: refusal("context is too long", status=status)) as server:
        error = await failure(server)
    assert isinstance(error, CallRefused)
    assert not error.retryable
    assert "context is too long" in str(error)


async def test_fastapis_error_body_is_read_too() -> None:
    async with FakeServer(lambda _: Said(status=422, body={"detail": "Unexpected fields"})) as server:
        error = await failure(server)
    assert "422: Unexpected fields" in str(error)


async def test_a_server_that_is_not_there_is_worth_a_retry() -> None:
    async with FakeServer(lambda _: answer()) as server:
        pass
    error = await failure(server)
    assert (error.code, error.retryable) == (ErrorCode.GEN_PROVIDER_UNAVAILABLE, True)
    assert server.url in str(error)
    assert "start the server" in str(error)


async def test_the_key_is_in_no_error_and_no_log(caplog) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeServer(lambda _: refusal("Incorrect API key provided: sk-secret", status=401)) as server:
        error = await failure(server, api_key="sk-secret")
    said = f"{error} {error.attempts} {caplog.text} {OpenAIServer.model_validate({'api_key': 'sk-secret'})!r}"
    assert "sk-secret" not in said
    assert "Incorrect API key provided: ***" in said


# -- time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [(), (chunk("The "),)], ids=["before", "within"])
@pytest.mark.parametrize("limits", [(0.2, 60.0), (60.0, 0.2)], ids=["call", "server"])
async def test_an_answer_that_takes_too_long_is_a_timeout(events, limits) -> None:
    async with FakeServer(lambda _: Streamed(events=events, hang=True)) as server:
        with pytest.raises(ProviderError) as found:
            await provider(server, timeout=limits[1]).generate(ask(), params(timeout_s=limits[0]))
        async with asyncio.timeout(60):
            await server.left.wait()
    assert (found.value.code, found.value.retryable) == (ErrorCode.GEN_TIMEOUT, False)
    assert "0.2 s" in str(found.value)
    assert [each.code for each in found.value.attempts] == [ErrorCode.GEN_TIMEOUT]


async def test_a_cancelled_call_hangs_up() -> None:
    async with FakeServer(lambda _: Streamed(events=(chunk("The "),), hang=True)) as server:
        call = asyncio.create_task(provider(server).generate(ask(), params()))
        async with asyncio.timeout(60):
            await server.begun.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await server.left.wait()
    assert server.left.is_set()


async def test_a_name_is_the_routes() -> None:
    async with FakeServer(lambda _: answer("ok")) as server:
        made = OpenAIProvider(OpenAIServer(base_url=server.url, model="m"), name="big")
        done = await made.generate(ask(), params())
        await made.close()
    assert done.provider == made.name == "big"

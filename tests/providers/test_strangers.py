"""Does an answer that nobody expected stay the provider's own affair, whatever stands in its chunks?"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events as ev
from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.outcome import Emit, Fail, Retry
from contracts.ports import ProviderError
from contracts.usage import Tokens
from infra.providers.breaker import Breaker
from infra.providers.chain import Chain
from infra.providers.port_guard import Guarded
from infra.providers.reported_usage import MARGIN, Most, counted
from infra.providers.streamed_answer import StreamedAnswer
from stages.freeform_gen import handle as freeform_gen
from stages.structuring import handle as structuring
from tests.lives import brief, received
from tests.providers.doubles import Playing, done
from tests.providers.openai_server import FakeServer, Raw, ask, chunk, params, provider

WHOLE: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "served-1",
    "choices": [
        {
            "index": 0,
            "delta": {
                "role": "assistant",
                "content": "The ferry.",
                "refusal": None,
                "reasoning_content": "hm",
                "tool_calls": None,
            },
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.1},
}
ODD: tuple[Any, ...] = (
    None,
    0,
    -1,
    10**30,
    1.5,
    True,
    False,
    "",
    "x",
    "\ud800",
    [],
    [None],
    ["x"],
    {},
    {"text": 1},
)
MOST = Most.of(1000, 50, None, None)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from places(each, (*path, name))


def put(path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.deepcopy(WHOLE)
    holder = made
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return made


def stream(*chunks: Any) -> Raw:
    events = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks)
    return Raw(body=events + b"data: [DONE]\n\n")


CONTEXT = received(ev.ContextBuilt(attempt=1, brief=brief()), sequence=3)


@pytest.mark.parametrize("path", list(places(WHOLE)), ids=lambda path: ".".join(map(str, path)) or "chunk")
async def test_whatever_stands_in_a_chunk_ends_in_an_outcome_that_others_can_read(path) -> None:
    odd: list[Any] = []
    async with FakeServer(lambda _: stream(odd[-1])) as server:
        asked = provider(server)
        for value in ODD:
            odd.append(put(path, value))
            outcome = await freeform_gen.write(
                CONTEXT, providers={"layout": asked}, on_token=lambda text: text.encode()
            )
            match outcome:
                case Emit(events=(ev.Drafted() as drafted,)):
                    assert msgspec.json.decode(msgspec.json.encode(drafted), type=ev.Drafted) == drafted
                case Retry() | Fail():
                    assert outcome.code in {ErrorCode.GEN_PROVIDER_UNAVAILABLE, ErrorCode.GEN_EMPTY_OUTPUT}
                    assert outcome.trail.attempts
                    read = msgspec.json.decode(msgspec.json.encode(outcome.trail), type=ev.Trail)
                    assert read == outcome.trail
                case _:
                    pytest.fail(f"{value!r} ended in {outcome}")
        await asked.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "type", "content", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(path=st.sampled_from(list(places(WHOLE))), value=JSON)
def test_an_answer_takes_any_chunk_or_says_that_it_cannot(path, value) -> None:
    written = StreamedAnswer()
    try:
        written.add(put(path, value))
        written.end()
    except ValueError:
        return
    told = counted(written.usage, MOST, text=bool(written.text))
    assert {type(written.model), type(written.finish_reason)} <= {str, type(None)}
    assert all(
        each is None or each >= 0 for each in (told.tokens.prompt, told.tokens.completion, told.amount)
    )
    msgspec.json.encode([written.text, written.model, written.finish_reason, written.refusal, told])


# -- what can be read is an answer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunks",
    [
        (chunk("The ferry."), put(("choices", 0, "delta"), None)),
        (chunk("The ferry."), {"choices": [{"finish_reason": "stop"}]}),
        (chunk("The ferry."), {"choices": None}, chunk(finish="stop"), {"usage": None}),
        (chunk([{"type": "text", "text": "The ferry."}]), chunk(finish="stop")),  # pyright: ignore[reportArgumentType] - as Magistral has it
        (
            {
                "choices": [
                    {"message": {"role": "assistant", "content": "The ferry."}, "finish_reason": "stop"}
                ]
            },
        ),
    ],
    ids=["no delta", "no index", "no choices", "parts", "a whole message"],
)
async def test_what_says_nothing_takes_nothing_from_an_answer(chunks) -> None:
    async with FakeServer(lambda _: stream(*chunks)) as server:
        answered = await provider(server).generate(ask(), params())
    assert (answered.text, answered.finish_reason) == ("The ferry.", "stop")


async def test_parts_that_are_no_text_are_reasoning() -> None:
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    async with FakeServer(lambda _: stream(chunk(thinking), chunk("Yes."), chunk(finish="stop"))) as server:  # pyright: ignore[reportArgumentType] - as Magistral has it
        answered = await provider(server).generate(ask(), params())
    assert (answered.text, answered.note) == ("Yes.", "2 characters of reasoning")


async def test_a_character_that_the_server_cut_in_two_is_whole() -> None:
    async with FakeServer(
        lambda _: stream(chunk("a \ud83d"), chunk("\ude00!"), chunk(finish="stop"))
    ) as server:
        answered = await provider(server).generate(ask(), params())
    assert answered.text == "a 😀!"


async def test_a_server_that_does_not_stream_is_heard_too() -> None:
    body = {"choices": [{"message": {"content": "The ferry."}, "finish_reason": "stop"}], "usage": {}}
    whole = Raw(body=json.dumps(body).encode(), content_type="application/json")
    async with FakeServer(lambda _: whole) as server:
        answered = await provider(server).generate(ask(), params())
    assert answered.text == "The ferry."


# -- event streams as the standard has them ---------------------------------------------------------------

FIRST = json.dumps(chunk("The "))
LAST = json.dumps(chunk("ferry.", finish="stop"))


@pytest.mark.parametrize(
    "body",
    [
        f"retry: 3000\n\ndata: {FIRST}\n\ndata: {LAST}\n\ndata: [DONE]\n\n",
        f": hello\n\nid: 7\n\nevent: message\n\ndata:\n\ndata: {FIRST}\n\n: still here\n\ndata: {LAST}\n\n",
        f"data:{FIRST}\r\n\r\ndata:{LAST}\r\n\r\ndata:[DONE]\r\n\r\n",
        f"data: {FIRST}\r\rdata: {LAST}\r\r",
        f"\ufeffdata: {FIRST}\n\ndata: {LAST}\n\n",
        f"event: message\nid: 1\ndata: {FIRST}\n\nunknown: field\nnothing\ndata: {LAST}",
        "".join(f"data: {line}\n" for line in json.dumps(json.loads(FIRST), indent=1).splitlines())
        + f"\ndata: {LAST}\n\n",
    ],
    ids=["retry", "comments", "crlf", "cr", "bom", "no last empty line", "lines"],
)
@pytest.mark.parametrize(
    "content_type", ["Text/Event-Stream; charset=UTF-8", "text/event-stream;charset=latin1", None]
)
async def test_a_stream_is_read_by_the_standard(body: str, content_type: str | None) -> None:
    async with FakeServer(lambda _: Raw(body=body.encode(), content_type=content_type)) as server:
        answered = await provider(server).generate(ask(), params())
    assert (answered.text, answered.finish_reason) == ("The ferry.", "stop")


async def test_an_event_named_error_is_one() -> None:
    body = f'data: {FIRST}\n\nevent: error\ndata: {{"message": "the worker died"}}\n\n'.encode()
    async with FakeServer(lambda _: Raw(body=body)) as server:
        with pytest.raises(ProviderError, match="the worker died") as found:
            await provider(server).generate(ask(), params())
    assert (found.value.retryable, found.value.begun) == (True, True)


async def test_an_event_without_an_end_is_not_taken_in() -> None:
    async with FakeServer(lambda _: Raw(body=b"data: " + b"x" * (5 * 1024**2))) as server:
        with pytest.raises(ProviderError, match="byte limit") as found:
            await provider(server).generate(ask(), params())
    assert found.value.retryable


# -- refusals and ends ------------------------------------------------------------------------------------


async def test_a_refusal_is_heard_once_and_in_its_words_by_both_stages() -> None:
    said = chunk() | {
        "choices": [{"index": 0, "delta": {"content": None, "refusal": "I cannot help with that."}}]
    }
    async with FakeServer(lambda _: stream(said, chunk(finish="stop"))) as server:
        asked = {"layout": provider(server)}
        wrote = await freeform_gen.write(CONTEXT, providers=asked, on_token=print)
        draft = ev.Draft(text="x", provider="p", model="m", finish_reason="stop")
        drafted = received(ev.Drafted(attempt=1, brief=brief(), draft=draft), sequence=4)
        made = await structuring.structure(drafted, providers=asked, contents=Registry(), on_token=print)
    for outcome in (wrote, made):
        assert isinstance(outcome, Fail)
        assert outcome.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
        assert outcome.message == "openai refused to answer: I cannot help with that."
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("eos", "stop"),
        *((word, "length") for word in ("length", "max_tokens", "MAX_TOKENS", "FINISH_REASON_MAX_TOKENS")),
        *((word, "length") for word in ("model_length", "max_output_tokens", "max-completion-tokens")),
        ("model_context_window_exceeded", "length"),
        ("tool_calls", "tool_calls"),
        ("gibberish", "gibberish"),
        ("x" * 500, "x" * 40),
    ],
)
async def test_a_servers_word_for_the_end_is_understood_or_passed_on(word: str, reason: str) -> None:
    async with FakeServer(lambda _: stream(chunk("The ferry.", finish=word))) as server:
        answered = await provider(server).generate(ask(), params())
    assert answered.finish_reason == reason
    assert ("no known word for a good end" in answered.note) == (reason not in {"stop", "length"})


@pytest.mark.parametrize("word", ["content_filter", "SAFETY", "refusal", "guardrail_intervened", "sensitive"])
async def test_a_filters_words_refuse_this_one_request(word: str) -> None:
    async with FakeServer(lambda _: stream(chunk("The", finish=word))) as server:
        with pytest.raises(
            ProviderError, match=f"refused to answer: it ended the answer with '{word}'"
        ) as found:
            await provider(server).generate(ask(), params())
    assert not found.value.retryable


@pytest.mark.parametrize("word", ["error", "abort", "cancelled", "insufficient_system_resource"])
async def test_an_answer_that_the_server_gave_up_is_worth_a_retry(word: str) -> None:
    async with FakeServer(lambda _: stream(chunk("The", finish=word))) as server:
        with pytest.raises(ProviderError, match="broke its answer off") as found:
            await provider(server).generate(ask(), params())
    assert found.value.retryable


# -- counts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 10**30, 1050 + MARGIN, 12.0, True, "7", [], {}])
async def test_a_count_that_cannot_be_is_unknown_and_told(value: Any) -> None:
    usage = {"prompt_tokens": value, "completion_tokens": value, "cost": -1}
    async with FakeServer(lambda _: stream(chunk("x", finish="stop") | {"usage": usage})) as server:
        answered = await provider(server, price_prompt=1.0).generate(ask(), params())
    assert (answered.tokens, answered.amount) == (Tokens(), None)
    assert answered.note.count("cannot be: unknown") == 3


async def test_hidden_reasoning_stays_believed() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 60_000}
    async with FakeServer(lambda _: stream(chunk("x", finish="stop") | {"usage": usage})) as server:
        answered = await provider(server).generate(ask(), params())
    assert answered.tokens == Tokens(prompt=7, completion=60_000)


@pytest.mark.parametrize("cost", [-0.1, 1e9, float("nan"), float("inf"), True, "1", []])
def test_a_cost_that_cannot_be_is_unknown(cost: Any) -> None:
    found = counted({"prompt_tokens": 1, "completion_tokens": 1, "cost": cost}, MOST, text=True)
    assert (found.amount, len(found.doubts)) == (None, 1)


def test_what_can_be_is_believed() -> None:
    assert counted({"prompt_tokens": 1, "completion_tokens": 0}, MOST, text=False).doubts == ()
    found = counted(WHOLE["usage"], MOST, text=True)
    assert (found.tokens, found.amount, found.doubts) == (Tokens(prompt=7, completion=3), 0.1, ())


# -- the port's contract ----------------------------------------------------------------------------------


class Defective(Playing):
    async def generate(self, *_: Any, **__: Any) -> Any:
        raise TypeError("'NoneType' object is not subscriptable")


async def test_a_defect_of_a_provider_is_its_failure_and_the_chain_goes_on() -> None:
    defects: list[Exception] = []
    broken = Breaker(Guarded(Defective("x"), on_defect=defects.append), failures=1, cooldown_s=30)
    answered = await Chain((broken, Playing(done("fine"), name="b"))).generate(ask(), params())
    assert answered.text == "fine"
    (attempt,) = answered.attempts
    assert attempt.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
    assert "TypeError: 'NoneType' object is not subscriptable" in attempt.why
    assert broken.failures == 1
    assert [type(each) for each in defects] == [TypeError]

"""Does the OpenAI provider get along with servers that others wrote?

`transformers serve` and llama-cpp-python's server, each in a process of its own with weights that are
made here.  They differ where it hurts: the one ignores ``response_format``, the other refuses the usual
form with status 500 and takes one of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from contracts import events as ev
from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.outcome import Emit
from contracts.policy.explicitness import ExplicitWords
from contracts.ports import CallRefused, ProviderError
from contracts.result import Origin, Status
from contracts.usage import Tokens
from infra.app.schema_checks import CheckedContents
from infra.providers.openai import OpenAIProvider
from infra.providers.request_mapping import JsonMode
from infra.settings.narrative import OpenAIServer
from stages.freeform_gen import handle as freeform_gen
from stages.structuring import handle as structuring
from stages.validate_repair import handle as validate_repair
from tests.lives import brief, received
from tests.providers import tiny_weights
from tests.providers.openai_server import ask, params

pytestmark = pytest.mark.real_server

#: Every document of it ends after a few words, whatever writes it.
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["calm", "wild"]}, "loud": {"type": "boolean"}},
    "required": ["mood", "loud"],
    "additionalProperties": False,
}
TRANSFORMERS = "transformers"
LLAMA = "llama"
_NEEDS = {
    TRANSFORMERS: ("torch", "transformers", "fastapi", "uvicorn"),
    LLAMA: ("torch", "transformers", "gguf", "llama_cpp", "starlette_context", "sse_starlette"),
}
_RUNNING = re.compile(r"Uvicorn running on (http://\S+)")
_START_S = 90


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A server that answers."""

    url: str
    model: str


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_weights.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def transformers_server(weights: Path) -> Iterator[Running]:
    command = ["serve", str(weights), "--host", "127.0.0.1", "--port", "0", "--device", "cpu"]
    start = "from transformers.cli.transformers import main; main()"
    yield from _served(TRANSFORMERS, [sys.executable, "-c", start, *command], str(weights))


@pytest.fixture(scope="module")
def llama_server(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    file = tiny_weights.to_gguf(weights, tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    command = ["--model", str(file), "--n_ctx", str(tiny_weights.CONTEXT), "--n_threads", "1"]
    yield from _served(LLAMA, [sys.executable, "-m", "llama_cpp.server", *command], "tiny")


def _served(which: str, command: list[str], model: str) -> Iterator[Running]:
    missing = [name for name in _NEEDS[which] if find_spec(name) is None]
    if missing:
        pytest.fail(f"not installed: {', '.join(missing)}; `just test-servers` installs and runs these tests")
    process = subprocess.Popen(
        command,
        env={**os.environ, "HOST": "127.0.0.1", "PORT": "0", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    said: list[str] = []
    url: list[str] = []
    running = threading.Event()

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            found = _RUNNING.search(line)
            if found is not None:
                url.append(found[1])
                running.set()
        running.set()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        running.wait(_START_S)
        assert url, f"{which} did not start: {''.join(said[-20:])}"
        yield Running(url=f"{url[0]}/v1", model=model)
    finally:
        process.kill()
        process.wait()
        listener.join()


@pytest_asyncio.fixture(params=[TRANSFORMERS, LLAMA])
async def server(request: pytest.FixtureRequest) -> Running:
    return request.getfixturevalue(f"{request.param}_server")


@pytest_asyncio.fixture
async def provider(server: Running) -> AsyncIterator[OpenAIProvider]:
    made = OpenAIProvider(OpenAIServer(base_url=server.url, model=server.model))
    yield made
    await made.close()


@pytest_asyncio.fixture
async def llama(llama_server: Running) -> AsyncIterator[OpenAIProvider]:
    made = OpenAIProvider(OpenAIServer(base_url=llama_server.url, model=llama_server.model))
    yield made
    await made.close()


@pytest_asyncio.fixture
async def transformers(transformers_server: Running) -> AsyncIterator[OpenAIProvider]:
    made = OpenAIProvider(OpenAIServer(base_url=transformers_server.url, model=transformers_server.model))
    yield made
    await made.close()


async def test_text_streams_until_the_limit(provider: OpenAIProvider) -> None:
    seen: list[str] = []
    done = await provider.generate(ask("a forest"), params(max_tokens=30), None, seen.append)
    assert done.finish_reason == "length"
    assert len(seen) > 5
    assert "".join(seen) == done.text
    assert done.model
    assert done.attempts == ()


async def test_other_prompts_give_other_texts_and_equal_ones_the_same(provider: OpenAIProvider) -> None:
    texts = [(await provider.generate(ask(text), params(max_tokens=30))).text for text in ("a", "b", "a")]
    assert texts[0] == texts[2] != texts[1]


async def test_a_stop_sequence_ends_the_text(provider: OpenAIProvider) -> None:
    whole = (await provider.generate(ask("a forest"), params(max_tokens=40))).text
    stop = whole[len(whole) // 2]
    done = await provider.generate(ask("a forest"), params(max_tokens=40, stop=(stop,)))
    assert done.finish_reason == "stop"
    assert done.text == whole.partition(stop)[0]


async def test_a_call_that_takes_too_long_is_a_timeout_and_the_next_is_answered(
    provider: OpenAIProvider,
) -> None:
    with pytest.raises(ProviderError) as found:
        await provider.generate(ask("a forest"), params(max_tokens=3000, timeout_s=0.05))
    assert found.value.code is ErrorCode.GEN_TIMEOUT
    done = await provider.generate(ask("a forest"), params(max_tokens=5))
    assert done.text


async def test_a_cancelled_call_leaves_the_server_usable(provider: OpenAIProvider) -> None:
    begun = asyncio.Event()
    wanted = params(max_tokens=3000)
    call = asyncio.create_task(provider.generate(ask("a forest"), wanted, None, lambda _: begun.set()))
    async with asyncio.timeout(60):
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert (await provider.generate(ask("a forest"), params(max_tokens=5))).text


async def test_transformers_counts_tokens(transformers: OpenAIProvider) -> None:
    done = await transformers.generate(ask("a forest"), params(max_tokens=12))
    assert done.tokens.completion == 12
    assert done.tokens.prompt is not None
    assert done.tokens.prompt > 2


async def test_transformers_ignores_the_response_format_and_is_found_out(
    transformers: OpenAIProvider,
) -> None:
    for text in ("hello", "a forest", "a bridge", "three coins", "a river", "good night"):
        done = await transformers.generate(ask(text), params(max_tokens=300), SCHEMA)
        if done.finish_reason == "stop":
            break
    assert done.finish_reason == "stop", "none of the texts came to an end by itself"
    assert done.note == "the server ignored json_schema"
    assert transformers.dialect.format is JsonMode.PROMPT


async def test_transformers_refuses_another_model(transformers_server: Running) -> None:
    other = OpenAIProvider(OpenAIServer(base_url=transformers_server.url, model="another"))
    with pytest.raises(CallRefused, match="pinned"):
        await other.generate(ask(), params())
    await other.close()


async def test_llama_cpp_samples_by_seed(llama: OpenAIProvider) -> None:
    texts = [
        (await llama.generate(ask(), params(temperature=1.0, max_tokens=30, seed=seed))).text
        for seed in (3, 4, 3)
    ]
    assert texts[0] == texts[2] != texts[1]


async def test_llama_cpp_constrains_in_its_own_form_found_by_asking(llama: OpenAIProvider) -> None:
    first = await llama.generate(ask(), params(temperature=1.0, max_tokens=200, seed=5), SCHEMA)
    second = await llama.generate(ask(), params(temperature=1.0, max_tokens=200, seed=6), SCHEMA)
    for done in (first, second):
        assert done.finish_reason == "stop"
        assert set(json.loads(done.text)) == {"mood", "loud"}
        assert Registry().faults("custom", json.loads(done.text), SCHEMA) == ()
    assert llama.dialect.format is JsonMode.JSON_OBJECT_SCHEMA
    (refused,) = first.attempts
    assert refused.why.endswith("asked again with json_object_schema for json_schema")
    assert (second.attempts, second.note) == ((), "asked with json_object_schema")
    assert first.tokens == Tokens(), "this server counts nothing in a stream, and nothing is made up"


async def test_llama_cpp_says_nothing_to_a_prompt_that_is_too_long_and_that_is_told(
    llama: OpenAIProvider,
) -> None:
    done = await llama.generate(ask("forest " * 10_000), params())
    assert done.text == ""
    assert "is the prompt too long" in done.note


async def test_llama_cpp_writes_a_live_result_through_the_stages(llama: OpenAIProvider) -> None:
    asked = msgspec.structs.replace(
        brief(0),
        schema=SCHEMA,
        prompt="How does it sound?",
        freeform=params(temperature=0.8, max_tokens=60, seed=2),
        structuring=params(max_tokens=200, seed=0),
    )

    def hear(_: str) -> None:
        """Nobody watches."""

    built = received(ev.ContextBuilt(attempt=1, brief=asked), sequence=1, kind="custom")
    drafted = await freeform_gen.write(built, providers={"custom": llama}, on_token=hear)
    assert isinstance(drafted, Emit)
    structured = await structuring.structure(
        received(drafted.events[0], sequence=2, kind="custom"),
        providers={"custom": llama},
        contents=CheckedContents(Registry()),
        on_token=hear,
    )
    assert isinstance(structured, Emit)
    ended = await validate_repair.validate(
        received(structured.events[0], sequence=3, kind="custom"),
        contents=CheckedContents(Registry()),
        explicitness=ExplicitWords(()),
        max_reasks=0,
        accept_filled=False,
    )
    assert isinstance(ended, Emit)
    result = ended.events[0]
    assert isinstance(result, ev.Result)
    assert (result.status, result.origin) == (Status.SUCCESS, Origin.LIVE)
    assert Registry().faults("custom", result.content, SCHEMA) == ()
    assert [one.code for one in result.attempts] == [None, ErrorCode.GEN_PROVIDER_UNAVAILABLE, None]
    assert result.meta.provider == "openai"

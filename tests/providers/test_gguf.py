"""GGUF provider: llama.cpp in a child process, with the base of the demo's model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import pytest
import pytest_asyncio

from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.events import Params
from contracts.policy.quoting import quote
from contracts.ports import CallRefused, Prompt, ProviderError
from infra.providers.gguf import GgufProvider
from infra.providers.gguf_files import DEMO, GgufModel, model_of
from infra.settings.narrative import Gguf

#: One llama.cpp for all that do not end it.
pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 30},
        "coins": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["name", "coins"],
    "additionalProperties": False,
}
#: No document ends within the tokens of a test.
ENDLESS = {
    "type": "object",
    "properties": {"story": {"type": "string", "minLength": 4000}},
    "required": ["story"],
}
BASE = GgufModel(file=model_of(Gguf(model=DEMO)).file)
SETTINGS = Gguf(rows=2, max_len=512, threads=1)


def prompt(text: str = "Describe a forest.", **known: object) -> Prompt:
    return Prompt(
        text=f"Write.\n{quote(text)}",
        kind="scene",
        stage="freeform-gen",
        request_id="r-1",
        wish=text,
        **known,
    )


def params(**known: object) -> Params:
    return msgspec.structs.replace(
        Params(temperature=0.8, top_p=0.95, max_tokens=24, seed=7, timeout_s=60.0), **known
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[GgufProvider]:
    made = GgufProvider(SETTINGS, BASE)
    yield made
    await made.close()


def child(provider: GgufProvider) -> int:
    running = provider._llama._running
    assert running is not None
    return running.process.pid


async def test_a_document_follows_its_schema_and_is_streamed(provider: GgufProvider) -> None:
    pieces: list[str] = []
    done = await provider.generate(prompt(), params(max_tokens=120), SCHEMA, pieces.append)
    assert done.finish_reason == "stop"
    assert "".join(pieces) == done.text
    assert len(pieces) > 3
    document = json.loads(done.text)
    assert Registry().faults("custom", document, SCHEMA) == ()
    assert " :" not in done.text
    assert (done.provider, done.model, done.amount) == ("gguf", BASE.name, 0.0)
    assert done.tokens.prompt > 10
    assert done.engine.startswith("xllamacpp ")
    assert not done.deterministic


async def test_a_seed_gives_its_text_again_and_another_seed_another_text(provider: GgufProvider) -> None:
    one, same, other = [(await provider.generate(prompt(), params(seed=seed))).text for seed in (1, 1, 2)]
    assert one == same
    assert one != other


async def test_many_calls_at_once_are_all_answered(provider: GgufProvider) -> None:
    calls = [
        provider.generate(prompt(f"Number {each}."), params(seed=each, max_tokens=8)) for each in range(7)
    ]
    assert all(done.text for done in await asyncio.gather(*calls))


async def test_a_cancelled_call_frees_its_place(provider: GgufProvider) -> None:
    await provider.ready()
    for _ in range(4):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await provider.generate(prompt(), params(max_tokens=400), ENDLESS)
    done = await provider.generate(prompt(), params(max_tokens=4, timeout_s=20.0))
    assert done.text


async def test_a_call_whose_llama_cpp_is_killed_fails_and_the_next_starts_another(
    provider: GgufProvider,
) -> None:
    began = asyncio.Event()
    call = asyncio.create_task(
        provider.generate(prompt(), params(max_tokens=400), ENDLESS, lambda _: began.set())
    )
    await began.wait()
    first = child(provider)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(ProviderError, match=r"llama\.cpp ended with status -9") as caught:
        await call
    assert caught.value.retryable
    assert caught.value.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
    assert (await provider.generate(prompt(), params(max_tokens=4))).text
    assert child(provider) != first


async def test_a_long_prompt_is_shortened_to_whole_sentences_and_the_attempt_says_so(
    provider: GgufProvider,
) -> None:
    long = " ".join(f"The {number}th lantern glows over the harbour." for number in range(200))
    done = await provider.generate(prompt(long), params())
    assert "of 200 sentences kept" in done.note
    assert done.tokens.prompt + done.tokens.completion <= SETTINGS.max_len


async def test_another_program_without_the_key_is_refused(provider: GgufProvider) -> None:
    running = await provider.ready()
    async with httpx2.AsyncClient() as client:
        refused = await client.post(f"{running.url}/v1/chat/completions", json={"messages": []})
    assert refused.status_code == 401


async def test_closing_ends_llama_cpp() -> None:
    made = GgufProvider(SETTINGS, BASE)
    await made.ready()
    pid = child(made)
    await made.close()
    assert not Path(f"/proc/{pid}").exists()


async def test_llama_cpp_ends_with_the_process_that_started_it() -> None:
    program = (
        "import asyncio, os, signal\n"
        "from tests.providers import test_gguf as each\n"
        "async def main():\n"
        "    made = each.GgufProvider(each.SETTINGS, each.BASE)\n"
        "    await made.ready()\n"
        "    print(each.child(made), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    out, _ = await process.communicate()
    pid = int(out)
    async with asyncio.timeout(20):
        while (
            Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1]
        ):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("content", [b"GGUF" + b"\0" * 100, b"GGUF"])
async def test_a_damaged_file_is_named_and_ends_no_stage(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(content)
    made = GgufProvider(SETTINGS, GgufModel(file=file))
    with pytest.raises(CallRefused, match=r"cannot load .*broken\.gguf"):
        await made.generate(prompt(), params())
    await made.close()


async def test_an_adapter_is_merged_into_a_tiny_model_or_stays_beside_it_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tuned = model_of(Gguf(model=DEMO))
    wish = msgspec.structs.replace(prompt("a cave with two bats"), kind="layout")
    texts: list[str] = []
    for _ in ("merged", "beside"):
        provider = GgufProvider(Gguf(rows=1, max_len=512), tuned)
        try:
            texts.append((await provider.generate(wish, params(max_tokens=60))).text)
        finally:
            await provider.close()
        (tmp_path / "no-folder").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-folder"))
    assert [each.name for each in (tmp_path / "understudy").iterdir()] == [f"{tuned.name}-1.gguf"]
    assert all("bat" in each for each in texts)
    (warning,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert warning.startswith("the adapters stay beside the model, which is slower: ")


async def test_a_call_waits_for_the_load_no_longer_than_its_time_and_does_not_end_it() -> None:
    made = GgufProvider(SETTINGS, BASE)
    try:
        with pytest.raises(ProviderError, match="was not ready with") as failed:
            await made.generate(prompt(), params(timeout_s=0.01))
        assert (failed.value.code, failed.value.retryable) == (ErrorCode.GEN_TIMEOUT, True)
        begun = made._llama._starting
        assert begun is not None
        # Nobody waits for it any more.
        await asyncio.wait({begun})
        assert (await made.generate(prompt(), params())).text
        assert made._llama._starting is begun
    finally:
        await made.close()


async def test_closing_while_it_loads_leaves_no_child() -> None:
    made = GgufProvider(SETTINGS, BASE)
    with pytest.raises(ProviderError):
        await made.generate(prompt(), params(timeout_s=0.01))
    begun = made._llama._starting
    assert begun is not None
    await made.close()
    assert begun.cancelled()

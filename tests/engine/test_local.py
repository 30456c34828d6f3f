"""What does the local provider answer, and how does it say that it cannot?"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.events import Params
from contracts.policy.quoting import quote
from contracts.ports import Prompt, ProviderError
from infra.app import doctor
from infra.providers import local
from infra.providers.breaker import Breaker, CircuitState
from infra.providers.local import LocalProvider
from infra.settings.narrative import Local
from tests.engine.test_grammar import own
from tests.import_path import IMPORT_PATH

PARAMS = Params(temperature=0.8, top_p=0.9, max_tokens=20, seed=3, timeout_s=60)
PROMPT = Prompt(text="Write a lake.", kind="layout", stage="freeform-gen", request_id="r-1")


@pytest.fixture
async def provider(folders):
    made = LocalProvider(Local(model=str(folders("qwen2", 1)), rows=4, max_len=512))
    yield made
    (await made.ready()).close()


def params(**changes) -> Params:
    return Params(**{**{name: getattr(PARAMS, name) for name in PARAMS.__struct_fields__}, **changes})


async def test_prose_is_written_and_accounted_for(provider) -> None:
    pieces: list[str] = []
    done = await provider.generate(PROMPT, PARAMS, None, pieces.append)
    assert done.text == "".join(pieces)
    assert (done.provider, done.model, done.tokens.prompt, done.amount) == ("local", provider.model, 7, 0.0)
    # Where random weights end depends on the device.
    assert done.finish_reason == ("length" if done.tokens.completion == 20 else "stop")
    assert 0 < done.tokens.completion <= 20
    assert not done.deterministic


async def test_the_same_seed_writes_the_same_and_another_one_not(provider) -> None:
    first = (await provider.generate(PROMPT, PARAMS)).text
    assert (await provider.generate(PROMPT, PARAMS)).text == first
    assert (await provider.generate(PROMPT, params(seed=4))).text != first


async def test_a_document_follows_its_schema(provider) -> None:
    done = await provider.generate(PROMPT, params(max_tokens=300), own("reference"))
    assert done.finish_reason == "grammar"
    assert Registry().faults("custom", json.loads(done.text), own("reference")) == ()


async def test_a_document_that_is_cut_off_says_so(provider) -> None:
    done = await provider.generate(PROMPT, params(max_tokens=3), own("const"))
    assert (done.finish_reason, done.tokens.completion) == ("length", 3)


async def test_only_strict_mode_calls_itself_deterministic(folders) -> None:
    strict = LocalProvider(Local(model=str(folders("qwen2", 1)), rows=2, max_len=128, strict=True))
    done = await strict.generate(PROMPT, PARAMS)
    engine = await strict.ready()
    engine.close()
    assert done.deterministic
    assert done.engine.startswith("torch ")
    assert done.engine.endswith(f" {engine.loaded.device.type} {engine.loaded.dtype}")


@pytest.mark.parametrize(
    ("changes", "schema", "code", "said"),
    [
        ({}, {"type": "object", "maxProperties": 0}, ErrorCode.GEN_SCHEMA_INVALID, "schema"),
        ({"timeout_s": 0.0}, None, ErrorCode.GEN_TIMEOUT, "0 s"),
    ],
)
async def test_what_cannot_be_written_has_its_code(provider, changes, schema, code, said) -> None:
    with pytest.raises(ProviderError) as told:
        await provider.generate(PROMPT, params(**changes), schema)
    assert told.value.code is code
    assert said in str(told.value)
    assert not told.value.retryable


async def test_more_work_than_it_can_begin_is_no_outage(folders) -> None:
    made = LocalProvider(Local(model=str(folders("qwen2", 1)), rows=1, max_len=512, queue=1))
    guarded = Breaker(made, failures=1, cooldown_s=60)
    await made.ready()
    answers = await asyncio.gather(
        *(guarded.generate(PROMPT, PARAMS) for _ in range(6)),
        guarded.generate(PROMPT, params(timeout_s=0.0)),
        return_exceptions=True,
    )
    refused = [each for each in answers if isinstance(each, ProviderError)]
    assert any("queue is full" in str(each) and each.retryable for each in refused)
    assert len(refused) < len(answers)
    assert guarded.state is CircuitState.CLOSED
    (await made.ready()).close()


async def test_a_prompt_whose_rules_alone_do_not_fit_is_refused(provider) -> None:
    long = Prompt(text="x " * 2000, kind="layout", stage="freeform-gen", request_id="r-1")
    with pytest.raises(ProviderError, match="context window holds 512") as told:
        await provider.generate(long, PARAMS)
    assert told.value.code is ErrorCode.GEN_CONSTRAINT_FAIL


async def test_a_long_wish_is_shortened_to_whole_sentences_and_the_record_says_so(provider) -> None:
    wish = "The lake is frozen. " + "A coin lies on the ice. " * 60 + "Somebody sneezes."
    long = Prompt(text=f"Write a level.\n{quote(wish)}", kind="layout", stage="freeform-gen", request_id="r")
    engine = await provider.ready()
    task, note = provider._task(engine, long, params(max_tokens=100), None)
    said = engine.loaded.tokenizer.decode(task.prompt)
    assert len(task.prompt) <= 512 - 100
    assert said.startswith("Write a level.\n<<<\nThe lake is frozen. A coin lies on the ice.")
    assert said.endswith("\n>>>\n")
    assert note.startswith("shortened from ")
    assert "of 62 sentences kept" in note
    assert (await provider.generate(long, params(max_tokens=100))).note == note


async def test_what_is_of_use_as_a_whole_alone_is_not_shortened(provider) -> None:
    text = f"Judge it.\n{quote('A coin lies on the ice. ' * 60)}"
    long = Prompt(text=text, kind="layout", stage="evaluation", request_id="r", whole=True)
    with pytest.raises(ProviderError, match="the context window has room for 412") as told:
        await provider.generate(long, params(max_tokens=100))
    assert told.value.code is ErrorCode.GEN_CONSTRAINT_FAIL


async def test_a_model_on_this_machine_gets_the_compact_prompt(provider) -> None:
    both = Prompt(
        text=f"{'x ' * 2000}{quote('Coins.')}",
        compact=f"Fields: a\n{quote('Coins.')}",
        kind="layout",
        stage="structuring",
        request_id="r",
    )
    engine = await provider.ready()
    task, note = provider._task(engine, both, PARAMS, None)
    assert engine.loaded.tokenizer.decode(task.prompt) == both.compact
    assert not note


async def test_missing_weights_are_told_by_every_call_and_by_doctor(tmp_path: Path) -> None:
    broken = LocalProvider(Local(model=str(tmp_path / "nowhere")))
    for _ in range(2):
        with pytest.raises(ProviderError, match=f"{tmp_path}/nowhere does not exist") as told:
            await broken.generate(PROMPT, PARAMS)
        assert told.value.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
    row = doctor.model(wanted=True, missing=[], path=str(tmp_path / "nowhere"))
    assert (row.ok, row.severity) == (False, "error")
    assert "nowhere" in row.detail


def test_doctor_tells_the_size_of_a_model_that_is_there(folders) -> None:
    row = doctor.model(wanted=True, missing=[], path=str(folders("qwen2", 1)))
    assert row.ok
    assert "MiB of weights" in row.detail


async def test_whoever_comes_first_loads_the_model_once(folders, monkeypatch) -> None:
    loads: list[int] = []
    inner = local._load
    monkeypatch.setattr(local, "_load", lambda settings: loads.append(1) or inner(settings))
    provider = LocalProvider(Local(model=str(folders("qwen2", 1)), rows=2, max_len=128))
    await asyncio.gather(*(provider.generate(PROMPT, PARAMS) for _ in range(4)))
    (await provider.ready()).close()
    assert loads == [1]


async def test_the_models_own_template_gets_kind_and_stage(folders) -> None:
    provider = LocalProvider(Local(model=str(folders("qwen2", 1)), rows=1, max_len=128))
    engine = await provider.ready()
    engine.loaded.tokenizer.chat_template = "<{{ kind }}|{{ stage }}>{{ messages[0].content }}"
    try:
        task, _ = provider._task(engine, PROMPT, PARAMS, None)
        assert engine.loaded.tokenizer.decode(task.prompt) == "<layout|freeform-gen>Write a lake."
    finally:
        engine.loaded.tokenizer.chat_template = None
        engine.close()


@pytest.mark.parametrize("wanted", ["false", "true"])
def test_torch_is_imported_only_where_a_model_writes(wanted, tmp_path: Path) -> None:
    code = (
        "import sys; from infra.settings.settings import load; from infra.app.wiring import assemble\n"
        "from contracts import pipeline; assemble(load(), pipeline.STAGES)\n"
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    environment = {"USE_LOCAL_MODEL": wanted, "PATH": "", "PYTHONPATH": IMPORT_PATH}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0

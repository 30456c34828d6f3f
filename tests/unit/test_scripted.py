"""Does the scripted provider do exactly what its script says, and otherwise answer well?"""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.content.registry import CONTENTS, MODELS
from contracts.errors import ErrorCode
from contracts.events import Params
from contracts.kinds import KINDS
from contracts.ports import Prompt, ProviderError
from contracts.result import SCRIPTED
from infra.providers.scripted import KILLED, Match, Script, ScriptedProvider, ScriptError, ScriptRule
from infra.stores import prompts as prompt_store
from stages.context_build.prompts import render_freeform
from stages.structuring.prompts import structuring_prompt
from stages.validate_repair.parse import parse
from stages.validate_repair.tokens import UnparsableText
from tests.import_path import IMPORT_PATH
from tests.profiles import examples

ROOT = Path(__file__).parents[2]
PROMPTS = prompt_store.load()
CARD = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 40},
        "cost": {"type": "integer", "minimum": 1, "maximum": 9},
        "suit": {"enum": ["sun", "moon", "tide"]},
        "effects": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    },
    "required": ["name", "cost"],
    "additionalProperties": False,
}


def ask(text="a forest with three coins", *, kind="layout", stage="freeform-gen", request_id="r1", attempt=1):
    return Prompt(text=text, kind=kind, stage=stage, request_id=request_id, attempt=attempt)


def params(seed=7, timeout_s=5.0):
    return Params(temperature=0.8, top_p=0.95, max_tokens=500, seed=seed, timeout_s=timeout_s)


def provider(*rules, **more):
    return ScriptedProvider(
        Script(rules=tuple(ScriptRule.model_validate(rule, strict=False) for rule in rules)), **more
    )


async def answer(made, prompt=None, wanted=None, schema=None):
    return (await made.generate(prompt or ask(), wanted or params(), schema)).text


def structuring(kind, wish, schema=None):
    draft = f"{wish}. It begins in plain sight."
    return ask(
        structuring_prompt(kind, draft, json.dumps(CONTENTS.schema(kind, schema))),
        kind=kind,
        stage="structuring",
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_prose_follows_the_prompt(kind):
    made = render_freeform(PROMPTS, kind, "a harbour made of glass")
    text = await answer(provider(), ask(made.text, kind=kind))
    assert text.startswith("a harbour made of glass. ")
    assert len(text.split()) > 20


@pytest.mark.parametrize("kind", MODELS)
async def test_a_structured_answer_is_a_valid_document_about_the_prompt(kind):
    document = json.loads(await answer(provider(), structuring(kind, "A harbour made of glass")))
    assert CONTENTS.faults(kind, document, None) == ()
    assert "A harbour made of glass" in json.dumps(document)


async def test_a_custom_answer_follows_the_requests_schema():
    document = json.loads(
        await answer(provider(), structuring("custom", "A card of glass", CARD), schema=CARD)
    )
    assert CONTENTS.faults("custom", document, CARD) == ()
    assert "A card of glass" in document["name"]
    assert set(document) == set(CARD["properties"])


async def test_a_custom_schema_that_nothing_follows_gives_an_empty_document():
    hopeless = {"type": "object", "properties": {"a": False}, "required": ["a"]}
    assert await answer(provider(), structuring("custom", "x", hopeless), schema=hopeless) == "{}"


async def test_three_coins_are_three():
    document = json.loads(await answer(provider(), structuring("layout", "A forest with three coins")))
    assert sum(entity["type"] == "collectible" for entity in document["entities"]) == 3


@examples(40)
@given(kind=st.sampled_from(sorted(MODELS)), wish=st.text(max_size=300), seed=st.integers(0, 2**63 - 1))
def test_any_prompt_gets_a_valid_document(kind, wish, seed):
    text = asyncio.run(answer(provider(), structuring(kind, wish), params(seed)))
    assert CONTENTS.faults(kind, json.loads(text), None) == ()


@pytest.mark.parametrize("stage", ["freeform-gen", "structuring"])
async def test_equal_calls_get_equal_answers_and_other_seeds_other_ones(stage):
    seeds = [await answer(provider(), ask(stage=stage), params(seed)) for seed in range(12)]
    again = [
        await answer(provider(), ask(stage=stage, request_id="other"), params(seed)) for seed in range(12)
    ]
    assert seeds == again
    assert len(set(seeds)) > 3


async def test_the_answer_says_who_gave_it():
    done = await provider().generate(ask("two words"), params())
    assert (done.provider, done.finish_reason, done.deterministic) == (SCRIPTED, "stop", True)
    assert done.tokens.prompt == 2
    assert done.tokens.completion == len(done.text.split())


@pytest.mark.parametrize("stage", ["freeform-gen", "structuring"])
async def test_pieces_make_up_the_text(stage):
    pieces: list[str] = []
    done = await provider().generate(ask(stage=stage), params(), None, pieces.append)
    assert "".join(pieces) == done.text
    assert len(pieces) > 2


@pytest.mark.parametrize(
    ("match", "hit", "miss"),
    [
        ({"kind": "plot"}, {"kind": "plot"}, {"kind": "scene"}),
        ({"stage": "structuring"}, {"stage": "structuring"}, {"stage": "freeform-gen"}),
        ({"request_id": "slow-*"}, {"request_id": "slow-1"}, {"request_id": "fast-1"}),
        ({"prompt": "dragon"}, {"text": "a dragon's den"}, {"text": "a forest"}),
        ({"attempt": 2}, {"attempt": 2}, {"attempt": 1}),
        ({"kind": "plot", "attempt": 2}, {"kind": "plot", "attempt": 2}, {"kind": "plot", "attempt": 1}),
    ],
)
async def test_a_rule_is_for_the_calls_that_match(match, hit, miss):
    made = provider({"match": match, "do": "answer", "text": "hit"})
    assert await answer(made, ask(**hit)) == "hit"
    assert await answer(made, ask(**miss)) != "hit"


async def test_the_first_rule_that_matches_counts():
    made = provider({"do": "answer", "text": "first"}, {"do": "answer", "text": "second"})
    assert await answer(made) == "first"


async def test_times_counts_per_request_and_then_the_next_rule_holds():
    made = provider(
        {"do": "answer", "text": "once", "times": 1}, {"do": "answer", "text": "then", "times": 2}
    )
    assert [await answer(made) for _ in range(3)] == ["once", "then", "then"]
    assert await answer(made) not in ("once", "then")
    assert await answer(made, ask(request_id="r2")) == "once"


async def test_what_is_counted_stays_bounded():
    made = provider({"do": "empty", "times": 1})
    for number in range(10_050):
        await answer(made, ask(request_id=f"r{number}"))
    assert len(made._used) == 10_000


async def test_empty_is_empty():
    assert await answer(provider({"do": "empty"})) == ""


def is_mendable(text: str) -> bool:
    try:
        (parsed,) = parse(text)
    except UnparsableText:
        return False
    return CONTENTS.faults("plot", parsed.document, None) == ()


async def test_malformed_is_no_json_and_mostly_mendable():
    made = provider({"do": "malformed"})
    texts = [await answer(made, structuring("plot", "A lighthouse"), params(seed)) for seed in range(60)]
    for text in texts:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    valid = [is_mendable(text) for text in texts]
    assert len(texts) / 2 < sum(valid) < len(texts)
    assert texts == [
        await answer(made, structuring("plot", "A lighthouse"), params(seed)) for seed in range(60)
    ]


async def test_malformed_gives_the_text_if_there_is_one():
    assert await answer(provider({"do": "malformed", "text": "{'a"})) == "{'a"


@pytest.mark.parametrize(
    ("do", "code", "retryable"),
    [
        ("timeout", ErrorCode.GEN_TIMEOUT, False),
        ("refuse", ErrorCode.GEN_PROVIDER_UNAVAILABLE, False),
        ("busy", ErrorCode.GEN_PROVIDER_UNAVAILABLE, True),
    ],
)
async def test_an_error_is_the_one_that_was_scripted(do, code, retryable):
    with pytest.raises(ProviderError, match="the cable") as error:
        await answer(provider({"do": do, "after_ms": 0, "text": "the cable"}))
    assert (error.value.code, error.value.retryable) == (code, retryable)


async def test_a_timeout_takes_the_time_of_the_call(monkeypatch):
    waited: list[float] = []

    async def note(seconds):
        waited.append(seconds)

    monkeypatch.setattr("infra.providers.scripted.asyncio.sleep", note)
    with pytest.raises(ProviderError, match="no answer within 180 s"):
        await answer(provider({"do": "timeout"}), wanted=params(timeout_s=180))
    assert waited == [180]


async def test_slow_waits_and_then_answers_well(monkeypatch):
    waited: list[float] = []

    async def note(seconds):
        waited.append(seconds)

    monkeypatch.setattr("infra.providers.scripted.asyncio.sleep", note)
    assert await answer(provider({"do": "slow", "after_ms": 1500})) == await answer(provider())
    assert waited == [1.5]


async def test_slower_than_the_call_allows_is_a_timeout(monkeypatch):
    waited: list[float] = []

    async def note(seconds):
        waited.append(seconds)

    monkeypatch.setattr("infra.providers.scripted.asyncio.sleep", note)
    with pytest.raises(ProviderError) as error:
        await answer(provider({"do": "slow", "after_ms": 60_000}), wanted=params(timeout_s=2))
    assert error.value.code is ErrorCode.GEN_TIMEOUT
    assert waited == [2]


async def test_a_wait_can_be_cancelled():
    made = provider({"do": "slow", "after_ms": 3_000_000})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(answer(made, wanted=params(timeout_s=3600)), 0.01)


def test_exit_kills_the_process_at_once():
    code = (
        "import asyncio, atexit\n"
        "from tests.unit.test_scripted import answer, provider\n"
        "atexit.register(print, 'said goodbye')\n"
        "asyncio.run(answer(provider({'do': 'exit'})))\n"
        "print('went on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": IMPORT_PATH},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (KILLED, "", "")


def test_a_script_is_read_from_a_file(tmp_path):
    path = tmp_path / "script.json"
    path.write_text(
        json.dumps({"rules": [{"match": {"kind": "plot"}, "do": "slow", "after_ms": 5, "times": 2}]})
    )
    (rule,) = Script.load(path).rules
    assert (rule.match.kind, rule.do, rule.after_ms, rule.times) == ("plot", "slow", 5, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"rules": [{"do": "explode"}]}', "rules.0.do: Input should be 'answer'"),
        ('{"rules": [{"match": {"kind": "song"}, "do": "empty"}]}', "rules.0.match.kind: "),
        ('{"rules": [{"match": {"stage": "audit"}, "do": "empty"}]}', "rules.0.match.stage: "),
        ('{"rules": [{"match": {"id": "x"}, "do": "empty"}]}', "rules.0.match.id: unknown field"),
        ('{"rules": [{"do": "slow", "after_ms": "5"}]}', "rules.0.after_ms: "),
        ('{"rules": [{"do": "slow", "after_ms": -5}]}', "rules.0.after_ms: "),
        ('{"rules": [{"do": "empty", "times": 0}]}', "rules.0.times: "),
        ('{"rules": [{}]}', "rules.0.do: Field required"),
        ("[]", "file: "),
        ("{", "file: Invalid JSON"),
    ],
)
def test_a_wrong_script_is_told_with_file_and_field(tmp_path, text, told):
    path = tmp_path / "script.json"
    path.write_text(text)
    with pytest.raises(ScriptError) as error:
        Script.load(path)
    assert str(error.value).startswith(f"script {path}: {told}")


def test_a_missing_script_is_told(tmp_path):
    with pytest.raises(ScriptError, match=r"none\.json cannot be read: No such file"):
        Script.load(tmp_path / "none.json")


def test_the_script_of_the_documentation_can_be_read(tmp_path):
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    path = tmp_path / "script.json"
    path.write_text(page.partition("```json\n")[2].partition("```")[0])
    assert [rule.do for rule in Script.load(path).rules] == ["slow", "malformed", "refuse"]
    told = page.partition("\n## Making generation fail on purpose\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", told, re.MULTILINE))
    assert listed - {"do"} == {*get_args(ScriptRule.model_fields["do"].annotation), *Match.model_fields}

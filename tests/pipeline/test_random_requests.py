"""Do random requests to a model with random weights each end once, and is what claims to be live valid?"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts import subjects
from contracts.content.registry import CONTENTS, MODELS
from contracts.errors import ErrorCode
from contracts.kinds import KINDS
from contracts.result import ErrorInfo, Meta, Origin, Status
from infra.engine.grammar import check
from infra.lab.bench import live, schemas
from tests.engine.conftest import save
from tests.pipeline.conftest import Configure, Observer, Start

#: Takes what others wrote out of the instruction: all of it is more than the small model's window holds.
TEMPLATE = "{{ (messages[-1]['content'].split('<<<\\n') | last).split('\\n>>>') | first }}"
LOCAL = {
    "NARRATIVE__DEFAULTS__FREEFORM": '{"temperature": 0.8, "max_tokens": 20, "timeout": 90}',
    "NARRATIVE__DEFAULTS__STRUCTURING": '{"temperature": 0.6, "max_tokens": 700, "timeout": 90}',
    "NARRATIVE__RESPONSE_CACHE__ENABLED": "false",
    **{f"NARRATIVE__PROVIDERS__{kind.upper()}": "local" for kind in KINDS},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = save(tmp_path / "model", "qwen2", 1)
    (made / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return made


def given(one: live.RandomRequest, **fields: Any) -> live.Given:
    said: dict[str, Any] = {
        "status": Status.SUCCESS,
        "origin": Origin.LIVE,
        "meta": Meta(provider="local"),
        **fields,
    }
    result = ev.Result(request_id=one.request_id, kind=one.kind, **said)
    return live.Given(result=result, content=result.content)


def judged(requests: list[live.RandomRequest], *results: live.Given) -> live.LiveReport:
    answers: dict[str, list[live.Given]] = {}
    for each in results:
        answers.setdefault(each.result.request_id, []).append(each)
    return live.judged(requests, answers, model="m", seconds=[1.0], wall_s=1.0)


async def test_each_ends_once_and_what_is_live_is_valid(
    client: Observer, configure: Configure, start: Start, folder: Path
) -> None:
    requests = live.asked(25, 10, seed=1)
    async with start(configure(rules=[], LOCAL__MODEL=str(folder), LOCAL__MAX_LEN="1024", **LOCAL)):
        for one in requests:
            body = {"prompt": one.prompt, **{name: value for name, value in one.fields.items() if value}}
            await client.publish(
                subjects.gen("requested", one.kind, one.request_id), msgspec.json.encode(body)
            )
        await client.until(
            lambda: all(client.events("result", one.request_id) for one in requests),
            within_s=110,
            what="a result of every request",
        )
        await client.settled()
    ended = set()
    for one in requests:
        (stored,) = client.events("result", one.request_id)
        result = msgspec.json.decode(stored.body, type=ev.Result)
        if result.origin is Origin.LIVE:
            assert CONTENTS.faults(one.kind, result.content, one.schema) == ()
            assert result.meta.provider == "local"
            ended.add(one.kind)
        else:
            assert result.reason
            assert result.error is not None
            assert result.error.code in ErrorCode
    assert "custom" in ended
    assert len(ended) > 1


def test_they_are_of_every_kind_each_with_an_id_and_a_schema_of_its_own() -> None:
    requests = live.asked(25, 10, seed=1)
    assert {one.kind for one in requests} == {*MODELS, "custom"}
    assert len({one.request_id for one in requests}) == 35
    assert len({json.dumps(one.schema) for one in requests if one.schema}) == 10
    assert requests == live.asked(25, 10, seed=1)
    assert requests != live.asked(25, 10, seed=2)


def test_a_drawn_schema_is_one_that_intake_takes_and_the_grammar_holds() -> None:
    drawn = [schemas.draw(random.Random(seed)) for seed in range(200)]  # noqa: S311 - no secret
    assert [why for one in drawn if (why := CONTENTS.verdict(one).refusal or check(one).refusal)] == []
    said = json.dumps(drawn)
    for keyword in ("$ref", "pattern", "format", "enum", "const", "oneOf", "anyOf", "maxItems", "multipleOf"):
        assert f'"{keyword}"' in said


def test_a_live_result_that_is_not_valid_is_found() -> None:
    requests = live.asked(1, 0, seed=1)
    found = judged(requests, given(requests[0], content={"nothing": "of the kind"}, content_hash="0"))
    assert not found.passed
    assert found.live_valid_share == 0
    assert requests[0].request_id in found.faults[0]


def test_a_result_too_few_and_one_too_many_are_found() -> None:
    one, other = live.asked(2, 0, seed=1)
    failed = {
        "status": Status.FAILED,
        "origin": Origin.NONE,
        "reason": "no time",
        "error": ErrorInfo(code=ErrorCode.GEN_TIMEOUT, stage="freeform-gen", message="no time"),
    }
    found = judged([one, other], given(one, **failed), given(one, **failed))
    assert (found.missing, found.duplicates, found.faults) == (1, 1, ())
    assert not found.passed
    assert judged([one], given(one, **failed)).passed


def test_a_result_that_is_not_live_and_names_no_code_is_found() -> None:
    (one,) = live.asked(1, 0, seed=1)
    skipped = given(one, status=Status.SKIPPED, origin=Origin.NONE, reason="no content is needed")
    assert judged([one], skipped).faults == (f"{one.request_id} ({one.kind}, skipped): has no error code",)


def test_what_a_wish_names_is_looked_for_in_the_content() -> None:
    assert "a lost key" in live.words({"entities": [{"id": "a_lost_key", "x": 1, "y": 2}]})
    assert "from calm to tense" in live.words({"mood_from": "calm", "mood_to": "tense"})

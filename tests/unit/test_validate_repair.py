"""Does nothing but a valid document that a model finished end as content?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events as ev
from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.outcome import Emit, Fail
from contracts.result import Origin, Status
from stages.validate_repair.handle import handle
from stages.validate_repair.parse import MAX_TEXT
from tests import lives

GOOD = {"scene_name": "Forest", "entities": [{"id": "p", "type": "player", "x": 1, "y": 2}]}
CONTENTS = Registry()
#: What models write around, into and instead of a document.
FRAGMENTS = st.sampled_from(
    [
        *'{}[]":,-',
        *("null", "true", "NaN", "1e999", "\\u0000", "\ud800", "…", "//x\n", "```json\n"),
        *('"scene_name"', '"entities"', '"type":"player"', json.dumps(GOOD), "Ignore the schema."),
    ]
)
TEXTS = st.lists(FRAGMENTS | st.text(max_size=8), max_size=12).map("".join)


def judged(
    text: str,
    *,
    reask: int = 1,
    provider: str = "house",
    finish_reason: str = "stop",
    request_id: str = "r-1",
    **known: Any,
) -> Any:
    document = ev.Draft(text=text, provider=provider, model="m", finish_reason=finish_reason)
    event = ev.Structured(
        attempt=1,
        brief=lives.brief(**known),
        draft=lives.prose(provider=provider),
        document=document,
        reask=reask,
    )
    return handle(lives.received(event, request_id, sequence=5), contents=CONTENTS, max_reasks=1)


def test_a_good_document_is_a_live_result() -> None:
    (result,) = judged(json.dumps(GOOD)).events
    assert (result.status, result.origin, result.content) == (Status.SUCCESS, Origin.LIVE, GOOD)
    assert result.meta.warnings == ()


def test_a_scripted_document_never_claims_to_be_live() -> None:
    (result,) = judged(json.dumps(GOOD), provider="scripted").events
    assert result.origin is Origin.SCRIPTED
    assert "test double" in result.reason


def test_what_had_to_be_mended_says_so() -> None:
    (result,) = judged(f"```json\n{json.dumps(GOOD)[:-1]}\n```").events
    assert result.content == GOOD
    assert result.meta.warnings == ("the model's text was no valid JSON; its syntax was mended",)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", ErrorCode.GEN_EMPTY_OUTPUT, "no JSON"),
        ("{}", ErrorCode.GEN_EMPTY_OUTPUT, "the document is empty"),
        ("[]", ErrorCode.GEN_EMPTY_OUTPUT, "the document is empty"),
        ("null", ErrorCode.GEN_EMPTY_OUTPUT, "the document is empty"),
        ("I cannot do that.", ErrorCode.GEN_SCHEMA_INVALID, "no JSON"),
        ('{"scene_name": "Forest"}', ErrorCode.GEN_SCHEMA_INVALID, "neither entities nor layers"),
        (json.dumps(GOOD | {"mood": "dark"}), ErrorCode.GEN_SCHEMA_INVALID, "mood"),
        (" " * (MAX_TEXT + 1), ErrorCode.GEN_EMPTY_OUTPUT, f"at most {MAX_TEXT} are read"),
    ],
)
def test_what_is_no_content_fails_with_its_fault(text, code, said) -> None:
    outcome = judged(text)
    assert isinstance(outcome, Fail)
    assert outcome.code is code
    assert said in outcome.message
    assert outcome.letter


def test_a_document_that_was_cut_off_is_none_even_if_it_parses() -> None:
    outcome = judged(json.dumps(GOOD), finish_reason="length")
    assert isinstance(outcome, Fail)
    assert "cut off at max_tokens" in outcome.message


def test_the_model_is_asked_again_first_with_every_fault() -> None:
    (invalid,) = judged('{"scene_name": 1, "entities": [{"type": "player"}]}', reask=0).events
    assert invalid.reask == 1
    assert {error.split(":")[0] for error in invalid.errors} >= {"scene_name", "entities.0.id"}


def test_unusable_output_is_kept_bounded() -> None:
    assert len(judged("x" * 50_000).evidence) == 8_000


@given(TEXTS, st.sampled_from([0, 1]), st.sampled_from(["stop", "grammar", "length"]))
def test_no_text_becomes_content_that_is_not_valid(text, reask, finish_reason) -> None:
    outcome = judged(text, reask=reask, finish_reason=finish_reason)
    for event in outcome.events if isinstance(outcome, Emit) else ():
        if isinstance(event, ev.Result):
            assert finish_reason != "length"
            assert event.content
            assert CONTENTS.faults("layout", event.content, None) == ()


def test_a_replay_that_succeeds_revises_the_original() -> None:
    result, revised = judged(json.dumps(GOOD), request_id="rp-7-1", replay_of="r-1").events
    assert (result.request_id, revised.request_id, revised.revised_by) == ("rp-7-1", "r-1", "rp-7-1")
    assert revised.content == GOOD


def test_a_shadow_never_revises() -> None:
    (result,) = judged(json.dumps(GOOD), request_id="sh-7-1", replay_of="r-1").events
    assert result.request_id == "sh-7-1"

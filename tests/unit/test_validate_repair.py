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
from contracts.lineage import Lineage
from contracts.outcome import Emit, Fail
from contracts.result import Origin, Receipt, RepairLevel, Status
from stages.validate_repair import quality
from stages.validate_repair.parse import MAX_TEXT
from tests.judging import judged

GOOD = {"scene_name": "Forest", "entities": [{"id": "p", "type": "player", "x": 1, "y": 2}]}
#: What models write around, into and instead of a document.
FRAGMENTS = st.sampled_from(
    [
        *'{}[]":,-',
        *("null", "true", "NaN", "1e999", "\\u0000", "\ud800", "…", "//x\n", "```json\n"),
        *('"scene_name"', '"entities"', '"type":"player"', json.dumps(GOOD), "Ignore the schema."),
    ]
)
TEXTS = st.lists(FRAGMENTS | st.text(max_size=8), max_size=12).map("".join)


def test_a_good_document_is_a_live_result() -> None:
    (result,) = judged(json.dumps(GOOD)).events
    assert (result.status, result.origin, result.content) == (Status.SUCCESS, Origin.LIVE, GOOD)
    assert result.meta.warnings == ()
    assert result.meta.receipt == Receipt(level=RepairLevel.PARSED)


def test_a_scripted_document_never_claims_to_be_live() -> None:
    (result,) = judged(json.dumps(GOOD), provider="scripted").events
    assert result.origin is Origin.SCRIPTED
    assert "test double" in result.reason


def test_what_had_to_be_mended_says_so() -> None:
    (result,) = judged(f"```json\n{json.dumps(GOOD)[:-1]},}}\n```").events
    assert result.content == GOOD
    assert result.meta.warnings == ("the model's document was repaired; its receipt lists the changes",)
    assert result.meta.receipt.level is RepairLevel.REPAIRED
    assert result.meta.receipt.changes == (
        "took the document out of a code fence",
        "document: had a comma after its last entry",
    )
    assert result.meta.receipt.filled == ()


@pytest.mark.parametrize(
    ("finish_reason", "reask", "level"),
    [
        ("grammar", 0, RepairLevel.CONSTRAINED),
        ("stop", 0, RepairLevel.PARSED),
        ("grammar", 1, RepairLevel.RE_ASKED),
    ],
)
def test_a_receipt_says_how_the_document_became_valid(finish_reason, reask, level) -> None:
    (result,) = judged(json.dumps(GOOD), finish_reason=finish_reason, reask=reask).events
    assert (result.meta.receipt.level, result.meta.receipt.reasks) == (level, reask)


def test_a_field_without_a_value_is_refused() -> None:
    (asked_again,) = judged('{"scene_name": , "entities": []}', max_reasks=1).events
    assert asked_again.errors == ("scene_name: has no value; write one",)


@pytest.mark.parametrize("finish_reason", ["stop", "max_tokens", "end_turn"])
@pytest.mark.parametrize("accept_filled", [False, True])
def test_a_text_that_ends_inside_its_document_is_refused_whatever_the_server_says(
    finish_reason, accept_filled
) -> None:
    whole = json.dumps(GOOD)
    for end in range(1, len(whole)):
        (asked_again,) = judged(
            whole[:end], finish_reason=finish_reason, accept_filled=accept_filled, max_reasks=1
        ).events
        assert "the document was cut off" in asked_again.errors[0]


def test_of_several_documents_the_one_that_is_valid_is_taken_and_the_receipt_says_so() -> None:
    other = {**GOOD, "scene_name": 5}
    (result,) = judged(f"Here it is: {json.dumps(GOOD)} A bad answer would be: {json.dumps(other)}").events
    assert result.content == GOOD
    assert result.meta.receipt.level is RepairLevel.REPAIRED
    assert result.meta.receipt.changes[0] == (
        "the text holds 2 documents, took number 1; number 2: scene_name: should be a valid string, not 5"
    )


def test_of_several_documents_that_are_equal_one_is_taken() -> None:
    (result,) = judged(f"{json.dumps(GOOD)}\n{json.dumps(GOOD, indent=1)}").events
    assert result.content == GOOD
    assert result.meta.receipt.changes[0] == "the text holds 2 documents, took number 1; they are equal"


@pytest.mark.parametrize("text", ["{}\n{}", "Draft:\n```json\n{}\n```\nFinal:\n```json\n{}\n```\n"])
def test_of_several_valid_documents_none_is_chosen(text) -> None:
    other = {**GOOD, "scene_name": "Cave"}
    both = text.replace("{}", json.dumps(GOOD), 1).replace("{}", json.dumps(other), 1)
    (asked_again,) = judged(both, max_reasks=1).events
    assert asked_again.errors == (
        "the text holds 2 documents; numbers 1 and 2 are valid and differ; write one",
    )


def test_of_several_documents_without_a_valid_one_each_fault_is_told() -> None:
    (asked_again,) = judged('{"scene_name": 1} {}', max_reasks=1).events
    assert asked_again.errors[0] == "the text holds 2 documents, and none is valid; write one"
    assert [line.partition(":")[0] for line in asked_again.errors[1:]] == ["number 1", "number 2"]


def test_settings_can_take_a_value_that_nobody_wrote_and_the_receipt_tells() -> None:
    text = '{"name": , "size": 3}'
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}}
    (result,) = judged(text, accept_filled=True, kind="custom", schema=schema).events
    assert result.content == {"name": "", "size": 3}
    assert result.meta.receipt.filled == ("name",)


def test_quality_falls_with_what_is_left_out_made_up_or_mended() -> None:
    wish, draft = "a frozen lake with lanterns", "A frozen lake. Lanterns glow."
    full = {"scene_name": "Frozen lake", "note": "Lanterns glow"}

    def score(document: Any, level: RepairLevel = RepairLevel.PARSED) -> float:
        return quality.assess(document, wish=wish, draft=draft, level=level).score

    assert score(full) == 1.0
    assert score({"scene_name": "Frozen lake"}) < 1.0
    assert score({**full, "more": "dragons everywhere"}) < 1.0
    assert score(full, RepairLevel.REPAIRED) == 0.9
    assert score(full, RepairLevel.RE_ASKED) == 0.8


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
        (json.dumps(GOOD)[:-1] + ', "x": 1e999}', ErrorCode.GEN_SCHEMA_INVALID, "too large for JSON"),
        (json.dumps(GOOD)[:-1] + ', "x": "\\ud800"}', ErrorCode.GEN_SCHEMA_INVALID, "half a surrogate pair"),
        ('{"a": ' + "[" * 120 + "]" * 120 + "}", ErrorCode.GEN_SCHEMA_INVALID, "more than 100 deep"),
    ],
)
def test_what_is_no_content_fails_with_its_fault(text, code, said) -> None:
    outcome = judged(text)
    assert isinstance(outcome, Fail)
    assert outcome.code is code
    assert said in outcome.message
    assert outcome.letter


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"required_elements": ("coin",)}, "required element 'coin' is missing"),
        ({"avoid_elements": ("forest",)}, "element 'forest' must not appear"),
        # The name of a field is no content.
        ({"required_elements": ("scene_name",)}, "required element 'scene_name' is missing"),
    ],
)
def test_what_the_node_asks_for_is_checked_on_the_document(known, said) -> None:
    (asked_again,) = judged(json.dumps(GOOD), max_reasks=1, **known).events
    assert asked_again.errors == (said,)
    outcome = judged(json.dumps(GOOD), **known)
    assert isinstance(outcome, Fail)
    assert outcome.code is ErrorCode.GEN_CONSTRAINT_FAIL
    assert said in outcome.message


def test_a_document_that_keeps_to_its_node_is_live() -> None:
    (result,) = judged(json.dumps(GOOD), required_elements=("forest",), avoid_elements=("coin",)).events
    assert result.status is Status.SUCCESS


def test_what_the_document_says_beside_its_nodes_direction_is_told() -> None:
    settled = {"scene_name": {"const": "Harbour"}}
    (result,) = judged(json.dumps(GOOD), settled=settled).events
    assert result.status is Status.SUCCESS
    assert result.meta.warnings == ("scene_name is 'Forest'; the node asks for 'Harbour'",)


def test_a_document_that_was_cut_off_is_none_even_if_it_parses() -> None:
    outcome = judged(json.dumps(GOOD), finish_reason="length")
    assert isinstance(outcome, Fail)
    assert "cut off at max_tokens" in outcome.message


def test_the_model_is_asked_again_first_with_every_fault() -> None:
    (invalid,) = judged('{"scene_name": 1, "entities": [{"type": "player"}]}', max_reasks=1).events
    assert invalid.reask == 1
    assert {error.split(":")[0] for error in invalid.errors} >= {"scene_name", "entities.0.id"}


def test_unusable_output_is_kept_bounded() -> None:
    assert len(judged("x" * 50_000).evidence) == 8_000


@given(TEXTS, st.booleans(), st.sampled_from(["stop", "grammar", "length"]))
def test_no_text_becomes_content_that_is_not_valid(text, accept_filled, finish_reason) -> None:
    outcome = judged(text, accept_filled=accept_filled, finish_reason=finish_reason)
    for event in outcome.events if isinstance(outcome, Emit) else ():
        if isinstance(event, ev.Result):
            assert finish_reason != "length"
            assert event.content
            assert Registry().faults("layout", event.content, None) == ()


def test_a_replay_that_succeeds_revises_the_original() -> None:
    result, revised = judged(json.dumps(GOOD), request_id="rp-7-1", replay_of="r-1").events
    assert (result.request_id, revised.request_id, revised.revised_by) == ("rp-7-1", "r-1", "rp-7-1")
    assert revised.content == GOOD


def test_a_shadow_never_revises() -> None:
    lineage = Lineage(replay_of="r-1", shadow=True)
    (result,) = judged(json.dumps(GOOD), request_id="rp-7-1", replay_of="r-1", lineage=lineage).events
    assert result.request_id == "rp-7-1"


def test_a_result_names_the_job_that_edited_its_request() -> None:
    lineage = Lineage(replay_of="r-1", patched_by="job-3")
    result, revised = judged(json.dumps(GOOD), request_id="x", replay_of="r-1", lineage=lineage).events
    assert (result.meta.patched_by, revised.meta.patched_by) == ("job-3", "job-3")

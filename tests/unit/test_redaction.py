"""What is left of people's and models' words where none are to be kept?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.helper_tasks import CriterionScore, EnhancementInfo, EvaluationInfo
from contracts.policy.experiments import ExperimentArm
from contracts.redaction import is_redacted, redact_reason, redact_text, redact_value
from contracts.request import GenerationRequest
from contracts.result import (
    ErrorInfo,
    Meta,
    Origin,
    Receipt,
    RepairLevel,
    ResultBody,
    SceneInfo,
    StandIn,
    Status,
)
from contracts.usage import Attempt
from infra.inspect.outcomes import read_audited
from infra.stores import database, rows
from infra.stores.database import METADATA
from infra.stores.row_redaction import redact_rows
from stages.audit.redact import RESULT, redact
from tests.lives import BODY, life, received, records

MARKER = "zqmarker"


SCHEMA = GenerationRequest.model_json_schema(by_alias=False)


def filled(part: dict[str, Any], path: str) -> Any:
    """A value for a field of a request, with its path and a marker as the text wherever the field may have one."""
    options = [part, *part.get("anyOf", ())]
    found = [SCHEMA["$defs"][each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in options]
    for each in found:
        if "properties" in each:
            names = each["properties"].items()
            return {name: filled(inner, f"{path}.{name}".strip(".")) for name, inner in names}
    kinds = {str(each.get("type")) for each in found}
    if kinds & {"integer", "number", "boolean"}:
        return 1
    text = f"{path} {MARKER}"
    if "object" in kinds:
        return {MARKER: text}
    return [text] if "array" in kinds else text


def told(value: Any) -> list[str]:
    """The texts in a value that have the marker, names of fields included."""
    if isinstance(value, dict):
        return [each for name, inner in value.items() for each in [*told(name), *told(inner)]]
    if isinstance(value, list):
        return [each for inner in value for each in told(inner)]
    return [value] if isinstance(value, str) and MARKER in value else []


def ended() -> ev.Result:
    """A result with a marker wherever somebody's words may be."""
    return ev.Result(
        request_id="r-1",
        kind="plot",
        status=Status.FAIL_FALLBACK,
        origin=Origin.GOLDEN_SAMPLE,
        reason=f"it says {MARKER}",
        content={"title": MARKER},
        content_hash="c" * 64,
        error=ErrorInfo(
            code=ErrorCode.GEN_SCHEMA_INVALID, stage="validate-repair", message=f"title: {MARKER}"
        ),
        attempts=(Attempt(provider="a", model="m", code=ErrorCode.GEN_TIMEOUT, time_ms=3.5, why=MARKER),),
        stand_in=StandIn(name="sample.json", hash="e" * 64),
        scenes=(SceneInfo(request_id="r-1-1", beat=1, name=MARKER, status="failed", reason=MARKER),),
        meta=Meta(
            warnings=(MARKER, "plain"),
            experiment=ExperimentArm(name="e", arm="a", unit="u", revision="1"),
            quality_score=0.5,
            quality_reasons=(MARKER,),
            receipt=Receipt(level=RepairLevel.REPAIRED, reasks=2, changes=(MARKER,), filled=(MARKER,)),
            requested_at_ms=1,
        ),
    )


@given(st.text())
def test_what_stands_in_for_a_text_is_known_as_such_and_stays(text: str) -> None:
    for stand_in in (redact_text(text), redact_reason(text), redact_reason(f"prompt: {text}")):
        assert redact_reason(stand_in) == stand_in
    assert is_redacted(redact_text(text))
    assert f"({len(text)} characters)" in redact_text(text) or is_redacted(text)


def test_values_are_hashed_whatever_the_order_of_their_keys() -> None:
    assert redact_value({"a": 1, "b": 2}) == redact_value({"b": 2, "a": 1})
    assert redact_value("x") == redact_text("x")


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("params.temperature: 'zq' is no number", "params.temperature"),
        ("player_context.choices.zq: is too deep | tags[3]: zq", "player_context.choices | tags[3]"),
        ("prompt: a | prompt: b", "prompt"),
        ("zq: unknown field; known are prompt, seed", ""),
        ("zq answered 500: prompt: no", ""),
        (f"zq: {redact_text('zq')}", ""),
    ],
)
def test_of_a_reason_the_fields_of_requests_are_kept(reason: str, fields: str) -> None:
    told = redact_reason(reason)
    assert "zq" not in told
    assert told.rpartition(": sha256:")[0] == fields


def test_of_a_result_ids_codes_and_figures_are_kept() -> None:
    (record,) = records([received(ended(), sequence=2, kind="plot")], store_prompts=False)
    assert record.end is not None
    kept = record.end.result
    assert MARKER not in str(record)
    assert (kept["content"], kept["content_left_out"], kept["content_hash"]) == (None, True, "c" * 64)
    assert kept["stand_in"]["name"] == "sample.json"
    assert kept["error"]["message"].startswith("title: sha256:")
    assert (kept["attempts"][0]["code"], kept["attempts"][0]["time_ms"]) == ("GEN_TIMEOUT", 3.5)
    assert (kept["scenes"][0]["request_id"], kept["scenes"][0]["beat"]) == ("r-1-1", 1)
    assert (kept["meta"]["receipt"]["level"], kept["meta"]["receipt"]["reasks"]) == ("repaired", 2)
    assert [is_redacted(each) for each in kept["meta"]["warnings"]] == [True, True]
    assert kept["meta"]["experiment"]["arm"] == "a"
    assert redact(record) == record


def test_every_field_of_a_result_is_listed_or_has_words() -> None:
    """A field that is new must be told here: whether it may have somebody's words."""
    words = {
        ResultBody: {"content", "reason"},
        Meta: {"warnings", "quality_reasons"},
        Receipt: {"changes", "filled"},
        EvaluationInfo: {"reason"},
        CriterionScore: {"reason"},
        EnhancementInfo: {"reason"},
        Attempt: {"why"},
        SceneInfo: {"name", "reason"},
        ErrorInfo: {"message"},
    }
    kept = {
        ResultBody: RESULT,
        Meta: RESULT["meta"],
        Receipt: RESULT["meta"]["receipt"],
        EvaluationInfo: RESULT["meta"]["evaluation"],
        CriterionScore: RESULT["meta"]["evaluation"]["criteria"],
        EnhancementInfo: RESULT["meta"]["enhancement"],
        Attempt: RESULT["attempts"],
        SceneInfo: RESULT["scenes"],
        ErrorInfo: RESULT["error"],
    }
    for part, fields in words.items():
        assert set(part.__struct_fields__) - set(kept[part]) == fields, part


def test_every_text_of_a_request_is_hashed_unless_it_is_listed() -> None:
    """The fields of a request that are kept as they are, each with a reason to be: an id, a kind, a choice."""
    kept = {
        *(
            "provider",
            "workspace",
            "world",
            "template_id",
            "replay_of",
            "from_stage",
            "patched_by",
            "scene_of",
        ),
        *("fallback.mode", "fallback.then", "fallback.default_content_id"),
        *("player_context.player_id", "player_context.playthrough_id"),
        *("node.id", "node.generation_type", "node.purpose", "node.strategy", "node.seed_source"),
        *("node.template_id", "node.style.pacing", "node.style.transition_type", "node.constraints.rating"),
        *("node.fallback.mode", "node.fallback.then", "node.fallback.default_content_id"),
        *(
            "prompt_config.version_id",
            "prompt_config.family",
            "social.max_rating",
            "scene_from.id",
            "scene_to.id",
        ),
    }
    (record,) = records([received(BODY, sequence=1)])
    assert record.asked is not None
    parameters: dict[str, Any] = filled(SCHEMA, "")
    asked = msgspec.structs.replace(record.asked, parameters=parameters)
    found = redact(msgspec.structs.replace(record, asked=asked)).asked
    assert found is not None
    assert set(told(found.parameters)) == {f"{path} {MARKER}" for path in kept}


def test_rows_that_were_written_with_words_lose_them(tmp_path: Any) -> None:
    engine = database.engine_of(f"sqlite:///{tmp_path}/a.db")
    METADATA.create_all(engine)
    with database.writing(engine) as connection:
        rows.fold(connection, records(life()))
    assert redact_rows(engine) == 1
    assert redact_rows(engine) == 0
    outcome = read_audited(engine, ["r-1"])["r-1"]
    engine.dispose()
    assert outcome.body is not None
    assert is_redacted(outcome.body["prompt"])
    assert isinstance(outcome.result, ResultBody)
    for file in tmp_path.iterdir():
        text = file.read_bytes()
        assert [
            word for word in (b"three coins", b"Forest", b"cut off", b"test double") if word in text
        ] == []

"""Lineage: what a request says of its descent, what briefs of earlier releases say, and the start at a later stage."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts import request
from contracts.lineage import Lineage, find_id_fault
from contracts.outcome import Emit, Outcome, Reject
from contracts.policy.cache_key import CacheKey
from contracts.request import RequestError
from contracts.revisions import UNCONFIRMED
from stages.context_build import repetition
from stages.context_build.scenes import scene_request
from tests import lives
from tests.fakes import FakeReplays, FakeSteps

DRAFTED = ev.Drafted(attempt=2, brief=lives.brief(), draft=lives.prose("An old forest."))
STRUCTURED = ev.Structured(
    attempt=1, brief=lives.brief(), draft=lives.prose("An old forest."), document=lives.prose('{"a": 1}')
)
OTHER_PARAMS = ev.Params(temperature=0.1, top_p=0.1, max_tokens=10, seed=99, timeout_s=1)
STEPS = FakeSteps(("drafted", "r-1", DRAFTED), ("structured", "r-1", STRUCTURED))


def asked(**fields: Any) -> request.GenerationRequest:
    return request.read(json.dumps({"prompt": "a forest", **fields}).encode(), "layout")


def repeated(*, known: bool = True, steps: FakeSteps = STEPS, **lineage: Any) -> Outcome:
    brief = lives.brief(replay_of="r-1", lineage=Lineage(replay_of="r-1", **lineage))
    built = Emit(events=(ev.ContextBuilt(attempt=1, brief=brief),))
    replays = FakeReplays(**({"any-id": "r-1"} if known else {}))
    return lives.decided(repetition.resolve(built, request_id="any-id", replays=replays, steps=steps))


def test_a_request_says_its_descent_whatever_its_id() -> None:
    assert asked().lineage is None
    assert asked(replay_of="r-1").lineage == Lineage(replay_of="r-1")
    said = asked(replayOf="r-1", shadow=True, fromStage="structuring", patchedBy="job-3").lineage
    assert said == Lineage(replay_of="r-1", shadow=True, from_stage="structuring", patched_by="job-3")


@pytest.mark.parametrize(
    "field", [{"shadow": True}, {"from_stage": "structuring"}, {"patched_by": "job-3"}, {"provider": "b"}]
)
def test_what_only_replays_have_needs_replay_of(field: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=rf"{next(iter(field))}.*replays only"):
        asked(**field)


def test_lineage_is_no_input() -> None:
    said = asked(replay_of="r-1", shadow=True, from_stage="structuring", patched_by="job-3", provider="b")
    assert said.input_hash("layout") == asked().input_hash("layout")


def test_a_brief_of_an_earlier_release_descends_from_what_it_repeats() -> None:
    assert lives.brief().descent is None
    assert lives.brief(replay_of="r-1").descent == Lineage(replay_of="r-1")


def test_a_replay_starts_at_its_stage_with_what_was_stored() -> None:
    outcome = repeated(from_stage="structuring")
    assert isinstance(outcome, Emit)
    (drafted,) = outcome.events
    assert isinstance(drafted, ev.Drafted)
    assert (drafted.attempt, drafted.draft.text) == (1, "An old forest.")
    assert drafted.brief.replay_of == "r-1"
    assert drafted.trail.tokens.prompt is None
    outcome = repeated(from_stage="validate-repair")
    assert isinstance(outcome, Emit)
    (structured,) = outcome.events
    assert isinstance(structured, ev.Structured)
    assert structured.document.text == '{"a": 1}'


def test_what_is_read_from_the_log_keeps_the_prompt_that_it_was_written_with() -> None:
    brief = lives.brief(
        prompt="An older prompt.", prompt_hash="0" * 64, prompt_version="layout@9", freeform=OTHER_PARAMS
    )
    stored = FakeSteps(("drafted", "r-1", msgspec.structs.replace(DRAFTED, brief=brief)))
    outcome = repeated(from_stage="structuring", steps=stored)
    assert isinstance(outcome, Emit)
    (drafted,) = outcome.events
    assert isinstance(drafted, ev.Drafted)
    assert (drafted.brief.prompt, drafted.brief.prompt_version) == ("An older prompt.", "layout@9")
    assert drafted.brief.freeform == OTHER_PARAMS
    assert drafted.brief.lineage == Lineage(replay_of="r-1", from_stage="structuring")


def test_only_an_operator_chooses_a_provider() -> None:
    assert isinstance(repeated(known=False, provider="b"), Reject)
    outcome = repeated(provider="b")
    assert isinstance(outcome, Emit)
    (built,) = outcome.events
    assert isinstance(built, ev.ContextBuilt)
    assert built.brief.provider == "b"


@pytest.mark.parametrize(
    ("request_id", "lineage", "known"),
    [
        ("sh-a-1", {}, {"sh-a-1": "r-1"}),
        ("sh-a-1-s2", {"replay_of": "r-1-s2"}, {"sh-a-1": "r-1"}),
        ("sh-a-1", {}, {}),
        ("sh-a-1", {}, {"sh-a-1": "r-2"}),
        ("sh-a-1-s2", {"replay_of": "r-1-s3"}, {"sh-a-1": "r-1"}),
        ("sh-a-1-s2", {"replay_of": "r-1-s2"}, {"sh-a-2": "r-1"}),
        ("sh-a-1-s2", {"replay_of": "r-1-s2", "provider": "b"}, {"sh-a-1": "r-1"}),
        ("sh-a-1-s41", {"replay_of": "r-1-s41"}, {"sh-a-1": "r-1"}),
    ],
)
def test_only_an_operator_starts_shadows(
    request_id: str, lineage: dict[str, Any], known: dict[str, str]
) -> None:
    """They are in no statistic and on no budget; those that a plot requests are its own."""
    said: dict[str, Any] = {"replay_of": "r-1", "shadow": True, **lineage}
    brief = lives.brief(lineage=Lineage(**said))
    built = Emit(events=(ev.ContextBuilt(attempt=1, brief=brief),))
    outcome = lives.decided(
        repetition.resolve(built, request_id=request_id, replays=FakeReplays(**known), steps=STEPS)
    )
    allowed = (request_id, known) in [("sh-a-1", {"sh-a-1": "r-1"}), ("sh-a-1-s2", {"sh-a-1": "r-1"})]
    plain = lineage in ({}, {"replay_of": "r-1-s2"})
    assert isinstance(outcome, Emit if allowed and plain else Reject)


@pytest.mark.parametrize("change", [{"key": "layout.other"}, None])
def test_a_replay_that_starts_later_keeps_its_key_where_nothing_that_shapes_its_content_changed(
    change: dict[str, str] | None,
) -> None:
    """Models, structuring prompt, schema and word lists are in the key, and not in the brief's prompt."""
    slot = CacheKey(key="layout.now", ttl_s=60)
    stored = None if change is None else msgspec.structs.replace(slot, **change)
    for earlier, kept in ((stored, None), (slot, slot)):
        brief = lives.brief(slot=slot, lineage=Lineage(replay_of="r-1", from_stage="validate-repair"))
        built = Emit(events=(ev.ContextBuilt(attempt=1, brief=brief),))
        step = msgspec.structs.replace(STRUCTURED, brief=lives.brief(slot=earlier))
        outcome = repetition.start(built, step)
        assert isinstance(outcome, Emit)
        (structured,) = outcome.events
        assert isinstance(structured, ev.Structured)
        assert structured.brief.slot == kept


@pytest.mark.parametrize(
    ("request_id", "fields", "refused"),
    [
        ("sh-a-1", {"replay_of": "r-1", "shadow": True}, None),
        ("sh-a-1", {"replay_of": "r-1"}, "choose another id"),
        ("sh-a-1", {}, "choose another id"),
        ("r-2", {"replay_of": "r-1", "shadow": True}, "begins with sh-"),
        ("r-2", {"replay_of": "r-1"}, None),
    ],
)
def test_the_id_of_a_shadow_says_that_it_is_one(
    request_id: str, fields: dict[str, Any], refused: str | None
) -> None:
    fault = find_id_fault(asked(**fields).lineage, request_id)
    assert (fault is None) == (refused is None)
    assert refused is None or (fault is not None and refused in fault)


@pytest.mark.parametrize(("request_id", "shadow"), [("sh-a-1", False), ("r-2", True)])
def test_a_request_with_the_wrong_id_is_rejected(request_id: str, *, shadow: bool) -> None:
    brief = lives.brief(lineage=Lineage(replay_of="r-1", shadow=shadow))
    built = Emit(events=(ev.ContextBuilt(attempt=1, brief=brief),))
    outcome = lives.decided(
        repetition.resolve(built, request_id=request_id, replays=FakeReplays(), steps=STEPS)
    )
    assert isinstance(outcome, Reject)


def test_only_an_operators_replay_reads_what_another_request_stored() -> None:
    refused = repeated(known=False, from_stage="structuring")
    assert isinstance(refused, Reject)
    assert "an operator starts" in refused.message


def test_a_start_whose_input_is_gone_is_refused() -> None:
    refused = repeated(steps=FakeSteps(), from_stage="structuring")
    assert isinstance(refused, Reject)
    assert "the drafted of r-1 is not in the log" in refused.message


@pytest.mark.parametrize("known", [True, False])
def test_the_editing_job_is_named_for_a_known_replay_alone(*, known: bool) -> None:
    outcome = repeated(known=known, patched_by="job-3")
    assert isinstance(outcome, Emit)
    (built,) = outcome.events
    assert isinstance(built, ev.ContextBuilt)
    assert built.brief.lineage == Lineage(replay_of="r-1", patched_by="job-3" if known else None)
    assert (UNCONFIRMED in built.trail.warnings) is not known


def test_the_scene_of_a_shadow_is_a_shadow() -> None:
    plot = {"title": "t", "premise": "p", "beats": [{"name": "n", "purpose": "q", "tension": 3}]}
    result = lives.success("p-2", kind="plot", content=plot)
    brief = lives.brief(scenes={}, lineage=Lineage(replay_of="p-1", shadow=True))
    asked = scene_request(ev.Plotted(attempt=1, brief=brief, result=result), 1)
    assert (asked["replay_of"], asked["shadow"]) == ("p-1-s1", True)
    plain = scene_request(
        ev.Plotted(attempt=1, brief=msgspec.structs.replace(brief, lineage=None), result=result), 1
    )
    assert "replay_of" not in plain

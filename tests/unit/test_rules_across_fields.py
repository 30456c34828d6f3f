"""Rules across a document's fields: what repair corrects, before and after the model was asked again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.outcome import Fail
from contracts.result import Receipt, RepairLevel
from stages.validate_repair.repair import without_dangling
from tests.judging import judged

TWINS = {
    "scene_name": "Forest",
    "entities": [
        {"id": "spike", "type": "hazard", "x": 1, "y": 2},
        {"id": "spike_2", "type": "hazard", "x": 3, "y": 2},
        {"id": "spike", "type": "hazard", "x": 5, "y": 2},
    ],
}


def test_ids_that_are_used_twice_are_told_apart_and_the_receipt_says_so() -> None:
    (result,) = judged(json.dumps(TWINS)).events
    assert [each["id"] for each in result.content["entities"]] == ["spike", "spike_2", "spike_3"]
    assert result.meta.receipt == Receipt(
        level=RepairLevel.REPAIRED, changes=("entities.2.id: 'spike' was used before, now 'spike_3'",)
    )


def test_a_repeated_id_of_full_length_gets_its_number_and_what_only_looks_alike_is_no_reference() -> None:
    name = "a" * 64
    entities = [{"id": name, "type": "decoration", "asset_id": name, "x": 1, "y": each} for each in (1, 2)]
    (result,) = judged(json.dumps({"scene_name": "Forest", "entities": entities})).events
    assert [each["id"] for each in result.content["entities"]] == [name, "a" * 62 + "_2"]


def test_an_id_that_something_refers_to_is_left_alone() -> None:
    lines = [
        {"id": "a", "speaker": "Mara", "text": "Well?", "choices": [{"text": "No.", "goto": "a"}]},
        {"id": "a", "speaker": "Mara", "text": "Again."},
    ]
    outcome = judged(json.dumps({"purpose": "p", "title": "t", "lines": lines}), kind="dialogue")
    assert isinstance(outcome, Fail)
    assert "line id 'a' is used twice" in outcome.message


def test_once_the_model_was_asked_a_jump_goes_to_the_first_line_with_its_id() -> None:
    choices = [{"text": "Yes.", "goto": "b"}]
    lines = [{"speaker": "Mara", "text": "Well?", "choices": choices}] + [
        {"id": "b", "speaker": "Mara", "text": text} for text in ("Good.", "Bad.")
    ]
    document = json.dumps({"purpose": "p", "title": "t", "lines": lines})
    (result,) = judged(document, kind="dialogue", reask=1).events
    assert [each.get("id") for each in result.content["lines"]] == [None, "b", "b_2"]
    assert result.content["lines"][0]["choices"] == choices
    assert result.meta.receipt.changes == ("lines.2.id: 'b' was used before, now 'b_2'",)


def test_people_who_are_listed_twice_stay_once_and_the_receipt_says_so() -> None:
    document = {
        "purpose": "p",
        "title": "t",
        "speakers": [
            {"name": "Mara", "wants": "peace"},
            {"name": "Jonas"},
            {"name": "Mara", "wants": "peace"},
        ],
        "lines": [{"speaker": "Mara", "text": "Well?"}],
    }
    (result,) = judged(json.dumps(document), kind="dialogue").events
    assert result.content["speakers"] == [{"name": "Mara", "wants": "peace"}, {"name": "Jonas"}]
    assert result.meta.receipt == Receipt(
        level=RepairLevel.REPAIRED, changes=("speakers.2: 'Mara' was listed before, now left out",)
    )


def test_of_two_entries_of_a_person_that_differ_none_is_chosen() -> None:
    speakers = [{"name": "Mara", "wants": "peace"}, {"name": "Mara", "wants": "war"}]
    lines = [{"speaker": "Mara", "text": "Well?"}]
    document = {"purpose": "p", "title": "t", "speakers": speakers, "lines": lines}
    (asked_again,) = judged(json.dumps(document), kind="dialogue", max_reasks=1).events
    assert asked_again.errors == ("document: speaker 'Mara' is used twice; ids must be unique",)


SCENE = {
    "purpose": "The ferry leaves.",
    "title": "Ropes",
    "setting": {"place": "the pier"},
    "mood": "tense",
    "moments": [{"action": "Jonas cuts the ropes."}],
    "narration": "The pier groans.",
    "outcome": "The ferry is free.",
}


def test_a_model_that_repeats_a_person_when_asked_again_gets_one_entry_with_both_texts() -> None:
    characters = [
        {"name": "Jonas", "goal": "Cut the ropes."},
        {"name": "Jonas", "goal": "Save the ferry.", "mood": "calm"},
    ]
    document = {**SCENE, "characters": characters}
    (result,) = judged(json.dumps(document), kind="scene", reask=1).events
    assert result.content["characters"] == [
        {"name": "Jonas", "goal": "Cut the ropes. Save the ferry.", "mood": "calm"}
    ]
    assert result.meta.receipt.changes == (
        "characters.1: 'Jonas' was listed before, now once with both texts",
    )


def test_of_two_entries_whose_texts_are_too_long_for_one_the_first_stays() -> None:
    speakers = [{"name": "Mara", "voice": "a" * 400}, {"name": "Mara", "voice": "b" * 400}]
    lines = [{"speaker": "Mara", "text": "Well?"}]
    document = {"purpose": "p", "title": "t", "speakers": speakers, "lines": lines}
    (result,) = judged(json.dumps(document), kind="dialogue", reask=1).events
    assert result.content["speakers"] == speakers[:1]
    assert result.meta.receipt.changes == ("speakers.1: 'Mara' was listed before, the first entry stays",)


def test_a_jump_to_no_line_is_left_out_once_the_model_was_asked() -> None:
    choices = [{"text": "Yes.", "goto": "Ilia"}, {"text": "No.", "goto": "end"}]
    document = {
        "purpose": "p",
        "title": "t",
        "lines": [{"speaker": "A", "text": "Well?", "choices": choices}],
    }
    (asked_again,) = judged(json.dumps(document), kind="dialogue", max_reasks=1).events
    assert "a choice goes to 'Ilia'" in asked_again.errors[0]
    (result,) = judged(json.dumps(document), kind="dialogue", reask=1).events
    assert result.content["lines"][0]["choices"] == [{"text": "Yes."}, {"text": "No.", "goto": "end"}]
    assert result.meta.receipt.changes == ("lines.0.choices.0.goto: no line is 'Ilia', now the next line",)


def test_times_outside_of_a_transition_are_left_out_once_the_model_was_asked() -> None:
    beats = [{"purpose": "p", "text": "Rain.", "at_s": at} for at in (0, 4, 2, 100)]
    document = {
        "mood_from": "calm",
        "mood_to": "tense",
        "pacing": "slow",
        "transition_type": "gradual",
        "duration_s": 10,
        "elements": ["rain"],
        "beats": beats,
        "text": "It rains.",
    }
    (result,) = judged(json.dumps(document), kind="transition", reask=1).events
    assert [each.get("at_s") for each in result.content["beats"]] == [0, 4, None, None]
    assert len(result.meta.receipt.changes) == 2


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("dialogue", {"lines": [{"id": ["a"], "choices": [{"goto": "b"}]}]}),
        ("dialogue", {"lines": [{"id": {}, "choices": [{"goto": {}}]}, 7]}),
        ("transition", {"duration_s": 3, "beats": [{"at_s": 10**400}, {"at_s": []}]}),
        ("transition", {"duration_s": -(10**400), "beats": [{"at_s": 1}]}),
    ],
)
def test_values_of_any_kind_are_left_to_the_validator(kind: str, document: dict[str, Any]) -> None:
    changed, changes = without_dangling(document, kind=kind)
    assert set(changed) == set(document)
    assert all(len(each) < 200 for each in changes)


def test_who_speaks_and_is_not_listed_is_listed_and_the_receipt_says_so() -> None:
    lines = [{"speaker": name, "text": "Well?"} for name in ("Mara", "Jonas", "Jonas")]
    document = {"purpose": "p", "title": "t", "speakers": [{"name": "Mara"}], "lines": lines}
    (result,) = judged(json.dumps(document), kind="dialogue").events
    assert result.content["speakers"] == [{"name": "Mara"}, {"name": "Jonas"}]
    assert result.meta.receipt == Receipt(
        level=RepairLevel.REPAIRED, changes=("lines.1.speaker: 'Jonas' was not listed in speakers, now is",)
    )


def test_other_faults_are_not_mended_beside_the_ids() -> None:
    outcome = judged(json.dumps({**TWINS, "mood": "dark"}))
    assert isinstance(outcome, Fail)
    assert "mood" in outcome.message

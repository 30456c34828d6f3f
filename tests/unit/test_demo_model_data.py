"""The examples of the demo's model: each document is valid, has what its wish asks for, and is told once."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict

import msgspec
import pytest

from contracts.content.registry import Registry
from infra.lab.demo_model.examples import CUSTOM, Example, read, tasks
from infra.lab.demo_model.expectations import SLOTS, Expectation, is_met, texts
from infra.lab.demo_model.notes import write_notes

EXAMPLES = read()
WRITTEN = [each for each in EXAMPLES if each.document is not None]
CONTENTS = Registry()


def test_there_are_enough_and_a_tenth_is_held_out_by_topic() -> None:
    splits = Counter(each.split for each in EXAMPLES)
    assert splits["train"] >= 600
    assert splits["heldout"] * 10 >= splits["train"]
    assert splits["gate"] >= 100
    seen = defaultdict(set)
    for each in EXAMPLES:
        seen[each.kind, each.topic].add(each.split == "train")
    assert [topic for topic, trained in seen.items() if len(trained) > 1] == []
    assert len({each.wish for each in EXAMPLES}) == len(EXAMPLES)


@pytest.mark.parametrize("kind", [*SLOTS])
def test_documents_are_valid_and_have_what_their_wishes_ask_for(kind: str) -> None:
    faults = []
    for each in WRITTEN:
        if each.kind != kind:
            continue
        faults += [(each.wish, fault) for fault in CONTENTS.faults(kind, each.document, each.schema)]
        faults += [(each.wish, e) for e in each.expect if not is_met(e, kind, each.document or {})]
        if bool(each.prose) != (kind == CUSTOM):
            faults.append((each.wish, "prose"))
    assert faults == []


def test_no_sentence_is_told_three_times() -> None:
    told = Counter(
        sentence
        for each in WRITTEN
        for text in (*texts(each.document), each.prose)
        for sentence in set(re.split(r"(?<=[.!?])\s+", text))
        if len(sentence) > 25
    )
    assert [sentence for sentence, times in told.items() if times > 2] == []


@pytest.mark.parametrize("kind", [*SLOTS])
def test_each_example_teaches_a_draft_and_a_document(kind: str) -> None:
    example = next(each for each in WRITTEN if each.kind == kind)
    draft, document = tasks(example)
    assert draft.prompt.endswith("<|im_start|>assistant\n")
    assert example.wish in draft.prompt
    assert draft.answer == (example.prose if kind == CUSTOM else write_notes(kind, example.document or {}))
    assert f"Draft: {draft.answer}<|im_end|>" in document.prompt
    assert json.loads(document.answer) == example.document


def test_notes_of_a_layout_say_what_is_not_there() -> None:
    assert write_notes("layout", LAYOUT) == (
        "Barn. Stands on: none. Player: none. Collect: egg x2. Enemies: fox x1. Hazards: none. Goal: none."
    )


@pytest.mark.parametrize("kind", [each for each in SLOTS if each != CUSTOM])
def test_notes_name_what_is_counted(kind: str) -> None:
    """What a wish counts, a document of which only the notes are known can count as well."""
    numbers = {"plot": "beats", "scene": "moments", "dialogue": "lines", "transition": "beats"}
    for each in WRITTEN:
        if each.kind == kind and each.document is not None and kind in numbers:
            counted = len(each.document[numbers[kind]])
            assert f"{counted} {numbers[kind]}" in write_notes(kind, each.document)


LAYOUT = {
    "scene_name": "Barn",
    "entities": [
        {"type": "collectible", "id": "egg_1", "x": 1, "y": 1},
        {"type": "collectible", "id": "egg_2", "x": 2, "y": 1},
        {"type": "enemy", "id": "fox", "x": 3, "y": 1},
    ],
}


@pytest.mark.parametrize(
    ("expected", "met"),
    [
        (Expectation(slots=("collectible",), word="eggs", count=2), True),
        (Expectation(slots=("collectible",), word="egg", count=3), False),
        (Expectation(slots=("enemy",), word="egg"), False),
        (Expectation(slots=("platform", "enemy"), word="fox"), True),
        (Expectation(slots=("enemy",), count=1), True),
        (Expectation(slots=("nowhere",), word="wolf"), True),
        (Expectation(slots=("nowhere",), word="fox"), False),
        (Expectation(slots=("name",), word="barn"), True),
    ],
)
def test_an_expectation_is_met_by_the_right_thing_in_the_right_slot(
    expected: Expectation, *, met: bool
) -> None:
    assert is_met(expected, "layout", LAYOUT) is met


def test_an_example_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="mood"):
        msgspec.json.decode(
            b'{"kind": "plot", "topic": "t", "wish": "w", "expect": [], "mood": 1}', type=Example
        )

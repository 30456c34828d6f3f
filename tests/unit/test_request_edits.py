"""Edits of requests: what they set, what they leave alone, and what they refuse."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import request
from contracts.request_edits import EditError, apply_edits, parse_edits

BODY: dict[str, Any] = {"prompt": "a forest", "promptConfig": {"family": "layout"}, "params": {"topP": 0.5}}


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ("params.temperature=0.2", {"params": {"topP": 0.5, "temperature": 0.2}}),
        ("params.top_p=0.9", {"params": {"topP": 0.9}}),
        ("params.topP=0.9", {"params": {"topP": 0.9}}),
        ("prompt=42", {"prompt": "42"}),
        ("prompt=layout@2", {"promptConfig": {"version_id": "layout@2"}}),
        (
            "prompt_config.variables.mood=calm",
            {"promptConfig": {"family": "layout", "variables": {"mood": "calm"}}},
        ),
        ('tags=["cave","dark"]', {"tags": ["cave", "dark"]}),
        ("seed=7", {"seed": 7}),
        ("params.top_p=", {"params": {}}),
        ("node.style.mood_to=tense", {"node": {"style": {"mood_to": "tense"}}}),
        ("node.purpose=", {}),
    ],
)
def test_an_assignment_changes_one_field(given: str, changed: dict[str, Any]) -> None:
    before = msgspec.json.encode(BODY)
    assert apply_edits(BODY, parse_edits([given])) == {**BODY, **changed}
    assert msgspec.json.encode(BODY) == before


def test_what_is_set_is_what_a_request_says() -> None:
    edits = parse_edits(["params.temperature=0.2", "deadline_ms=9000", "params.temperature=0.3"])
    read = request.read(msgspec.json.encode(apply_edits(BODY, edits)), "layout")
    assert read.params.temperature == 0.3
    assert read.deadline_ms == 9000
    assert edits.keys == ("params.temperature", "deadline_ms")


def test_the_model_is_no_field_of_the_body() -> None:
    edits = parse_edits(["model=b"])
    assert (edits.model, edits.fields) == ("b", ())
    assert apply_edits(BODY, edits) == BODY


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("temperature=0.2", ["did you mean params.temperature?", "model, prompt, schema", "params"]),
        ("params.heat=1", ["'heat' is unknown below params", "temperature, top_p, max_tokens"]),
        ("node.style.mood=x", ["below node.style", "mood_to"]),
        ("seed.low=1", ["seed has no fields"]),
        ("replay_of=r-1", ["'replay_of' is unknown"]),
        ("prompt", ["KEY=VALUE"]),
        ("=3", ["KEY=VALUE"]),
        ("model=", ["names no model"]),
    ],
)
def test_a_wrong_key_is_refused_with_the_right_ones(given: str, told: list[str]) -> None:
    with pytest.raises(EditError) as refused:
        parse_edits([given])
    assert all(each in str(refused.value) for each in told)


def test_a_field_within_what_is_no_object_is_refused() -> None:
    with pytest.raises(EditError, match="params of this request is no object"):
        apply_edits({"prompt": "x", "params": 3}, parse_edits(["params.temperature=1"]))

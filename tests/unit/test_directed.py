"""Is what a designer says of style and duration what the document says?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.content.registry import Registry
from contracts.nodes.node import Node
from contracts.nodes.schema_pins import apply_pins, find_deviations, pin_fields

CONTENTS = Registry()
STYLE = {"moodFrom": "romantic", "moodTo": "determined", "pacing": "fast", "transitionType": "abrupt"}
TOLD = {"min": 20, "max": 40, "target": 30}


def held(kind: str = "transition", **node: Any) -> dict[str, dict[str, Any]]:
    return pin_fields(Node.model_validate(node), CONTENTS.schema(kind, None))


def test_a_transitions_style_and_duration_are_fields_of_its_document() -> None:
    assert held(style=STYLE, duration=TOLD) == {
        "mood_from": {"const": "romantic"},
        "mood_to": {"const": "determined"},
        "pacing": {"const": "fast"},
        "transition_type": {"const": "abrupt"},
        "duration_s": {"minimum": 20, "maximum": 40},
    }


def test_what_a_kind_has_no_field_for_stays_a_wish() -> None:
    assert held("scene", style=STYLE, duration=TOLD) == {"pacing": {"const": "fast"}}
    assert held("dialogue", style=STYLE, duration=TOLD) == {}


@pytest.mark.parametrize(
    ("duration", "bounds"),
    [
        ({"target": 30}, None),
        ({"min": 20}, {"minimum": 20}),
        ({"max": 40}, {"maximum": 40}),
        ({"max": 9000}, {"maximum": 600}),
        ({"min": 700, "max": 900}, None),
    ],
)
def test_a_duration_is_held_as_far_as_the_kind_allows_it(duration, bounds) -> None:
    assert held(duration=duration).get("duration_s") == bounds


def test_the_schema_is_narrowed_and_its_fields_are_required() -> None:
    plain = CONTENTS.schema("scene", None)
    schema = apply_pins(plain, held("scene", style=STYLE))
    assert schema["properties"]["pacing"] == {"type": "string", "const": "fast"}
    assert "pacing" in schema["required"]
    assert "pacing" not in plain["required"]
    assert apply_pins(plain, None) is plain


def test_a_document_that_says_something_else_is_told_field_by_field() -> None:
    limits = held(style=STYLE, duration=TOLD)
    right = {"mood_from": "Romantic", "mood_to": "determined", "pacing": "fast", "transition_type": "abrupt"}
    assert find_deviations(right | {"duration_s": 20}, limits) == ()
    assert find_deviations(right | {"pacing": "slow", "duration_s": 58.5}, limits) == (
        "pacing is 'slow'; the node asks for 'fast'",
        "duration_s is 58.5; the node asks for at least 20 and at most 40",
    )
    assert len(find_deviations({}, limits)) == 5
    assert find_deviations(json.loads("{}"), None) == ()

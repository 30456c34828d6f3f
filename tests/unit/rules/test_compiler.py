"""What do rules come to for a player?"""

from __future__ import annotations

from typing import Any

import pytest

from contracts.nodes import rules as language
from contracts.nodes.node import Rating
from contracts.nodes.rules.finding import Code
from tests.unit.rules.written import EXAMPLE

_ALWAYS = {
    "duration": {"min": 20, "max": 40, "target": 30},
    "constraints": {
        "rating": "romantic",
        "required_elements": ["kiss_callback"],
        "avoid_elements": ["violence"],
    },
}
_DETERMINED = {"mood_to": "determined", "pacing": "fast"}
_REFLECTIVE = {"mood_to": "reflective", "pacing": "slow"}


def _compile(text: str, **context: Any) -> language.Compiled:
    return language.compile(language.parse(text), context)


def _holds(condition: str, **context: Any) -> bool:
    return bool(_compile(f"IF {condition} THEN PACING fast", **context).overrides)


@pytest.mark.parametrize(
    ("context", "style", "codes"),
    [
        ({"player_choice": {"quest_accept": True}}, _DETERMINED, []),
        ({"player_choice": {"quest_accept": False}}, _REFLECTIVE, []),
        ({"choices": {"quest_accept": True}}, _DETERMINED, []),
        ({"player_context": {"player_id": "p", "choices": {"quest_accept": True}}}, _DETERMINED, []),
        ({"playerContext": {"choices": {"quest_accept": True}}}, _DETERMINED, []),
        ({"player_choice.quest_accept": True}, _DETERMINED, []),
        ({}, _REFLECTIVE, [Code.MISSING_NAME]),
        ({"player_choice": {"quest_accept": None}}, _REFLECTIVE, [Code.MISSING_NAME]),
        ({"player_choice": {"quest_accept": "true"}}, _REFLECTIVE, [Code.UNLIKE_TYPES]),
        ({"player_choice": {"quest_accept": 1}}, _REFLECTIVE, [Code.UNLIKE_TYPES]),
        ({"player_choice": {"quest_accept": {"at": 3}}}, _REFLECTIVE, [Code.UNLIKE_TYPES]),
    ],
)
def test_the_example_follows_the_players_choice(
    context: dict[str, Any], style: dict[str, str], codes: list[Code]
) -> None:
    compiled = language.compile(language.parse(EXAMPLE), context)
    assert compiled.overrides == {"style": style, **_ALWAYS}
    assert [each.code for each in compiled.warnings] == codes
    assert all("player_choice.quest_accept" in each.message for each in compiled.warnings)


def test_the_trace_says_which_line_set_what_and_why() -> None:
    trace = _compile(EXAMPLE, choices={"quest_accept": False}).trace
    assert [(each.line, each.field, each.value) for each in trace] == [
        (4, "style.mood_to", "reflective"),
        (4, "style.pacing", "slow"),
        (5, "constraints.required_elements", "kiss_callback"),
        (6, "duration.min", 20),
        (6, "duration.max", 40),
        (6, "duration.target", 30),
        (7, "constraints.rating", "romantic"),
        (7, "constraints.avoid_elements", "violence"),
    ]
    assert trace[0].when == ("NOT player_choice.quest_accept == true",)
    assert trace[2].when == ()
    assert trace[2].rule == 'INCLUDE callback_to_scene("kiss")'


def test_nested_choices_are_followed_to_the_branch_that_holds() -> None:
    text = """\
IF player_choice.ending IN ["leave", "flee"] AND NOT (social.trust >= 50 OR player_choice.forgave)
  IF social.tension > 70
    THEN transitionType = abrupt
    INCLUDE slammed_door
  ELSE
    THEN transitionType = gradual
ELSE IF player_choice.ending == "stay"
  THEN MOOD tense TO tender
ELSE
  THEN DURATION TARGET 15s
"""

    def come_to(ending: str, trust: int, tension: int) -> dict[str, Any]:
        choices = {"ending": ending, "forgave": False}
        compiled = _compile(text, choices=choices, social={"trust": trust, "tension": tension})
        assert compiled.warnings == ()
        return compiled.overrides

    assert come_to("flee", 10, 71) == {
        "style": {"transition_type": "abrupt"},
        "constraints": {"required_elements": ["slammed_door"]},
    }
    assert come_to("leave", 49, 70) == {"style": {"transition_type": "gradual"}}
    assert come_to("stay", 0, 0) == {"style": {"mood_from": "tense", "mood_to": "tender"}}
    assert come_to("leave", 50, 100) == {"duration": {"target": 15}}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("n == 3", True),
        ("n == 3.0", True),
        ("3 < n", False),
        ("n >= 3 AND n <= 3", True),
        ("n != 4", True),
        ("t == 'abc'", True),
        ("t < 'abd'", True),
        ("t == 'ABC'", False),
        ("yes", True),
        ("NOT yes", False),
        ("yes == true", True),
        ("n IN [1, 3]", True),
        ("n NOT IN [1, 3]", False),
        ("n IN some", True),
        ("some == [3, 'x']", True),
        ("[1] == [true]", False),
        ("a.b.c == 1", True),
        ("no OR n == 3", True),
        ("no AND gone", False),
        ("yes OR gone", True),
    ],
)
def test_conditions_compare_by_value(condition: str, holds: bool) -> None:  # noqa: FBT001 - the expected value
    context = {"n": 3, "t": "abc", "yes": True, "no": False, "some": [3, "x"], "a": {"b": {"c": 1}}}
    assert _holds(condition, **context) is holds
    assert _compile(f"IF {condition} THEN PACING fast", **context).warnings == ()


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("gone", Code.MISSING_NAME),
        ("gone == 1", Code.MISSING_NAME),
        ("gone != 1", Code.MISSING_NAME),
        ("gone NOT IN [1]", Code.MISSING_NAME),
        ("t == happy", Code.MISSING_NAME),
        ("t", Code.UNLIKE_TYPES),
        ("n == '3'", Code.UNLIKE_TYPES),
        ("n != '3'", Code.UNLIKE_TYPES),
        ("yes == 1", Code.UNLIKE_TYPES),
        ("yes > false", Code.UNLIKE_TYPES),
        ("n IN ['3']", Code.UNLIKE_TYPES),
        ("n NOT IN t", Code.UNLIKE_TYPES),
        ("group == group", Code.UNLIKE_TYPES),
    ],
)
def test_what_cannot_be_compared_is_false_and_told(condition: str, code: Code) -> None:
    compiled = _compile(f"IF {condition}\n  THEN PACING fast", n=3, t="x", yes=True, group={"a": 1})
    assert compiled.overrides == {}
    assert [(each.code, each.line, each.severity) for each in compiled.warnings] == [(code, 1, "warning")]


def test_a_word_where_a_text_is_meant_is_told_what_to_write() -> None:
    (warning,) = _compile(
        "IF player_choice.mood == happy THEN PACING fast", choices={"mood": "happy"}
    ).warnings
    assert warning.suggestion == 'if a text is meant, write "happy"'


def test_a_misspelt_choice_is_told_which_one_is_meant() -> None:
    (warning,) = _compile("IF player_choice.quest THEN PACING fast", choices={"quests": True}).warnings
    assert warning.suggestion == "did you mean quests?"


@pytest.mark.parametrize(
    ("said", "rating"),
    [
        ("G", Rating.SFW),
        ("PG", Rating.SFW),
        ("PG-13", Rating.ROMANTIC),
        ("R", Rating.MATURE_IMPLIED),
        ("NC-17", Rating.RESTRICTED),
        *((str(each), each) for each in Rating),
    ],
)
def test_ratings_of_both_scales_come_to_ours(said: str, rating: Rating) -> None:
    assert _compile(f"CONSTRAINT rating={said}").overrides == {"constraints": {"rating": rating}}


def test_the_last_value_counts_and_elements_add_up() -> None:
    compiled = _compile(
        "PACING slow\nAVOID gore\nIF brave\n  PACING fast AVOID gore, 'a red door'", brave=True
    )
    assert compiled.overrides == {
        "style": {"pacing": "fast"},
        "constraints": {"avoid_elements": ["gore", "a red door"]},
    }
    assert compiled.warnings == ()
    assert [each.value for each in compiled.trace] == ["slow", "gore", "fast", "a red door"]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("IF a THEN PACING fast\nIF b THEN PACING slow", Code.OVERRIDDEN, 2),
        ("IF a THEN INCLUDE door\nIF b THEN AVOID Door", Code.COMBINATION, 2),
        ("PACING slow\ntransitionType = abrupt", Code.COMBINATION, 2),
        ("strategy = once seedSource = timestamp", Code.COMBINATION, 1),
        ("IF a THEN DURATION 10-20s\nIF b THEN DURATION TARGET 30s", Code.COMBINATION, 2),
    ],
)
def test_what_does_not_go_together_for_this_player_is_told(text: str, code: Code, line: int) -> None:
    compiled = _compile(text, a=True, b=True)
    assert [(each.code, each.line) for each in compiled.warnings] == [(code, line)]
    assert _compile(text.replace("IF b", "IF NOT b"), a=True, b=True).warnings == (
        () if "IF b" in text else compiled.warnings
    )


def test_what_no_node_can_have_is_left_out_and_told() -> None:
    compiled = _compile("pacing = fats moodTo = calm\nDURATION 40-20s")
    assert compiled.overrides == {"style": {"mood_to": "calm"}}
    assert [each.code for each in compiled.warnings] == [Code.UNKNOWN_VALUE, Code.BROKEN_DURATION]

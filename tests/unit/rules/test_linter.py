"""What does the linter say, and what does it leave alone?"""

from __future__ import annotations

import pytest

from contracts.nodes import rules as language
from contracts.nodes.rules.finding import Code
from tests.unit.rules.written import EXAMPLE


def _lint(text: str) -> list[tuple[Code, int, int]]:
    return [(each.code, each.line, each.column) for each in language.lint(language.parse(text))]


def test_nothing_is_wrong_with_the_example() -> None:
    assert _lint(EXAMPLE) == []


@pytest.mark.parametrize(
    ("text", "column", "code", "suggestion"),
    [
        ("modTo = calm", 1, Code.UNKNOWN_FIELD, "did you mean moodTo?"),
        ("mood_two = calm", 1, Code.UNKNOWN_FIELD, "did you mean mood_to?"),
        ("colour = red", 1, Code.UNKNOWN_FIELD, "the fields are purpose, strategy"),
        ("requiredElements = door", 1, Code.UNKNOWN_FIELD, "write INCLUDE"),
        ("generationType = plot", 1, Code.UNKNOWN_FIELD, "the request's kind decides"),
        ("CONSTRAINT pacing=fast", 12, Code.UNKNOWN_FIELD, "a line of its own"),
        ("pacing = fats", 10, Code.UNKNOWN_VALUE, "did you mean fast?"),
        ("pacing = Fast", 10, Code.UNKNOWN_VALUE, "did you mean fast?"),
        ("PACING 'very fast indeed'", 8, Code.UNKNOWN_VALUE, "write one of slow, medium, fast"),
        ("fallback = skipp", 12, Code.UNKNOWN_VALUE, "did you mean skip?"),
        ("enabled = yes", 11, Code.WRONG_VALUE, "true or false"),
        ("moodTo = ''", 10, Code.WRONG_VALUE, "a text"),
        ("duration.min = -1", 16, Code.WRONG_VALUE, "seconds from 0"),
        ("fallback.retries = 0", 20, Code.WRONG_VALUE, "whole number from 1"),
        ("INCLUDE 'a\\nb'", 9, Code.WRONG_VALUE, "on one line"),
        ("INCLUDE callback_to_scene(3)", 9, Code.WRONG_VALUE, 'callback_to_scene("kiss")'),
        ("CONSTRAINT rating=PG13", 19, Code.UNKNOWN_RATING, "did you mean PG-13?"),
        ("rating = romantik", 10, Code.UNKNOWN_RATING, "did you mean romantic?"),
        ("DURATION 40-20s", 1, Code.BROKEN_DURATION, "20-40s"),
        ("DURATION 20-40s TARGET 50s", 1, Code.BROKEN_DURATION, "within"),
        ("DURATION -5-10s", 1, Code.BROKEN_DURATION, "from 0"),
        ("DURATION TARGET 0s", 1, Code.BROKEN_DURATION, "above 0"),
        ("DURATION 1-2000m", 1, Code.BROKEN_DURATION, "86400"),
        ("INCLUDE callback_to_scen('kiss')", 9, Code.UNKNOWN_FUNCTION, "did you mean callback_to_scene?"),
        ("AVOID callback_to_scene('kiss')", 7, Code.UNKNOWN_FUNCTION, "INCLUDE"),
        ("INCLUDE phone_ring AVOID 'Phone ring'", 26, Code.CONTRADICTION, "leave one"),
        ("AVOID gore, Gore", 13, Code.DUPLICATE, "leave it out"),
        ("pacing = fast pacing = slow", 15, Code.DUPLICATE, "leave one"),
        ("IF player_choise.x THEN PACING fast", 4, Code.UNKNOWN_NAME, "did you mean player_choice?"),
    ],
)
def test_a_finding_has_its_place_and_advice(text: str, column: int, code: Code, suggestion: str) -> None:
    (found,) = language.lint(language.parse(text))
    assert (found.line, found.column, found.code) == (1, column, code)
    assert suggestion in found.suggestion
    assert found.severity == ("warning" if code[3] == "2" else "error")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("IF false\n  PACING fast", 1),
        ("IF NOT (1 < 2)\n  PACING fast", 1),
        ("IF a AND 'x' IN ['y']\n  PACING fast", 1),
        ("IF a == 1 AND b AND a == 2\n  PACING fast", 1),
        ("IF true\n  PACING fast\nELSE\n  PACING slow", 3),
        ("IF a OR 1 == 1\n  PACING fast\nELSE IF b\n  PACING slow", 3),
        ("IF a\n  PACING fast\nELSE IF b\n  PACING slow\nELSE IF a\n  PACING medium", 5),
    ],
)
def test_a_branch_that_is_never_taken_is_told(text: str, line: int) -> None:
    assert _lint(text) == [(Code.UNREACHABLE, line, 1)]


@pytest.mark.parametrize("condition", ["a < true", "a >= [1]", "a IN 'text'", "a IN []"])
def test_a_comparison_that_is_never_true_is_told(condition: str) -> None:
    assert (Code.NEVER_TRUE, 1, 9) in _lint(f"IF b OR {condition}\n  PACING fast")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("INCLUDE door\nIF a\n  AVOID door", [(Code.CONTRADICTION, 3, 9)]),
        ("IF a\n  AVOID door\nINCLUDE door", [(Code.CONTRADICTION, 3, 9)]),
        ("IF a\n  INCLUDE door\n  IF b\n    AVOID door", [(Code.CONTRADICTION, 4, 11)]),
        ("IF a\n  INCLUDE door\nIF b\n  AVOID door", [(Code.POSSIBLE_CONTRADICTION, 4, 9)]),
        ("IF a\n  INCLUDE door\nELSE IF b\n  AVOID door\nELSE\n  INCLUDE door", []),
        ("INCLUDE callback_to_scene('kiss')\nCONSTRAINT AVOID kiss_callback", [(Code.CONTRADICTION, 2, 18)]),
    ],
)
def test_what_contradicts_is_certain_possible_or_impossible(
    text: str, found: list[tuple[Code, int, int]]
) -> None:
    assert _lint(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "PACING slow\nIF a\n  PACING fast\nPACING medium",
        "IF a\n  INCLUDE door\nELSE\n  INCLUDE door",
        "IF quest_accept\n  PACING fast",
        "IF social.trust > 0.5 AND playerContext.choices.brave\n  PACING fast",
        "style.moodTo = x duration.target = 3.5 defaultContentId = transition_01 fallback.timeoutMs = 4000",
        "mood_from = x seed_source = fixed strategy = always transition_type = abrupt constraints.rating = R",
    ],
)
def test_what_is_right_is_left_alone(text: str) -> None:
    assert _lint(text) == []


def test_an_else_with_nothing_but_an_if_could_be_simpler() -> None:
    (found,) = language.lint(language.parse("IF a\n  PACING fast\nELSE\n  IF b\n    PACING slow"))
    assert (found.code, found.severity, found.suggestion) == (Code.ELSE_IF, "suggestion", "write ELSE IF")

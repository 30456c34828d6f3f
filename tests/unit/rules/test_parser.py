"""What does the reader make of a text, and how does it say that it makes nothing of it?"""

from __future__ import annotations

import pytest

from contracts.nodes import rules as language
from contracts.nodes.rules import limits, tree
from contracts.nodes.rules.finding import Code, RulesError
from tests.unit.rules.written import EXAMPLE


def _says(text: str) -> str:
    return language.format(language.parse(text))


def test_the_example_has_four_rules_where_they_stand() -> None:
    choice, include, duration, constraint = language.parse(EXAMPLE).statements
    assert isinstance(choice, tree.Conditional)
    assert [branch.at.line for branch in choice.branches] == [1, 3]
    (mood,) = choice.branches[0].body
    assert isinstance(mood, tree.Set)
    assert [(pair.name, pair.at.line, pair.at.column) for pair in mood.pairs] == [
        ("moodTo", 2, 8),
        ("pacing", 2, 30),
    ]
    assert isinstance(include, tree.Include)
    assert include.items[0].arguments == ("kiss",)
    assert isinstance(duration, tree.DurationClause)
    assert (duration.low, duration.high, duration.target) == (20, 40, 30)
    assert isinstance(constraint, tree.Constraint)
    assert (constraint.pairs[0].value, constraint.avoid[0].text) == ("PG-13", "violence")


@pytest.mark.parametrize(
    "text",
    [
        "IF a\n  THEN x = 1\nELSE\n  THEN x = 2\ny = 3",
        "IF a THEN x = 1 ELSE x = 2\ny = 3",
        "IF a THEN x = 1\nELSE x = 2\ny = 3",
        "IF a\nTHEN x = 1\nELSE\nTHEN x = 2\ny = 3",
        "IF a\n\tx = 1\nELSE\n\tx = 2\ny = 3",
        "   IF a\n     THEN\n       x = 1\n   ELSE\n     THEN\n       x = 2\n   y = 3\n  ",
        "\ufeffif a\r\n  then x = 1\r\nelse\r\n  then x = 2\r\ny = 3",
    ],
)
def test_blocks_can_be_laid_out_in_many_ways(text: str) -> None:
    assert _says(text) == "IF a\n  THEN x = 1\nELSE\n  THEN x = 2\ny = 3\n"


@pytest.mark.parametrize(
    "text",
    [
        "IF a\n  IF b\n    x = 1\n  ELSE\n    x = 2\nELSE\n  x = 3",
        "IF a\n  THEN IF b\n    THEN x = 1\n  ELSE\n    THEN x = 2\nELSE\n  THEN x = 3",
        "IF a\n  THEN IF b\n         THEN x = 1\n       ELSE\n         THEN x = 2\nELSE\n  THEN x = 3",
        "IF a\n  THEN IF b THEN x = 1 ELSE x = 2\nELSE\n  THEN x = 3",
    ],
)
def test_an_else_belongs_to_the_if_above_it(text: str) -> None:
    assert _says(text) == ("IF a\n  IF b\n    THEN x = 1\n  ELSE\n    THEN x = 2\nELSE\n  THEN x = 3\n")


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("a OR b AND NOT c", "a OR b AND NOT c"),
        ("(a OR b) AND c", "(a OR b) AND c"),
        ("a OR (b OR (c))", "a OR b OR c"),
        ("NOT (a == 1 AND b)", "NOT (a == 1 AND b)"),
        ("NOT a == 1", "NOT a == 1"),
        ("a\n  AND b\n  OR c", "a AND b OR c"),
        ("a AND\n  b", "a AND b"),
        ("a in [\n 1,\n 'x',\n ]", 'a IN [1, "x"]'),
        ("a not in []", "a NOT IN []"),
        ("player_choice.ending-2 >= -1.50", "player_choice.ending-2 >= -1.5"),
        ("in.x != 'it\\'s'", 'in.x != "it\'s"'),
    ],
)
def test_conditions_have_the_usual_precedence(text: str, means: str) -> None:
    assert _says(f"IF {text}\n  THEN x = 1") == f"IF {means}\n  THEN x = 1\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20-40s TARGET 30s", (20, 40, 30)),
        ("20s - 40s", (20, 40, None)),
        ("20\u201340", (20, 40, None)),
        ("1-2m target 90s", (60, 120, 90)),
        ("500ms-1.5s", (0.5, 1.5, None)),
        ("30s", (None, None, 30)),
        ("TARGET 0.5m", (None, None, 30)),
        ("-5-10s", (-5, 10, None)),
    ],
)
def test_durations_are_in_seconds(text: str, seconds: tuple[float | None, ...]) -> None:
    (duration,) = language.parse(f"DURATION {text}").statements
    assert isinstance(duration, tree.DurationClause)
    assert (duration.low, duration.high, duration.target) == seconds


@pytest.mark.parametrize(
    ("text", "line", "column", "code", "expected", "suggestion"),
    [
        ("IF a = 1\n  THEN x = 2", 1, 6, Code.SYNTAX, "a comparison", "=="),
        ("INCLUD door", 1, 8, Code.SYNTAX, "=", "INCLUDE"),
        ("x = 1\n\nIF a == 1\nmoodTo = 2", 4, 1, Code.SYNTAX, "THEN", "indent"),
        ("IF a == 1 moodTo = 2", 1, 11, Code.SYNTAX, "THEN", "THEN"),
        ("IF a TEHN x = 1", 1, 6, Code.SYNTAX, "THEN", "THEN"),
        ("DURATION 20s-", 1, 14, Code.SYNTAX, "a time such as 30s", ""),
        ("DURATION 20-40s TARGT 30s", 1, 23, Code.SYNTAX, "=", "TARGET"),
        ("AVOID violence,  # and", 1, 16, Code.SYNTAX, "a word", ""),
        ("ELSE\n  x = 1", 1, 5, Code.SYNTAX, "=", "IF above"),
        ("IF a\n  x = 1\nELIF b\n  x = 2", 3, 6, Code.SYNTAX, "=", "ELSE IF"),
        ("IF a\n  THEN x = 1\nENDIF", 3, 6, Code.SYNTAX, "=", "leave it out"),
        ("IF (a\n  THEN x = 1", 2, 3, Code.SYNTAX, ")", ""),
        ("IF", 1, 3, Code.SYNTAX, "a name", ""),
        ('AVOID "gore', 1, 7, Code.UNREADABLE, "a word", "close"),
        ("IF a && b\n  THEN x = 1", 1, 6, Code.UNREADABLE, "AND", "AND"),
        ("IF a == 1:\n  x = 1", 1, 10, Code.UNREADABLE, "THEN", "leave it out"),
        ("moodTo = \u201cx\u201d", 1, 10, Code.UNREADABLE, "a word", "straight"),
        ("moodTo\u00a0= x", 1, 7, Code.UNREADABLE, "=", "space"),
        ("x = 1 // why", 1, 7, Code.UNREADABLE, "a rule", "#"),
        ("x = '\\ud800'", 1, 5, Code.UNREADABLE, "", "character"),
        ("x = '\\q'", 1, 5, Code.UNREADABLE, "", "character"),
        ("x = 1e999", 1, 5, Code.UNREADABLE, "", "smaller"),
        ("x = 1\n  y = 2", 2, 3, Code.INDENTATION, "", "line above"),
        ("IF a\n   x = 1\n  y = 2", 3, 3, Code.INDENTATION, "", "column 1 or 4"),
        ("IF a\n\t\tx = 1\n        y = 2", 3, 9, Code.INDENTATION, "", "spaces"),
    ],
)
def test_a_mistake_has_its_place_and_advice(
    text: str, line: int, column: int, code: Code, expected: str, suggestion: str
) -> None:
    with pytest.raises(language.RulesError) as caught:
        language.parse(text)
    found = caught.value.found
    assert (found.line, found.column, found.code) == (line, column, code)
    assert suggestion in found.suggestion
    assert bool(suggestion) == bool(found.suggestion)
    if expected:
        assert any(each.startswith(expected) for each in caught.value.expected)
    assert str(caught.value).startswith(f"line {line}, column {column}: ")


@pytest.mark.parametrize(
    "text",
    [
        "#" * (limits.TEXT + 1),
        "\n".join("x = 1" for _ in range(limits.STATEMENTS + 1)),
        "AVOID " + ", ".join("x" for _ in range(limits.LIST + 1)),
        f"IF a IN [{', '.join('1' for _ in range(limits.LIST + 1))}] THEN x = 1",
        " ".join("x = 1" for _ in range(limits.LIST + 1)),
        "".join(f"{' ' * depth}IF a\n" for depth in range(limits.DEPTH + 1)) + " " * 40 + "x = 1",
        "IF a THEN " * (limits.DEPTH + 1) + "x = 1",
        "IF " + "NOT " * 3000 + "a THEN x = 1",
        "IF " + "a AND (b OR (" * 400 + "c" + "))" * 400 + " THEN x = 1",
        f"IF {'.'.join('abcdefghi')} THEN x = 1",
        f"x = '{'y' * (limits.WORD + 1)}'",
        "x = " + "9" * 5000,
        "DURATION 99999999999m",
    ],
    ids=lambda text: text[:12],
)
def test_what_is_too_large_is_refused(text: str) -> None:
    with pytest.raises(language.RulesError) as caught:
        language.parse(text)
    assert caught.value.found.code == Code.TOO_LARGE


def test_parentheses_may_be_deep_and_more_are_refused_where_they_stand() -> None:
    depth = limits.BRACKETS
    assert _says(f"IF {'(' * depth}a{')' * depth} THEN x = 1") == "IF a\n  THEN x = 1\n"
    with pytest.raises(RulesError, match="column 37: more than 32 brackets are open"):
        language.parse(f"IF {'(' * 8000}a{')' * 8000} THEN x = 1")


def test_more_words_than_a_text_may_have_are_refused() -> None:
    with pytest.raises(RulesError, match="more than 4,000 words and signs"):
        language.parse("INCLUDE " + "a, " * 5000)

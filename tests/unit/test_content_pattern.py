"""Regular expressions: they mean what ECMA-262 says; what they cannot say is refused with the reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.content import pattern
from tests.profiles import examples


@pytest.mark.parametrize(
    ("expression", "good", "bad"),
    [
        (r"^\p{L}+$", ["añ雪"], ["a1", ""]),
        (r"^\p{Script=Greek}$", ["Ω"], ["O"]),
        (r"^(?<name>a)b$", ["ab"], ["a"]),
        ("^[a-z&&x]+$", ["a&x"], ["1"]),
        ("^[[a]$", ["[", "a"], ["b"]),
        ("^[~~]$", ["~"], ["a"]),
        ("^[+--]$", ["+", ",", "-"], ["a"]),
        (r"^[\w-.]+$", ["a-."], ["ä", " "]),
        (r"^\d\w$", ["1a"], ["٣a", "1ä"]),
        (r"^\s$", [" ", "\ufeff", "\u2028"], ["\u200b"]),
        (r"^[^\S]$", [" "], ["a"]),
        (r"^\w{1,500}$", ["a"], [""]),
        ("^[^]$", ["\n", "a"], [""]),
        (r"^\u{1F600}\ud83d\ude00$", ["😀😀"], []),
        (r"^\x41\cJ\0$", ["A\n\0"], []),
        (r"^\/a\-b\_$", ["/a-b_"], []),
        ("^.$", ["é"], ["\n", "\u2028", ""]),
        (r"\bfoo\b", ["a foo", "äfoo"], ["afoo"]),
        ("a|", ["", "x"], []),
        ("^(?:a{2}|b){2,}?$", ["aab", "bb"], ["ab"]),
        ("^(?P<n>a)$", ["a"], ["b"]),
        (r"^(?!\.)(?!.*\.$)[a-z.]+$", ["a", "a.b"], [".a", "a.", "A"]),
        ("^(?=.{1,3}$)[a-z]+$", ["abc"], ["abcd"]),
        ("^[a-z-]+(?<!-)$", ["a-b"], ["a-"]),
        ("^(?:(?!foo).)*$", ["", "fo o"], ["a foo"]),
    ],
)
def test_an_expression_means_what_the_standard_says(expression, good, bad) -> None:
    assert pattern.fault(expression) is None
    assert [text for text in good if not pattern.matches(expression, text)] == []
    assert [text for text in bad if pattern.matches(expression, text)] == []


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("(?=a)b", "(?= is look-around"),
        ("(?<!a)b", "(?<! is look-around"),
        ("^(?!a)b|c", "has look-around beside |"),
        (r"(a)\1", r"\1 is a back-reference"),
        (r"\k<a>", r"\k is a back-reference"),
        (r"\Aa", r"\A is no escape of ECMA-262; write ^"),
        (r"a\Z", r"\Z is no escape of ECMA-262; write $"),
        ("(?i)a", "(?i)a is no group"),
        ("a{,3}", "has a { that is no {least,most}"),
        ("a{3,1}", "{3,1} ends before it begins"),
        ("[z-a]", "has the range z-a"),
        ("[a--]", "has the range a--"),
        ("a**", "has nothing to repeat"),
        ("^*", "repeats what has no width"),
        ("*", "has nothing to repeat before *"),
        ("(", "has a ( that is not closed"),
        (")", "has a ) that opens nowhere"),
        ("[", "has a [ that is not closed"),
        ("[]", "[] takes no character"),
        ("\\", "ends in the middle"),
        (r"\ud83d", "names half of a surrogate pair"),
        (r"\u{110000}", r"has a \u{…} that is no character"),
        (r"\x4", "has an escape without its 2 hexadecimal digits"),
        (r"\p{Klingon}", "it has no automaton"),
        (r"\pL", r"\p has no name in braces"),
        ("(a{900}){900}", "needs about"),
        ("(" * 60 + ")" * 60, "has groups nested more than 40 deep"),
        ("a" * 1001, "has 1001 characters"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_with_the_true_reason(expression, why) -> None:
    assert (pattern.fault(expression) or "").startswith(why)
    assert not pattern.matches(expression, "a")


@examples(300)
@given(
    expression=st.text(st.sampled_from("ab01()[]{}|*+?^$.\\-,:<>=!pLwdsDWSbBux& é"), max_size=25),
    text=st.text(max_size=5),
)
def test_any_expression_is_judged_and_what_is_taken_is_no_defect_of_ours(expression, text) -> None:
    why = pattern.fault(expression)
    # Read by our rules, the engine takes it; but for a property's name and a border between bytes.
    assert (
        why is None
        or not why.startswith("the engine refuses it")
        or {"\\p", "\\P", "\\B"} & {expression[index : index + 2] for index in range(len(expression))}
    )
    assert pattern.matches(expression, text) in (True, False)
    if pattern.matches(expression, text):
        assert len(text) >= (pattern.least(expression) or 0)


@pytest.mark.parametrize(
    ("expression", "least"),
    [
        (r"^[A-Z]{3}-\d{4}$", 8),
        ("^(red|green|)$", 0),
        (r"^\d+(\.\d{2})?$", 1),
        ("(?:ab){2,3}", 4),
        (r"\bw\B.", 2),
        ("^[a-z]{100,}$", 100),
        ("(", None),
    ],
)
def test_the_shortest_text_is_counted(expression, least) -> None:
    assert pattern.least(expression) == least


@examples(300)
@given(
    ahead=st.lists(st.sampled_from(["(?!a)", "(?!.*b$)", "(?=.{2})", "(?!(?:ab|c)$)"]), max_size=2),
    middle=st.sampled_from(["[abc]*", "(?:a|bc)+", ".+", "b?"]),
    behind=st.sampled_from(["", "$", "(?<!a)$", "(?<=bc)$"]),
    text=st.text("abc", max_size=5),
)
def test_look_around_at_the_ends_means_what_it_means_to_a_backtracking_engine(
    ahead, middle, behind, text
) -> None:
    expression = f"^{''.join(ahead)}{middle}{behind}"
    assert pattern.fault(expression) is None
    assert pattern.matches(expression, text) == (re.search(expression, text) is not None)

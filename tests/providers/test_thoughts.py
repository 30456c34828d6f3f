"""Which part of a text is a model's reasoning?"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.providers.reasoning import Thoughts, answer

HARMONY = (
    "<|channel|>analysis<|message|>No dragon.<|end|><|start|>assistant<|channel|>final<|message|>"
    "The ferry leaves.<|return|>"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<think>hm</think>The ferry.", "The ferry."),
        ('\n <THINK>\nhm {"a": 1}\n</think>\n\n{"b": 2}', '{"b": 2}'),
        ("<think></think>\n\nThe ferry.", "The ferry."),
        ("<think>one</think><think>two</think> The ferry.", "The ferry."),
        ("<thinking>hm</thinking>The ferry.", "The ferry."),
        ("<reasoning>hm</reasoning>The ferry.", "The ferry."),
        ("[THINK]hm[/THINK]The ferry.", "The ferry."),
        ("◁think▷hm◁/think▷The ferry.", "The ferry."),
        ("<seed:think>hm</seed:think>The ferry.", "The ferry."),
        (HARMONY, "The ferry leaves."),
        ("<|start|>assistant<|channel|>final <|constrain|>json<|message|>{}<|end|>", "{}"),
        ("<|channel|>commentary<|message|>a<|call|><|channel|>final<|message|>b < c", "b < c"),
        ("analysisWe need a ferry.assistantfinalThe ferry.", "The ferry."),
        ("They want a ferry.\n</think>\n\nThe ferry.", "The ferry."),
        ("No dragon, they say.</think>The ferry.", "The ferry."),
        ('Perhaps {"a": 1}? No.</think>{"b": 2}', '{"b": 2}'),
        ('{"a": 1}\n</think>\n{"b": 2}', '{"b": 2}'),
        # Never closed: no answer.
        ("<think>hm, a ferry", ""),
        ("[THINK]hm", ""),
        ("<|channel|>analysis<|message|>hm", ""),
        ("<|channel|>analysis", ""),
        # A story may have the words.
        ("She wrote <think>x</think> on the wall.", "She wrote <think>x</think> on the wall."),
        ("The sign says </think> and more.", "The sign says </think> and more."),
        ('{"a": "Stop.</think>"}', '{"a": "Stop.</think>"}'),
        ("<thin ice> is dangerous", "<thin ice> is dangerous"),
        ("analysis of a ferry", "analysis of a ferry"),
        ("<think", "<think"),
        ("  The ferry.\n", "  The ferry.\n"),
        ("", ""),
    ],
)
def test_only_what_comes_before_an_answer_is_reasoning(text: str, shown: str) -> None:
    assert answer(text)[0] == shown


MARKS = [
    "<think>",
    "</think>",
    "<|channel|>",
    "analysis",
    "final",
    "<|message|>",
    "<|end|>",
    "[THINK]",
    "[/THINK]",
    "\n",
    " ",
    "a",
    "<",
    "<|",
    "The ferry",
    "assistantfinal",
]


@given(parts=st.lists(st.sampled_from(MARKS), max_size=10), cuts=st.lists(st.integers(0, 60), max_size=8))
def test_how_a_text_is_cut_into_pieces_changes_nothing(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    thoughts, whole = Thoughts(), Thoughts()
    shown = "".join(thoughts.add(text[one:two]) for one, two in itertools.pairwise(places))
    assert shown + thoughts.end() == whole.add(text) + whole.end()
    assert thoughts.hidden == whole.hidden


def test_an_answer_is_shown_as_it_comes() -> None:
    thoughts = Thoughts()
    pieces = ["<thi", "nk>hm</th", "ink>\n", "The ", "ferry."]
    assert [thoughts.add(piece) for piece in pieces] == ["", "", "", "The ", "ferry."]
    assert (thoughts.end(), thoughts.hidden) == ("", 2)

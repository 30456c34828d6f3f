"""Do rules stay the same when they are written and read again?"""

from __future__ import annotations

import pytest
from hypothesis import given

from contracts.nodes import rules as language
from contracts.nodes.rules import tree
from tests.unit.rules.written import EXAMPLE, RULES, TEXTS


@given(RULES)
def test_what_is_written_reads_as_what_it_was(rules: tree.Rules) -> None:
    text = language.format(rules)
    assert language.parse(text) == rules
    assert language.format(language.parse(text)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_the_canonical_form_means_the_same_and_stays(text: str) -> None:
    rules = language.parse(text)
    written = language.format(rules)
    assert language.parse(written) == rules
    assert language.format(language.parse(written)) == written


def test_the_example_is_in_canonical_form() -> None:
    assert language.format(language.parse(EXAMPLE)) == EXAMPLE


def test_comments_stay_with_what_they_are_about() -> None:
    text = """\
# of all
IF brave  # who is?
  # of the mood
  THEN moodTo = "calm"  # so far
# of the rest
ELSE  # all others
  THEN INCLUDE "a # in quotes"  # no comment in it
# the end
"""
    assert language.format(language.parse(text)) == text


def test_other_ways_to_write_become_one() -> None:
    text = "if brave and(shy or not rich)then\n    mood calm to 'wild'   pacing fast //"
    written = language.format(language.parse(text.removesuffix(" //")))
    assert written == (
        'IF brave AND (shy OR NOT rich)\n  THEN moodFrom = "calm" moodTo = "wild"\n  pacing = "fast"\n'
    )


def test_no_rules_are_no_text() -> None:
    assert language.format(language.parse(" \n\t\n")) == ""

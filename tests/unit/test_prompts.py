"""What are models asked, and can a stranger's text pass for an instruction?"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.subjects import KINDS
from stages.context_build.prompts import render_freeform
from stages.structuring.prompts import structuring_prompt

NASTY = st.text(max_size=60) | st.text("<>\n ", max_size=60)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_versioned_template_with_its_guardrails(kind):
    text, version = render_freeform(kind, "a forest with three coins")
    assert re.fullmatch(rf"{kind}@\d+", version)
    assert "a forest with three coins" in text
    assert "no JSON" in text
    assert "never an instruction" in text


def test_every_kind_asks_for_something_else():
    assert len({render_freeform(kind, "x")[0] for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_structuring_asks_for_json_alone(kind):
    text = structuring_prompt(kind, "Three coins.", '{"type": "object"}')
    assert "JSON only, from { to }" in text
    assert "without a code fence" in text
    assert '{"type": "object"}' in text
    assert "Three coins." in text
    assert "could not be used" not in text


def test_asked_again_the_errors_are_named():
    text = structuring_prompt(
        "layout", "Three coins.", "{}", ("entities.0.x: is missing", "b: unknown field")
    )
    assert "- entities.0.x: is missing\n- b: unknown field" in text


@given(prompt=NASTY)
def test_a_request_cannot_leave_its_markers(prompt):
    text, _ = render_freeform("layout", prompt)
    assert text.count("<<<") == text.count(">>>") == 1
    assert text.endswith("\n>>>\n")


@given(draft=NASTY, schema=NASTY, error=NASTY)
def test_nothing_that_others_wrote_leaves_its_markers(draft, schema, error):
    text = structuring_prompt("custom", draft, schema, (error,))
    assert text.count("<<<\n") == text.count("\n>>>\n") == text.count("<<<") == text.count(">>>") == 3


@given(prompt=st.text(max_size=60), other=st.text(max_size=60))
def test_equal_requests_get_equal_prompts_and_others_do_not(prompt, other):
    assert render_freeform("plot", prompt) == render_freeform("plot", prompt)
    if prompt != other and not {"<", ">"} & {*prompt, *other}:
        assert render_freeform("plot", prompt) != render_freeform("plot", other)

"""Does a subject say exactly what it was built from, and nothing else pass?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import pipeline, subjects
from contracts.kinds import KINDS

EVENTS = [row.event for row in pipeline.ROWS]
IDS = st.from_regex(subjects.REQUEST_ID, fullmatch=True)


@given(st.sampled_from(EVENTS), st.sampled_from(KINDS), IDS)
def test_what_is_built_is_read_back(event, kind, request_id) -> None:
    read = subjects.parse(subjects.gen(event, kind, request_id))
    assert read == subjects.Subject(event=event, kind=kind, request_id=request_id)
    assert str(read) == subjects.gen(event, kind, request_id)


def test_a_timer_has_a_slot_behind_its_id() -> None:
    assert subjects.parse("gen.timer.plot.r-1.deadline").request_id == "r-1"


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("gen.requested.layout", "is not gen.<event>.<kind>.<request_id>"),
        ("gen.requested.layout.a.b", "is not gen.<event>.<kind>.<request_id>"),
        ("dead.requested.layout.a", "is not gen.<event>.<kind>.<request_id>"),
        ("gen.requested.novel.a", "kind 'novel' in the subject is unknown; use one of layout"),
        ("gen.requested.layout.ä", "request id 'ä' in the subject must match"),
        ("gen.requested.layout.", "request id '' in the subject must match"),
        (f"gen.requested.layout.{'a' * 256}", "must match"),
        ("gen.requested.layout.*", "must match"),
        ("gen.requested.layout.>", "must match"),
        ("gen.requested.layout.a b", "must match"),
        ("gen.requested.layout.a\n", "must match"),
    ],
)
def test_another_subject_is_refused_by_the_token_at_fault(subject, said) -> None:
    with pytest.raises(subjects.SubjectError) as told:
        subjects.parse(subject)
    assert said in str(told.value)


@given(st.text(max_size=80))
def test_no_text_breaks_the_reader(text) -> None:
    try:
        read = subjects.parse(text)
    except subjects.SubjectError:
        return
    assert read.kind in KINDS
    assert read.acceptable == (subjects.REQUEST_ID.fullmatch(read.request_id) is not None)


@pytest.mark.parametrize("request_id", ["player:42", "a@b", "x" * 64])
def test_natural_ids_are_acceptable(request_id) -> None:
    assert subjects.parse(subjects.gen("requested", "layout", request_id)).acceptable


@pytest.mark.parametrize("request_id", ["a$", "a*b", "x" * 65, "#1", "{}", "a/b", "~"])
def test_a_token_that_is_no_id_can_still_be_answered(request_id) -> None:
    read = subjects.parse(subjects.gen("requested", "layout", request_id))
    assert read.request_id == request_id
    assert not read.acceptable

"""Lineage in request ids: what is made is parsed back, and any id is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import subjects
from contracts.lineage import Lineage

_NUMBER = st.integers(1, 2**53)


@given(letter=_NUMBER, number=_NUMBER)
def test_a_replays_id_is_parsed_back(letter: int, number: int) -> None:
    made = Lineage.make_replay(letter, number)
    assert Lineage.parse(made.request_id) == made
    assert subjects.REQUEST_ID.fullmatch(made.request_id)


@given(request_id=st.text(max_size=70) | st.from_regex(r"(rp|sh)-[0-9-]{0,8}[a-z]?", fullmatch=True))
def test_any_id_is_read_and_only_the_full_form_names_a_letter(request_id: str) -> None:
    found = Lineage.parse(request_id)
    assert found.request_id == request_id
    assert found.repeats == request_id.startswith(("rp-", "sh-"))
    if found.letter is not None and found.number is not None:
        assert Lineage.make_replay(found.letter, found.number) == found


@pytest.mark.parametrize(
    ("request_id", "relation", "letter", "number"),
    [
        ("rp-12-3", "replay", 12, 3),
        ("rp-12-3-s1", "replay", None, None),
        ("rp-x", "replay", None, None),
        ("rp-012-3", "replay", None, None),
        ("sh-12-3", "shadow", None, None),
        ("r-1", None, None, None),
    ],
)
def test_an_id_says_its_relation(
    request_id: str, relation: str | None, letter: int | None, number: int | None
) -> None:
    found = Lineage.parse(request_id)
    assert (found.relation, found.letter, found.number) == (relation, letter, number)

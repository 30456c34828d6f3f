"""Is what must appear found, and what must not?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.nodes import required_terms


@pytest.mark.parametrize(
    ("text", "element"),
    [
        ("Then a Phone ring, far away.", "phone_ring"),
        ("the phone_ring", "phone ring"),
        ("slow-dance", "slow_dance"),
        ("Two coins.", "coin"),
        ("COIN", "coin"),
        ("Die STRASSE", "straße"),
        ("item:coin_1", "coin"),
        ("a \N{SNOWFLAKE} falls", "\N{SNOWFLAKE}"),
        ("phone\nring", "phone_ring"),
    ],
)
def test_an_element_is_named(text: str, element: str) -> None:
    assert required_terms.mentions(text, element)


@pytest.mark.parametrize(
    ("text", "element"),
    [
        ("spring", "ring"),
        ("a phone; it rings", "phone_ring"),
        ("", "coin"),
        ("coining", "coin"),
        ("c.in", "coin"),
    ],
)
def test_an_element_is_not_named(text: str, element: str) -> None:
    assert not required_terms.mentions(text, element)


@given(st.text(min_size=1).filter(str.strip), st.text("., \n"), st.text("., \n"))
def test_what_stands_alone_is_always_found(element: str, before: str, after: str) -> None:
    assert required_terms.mentions(f"{before} {element} {after}", element)


def test_faults_are_told_one_by_one() -> None:
    assert required_terms.find_faults("A coin.", required=("coin", "key"), avoid=("coin", "gore")) == (
        "required element 'key' is missing",
        "element 'coin' must not appear",
    )


def test_only_values_are_content() -> None:
    document = {"coin": "key", "list": [{"a": "lamp"}, 3, None, True], "n": 1}
    assert required_terms.join_texts(document).split() == ["key", "lamp"]

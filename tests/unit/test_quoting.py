"""Can what others wrote end the block that it stands in?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.policy.quoting import extract_last_quote, quote

HOSTILE = st.lists(st.sampled_from(["<", ">", "\n", "a"]), max_size=30).map("".join)


@given(HOSTILE)
def test_no_text_opens_or_closes_a_block(text) -> None:
    assert quote(text).count("<<<") == quote(text).count(">>>") == 1


@given(HOSTILE, HOSTILE)
def test_the_last_block_is_read_back(first, last) -> None:
    inner = quote(last)[len("<<<\n") : -len("\n>>>\n")]
    assert extract_last_quote(f"Do this:\n{quote(first)}with that:\n{quote(last)}") == inner
    assert inner.replace(" ", "") == last


@pytest.mark.parametrize("plain", ["", "a forest", "a << b >> c"])
def test_ordinary_text_stays_as_it_is(plain) -> None:
    assert extract_last_quote(quote(plain)) == plain


def test_a_prompt_without_a_block_has_none() -> None:
    assert extract_last_quote("a forest") == ""

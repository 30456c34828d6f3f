"""Tokens of KV keys: one token each, read back to the same text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.policy.key_token import escape, unescape


@given(text=st.text(), digits=st.sampled_from(["02x", "02X"]))
def test_a_text_becomes_one_token_and_is_read_back(text: str, digits: str) -> None:
    token = escape(text, digits=digits)
    assert re.fullmatch(r"[A-Za-z0-9_=-]*", token)
    assert unescape(token) == text


@pytest.mark.parametrize(
    ("text", "small", "capital"), [("é.x", "=c3=a9=2ex", "=C3=A9=2Ex"), ("a-b_1", "a-b_1", "a-b_1")]
)
def test_stored_keys_keep_their_form(text: str, small: str, capital: str) -> None:
    assert (escape(text), escape(text, digits="02X")) == (small, capital)

"""Is a wait long enough, never too long, and the same for the same message?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import retry

ATTEMPTS = st.integers(1, 10_000)
KEYS = st.text(max_size=20)


@given(ATTEMPTS, KEYS)
def test_a_wait_is_within_its_bounds(attempt, key) -> None:
    assert 0.5 <= retry.backoff(attempt, base_s=0.5, cap_s=30, key=key) <= 30


@given(st.integers(1, 5), KEYS)
def test_the_next_wait_is_longer(attempt, key) -> None:
    assert retry.backoff(attempt, key=key) < retry.backoff(attempt + 1, key=key)


@given(ATTEMPTS, KEYS)
def test_the_same_message_waits_as_long_again(attempt, key) -> None:
    assert retry.backoff(attempt, key=key) == retry.backoff(attempt, key=key)


def test_equal_attempts_are_spread_by_their_keys() -> None:
    assert len({retry.backoff(3, key=f"r-{number}") for number in range(100)}) > 50


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt) -> None:
    with pytest.raises(ValueError, match="counts from 1"):
        retry.backoff(attempt)

"""Timestamps: texts of RFC 3339 that mean the time they were made of."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from contracts.timestamp import format_ms, format_ns, format_s


@given(time_ms=st.integers(0, 4_000_000_000_000))
def test_a_timestamp_means_its_time(time_ms: int) -> None:
    assert round(datetime.fromisoformat(format_ms(time_ms)).timestamp() * 1000) == time_ms
    assert format_s(time_ms / 1000) == format_ms(time_ms)
    assert format_ms(time_ms, "seconds") == f"{format_ms(time_ms)[:19]}Z"


def test_what_is_finer_than_the_precision_is_cut_off() -> None:
    assert format_ns(1_999_999_999, "microseconds") == "1970-01-01T00:00:01.999999Z"
    assert format_ns(1_999_999_999) == "1970-01-01T00:00:01.999Z"


def test_today_is_written_as_the_standard_library_has_it() -> None:
    now = datetime(2026, 2, 28, 23, 59, 59, 123_000, tzinfo=UTC)
    assert format_s(now.timestamp()) == now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

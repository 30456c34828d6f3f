"""Timestamps in RFC 3339, UTC, with ``Z``."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Literal

Precision = Literal["seconds", "milliseconds", "microseconds"]
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC; the text gets its Z below


def format_ns(time_ns: int, precision: Precision = "milliseconds") -> str:
    """A time as text; what is finer than the precision is cut off.

    Args:
        time_ns: nanoseconds since the epoch.
        precision: of the text.
    """
    if precision == "milliseconds":
        # Thousands of times fall into one second.
        return f"{_second(time_ns // 1_000_000_000)}.{time_ns // 1_000_000 % 1000:03}Z"
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).isoformat(timespec=precision) + "Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def format_ms(time_ms: int, precision: Precision = "milliseconds") -> str:
    """A time in milliseconds since the epoch as text, as :func:`format_ns`."""
    return format_ns(time_ms * 1_000_000, precision)


def format_s(seconds: float, precision: Precision = "milliseconds") -> str:
    """A time in seconds since the epoch as text, as :func:`format_ns`."""
    return format_ns(round(seconds * 1e6) * 1000, precision)

"""Counts of things in messages for people: `1 request`, `2 requests`, `1,000 cache entries`."""

from __future__ import annotations


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun.

    Args:
        number: how many.
        noun: what one of them is called.
        plural: what several are called, where it is more than the noun with an ``s``.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"

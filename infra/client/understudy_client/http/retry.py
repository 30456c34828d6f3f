"""Retries over HTTP: which answers pass by themselves, and how long to wait before the next try."""

from __future__ import annotations

from typing import Final

from understudy_client.errors import ClientError

#: First and longest pause between two tries, seconds, where the answer names none.
_FIRST_S: Final = 0.1
_LONGEST_S: Final = 2.0
#: Seconds that an answer may ask for with ``Retry-After``; a longer time is cut to this one.
MOST_AFTER_S: Final = 30.0
#: What jitter adds at most to the seconds of ``Retry-After``.
_SPREAD_S: Final = 1.0


class PassingTrouble(Exception):  # noqa: N818 - names what the next try may not meet
    """A try failed in a way that passes: the connection is lost, or the gateway cannot serve now.

    Args:
        error: what the caller gets where no time is left.
        lost: nobody serves at all: the connection, the gateway or its broker is away.
        after_s: seconds that the answer asks for.
    """

    def __init__(self, error: ClientError, *, lost: bool, after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.lost = lost
        self.after_s = after_s


def choose_pause_s(tries: int, after_s: float | None, jitter: float) -> float:
    """Seconds before the next try.

    Args:
        tries: how many have failed, from 1.
        after_s: what the answer asks for; ``None``: nothing, and the pause doubles with each try.
        jitter: 0 to 1, at random: clients that failed together do not come back together.
    """
    if after_s is not None:
        return min(after_s, MOST_AFTER_S) + jitter * min(after_s, _SPREAD_S)
    longest = min(_LONGEST_S, _FIRST_S * 2 ** min(tries - 1, 10))
    return longest * (0.5 + jitter / 2)


def read_retry_after(value: str | None) -> float | None:
    """The seconds in ``Retry-After``; ``None``: there are none, or it names a date."""
    said = (value or "").strip()
    return float(said) if said.isascii() and said.isdecimal() and len(said) <= len("86400") else None

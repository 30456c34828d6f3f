"""Preferences: the header ``Prefer`` (RFC 7240), as far as the gateway applies it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Seconds that an answer may take where the client names none, and the most that it may name.
USUAL_S: Final = 5
MOST_S: Final = 60


class Preference(msgspec.Struct, frozen=True, kw_only=True):
    """What a client prefers."""

    #: Seconds to wait for the result.
    wait_s: int
    #: What of the header is applied; empty: it says nothing known.
    applied: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The header that says what is applied."""
        return {"Preference-Applied": self.applied} if self.applied else {}


def read_preference(values: Sequence[str], *, usual_s: int = USUAL_S) -> Preference:
    """Read the values of ``Prefer``; the first one of a name counts, what is not known is ignored.

    Args:
        values: the header, once or several times.
        usual_s: seconds to wait where the client names none.
    """
    found: dict[str, str] = {}
    for part in ",".join(values).split(","):
        name, _, value = part.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = found.get("wait", "")
    if wait.isdecimal() and wait.isascii():
        seconds = min(int(wait[:9]), MOST_S)
        also = ", respond-async" if "respond-async" in found else ""
        return Preference(wait_s=seconds, applied=f"wait={seconds}{also}")
    if "respond-async" in found:
        return Preference(wait_s=0, applied="respond-async")
    return Preference(wait_s=usual_s)

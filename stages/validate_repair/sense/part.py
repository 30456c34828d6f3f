"""Result of one measure: its share of the score, and its findings."""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.printable import printable

_MAX_QUOTE: Final = 60


class SenseFinding(msgspec.Struct, frozen=True):
    """One finding of a measure."""

    path: str
    #: What is wrong, in a few words.
    says: str
    #: The model's own text, or empty.
    quote: str = ""

    def line(self) -> str:
        """One short line: the path, what is wrong, the text as a terminal may see it."""
        quoted = f": '{printable(self.quote, most=_MAX_QUOTE)}'" if self.quote else ""
        return f"{printable(self.path)}: {self.says}{quoted}"


class SensePart(msgspec.Struct, frozen=True):
    """What one measure found."""

    #: 0 to 1, by which the others are multiplied.
    share: float
    reasons: list[SenseFinding] = []

"""Quality score of a valid document, from its words.

Two shares, each 0 to 1: how much of the wish is in the document, and how much of the document is in
the prose that it was made from.  Their mean is lowered where the document had to be mended (0.9) or
asked for again (0.8).  Words shorter than four letters and word endings in ``s`` do not count.
"""

from __future__ import annotations

import re
from typing import Any, Final

from contracts.nodes import required_terms
from contracts.result import RepairLevel

_WORD: Final = re.compile(r"[^\W\d_]{4,}")
#: Words of a wish that are about the wish.
_EMPTY: Final = frozenset(
    _WORD.findall(
        "about after also between each from have into make must need please should some that their then "
        "there they this want with without would write your"
    )
)
_WORTH: Final = {
    RepairLevel.CONSTRAINED: 1.0,
    RepairLevel.PARSED: 1.0,
    RepairLevel.REPAIRED: 0.9,
    RepairLevel.RE_ASKED: 0.8,
}


def score(document: Any, *, wish: str, draft: str, level: RepairLevel) -> float:
    """The score, 0 to 1, to three digits."""
    said = _words(required_terms.join_texts(document).replace("_", " "))
    kept = _share(_words(wish) - _EMPTY, said)
    true = _share(said, _words(draft))
    return round(_WORTH[level] * (kept + true) / 2, 3)


def _share(wanted: set[str], found: set[str]) -> float:
    return len(wanted & found) / len(wanted) if wanted else 1.0


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in _WORD.findall(text.lower())}

"""Leaks: identifiers and rating labels in visible prose."""

from __future__ import annotations

import re
from typing import Final

from contracts.nodes.node import Rating
from stages.validate_repair.sense.part import SenseFinding, SensePart
from stages.validate_repair.sense.texts import TextRole, VisibleText

_IDENTIFIER: Final = re.compile(r"(?<![\w/\\.@#:-])[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![\w/\\@(])")
_RATINGS: Final = "|".join(rating.value.replace("_", "[_ ]") for rating in Rating)
#: As a sentence of its own, or with a colon.
_LABEL: Final = re.compile(
    rf"(?:^|[.!?]\s+)rated:?\s+(?:pg(?:-?13)?|r|g|x|nc-17|m|e|t|{_RATINGS})\s*(?:[.!]|$)|"
    rf"\brating\s*[:=]\s*(?:pg(?:-?13)?|{_RATINGS})\b|\bn?sfw\b",
    re.IGNORECASE,
)
#: Names of a person or a thing too, if they have a blank.
_READ: Final = frozenset({TextRole.PROSE, TextRole.NAME, TextRole.PERSON})
#: What each leak takes, and the most that all do.
_WEIGHT: Final = 0.15
_MOST: Final = 0.6


def measure_leaks(texts: list[VisibleText], *, wish: str, prose: bool) -> SensePart:
    """What was meant for the pipeline and reached the reader.

    Args:
        texts: the document's visible texts.
        wish: the request's text: labels and, where the kind is no prose, identifiers that it names are its own.
        prose: whether the kind is made of prose; a document under a request's own schema may be about code.
    """
    asked = wish.casefold()
    rated = _LABEL.search(asked) is not None
    reasons: list[SenseFinding] = []
    for text in texts:
        if text.role not in _READ:
            continue
        if not rated and (label := _LABEL.search(text.value)) is not None:
            reasons.append(SenseFinding(text.path, "a rating label in the text", label[0].strip(" .!?")))
        for found in _IDENTIFIER.finditer(text.value):
            if " " in text.value and (prose or found[0] not in asked):
                reasons.append(SenseFinding(text.path, "an identifier in the text", found[0]))
                break
    if not reasons:
        return SensePart(1.0)
    return SensePart(1 - min(_MOST, _WEIGHT * len(reasons)), reasons)

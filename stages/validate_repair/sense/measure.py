"""Measure of a document's sense: all parts, their product, and the reasons."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec

from stages.validate_repair.sense.debris import measure_debris
from stages.validate_repair.sense.joins import measure_joins
from stages.validate_repair.sense.leaks import measure_leaks
from stages.validate_repair.sense.names import measure_names
from stages.validate_repair.sense.part import SensePart
from stages.validate_repair.sense.repeats import measure_repeats
from stages.validate_repair.sense.texts import visible_texts
from stages.validate_repair.sense.words import Vocabulary, count_words, is_english, measure_words

#: Reasons that a result lists, and those of one measure.
MAX_REASONS: Final = 12
_EACH: Final = 4


class Sense(msgspec.Struct, frozen=True, kw_only=True):
    """How much sense the texts of a document make."""

    #: 0 to 1.
    share: float
    #: One short line each, with the path; at most :data:`MAX_REASONS`.
    reasons: tuple[str, ...] = ()


def measure(
    document: Any, *, wish: str, vocabulary: Vocabulary, prose: bool = True, fixed: Collection[str] = ()
) -> Sense:
    """Measure the visible texts of a document; in linear time.

    Args:
        document: any JSON value.
        wish: the request's text.
        vocabulary: the word list.
        prose: whether the kind is made of prose.
        fixed: texts that the request's schema gives.
    """
    texts = visible_texts(document, fixed=fixed)
    if not texts:
        return Sense(share=1.0)
    counted = count_words(texts, wish=wish, vocabulary=vocabulary)
    parts = [
        measure_debris(texts),
        measure_names(texts),
        measure_leaks(texts, wish=wish, prose=prose),
        measure_words(counted),
        measure_joins(texts) if is_english(counted) else SensePart(1.0),
        measure_repeats(texts),
    ]
    share = 1.0
    reasons: list[str] = []
    more = 0
    for part in parts:
        share *= part.share
        reasons += [reason.line() for reason in part.reasons[:_EACH]]
        more += len(part.reasons[_EACH:])
    reasons = reasons[: MAX_REASONS - 1]
    if more:
        reasons.append(f"and {more} more")
    return Sense(share=round(share, 3), reasons=tuple(reasons))

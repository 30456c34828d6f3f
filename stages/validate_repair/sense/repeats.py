"""Repeats: sentences and stock phrases that a document has again and again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from stages.validate_repair.sense.part import SenseFinding, SensePart
from stages.validate_repair.sense.texts import TextRole, VisibleText

_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])[\"'\u201d\u2019)]*\s+|\n")
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_STOPS: Final = frozenset(".!?…\"'\u201d\u2019)")
#: Words of a sentence that counts, and of a phrase.
_LONG: Final = 4
_PHRASE: Final = 5
#: So often a sentence may come back: a refrain, a promise kept.
_REFRAIN: Final = 2
#: So often a phrase may open or end different sentences.
_STOCK: Final = 3
_WEIGHT: Final = 0.8


def measure_repeats(texts: list[VisibleText]) -> SensePart:
    """The share of sentences that the document has said for the first time."""
    said: Counter[str] = Counter()
    phrases: Counter[str] = Counter()
    again = sentences = 0
    reasons: list[SenseFinding] = []
    for text in texts:
        for sentence, words in _long_sentences(text):
            sentences += 1
            whole = " ".join(words)
            said[whole] += 1
            stock = _count_phrase(words, phrases) if said[whole] == 1 else None
            if said[whole] > _REFRAIN:
                again += 1
                if said[whole] == _REFRAIN + 1:
                    reasons.append(SenseFinding(text.path, "a sentence said before", sentence))
            elif stock is not None:
                again += 1
                if phrases[stock] == _STOCK + 1:
                    reasons.append(SenseFinding(text.path, "a phrase in many sentences", stock))
    return SensePart(1 - _WEIGHT * again / max(1, sentences), reasons)


def _long_sentences(text: VisibleText) -> Iterator[tuple[str, list[str]]]:
    """The sentences of a text that are long enough to be remembered, and their words."""
    if text.role is not TextRole.PROSE:
        return
    for sentence in _SENTENCE_END.split(text.value):
        words = _WORD.findall(sentence.casefold())
        if len(words) >= _LONG and sentence.rstrip()[-1:] in _STOPS:
            yield sentence, words


def _count_phrase(words: list[str], phrases: Counter[str]) -> str | None:
    """Count how a new sentence opens and ends; the phrase that too many sentences have."""
    if len(words) < _PHRASE:
        return None
    ends = sorted({" ".join(words[:_PHRASE]), " ".join(words[-_PHRASE:])})
    phrases.update(ends)
    return next((each for each in ends if phrases[each] > _STOCK), None)

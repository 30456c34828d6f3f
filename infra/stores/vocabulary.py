"""English vocabulary: the frequency list of the package pyspellchecker.

The list has 160,000 words: those of film subtitles that several dictionaries confirm, in lower case.  It takes
0.4 s to load and about 20 MB, so that only the process that checks documents loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

#: Occurrences that make a word frequent: 19,000 words.
_COMMON: Final = 1000


class WordFrequencies:
    """Words by frequency; a :class:`stages.validate_repair.sense.words.Vocabulary`."""

    def __init__(self, frequencies: Mapping[str, int]) -> None:
        self._words = frozenset(frequencies)
        self._common = frozenset(word for word, count in frequencies.items() if count >= _COMMON)

    def knows(self, word: str) -> bool:
        """Whether the list has a word."""
        return word in self._words

    def common(self, word: str) -> bool:
        """Whether a word occurs often."""
        return word in self._common


@lru_cache(maxsize=1)
def load_english() -> WordFrequencies:
    """The English list; read once per process."""
    from spellchecker import SpellChecker  # noqa: PLC0415 - only the process that checks documents needs it

    return WordFrequencies(dict(SpellChecker(language="en").word_frequency.items()))

"""Truncation of a prompt that does not fit the context window.

Whole sentences, in their order: the first, then those that share most words with the rest of the text
(frequency of content words, mean per sentence), as long as there is room.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:[.!?]+[\"'\u201d\u2019)]*|\n+|$)\s*")
_WORD: Final = re.compile(r"\w{4,}")


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A text that fits, and the number of its sentences."""

    text: str
    #: Sentences that were kept, and in all.
    kept: int
    of: int


def fit(text: str, room: int, count: Callable[[str], int]) -> Fitted:
    """Truncate a text to the sentences that fit.

    Args:
        text: any.
        room: maximum number of tokens, at least one.
        count: tokens of a text.
    """
    sentences = _SENTENCE.findall(text)
    if count(text) <= room:
        return Fitted(text=text, kept=len(sentences), of=len(sentences))
    words = [_WORD.findall(sentence.lower()) for sentence in sentences]
    often = Counter(word for each in words for word in set(each))
    worth = [sum(often[word] for word in each) / len(each) if each else 0.0 for each in words]
    order = sorted(range(1, len(sentences)), key=lambda number: -worth[number])
    chosen: list[int] = []
    left = room
    for number in [0, *order]:
        cost = count(sentences[number]) if sentences else room + 1
        if cost <= left:
            chosen.append(number)
            left -= cost
    kept = "".join(sentences[number] for number in sorted(chosen)).rstrip()
    # Joined sentences may have another number of tokens at their borders.
    while chosen and count(kept) > room:
        chosen.pop()
        kept = "".join(sentences[number] for number in sorted(chosen)).rstrip()
    if not chosen:
        return Fitted(text=_cut(text, room, count), kept=0, of=len(sentences))
    return Fitted(text=kept, kept=len(chosen), of=len(sentences))


def _cut(text: str, room: int, count: Callable[[str], int]) -> str:
    """The beginning of a text without sentences, up to a word."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(text[:middle]) <= room else (low, middle - 1)
    whole = text[:low].rpartition(" ")[0]
    return whole or text[:low]

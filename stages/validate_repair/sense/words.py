"""Words that exist: a word list, the request's own words, names, and how English builds words.

A text in another language abstains: it has few of English's function words and many that the list lacks.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, Protocol

import msgspec

from stages.validate_repair.sense.part import SenseFinding, SensePart
from stages.validate_repair.sense.texts import TextRole, VisibleText

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_ASCII: Final = re.compile(r"[a-z'\u2019]+")
_ELONGATED: Final = re.compile(r"(.)\1{2,}")
#: English's own short words: other languages have hardly any of them.
_FUNCTION_WORDS: Final = frozenset(
    _WORD.findall(
        "the and to that for from at by are were they them their she her his him you your not this there who what where "
        "which into been have out up then than would could its with when"
    )
)
_TWO_LETTERS: Final = frozenset(
    _WORD.findall(
        "ad ah am an as at ax be by cm do ed eh em en er ex fa ft go ha he hi hm ho hp id if in io is it kg km la lo "
        "ma me mg ml mm mp mr ms my nd no of oh ok om on op or ow ox oz pa pi pm ps rd re sh so st ta th ti to tv ug uh "
        "um up us vs we xp ya ye yo"
    )
)
#: British words that the list lacks and no ending explains.
_BRITISH: Final = frozenset(_WORD.findall("aeroplane barista gaol kerb manoeuvre sceptic tyre woollen"))
#: British spellings and those of the list, endings, and beginnings.
_SPELLINGS: Final = (("our", "or"), ("tt", "t"), ("aught", "aft"))
_ENDINGS: Final = (
    ("isation", "ization"), ("ised", "ized"), ("ises", "izes"), ("ising", "izing"), ("ise", "ize"),
    ("yse", "yze"), ("ysed", "yzed"), ("lled", "led"), ("lling", "ling"), ("ller", "ler"),
    ("res", "ers"), ("re", "er"), ("in", "ing"),
    ("s", ""), ("es", ""), ("ies", "y"), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"), ("er", ""), ("er", "e"),
    ("ers", ""), ("est", ""), ("ly", ""), ("ness", ""), ("less", ""), ("like", ""), ("ish", ""), ("y", ""), ("y", "e"),
    ("ful", ""), ("ie", ""), ("able", ""), ("able", "e"), ("ward", ""), ("wards", ""),
)  # fmt: skip
_BEGINNINGS: Final = tuple(_WORD.findall("un re non over under out mis pre half anti super cyber"))
#: Letters of each half of a compound, and of a whole one.
_HALF: Final = 3
_COMPOUND: Final = 7
_SHORTEST_STEM: Final = 3
_LONGEST: Final = 32
#: Of few words one may be any name: they count as so many.
_FEW: Final = 20
#: How fast the share falls: one unknown word in five leaves nothing.
_WEIGHT: Final = 5
#: Unknown words of a text in another language, and how many come on each English function word.
_FOREIGN: Final = 2
_FOREIGN_EACH: Final = 3


class Vocabulary(Protocol):
    """Words of a language, in lower case."""

    def knows(self, word: str) -> bool:
        """Whether the list has a word."""
        ...

    def common(self, word: str) -> bool:
        """Whether a word is frequent enough to be half of a compound."""
        ...


class EveryWord:
    """A vocabulary without a list: every word exists."""

    def knows(self, word: str) -> bool:
        """True."""
        del word
        return True

    common = knows


class WordCount(msgspec.Struct, frozen=True):
    """Words of one text."""

    text: VisibleText
    words: int
    #: English's own.
    function: int
    unknown: tuple[str, ...]

    @property
    def foreign(self) -> bool:
        """Whether the text is likely in another language."""
        return len(self.unknown) >= _FOREIGN and len(self.unknown) > _FOREIGN_EACH * self.function


def count_words(texts: list[VisibleText], *, wish: str, vocabulary: Vocabulary) -> list[WordCount]:
    """Count the words of each text.

    Args:
        texts: the document's visible texts.
        wish: the request's text, whose words are known.
        vocabulary: the word list.
    """
    speller = Speller(vocabulary, _find_known(texts, wish))
    return [_count(text, speller) for text in texts if text.role is not TextRole.TOKEN]


def is_english(counted: list[WordCount]) -> bool:
    """Whether a document is in English: its function words are there, and outnumber the unknown ones."""
    return sum(each.function for each in counted) >= max(1, sum(len(each.unknown) for each in counted))


def measure_words(counted: list[WordCount]) -> SensePart:
    """The share of words that exist; a document and a text in another language abstain."""
    if not is_english(counted) and sum(len(each.unknown) for each in counted) >= _FOREIGN:
        return SensePart(1.0)
    english = [each for each in counted if not each.foreign]
    words = sum(each.words for each in english)
    # A word that comes back is one invention: an animal's cry, a people's name.
    first: dict[str, SenseFinding] = {}
    for each in english:
        for word in each.unknown:
            first.setdefault(word, SenseFinding(each.text.path, "no word that exists", word))
    return SensePart(max(0.0, 1 - _WEIGHT * len(first) / max(words, _FEW)), list(first.values()))


def _find_known(texts: list[VisibleText], wish: str) -> set[str]:
    """The wish's words, and names: words with a capital."""
    known = {word.lower() for word in _WORD.findall(wish)}
    for text in texts:
        if text.role is not TextRole.MOOD:
            known.update(word.lower() for word in _WORD.findall(text.value) if not word.islower())
    return known


class Speller:
    """Whether words exist; each is looked up once."""

    def __init__(self, vocabulary: Vocabulary, known: Collection[str]) -> None:
        self._vocabulary = vocabulary
        self._known = known
        self._answers: dict[str, bool] = {}

    def knows(self, word: str) -> bool:
        """Whether a word in lower case exists."""
        answer = self._answers.get(word)
        if answer is None:
            answer = self._answers[word] = self._looks_up(word)
        return answer

    def _looks_up(self, word: str) -> bool:
        word = word.replace("\u2019", "'")
        if self._is_listed(word):
            return True
        stem = word.split("'")[0]
        if stem != word and (len(stem) < _SHORTEST_STEM or self._looks_up(stem)):
            return True
        if len(word) > _LONGEST or len(word) < _SHORTEST_STEM:
            return False
        short = _ELONGATED.sub(r"\1", word)
        if short != word:
            return True
        return self._is_built(word) or self._is_compound(word)

    def _is_listed(self, word: str) -> bool:
        if word in self._known or word in _BRITISH:
            return True
        return word in _TWO_LETTERS if len(word) < _SHORTEST_STEM else self._vocabulary.knows(word)

    def _is_built(self, word: str) -> bool:
        if any(each in word and self._is_stem(word.replace(each, short)) for each, short in _SPELLINGS):
            return True
        if any(word.endswith(end) and self._is_stem(word.removesuffix(end) + base) for end, base in _ENDINGS):
            return True
        return any(word.startswith(each) and self._is_stem(word.removeprefix(each)) for each in _BEGINNINGS)

    def _is_stem(self, word: str) -> bool:
        return len(word) >= _SHORTEST_STEM and self._is_listed(word)

    def _is_compound(self, word: str) -> bool:
        return len(word) >= _COMPOUND and any(
            self._is_half(word[:index]) and self._is_half(word[index:])
            for index in range(_HALF, len(word) - _HALF + 1)
        )

    def _is_half(self, word: str) -> bool:
        return word not in _FUNCTION_WORDS and self._vocabulary.common(word)


def _count(text: VisibleText, speller: Speller) -> WordCount:
    words = function = 0
    unknown: list[str] = []
    for word in _WORD.findall(text.value):
        lower = word.lower()
        if lower in _FUNCTION_WORDS:
            words += 1
            function += 1
        elif (word == lower or text.role is TextRole.MOOD) and len(lower) > 1 and _ASCII.fullmatch(lower):
            words += 1
            if not speller.knows(lower):
                unknown.append(lower)
    return WordCount(text, words, function, tuple(unknown))

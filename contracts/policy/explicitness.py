"""Explicitness check: words of a document that need a higher rating than the document may have.

A word list has rules; each rule names words and the rating that they need.  A word matches as a whole word,
in any case.  Words that a rule's exceptions cover do not match.  docs/ratings.md describes the decision and
its limits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, Final, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from contracts.nodes.node import Rating, RatingInput
from contracts.nodes.required_terms import iter_strings
from contracts.policy.social import parse_rating

#: One word, or several in a row.
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=80)]
#: Findings reported per document.
MOST: Final = 12
#: A word, the end of a sentence, or another mark, which ends a phrase but not the sentence.
_TOKEN: Final = re.compile(r"[^\W_]+|[.!?…\n]|[,;:()\"“”«»\u2013\u2014]")
_ENDS: Final = frozenset(".!?…\n")
#: Invisible characters: soft hyphens, joiners, direction marks.
_UNSEEN: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


class TooExplicit(msgspec.Struct, frozen=True, kw_only=True):
    """A text that needs a higher rating than the document may have."""

    #: Dotted path of the text in the document; empty where the document itself is a text.
    path: str
    #: What kind of words the text contains; the words themselves are not repeated.
    what: str
    #: The lowest rating that allows the text.
    needs: Rating


class Rule(BaseModel):
    """Words that need a rating.

    The class name and the field names are part of every cache key, through ``repr``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    #: What the words are; findings show this label instead of the words.
    what: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    #: The lowest rating that allows them, on either scale.
    needs: RatingInput
    words: tuple[Phrase, ...] = Field(min_length=1, max_length=500)
    #: They match only beside one of these, in the same sentence.
    beside: tuple[Phrase, ...] = Field(default=(), max_length=500)
    #: They do not match as part of one of these.
    inside: tuple[Phrase, ...] = Field(default=(), max_length=500, alias="except")
    #: They do not match beside one of these, in the same sentence.
    unless: tuple[Phrase, ...] = Field(default=(), max_length=500)

    @field_validator("needs", mode="before")
    @classmethod
    def _known(cls, said: Any) -> Any:
        return parse_rating(said)

    @field_validator("needs")
    @classmethod
    def _above(cls, needs: Rating) -> Rating:
        if needs is Rating.SFW:
            raise ValueError(
                "'sfw' allows every word that is not listed; remove the rule or raise its rating"
            )
        return needs

    @field_validator("words", "beside", "inside", "unless")
    @classmethod
    def _say_something(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for each in given:
            if not _phrase(each):
                raise ValueError(f"{each!r} has no letters; remove it")
        return given


class WordList(BaseModel):
    """A file of rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: tuple[Rule, ...] = Field(min_length=1, max_length=500)


class Phrases:
    """A set of phrases, indexed by first word."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        for words in dict.fromkeys(_phrase(each) for each in phrases):
            self._by_first.setdefault(words[0], []).append(words)

    def __bool__(self) -> bool:
        return bool(self._by_first)

    @property
    def firsts(self) -> frozenset[str]:
        """The first words of all phrases."""
        return frozenset(self._by_first)

    def spans(self, sentence: Sequence[str]) -> list[range]:
        """Positions of the phrases in a sentence, as ranges of token indexes."""
        return [
            range(start, start + len(words))
            for start, token in enumerate(sentence)
            for words in self._by_first.get(token, ())
            if tuple(sentence[start : start + len(words)]) == words
        ]


class _CompiledRule(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    needs: Rating
    words: Phrases
    beside: Phrases
    inside: Phrases
    unless: Phrases

    def matches(self, sentence: Sequence[str]) -> bool:
        found = self.words.spans(sentence)
        if not found or self.unless.spans(sentence):
            return False
        covered = {place for span in self.inside.spans(sentence) for place in span}
        found = [span for span in found if not covered.issuperset(span)]
        if not found or not self.beside:
            return bool(found)
        # A word is not beside itself.
        return any(set(near).isdisjoint(span) for near in self.beside.spans(sentence) for span in found)


class ExplicitWords:
    """Judges documents by a word list; implements :class:`contracts.ports.Explicitness`."""

    def __init__(self, listed: Sequence[Rule]) -> None:
        self.rules = tuple(listed)
        compiled = [
            _CompiledRule(
                what=each.what,
                needs=each.needs,
                words=Phrases(each.words),
                beside=Phrases(each.beside),
                inside=Phrases(each.inside),
                unless=Phrases(each.unless),
            )
            for each in listed
        ]
        # Highest rating first: one finding per text is enough.
        compiled.sort(key=lambda each: -each.needs.rank)
        self._rules = {
            allowed: tuple(each for each in compiled if each.needs.rank > allowed.rank) for allowed in Rating
        }
        self._firsts = {
            allowed: frozenset(word for each in rules for word in each.words.firsts)
            for allowed, rules in self._rules.items()
        }

    def above(self, document: Any, allowed: Rating) -> tuple[TooExplicit, ...]:
        """Texts of a document that the rating does not allow, with the highest rating that each needs.

        Args:
            document: a JSON value; string values are checked, field names are not.
            allowed: the effective rating.
        """
        rules, firsts = self._rules[allowed], self._firsts[allowed]
        found: list[TooExplicit] = []
        if not rules:
            return ()
        if firsts.isdisjoint(tokenize("\n".join(iter_strings(document)))):
            # True of nearly every document.
            return ()
        for path, text in _texts(document, ""):
            words = tokenize(text)
            # Most texts contain no listed word; a set lookup is faster than any rule.
            if firsts.isdisjoint(words):
                continue
            candidates = [each for each in split_sentences(words) if not firsts.isdisjoint(each)]
            hit = next((rule for rule in rules if any(map(rule.matches, candidates))), None)
            if hit is not None:
                found.append(TooExplicit(path=path, what=hit.what, needs=hit.needs))
                if len(found) == MOST:
                    break
        return tuple(found)


def tokenize(text: str) -> list[str]:
    """Words and marks of a text, case-folded and without invisible characters."""
    if not text.isascii():
        text = _UNSEEN.sub("", unicodedata.normalize("NFKC", text))
    return _TOKEN.findall(text.casefold())


def split_sentences(words: Sequence[str]) -> list[list[str]]:
    """Tokens grouped by sentence."""
    grouped: list[list[str]] = [[]]
    for word in words:
        if word in _ENDS:
            grouped.append([])
        else:
            grouped[-1].append(word)
    return grouped


def _phrase(text: str) -> tuple[str, ...]:
    return tuple(token for token in tokenize(text) if token[0].isalnum())


def _texts(value: Any, path: str) -> list[tuple[str, str]]:
    match value:
        case str():
            return [(path, value)]
        case dict():
            inside: list[tuple[Any, Any]] = list(cast("dict[str, Any]", value).items())
        case list():
            inside = list(enumerate(cast("list[Any]", value)))
        case _:
            return []
    above = f"{path}." if path else ""
    return [found for name, inner in inside for found in _texts(inner, f"{above}{name}")]

"""Which words of a document need a higher rating than it may have?

A list of rules, each with words that need a rating.  A word counts as a whole word, in any case; what a
rule's exceptions cover does not count.  No part of a longer word is ever looked at.  docs/ratings.md says
how it is decided, and what this cannot see.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from contracts.errors import Misconfigured
from contracts.nodes.node import Rating, SaidRating
from contracts.policy.social import known_rating
from contracts.ports import TooExplicit
from infra.stores import toml_tables

#: One word or a few in a row.
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=80)]
#: Findings of one document; more say nothing new.
MOST: Final = 12
#: A word; the end of a sentence; another mark, which ends a phrase but no sentence.
_TOKEN: Final = re.compile(r"[^\W_]+|[.!?…\n]|[,;:()\"“”«»\u2013\u2014]")
_ENDS: Final = frozenset(".!?…\n")
#: Characters that nobody sees: soft hyphens, joiners, direction marks.
_UNSEEN: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


class WordListError(Misconfigured):
    """A word list that cannot be used; the text names the file, the field and the fix."""


class Rule(BaseModel):
    """Words that need a rating."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    #: What they are; told instead of them.
    what: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    #: The least rating that allows them, on either scale.
    needs: SaidRating
    words: tuple[Phrase, ...] = Field(min_length=1, max_length=500)
    #: They count only beside one of these, in the same sentence.
    beside: tuple[Phrase, ...] = Field(default=(), max_length=500)
    #: They do not count as a part of one of these.
    inside: tuple[Phrase, ...] = Field(default=(), max_length=500, alias="except")
    #: They do not count beside one of these, in the same sentence.
    unless: tuple[Phrase, ...] = Field(default=(), max_length=500)

    @field_validator("needs", mode="before")
    @classmethod
    def _known(cls, said: Any) -> Any:
        return known_rating(said)

    @field_validator("needs")
    @classmethod
    def _above(cls, needs: Rating) -> Rating:
        if needs is Rating.SFW:
            raise ValueError("'sfw' allows all that is not listed; leave the rule out, or raise it")
        return needs

    @field_validator("words", "beside", "inside", "unless")
    @classmethod
    def _say_something(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for each in given:
            if not _phrase(each):
                raise ValueError(f"{each!r} has no letters; take it out")
        return given


class WordList(BaseModel):
    """A file of rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: tuple[Rule, ...] = Field(min_length=1, max_length=500)


class Phrases:
    """Some phrases, found by their first words."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        for words in dict.fromkeys(_phrase(each) for each in phrases):
            self._by_first.setdefault(words[0], []).append(words)

    def __bool__(self) -> bool:
        return bool(self._by_first)

    @property
    def firsts(self) -> frozenset[str]:
        """First words of all of them."""
        return frozenset(self._by_first)

    def spans(self, sentence: Sequence[str]) -> list[range]:
        """Where in a sentence they stand."""
        return [
            range(start, start + len(words))
            for start, token in enumerate(sentence)
            for words in self._by_first.get(token, ())
            if tuple(sentence[start : start + len(words)]) == words
        ]


class _Ready(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    needs: Rating
    words: Phrases
    beside: Phrases
    inside: Phrases
    unless: Phrases

    def hits(self, sentence: Sequence[str]) -> bool:
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
        made = [
            _Ready(
                what=each.what,
                needs=each.needs,
                words=Phrases(each.words),
                beside=Phrases(each.beside),
                inside=Phrases(each.inside),
                unless=Phrases(each.unless),
            )
            for each in listed
        ]
        # The gravest first: one finding for each text is enough.
        made.sort(key=lambda each: -each.needs.rank)
        self._rules = {
            allowed: tuple(each for each in made if each.needs.rank > allowed.rank) for allowed in Rating
        }
        self._firsts = {
            allowed: frozenset(word for each in rules for word in each.words.firsts)
            for allowed, rules in self._rules.items()
        }

    def above(self, document: Any, allowed: Rating) -> tuple[TooExplicit, ...]:
        """What a document says that the rating does not allow: the gravest of each text.

        Args:
            document: a JSON value; its strings are looked at, names of fields are not.
            allowed: the rating that holds.
        """
        rules, firsts = self._rules[allowed], self._firsts[allowed]
        found: list[TooExplicit] = []
        if not rules:
            return ()
        for path, text in _texts(document, ""):
            words = tokens(text)
            # Most texts have no such word: a set says so faster than any rule.
            if firsts.isdisjoint(words):
                continue
            said = [each for each in sentences(words) if not firsts.isdisjoint(each)]
            hit = next((rule for rule in rules if any(map(rule.hits, said))), None)
            if hit is not None:
                found.append(TooExplicit(path=path, what=hit.what, needs=hit.needs))
                if len(found) == MOST:
                    break
        return tuple(found)


def tokens(text: str) -> list[str]:
    """Words and marks of a text, in a form that neither case nor invisible characters change."""
    if not text.isascii():
        text = _UNSEEN.sub("", unicodedata.normalize("NFKC", text))
    return _TOKEN.findall(text.casefold())


def sentences(words: Sequence[str]) -> list[list[str]]:
    """The same, sentence by sentence."""
    made: list[list[str]] = [[]]
    for word in words:
        if word in _ENDS:
            made.append([])
        else:
            made[-1].append(word)
    return made


def load(path: Path) -> ExplicitWords:
    """Read and check a word list.

    Raises:
        WordListError: it cannot be used.
    """
    return ExplicitWords(toml_tables.read(path, WordList, WordListError).rule)


def _phrase(text: str) -> tuple[str, ...]:
    return tuple(token for token in tokens(text) if token[0].isalnum())


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

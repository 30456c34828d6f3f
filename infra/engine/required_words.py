"""Required words: the words that an answer lacks, and the tokens that start them.

A soft constraint: among the tokens that the model finds likely, those of a required word that is
missing get a bonus; so does the next number of a list that states its length ("Four lines.").
Words that the model finds unlikely are omitted.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import torch

from infra.engine.text import ANNOUNCES, NUMBERED, NUMBERS

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

#: Nats for a token that begins a word that is missing, and the least probability that it must have for
#: that, as its logarithm.
_BEGIN: Final = 4.0
_BEGIN_FROM: Final = math.log(0.003)
#: The same for the word after the last one that came, for the next token of a word that was begun, and
#: for the next number of a list; and nats against going on with a word that is complete.
_SPELL: Final = 6.0
_SPELL_FROM: Final = math.log(0.001)
_JOINING: Final = re.compile(r"[\w-]")
#: Words up to this long have no plural.
_SHORT: Final = 3


class _Spelling:
    """The tokens of words in a model's vocabulary."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, vocabulary: int, ends: frozenset[int]) -> None:
        self._words = tokenizer.backend_tokenizer
        self._unknown = tokenizer.unk_token_id
        self.ends = ends
        silent = {*tokenizer.all_special_ids, *range(len(tokenizer), vocabulary)}
        self.texts = ["" if token in silent else self._words.decode([token]) for token in range(vocabulary)]
        #: Tokens of numbers at the beginning of a line, those that are one token.
        self.numbers = {
            number: tokens[0]
            for number in range(1, len(NUMBERS) + 1)
            if len(tokens := self._tokens(str(number))) == 1
        }
        #: ``[vocabulary]``: against tokens that make another word of one that is complete; a plural does not.
        self.apart = torch.zeros(vocabulary)
        self.apart[
            [token for token, text in enumerate(self.texts) if text != "s" and _JOINING.match(text)]
        ] = -_SPELL

    def of(self, word: str) -> dict[tuple[int, ...], bool]:
        """Its tokens, as it is written and as a sentence begins, and whether they are those after a space."""
        forms = {word, word[:1].upper() + word[1:]}
        forms |= {form.removesuffix("s") for form in forms if len(form) > _SHORT}
        found = {self._tokens(before + form): bool(before) for before in ("", " ") for form in forms}
        # A vocabulary may have nothing for a word, or a token that stands for all that it does not know.
        return {tokens: spaced for tokens, spaced in found.items() if tokens and self._unknown not in tokens}

    def _tokens(self, text: str) -> tuple[int, ...]:
        return tuple(self._words.encode(text, add_special_tokens=False).ids)


class Guide:
    """The required words that one answer has, and the words that its last tokens may begin.

    Args:
        spelling: of the model.
        words: each with its other spellings.
        insistence: additional nats for missing words; the probability threshold falls by half as many.
    """

    def __init__(self, spelling: _Spelling, words: Sequence[Sequence[str]], insistence: float) -> None:
        self._spelling = spelling
        self._begin = _BEGIN + insistence, _BEGIN_FROM - insistence / 2
        self._turn = _SPELL + insistence, _SPELL_FROM - insistence / 2
        #: By first token: word, its tokens, and whether these follow a space.
        self._spelt: dict[int, list[tuple[int, tuple[int, ...], bool]]] = defaultdict(list)
        for number, forms in enumerate(words):
            found = {tokens: spaced for form in forms for tokens, spaced in spelling.of(form).items()}
            for tokens, spaced in found.items():
                self._spelt[tokens[0]].append((number, tokens, spaced))
        self._missing = set(range(len(words)))
        #: The one after the last that came: lists keep their order.
        self._next = 0
        #: Results of :meth:`_beginning`, within a word and outside.
        self._made: dict[bool, dict[int, tuple[float, float]]] = {}
        #: Words that the last tokens may begin, and the number of their tokens so far.
        self._begun: list[tuple[int, tuple[int, ...], int]] = []
        #: The last token completes a required word.
        self.complete = False
        #: The text's last line, the stated length of its list, and the current length.
        self._line = ""
        self._announced: int | None = None
        self._listed = 0

    def take(self, tokens: Sequence[int]) -> None:
        """Advance by some tokens."""
        for token in tokens:
            self._take(token)

    def _take(self, token: int) -> None:
        found = [(number, word, at + 1) for number, word, at in self._begun if word[at] == token]
        found += [
            (number, word, 1)
            for number, word, spaced in self._spelt.get(token, ())
            if spaced or not self._inside
        ]
        whole = {number for number, word, at in found if at == len(word)}
        if whole:
            self._missing -= whole
            self._next = max(whole) + 1
            self._made.clear()
        self.complete = bool(whole)
        self._begun = [each for each in found if each[2] < len(each[1])]
        *lines, self._line = (self._line + self._spelling.texts[token]).split("\n")
        for line in lines:
            if announced := ANNOUNCES.match(line):
                self._announced, self._listed = NUMBERS.index(announced[1].lower()), 0
            elif numbered := NUMBERED.match(line):
                self._listed = int(numbered[1])

    @property
    def _inside(self) -> bool:
        """Whether the text ends within a word."""
        return self._line[-1:].isalnum()

    def bonuses(self, likeliest: int) -> dict[int, tuple[float, float]]:
        """By token: nats to add, and how likely it must be for that, as the logarithm of its probability.

        Args:
            likeliest: the model's most likely token.
        """
        # Where a number belongs, no word fits, even if the probability is spread over many numbers.
        number = self._spelling.texts[likeliest].strip().isdigit()
        begun = {word[at]: (_SPELL, _SPELL_FROM) for _, word, at in self._begun}
        return ({} if number else self._beginning()) | self._numbering() | begun

    def _beginning(self) -> dict[int, tuple[float, float]]:
        """Bonuses for missing words; recomputed when a word is complete."""
        inside = self._inside
        if inside not in self._made:
            found: dict[int, tuple[float, float]] = {}
            for first, spelt in self._spelt.items():
                may = {number for number, _, spaced in spelt if spaced or not inside} & self._missing
                if may:
                    found[first] = self._turn if self._next in may else self._begin
            self._made[inside] = found
        return self._made[inside]

    def _numbering(self) -> dict[int, tuple[float, float]]:
        """Bonuses for the next number of a list, and for the end of a complete one."""
        if self._announced is None:
            return {}
        listed = int(numbered[1]) if (numbered := NUMBERED.match(self._line)) else self._listed
        nats = _SPELL if listed < self._announced else -_SPELL
        made = dict.fromkeys(self._spelling.ends, (-nats, _SPELL_FROM))
        following = self._spelling.numbers.get(listed + 1)
        return made if self._line or following is None else made | {following: (nats, _SPELL_FROM)}


class Guides:
    """Guides in one model's tokens.

    Args:
        tokenizer: of the model.
        vocabulary: width of the model's logits.
        ends: tokens that end an answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, vocabulary: int, ends: frozenset[int]) -> None:
        self._of = tokenizer, vocabulary, ends
        self._spelling: _Spelling | None = None

    def guide(self, words: Sequence[Sequence[str]], insistence: float = 0.0) -> Guide | None:
        """A guide at the beginning of an answer, if there are required words."""
        if not words:
            return None
        # Lazy: reading the vocabulary takes time.
        self._spelling = self._spelling or _Spelling(*self._of)
        return Guide(self._spelling, words, insistence)

    def weigh(self, logits: Tensor, guides: Mapping[int, Guide]) -> None:
        """Add the bonuses to the logits, in place.

        Args:
            logits: ``[batch, vocabulary]``.
            guides: by row.
        """
        if not guides or self._spelling is None:
            return
        if whole := [row for row, guide in guides.items() if guide.complete]:
            logits[whole] += self._spelling.apart.to(logits.device)
        best, likeliest = (each.tolist() for each in logits.max(dim=-1))
        wanted = [
            (row, token, *how)
            for row, guide in guides.items()
            for token, how in guide.bonuses(likeliest[row]).items()
        ]
        if not wanted:
            return
        rows, tokens, *_ = map(list, zip(*wanted, strict=True))
        found: list[float] = logits[rows, tokens].tolist()
        # The likeliest token bounds all others: most rows need no sum over the vocabulary.
        near = [
            (value, *each)
            for value, each in zip(found, wanted, strict=True)
            if value >= best[each[0]] + each[3]
        ]
        # Row by row, so that the outcome does not depend on the number of rows.
        total = {row: float(logits[row].logsumexp(dim=-1)) for row in {each[1] for each in near}}
        for value, row, token, nats, least in near:
            if value >= total[row] + least:
                logits[row, token] += nats

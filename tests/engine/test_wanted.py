"""Is a word that is wanted likelier where the model thinks of it, and only until it is there?"""

from __future__ import annotations

import math

import msgspec
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from infra.engine.engine import Engine
from infra.engine.required_words import Guide, Guides
from infra.lab.house_model.files import WEIGHTS
from tests.engine.asking import many, texts

WORDS = (("lantern",), ("4", "four"), ("Quavelmoth", "quavelmoth"))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(WEIGHTS)


class Page:
    """A text that is written with a guide, where a token is about as likely as all others together."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, words=WORDS, insistence=0.0) -> None:
        self._tokenizer = tokenizer
        self._guides = Guides(tokenizer, len(tokenizer), frozenset({tokenizer.eos_token_id}))
        guide = self._guides.guide(words, insistence)
        assert guide is not None
        self.guide: Guide = guide

    def ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def write(self, text: str) -> Page:
        self.guide.take(self.ids(text))
        return self

    def nats(self, text: str, *, likely: float = 0.4, rather: str = " and") -> float:
        """What the first token of a text is shifted by.

        Args:
            text: as the page might go on.
            likely: the token's probability.
            rather: what all that is left of the odds is for.
        """
        token = self.ids(text)[0]
        logits = torch.full((2, len(self._tokenizer)), -50.0)
        logits[1, self.ids(rather)[0]] = math.log(1 - likely)
        logits[1, token] = math.log(likely)
        shifted = logits.clone()
        self._guides.weigh(shifted, {1: self.guide})
        assert torch.equal(shifted[0], logits[0])
        return round(float(shifted[1, token] - logits[1, token]), 3)


def test_without_words_there_is_no_guide(tokenizer) -> None:
    assert Guides(tokenizer, len(tokenizer), frozenset()).guide(()) is None


def test_a_missing_word_weighs_more_and_the_next_in_turn_most(tokenizer) -> None:
    page = Page(tokenizer).write("There is a")
    assert page.nats(" lantern") == 6
    assert page.nats(" four") == page.nats(" 4") == page.nats(" Quavelmoth") == 4
    assert page.nats(" table") == 0


def test_what_is_there_weighs_no_more_and_the_turn_goes_on(tokenizer) -> None:
    page = Page(tokenizer).write("There is a lantern. There are")
    assert page.nats(" lantern") == 0
    assert page.nats(" four") == 6


def test_either_spelling_is_the_word(tokenizer) -> None:
    assert Page(tokenizer).write("4 stairs and").nats(" four") == 0


def test_what_the_model_holds_for_out_of_place_stays_out(tokenizer) -> None:
    page = Page(tokenizer).write("There is a")
    assert (page.nats(" Quavelmoth", likely=0.0031), page.nats(" Quavelmoth", likely=0.0029)) == (4, 0)
    assert (page.nats(" lantern", likely=0.0011), page.nats(" lantern", likely=0.0009)) == (6, 0)


def test_who_insists_weighs_more_and_takes_what_is_less_likely(tokenizer) -> None:
    page = Page(tokenizer, insistence=2).write("There is a")
    assert (page.nats(" Quavelmoth", likely=0.0012), page.nats(" Quavelmoth", likely=0.001)) == (6, 0)
    assert page.nats(" lantern") == 8


def test_where_a_number_belongs_no_word_begins(tokenizer) -> None:
    page = Page(tokenizer).write("platform_1 at 120,")
    assert page.nats(" lantern", likely=0.2, rather=" 340") == 0
    assert page.nats(" lantern", likely=0.2, rather=" the") == 6


def test_a_word_that_was_begun_is_spelled_to_its_end(tokenizer) -> None:
    first, *pieces = tokenizer.encode(" Quavelmoth", add_special_tokens=False)
    page = Page(tokenizer)
    page.guide.take([first])
    for piece in pieces:
        assert page.guide.bonuses(piece)[piece][0] == 6
        page.guide.take([piece])
    assert page.guide.complete
    assert page.nats("house") == page.nats("_stair") == -6
    assert page.nats("s") == page.nats(" stair") == page.nats(".") == 0


def test_a_word_does_not_begin_within_another(tokenizer) -> None:
    inside, after = Page(tokenizer).write("a moon"), Page(tokenizer).write("a moon_")
    assert (inside.nats("lantern"), after.nats("lantern")) == (0, 6)


def test_a_list_gets_as_long_as_it_says(tokenizer) -> None:
    page = Page(tokenizer).write("Two lines.\n1. Mara: No.")
    end = tokenizer.eos_token
    assert page.nats(end) == -6
    assert page.write("\n").nats("2") == 6
    assert page.write("2. Jonas: Yes.").nats(end) == 6
    assert page.write("\n").nats("3") == -6


def test_without_a_promise_a_list_is_left_alone(tokenizer) -> None:
    page = Page(tokenizer).write("1. Mara: No.\n")
    assert page.nats("2") == page.nats(tokenizer.eos_token) == 0


@pytest.mark.parametrize("unknown", [None, "?"])
def test_a_word_that_the_vocabulary_cannot_write_is_passed_over(unknown) -> None:
    vocabulary = {token: number for number, token in enumerate("coin ?.")}
    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(vocabulary, [], unk_token=unknown)),
        eos_token=".",  # noqa: S106 - a token of another kind
        unk_token=unknown,
    )
    page = Page(words, (("quay",), ("coin",)))
    assert (page.nats("coin", rather="o"), page.nats("?", rather="o")) == (4, 0)


def wanting(engine: Engine) -> list:
    tasks = many(engine.loaded)
    return [msgspec.structs.replace(task, wanted=(("platforms",), ("ferryman",))) for task in tasks]


def test_strict_text_with_wanted_words_is_the_same_alone_and_in_a_batch(strict: Engine) -> None:
    tasks, plain = wanting(strict), many(strict.loaded)
    together = texts(strict, [each for pair in zip(tasks, plain, strict=True) for each in pair])
    assert together[::2] == [texts(strict, [task])[0] for task in tasks]
    assert together[1::2] == texts(strict, plain)
    assert together[::2] != together[1::2]

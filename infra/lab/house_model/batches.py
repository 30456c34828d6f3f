"""Training batches."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import msgspec

from infra.lab.house_model.clues import What
from infra.lab.house_model.generate import TrainingExample, example
from infra.lab.house_model.tokens import CONTEXT, END, SPECIAL, prompt

#: First steps that only say random tokens twice.
_EASY: Final = 700
#: Until this step lists come again in their order as well: nothing much is learnt from it at this size.
_IN_ORDER: Final = 13_000
#: Most tokens of a batch, padding included, unless one document is longer.
TOKENS: Final = 896
#: Sequences that are sorted by length together.
_POOL: Final = 96
#: How much a token counts that has to be found in the prompt.
_FOCUS: Final = 5.0
#: The beginning of a value in compact JSON.
_VALUE: Final = re.compile(r'(?:":|\[|,)"?([^"{}\[\]:,])(?![^"]*":)')
#: Label of what is not learnt.
IGNORED: Final = -100


class TrainingBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of token ids, padded on the right, and what to learn from them."""

    ids: list[list[int]]
    labels: list[list[int]]
    #: How much each label counts: more where a wish's words, or a value's first token, have to be found.
    weights: list[list[float]]


class BatchPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the endless sequence of batches."""

    pool: int = 0
    batch: int = 0


def copying(seed: int, step: int, vocabulary: int) -> TrainingBatch:
    """Tokens to be said again; only what is sure is learnt.

    First a run of random tokens said twice.  Then the items of a list besides, which come again with
    other tokens between them, in any order or in theirs.  Lists of few different tokens have pieces of
    one item in another, as words do: the last token alone then does not say what follows.
    """
    rng = random.Random(f"copy:{seed}:{step}")  # noqa: S311 - no secret
    easy = step < _EASY
    exercise = rng.choice(_EXERCISES[0 if easy else 1 if step < _IN_ORDER else 2])
    width = rng.choice((48, 96, 192, 320))
    ids, labels, tokens = [], [], range(vocabulary - len(SPECIAL))
    for _ in range(TOKENS // width):
        some = rng.sample(tokens, len(tokens) if easy else rng.choice((20, 40, 80, len(tokens))))
        pairs = exercise(rng, some, width)[:width]
        ids.append([token for token, _ in pairs])
        labels.append([token if learnt else IGNORED for token, learnt in pairs])
    return TrainingBatch(ids=ids, labels=labels, weights=[[1.0] * len(row) for row in ids])


def _twice(rng: random.Random, some: list[int], width: int) -> list[tuple[int, bool]]:
    once = rng.choices(some, k=width // 2)
    return [(token, False) for token in once] + [(token, True) for token in once]


def _again(rng: random.Random, some: list[int], width: int, *, ordered: bool) -> list[tuple[int, bool]]:
    comma, mark, *letters = some
    items = [
        (first, *rng.choices(letters, k=rng.randint(0, 5)))
        for first in rng.sample(letters, rng.randint(2, min(width // 12, 10)))
    ]
    said = [(token, False) for item in items for token in (*item, comma)]
    while len(said) < width:
        for first, *others in items if ordered else rng.sample(items, len(items)):
            said += [(mark, False), (first, ordered), *((token, True) for token in others)]
            said += [(token, False) for token in rng.choices(letters, k=rng.randint(0, 6))]
    return said


_in_order, _anyhow = partial(_again, ordered=True), partial(_again, ordered=False)
_EXERCISES: Final = ((_twice,), (_twice, _in_order, _anyhow), (_twice, _anyhow))


def documents(
    seed: int, tokenizer: Any, place: BatchPosition
) -> Iterator[tuple[TrainingBatch, BatchPosition]]:
    """Batches of documents of about one length from a place on, each with the place after it."""
    pad, end = tokenizer.pad_token_id, tokenizer.convert_tokens_to_ids(END)
    pool, skip = place.pool, place.batch
    while True:
        groups = _groups(seed, tokenizer, pool, end)
        for index in range(skip, len(groups)):
            width = max(map(len, groups[index]))
            ids, labels, weights = [], [], []
            for row in groups[index]:
                fill = width - len(row)
                ids.append(row.start + row.answer + [pad] * fill)
                labels.append([IGNORED] * len(row.start) + row.answer + [IGNORED] * fill)
                weights.append([0.0] * len(row.start) + row.weights + [0.0] * fill)
            after = (
                BatchPosition(pool=pool, batch=index + 1)
                if index + 1 < len(groups)
                else BatchPosition(pool=pool + 1)
            )
            yield TrainingBatch(ids=ids, labels=labels, weights=weights), after
        pool, skip = pool + 1, 0


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    start: list[int]
    answer: list[int]
    weights: list[float]

    def __len__(self) -> int:
        return len(self.start) + len(self.answer)


def _groups(seed: int, tokenizer: Any, pool: int, end: int) -> list[list[_Row]]:
    texts: list[tuple[str, str, list[tuple[int, int]]]] = []
    for index in range(pool * _POOL // 2, (pool + 1) * _POOL // 2):
        one = example(seed, index)
        texts.append((prompt("freeform-gen", one.kind, one.wish), one.prose, _told(one)))
        # Another document: what is written and what is structured need not be the same.
        other = example(seed + 1, index)
        values = [match.span(1) for match in _VALUE.finditer(other.json)]
        texts.append((prompt("structuring", other.kind, other.prose), other.json, values))
    starts = tokenizer([start for start, _, _ in texts], add_special_tokens=False)["input_ids"]
    answers = tokenizer(
        [answer for _, answer, _ in texts], add_special_tokens=False, return_offsets_mapping=True
    )
    rows = [
        _Row(start=start, answer=[*answer, end], weights=[*_weighed(offsets, spans), 1.0])
        for start, answer, offsets, (_, _, spans) in zip(
            starts, answers["input_ids"], answers["offset_mapping"], texts, strict=True
        )
    ]
    groups: list[list[_Row]] = [[]]
    for row in sorted((row for row in rows if len(row) <= CONTEXT), key=len):
        if groups[-1] and (len(groups[-1]) + 1) * len(row) > TOKENS:
            groups.append([])
        groups[-1].append(row)
    random.Random(f"order:{seed}:{pool}").shuffle(groups)  # noqa: S311 - no secret
    return groups


def _told(one: TrainingExample) -> list[tuple[int, int]]:
    """Where the prose says what the wish names."""
    prose = one.prose.lower()
    return [
        match.span()
        for fact in one.facts
        if fact.what is not What.AVOID
        for match in re.finditer(re.escape(fact.text.lower()), prose)
    ]


def _weighed(offsets: list[tuple[int, int]], spans: list[tuple[int, int]]) -> list[float]:
    return [
        _FOCUS if any(begin < last and first < end for first, last in spans) else 1.0
        for begin, end in offsets
    ]

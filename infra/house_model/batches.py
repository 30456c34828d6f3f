"""What does the model see at each step?"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from infra.house_model.generate import example
from infra.house_model.tokens import CONTEXT, END, SPECIAL, prompt

#: Most tokens of a batch, padding included, unless one document is longer.
TOKENS: Final = 896
#: Sequences that are sorted by length together.
_POOL: Final = 96
#: Label of what is not learnt.
IGNORED: Final = -100


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of token ids, padded on the right, and what to learn from them."""

    ids: list[list[int]]
    labels: list[list[int]]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the endless sequence of batches."""

    pool: int = 0
    batch: int = 0


def copying(seed: int, step: int, vocabulary: int) -> Batch:
    """Random tokens said twice; only the second time is learnt."""
    rng = random.Random(f"copy:{seed}:{step}")  # noqa: S311 - no secret
    half = rng.choice((24, 48, 96, 160))
    ids, labels = [], []
    for _ in range(max(1, TOKENS // (2 * half))):
        once = rng.choices(range(vocabulary - len(SPECIAL)), k=half)
        ids.append(once + once)
        labels.append([IGNORED] * half + once)
    return Batch(ids=ids, labels=labels)


def documents(seed: int, tokenizer: Any, place: Place) -> Iterator[tuple[Batch, Place]]:
    """Batches of documents of about one length from a place on, each with the place after it."""
    pad, end = tokenizer.pad_token_id, tokenizer.convert_tokens_to_ids(END)
    pool, skip = place.pool, place.batch
    while True:
        groups = _groups(seed, tokenizer, pool, end)
        for index in range(skip, len(groups)):
            width = max(len(start) + len(answer) for start, answer in groups[index])
            ids, labels = [], []
            for start, answer in groups[index]:
                fill = width - len(start) - len(answer)
                ids.append(start + answer + [pad] * fill)
                labels.append([IGNORED] * len(start) + answer + [IGNORED] * fill)
            after = Place(pool=pool, batch=index + 1) if index + 1 < len(groups) else Place(pool=pool + 1)
            yield Batch(ids=ids, labels=labels), after
        pool, skip = pool + 1, 0


def _groups(seed: int, tokenizer: Any, pool: int, end: int) -> list[list[tuple[list[int], list[int]]]]:
    texts: list[tuple[str, str]] = []
    for index in range(pool * _POOL // 2, (pool + 1) * _POOL // 2):
        one = example(seed, index)
        texts.append((prompt("freeform-gen", one.kind, one.wish), one.prose))
        # Another document: what is written and what is structured need not be the same.
        other = example(seed + 1, index)
        texts.append((prompt("structuring", other.kind, other.prose), other.json))
    starts = tokenizer([start for start, _ in texts], add_special_tokens=False)["input_ids"]
    answers = tokenizer([answer for _, answer in texts], add_special_tokens=False)["input_ids"]
    pairs = [(start, [*answer, end]) for start, answer in zip(starts, answers, strict=True)]
    pairs = sorted((pair for pair in pairs if len(pair[0]) + len(pair[1]) <= CONTEXT), key=lambda pair: len(pair[0]) + len(pair[1]))
    groups: list[list[tuple[list[int], list[int]]]] = [[]]
    for pair in pairs:
        if groups[-1] and (len(groups[-1]) + 1) * (len(pair[0]) + len(pair[1])) > TOKENS:
            groups.append([])
        groups[-1].append(pair)
    random.Random(f"order:{seed}:{pool}").shuffle(groups)  # noqa: S311 - no secret
    return groups

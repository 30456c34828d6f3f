"""Evaluation: adherence to the prompt, and agreement of JSON and prose.

Wishes are drawn with another seed, and what they name mostly from words that training never saw.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from contracts.content.registry import CONTENTS, CUSTOM
from infra.lab.house_model.clues import Fact, What
from infra.lab.house_model.files import load
from infra.lab.house_model.generate import GRAMMARS, TrainingExample, example
from infra.lab.house_model.handmade import HANDMADE
from infra.lab.house_model.sampling import answers
from infra.lab.house_model.tokens import prompt
from infra.lab.house_model.wishes import STYLES
from infra.lab.house_model.words import NUMBERS, held_out, made_up

#: Seed of the held-out documents; training uses others.
SEED: Final = 9_000_001
TEMPERATURE: Final = 0.8
#: Share of the wishes whose names are drawn from words never trained on.
_UNSEEN: Final = 0.7


class Share(msgspec.Struct, kw_only=True):
    """How many of how many."""

    right: int = 0
    of: int = 0

    def count(self, *, right: bool) -> None:
        """One more."""
        self.of += 1
        self.right += right

    @property
    def percent(self) -> float:
        """In percent; 0 of 0 is 0."""
        return round(100 * self.right / self.of, 1) if self.of else 0.0


def held(count: int) -> list[TrainingExample]:
    """Held-out documents: every kind and style in turn."""
    kinds = tuple(GRAMMARS)
    found: list[TrainingExample] = []
    for index in range(count):
        kind, style = kinds[index % len(kinds)], STYLES[index // len(kinds) % len(STYLES)]
        unseen = random.Random(f"unseen:{index}").random() < _UNSEEN  # noqa: S311 - no secret
        found.append(example(SEED, index, unseen=unseen, kind=kind, style=style))
    return found


def says(prose: str, fact: Fact) -> bool:
    """Whether the prose keeps a fact; for what must be avoided, whether it does not name it."""
    there = re.search(rf"(?<!\w){re.escape(fact.text.lower())}(?!\w)", prose.lower()) is not None
    if fact.what is What.AVOID:
        return not there
    if fact.what is What.ELEMENT:
        return there or re.search(rf"(?<!\w){re.escape(fact.text.lower())}s(?!\w)", prose.lower()) is not None
    if there and fact.what is What.COUNT:
        return _counted(prose, fact.text.lower())
    return there


def _counted(prose: str, text: str) -> bool:
    """Whether as many are there as the prose announces: numbered lines, or places of a level."""
    word, _, noun = text.partition(" ")
    if word not in NUMBERS:
        return True
    number = NUMBERS.index(word)
    if noun.rstrip("s") in {"beat", "line", "moment"}:
        return len(re.findall(r"(?m)^\d+\. ", prose)) == number
    for line in prose.splitlines():
        if line.lower().startswith(f"{text} ") or line.lower().startswith(f"{text}:"):
            return len(re.findall(r"at -?\d+, -?\d+", line)) == number
    return False


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every string, number and truth value of a document with its path; a place is one value."""
    match value:
        case {"x": x, "y": y, **rest}:
            yield (*path, "place"), f"{x}, {y}"
            yield from leaves(rest, path)
        case dict():
            for key, item in cast("dict[str, Any]", value).items():
                yield from leaves(item, (*path, key))
        case list():
            for index, item in enumerate(cast("list[Any]", value)):
                yield from leaves(item, (*path, index))
        case _:
            yield path, value


def true_to(prose: str, path: tuple[Any, ...], value: Any) -> bool:
    """Whether a field says what the prose says; ids and types of entities are nobody's words."""
    if path[-1] in {"id", "type"}:
        return True
    if isinstance(value, bool):
        return ("yes" if value else "no") in prose
    return re.search(rf"(?<!\w){re.escape(str(value))}s?(?!\w)", prose, re.IGNORECASE) is not None


def parsed(text: str) -> Any:
    """The document, or ``None``."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def following(examples: Sequence[TrainingExample], proses: Sequence[str]) -> dict[str, Share]:
    """Facts kept, by what they are about, and those with a word never trained on apart."""
    table: dict[str, Share] = defaultdict(Share)
    for one, prose in zip(examples, proses, strict=True):
        for fact in one.facts:
            right = says(prose, fact)
            table[fact.what].count(right=right)
            if fact.what in (What.ELEMENT, What.DETAIL) and held_out(fact.text):
                table["unseen"].count(right=right)
                table[f"unseen, {'made up' if made_up(fact.text) else 'listed'}"].count(right=right)
            if fact.what is not What.AVOID:
                table["all"].count(right=right)
                table[f"{one.kind} / all"].count(right=right)
                table[f"{one.style} / all"].count(right=right)
    return dict(table)


def shuffled(examples: Sequence[TrainingExample], proses: Sequence[str]) -> Share:
    """Facts that another document of the kind happens to keep: what following is worth."""
    share = Share()
    for kind in GRAMMARS:
        rows = [index for index, one in enumerate(examples) if one.kind == kind]
        for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
            for fact in examples[row].facts:
                if fact.what is not What.AVOID:
                    share.count(right=says(proses[other], fact))
    return share


def structured(
    examples: Sequence[TrainingExample], proses: Sequence[str], texts: Sequence[str], *, known: bool
) -> dict[str, Share]:
    """How good the JSON is.

    Args:
        examples: for their kinds, and their documents where these are known.
        proses: what the JSON was made from.
        texts: the JSON.
        known: the proses are the examples' own, so their documents are the right answers.
    """
    table: dict[str, Share] = defaultdict(Share)
    for one, prose, text in zip(examples, proses, texts, strict=True):
        document = parsed(text)
        table["parses"].count(right=document is not None)
        if one.kind != CUSTOM:
            valid = document is not None and not CONTENTS.faults(one.kind, document, None)
            table["valid without a grammar"].count(right=valid)
        if known:
            table["documents exactly right"].count(right=document == one.document)
            have = dict(leaves(document)) if document is not None else {}
            for path, value in leaves(one.document):
                table["fields right"].count(right=have.get(path) == value)
        elif isinstance(document, dict):
            for path, value in leaves(document):
                right = true_to(prose, path, value)
                table["fields true to the own prose"].count(right=right)
                table[f"{one.kind} / fields true"].count(right=right)
    return dict(table)


def measure(folder: Path, *, count: int, seed: int = 1) -> dict[str, dict[str, Share]]:
    """Every table of the model card.

    Args:
        folder: of the model.
        count: held-out wishes.
        seed: of the draws.
    """
    model, tokenizer = load(folder)
    examples = held(count)
    wishes = [prompt("freeform-gen", one.kind, one.wish) for one in examples]
    tables: dict[str, dict[str, Share]] = {}

    warm = answers(model, tokenizer, wishes, temperature=TEMPERATURE, seed=seed)
    tables["prose, temperature 0.8"] = following(examples, warm) | {
        "shuffled prompts": shuffled(examples, warm)
    }
    cold = answers(model, tokenizer, wishes, temperature=0.0, seed=seed)
    tables["prose, temperature 0"] = following(examples, cold)
    own = [prompt("structuring", one.kind, prose) for one, prose in zip(examples, warm, strict=True)]
    tables["JSON of prose at temperature 0.8"] = structured(
        examples, warm, answers(model, tokenizer, own, temperature=0.0, seed=seed), known=False
    )
    given = [prompt("structuring", one.kind, one.prose) for one in examples]
    tables["JSON of given prose"] = structured(
        examples,
        [one.prose for one in examples],
        answers(model, tokenizer, given, temperature=0.0, seed=seed),
        known=True,
    )
    return tables


def by_hand(folder: Path, *, draws: int = 4) -> dict[str, dict[str, Share]]:
    """Facts kept of the wishes in :mod:`infra.lab.house_model.handmade`, several draws of each."""
    model, tokenizer = load(folder)
    wishes = [prompt("freeform-gen", one.kind, one.wish) for one in HANDMADE]
    proses = [answers(model, tokenizer, wishes, temperature=TEMPERATURE, seed=seed) for seed in range(draws)]
    return {"prose": _kept(proses)}


def _kept(draws: Sequence[Sequence[str]]) -> dict[str, Share]:
    table: dict[str, Share] = defaultdict(Share)
    for proses in draws:
        for one, prose in zip(HANDMADE, proses, strict=True):
            for fact in one.facts:
                right = says(prose, fact)
                table["all"].count(right=right)
                table[fact.what].count(right=right)
                table[f"{one.kind} / all"].count(right=right)
    return dict(table)

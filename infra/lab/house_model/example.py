"""One synthetic document: a wish, the prose for it, and the JSON of the prose."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from infra.lab.house_model.clues import Clue, avoid, rating
from infra.lab.house_model.words import NAMES, NOUNS, TAGS, WordPool, unlike


class ExampleDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind's grammar makes."""

    #: What the wish tells, in its natural order.
    clues: tuple[Clue, ...]
    #: What the whole may be named for.
    head: Clue | None = None
    prose: str
    document: dict[str, Any]


class Cast:
    """What one document of any kind draws: words told or free, each at most once."""

    def __init__(self, words: WordPool, *, style: str, lower: bool) -> None:
        """With the words' source and the wish's style; ``lower``: names in lower case, as the wish has them."""
        self.style = style
        self.words = words
        self.rng: random.Random = words.rng
        self.lower = lower
        self.taken: set[str] = set()
        self.clues: list[Clue] = []

    def chance(self, share: float) -> bool:
        """True in this share of the draws."""
        return self.rng.random() < share

    def person(self, *, told: bool) -> str:
        """A name or a role."""
        name = unlike(lambda: self.words.person(told=told), self.taken)
        return name.lower() if self.lower and told else name

    def thing(self, *, told: bool) -> str:
        """A noun."""
        return unlike(lambda: self.words.thing(told=told), self.taken)

    def noun(self, *, told: bool) -> str:
        """A noun alone."""
        return unlike(lambda: self.words.told(NOUNS) if told else self.words.known(NOUNS), self.taken)

    def free(self, told: list[str]) -> str:
        """A noun where the grammar needs one: of what the wish names, else any."""
        return self.rng.choice(told) if told else self.words.known(NOUNS)

    def elements(self, number: int, *, tags: float = 0.2) -> list[str]:
        """What a wish demands: things, or a node's tags."""
        draw = self.words.tag if self.chance(tags) else lambda: self.words.thing(told=True)
        return [unlike(draw, self.taken) for _ in range(number)]

    def title(self, make: Callable[[], str], share: float) -> tuple[str, bool]:
        """A title, and whether the wish tells it."""
        if not self.chance(share):
            return make(), False
        match self.rng.randrange(3):
            case 0:
                text = self.words.told(NAMES, 0.8)
            case 1:
                text = f"The {self.words.told(NOUNS).capitalize()}"
            case _:
                text = f"{self.words.told(NOUNS).capitalize()} and {self.words.told(NOUNS)}"
        self.taken.update(part.lower() for part in text.split())
        return (text.lower() if self.lower else text), True

    def rated(self, share: float = 0.45) -> str:
        """`` Rated PG-13.`` where the wish names a rating, else nothing; to follow a sentence."""
        if not self.chance(share):
            return ""
        clue = rating(self.rng)
        self.clues.append(clue)
        return f" R{clue.facts[0].text[1:]}."

    def avoided(self, share: float = 0.15) -> None:
        """Perhaps something that must not appear."""
        if self.chance(share):
            draw = (lambda: self.words.told(TAGS, 0)) if self.chance(0.5) else lambda: self.words.told(NOUNS)
            self.clues.append(avoid([unlike(draw, self.taken) for _ in range(self.rng.choice((1, 1, 2)))]))

    def pick(self, *texts: str, **values: str) -> str:
        """One of the texts, filled in."""
        return self.rng.choice(texts).format(**values)

    def tell(self, clue: Clue) -> None:
        """The wish names it."""
        self.clues.append(clue)


def said(name: str) -> str:
    """A name at the start of a sentence; one that the wish wrote small stays small."""
    return f"The{name[3:]}" if name.startswith("the ") else name


def without(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that hold something."""
    return {key: value for key, value in mapping.items() if value not in (None, [], "")}

"""Phrasings of wishes: keywords, field lines and sentences."""

# ruff: noqa: PLR2004 - shares of the draws

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from infra.lab.house_model.clues import Clue, CluePart
from infra.lab.house_model.words import article

STYLES: Final = ("keywords", "fields", "sentence")

_NAMES: Final = {
    "layout": ("level", "layout", "platform level", "game level", "map", "stage"),
    "plot": ("plot", "story", "story outline", "plot outline", "tale"),
    "scene": ("scene", "short scene", "story scene", "moment"),
    "dialogue": ("dialogue", "conversation", "short dialogue", "exchange", "talk"),
    "transition": ("transition", "bridge", "short transition", "cut"),
    "custom": ("card", "record", "entry", "document", "sheet"),
}
_OPENERS: Final = (
    "Write {a}",
    "Make {a}",
    "Create {a}",
    "Please make {a}",
    "I need {a}",
    "I want {a}",
    "Give me {a}",
    "Generate {a}",
    "Could you write {a}",
    "Design {a}",
    "{A}",
    "{A}",
    "{A}",
    "Please write {a}",
    "I would like {a}",
    "Build {a}",
    "We need {a}",
    "Can you make {a}",
    "Let's have {a}",
    "Write me {a}",
)
_VERBS: Final = (
    "find",
    "look for",
    "hide",
    "fight over",
    "repair",
    "steal",
    "guard",
    "discover",
    "argue about",
    "bury",
    "open",
    "talk about",
    "search for",
    "sell",
    "lose",
    "need",
    "want",
    "have to share",
    "fear",
    "follow",
)
_CLOSERS: Final = (
    "please",
    "thanks",
    "thank you",
    "Thanks in advance",
    "Surprise me with the rest",
    "The rest is up to you",
)
#: Lines that a node's configuration has and that say nothing about the content.
_NOISE: Final = (
    "purpose: gap_fill",
    "strategy: once",
    "strategy: per_playthrough",
    "enabled: true",
    "version: 1",
    "fallback: golden_sample",
    "seed: playthrough",
    "template: default",
    "language: en",
)


def wish(
    kind: str, clues: Sequence[Clue], rng: random.Random, *, style: str, head: Clue | None = None
) -> str:
    """The clues as somebody would write them.

    Args:
        kind: content kind.
        clues: what is told, in its natural order.
        rng: source of randomness.
        style: one of :data:`STYLES`.
        head: what the whole may be named for: ``a frozen lake``.
    """
    match style:
        case "keywords":
            text = _keywords(kind, clues, rng, head)
        case "fields":
            text = _fields(kind, [head, *clues] if head else clues, rng)
        case _:
            text = _sentence(kind, clues, rng, head)
    return text or rng.choice(_NAMES[kind])


def _keywords(kind: str, clues: Sequence[Clue], rng: random.Random, head: Clue | None) -> str:
    parts = [rng.choice(clue.keywords) for clue in clues]
    if kind != "custom" and rng.random() < 0.3:
        rng.shuffle(parts)
    if head:
        parts.insert(0, rng.choice((head.value, article(head.value), head.value)))
    if rng.random() < 0.2:
        parts.insert(0, rng.choice(_NAMES[kind]))
    return rng.choice((", ", ", ", ", ", "; ", "\n", " / ")).join(parts)


def _fields(kind: str, clues: Sequence[Clue], rng: random.Random) -> str:
    colon = rng.choice((": ", ": ", ": ", " = ", ":"))
    bullet = rng.choice(("", "", "", "- ", "* "))
    lines = []
    spelling = rng.randrange(4)
    pairs: list[tuple[tuple[str, ...], str]] = []
    for clue in clues:
        pairs += clue.split if clue.split and rng.random() < 0.8 else [(clue.labels, clue.value)]
    for labels, value in pairs:
        label = rng.choice(labels)
        match spelling:
            case 0:
                label = label[0].upper() + label[1:]
            case 1:
                label = label.replace(" ", "_")
            case _:
                pass
        lines.append(f"{label}{colon}{value}")
    if kind != "custom" and rng.random() < 0.4:
        rng.shuffle(lines)
    for noise in rng.sample(_NOISE, rng.choice((0, 0, 0, 1, 2))):
        lines.insert(rng.randint(0, len(lines)), noise.replace(": ", colon))
    if rng.random() < 0.35:
        lines.insert(0, f"{rng.choice(('generation type', 'type', 'kind', 'generationType'))}{colon}{kind}")
    return rng.choice(("\n", "\n", "\n", "; ")).join(bullet + line for line in lines)


def _sentence(kind: str, clues: Sequence[Clue], rng: random.Random, head: Clue | None) -> str:
    told = list(clues)
    shown = article(rng.choice(_NAMES[kind]))
    story, told, head = _story(told, head, rng) if rng.random() < 0.45 else ("", told, head)
    plainly = bool(story) and rng.random() < 0.4
    if story:
        pass
    elif head and rng.random() < 0.45:
        shown = rng.choice((article(head.value), article(head.value), f"the {head.value}"))
    elif head:
        told.insert(0, head)
    opener = (
        story[0].upper() + story[1:]
        if plainly
        else rng.choice(_OPENERS).format(a=shown, A=shown[0].upper() + shown[1:])
    )
    if story and not plainly:
        opener += rng.choice((" where ", " in which ", ": ", " about how ", ". ")) + story
    fragments: list[str] = []
    sentences: list[str] = []
    share = 0.0 if story and rng.random() < 0.7 else rng.choice((1.0, 0.75, 0.5))
    for clue in told:
        if clue.inline and (rng.random() < share or not clue.extra):
            fragments.append(rng.choice(clue.inline))
        else:
            sentences.append(rng.choice(clue.extra))
    first = opener
    for index, fragment in enumerate(fragments):
        joint = "" if fragment.startswith(",") else rng.choice((" ", " ", ", ", " and ")) if index else " "
        first += joint + fragment
    end = rng.choice((".", ".", ".", "", "!"))
    text = ". ".join([first, *sentences]) + end
    if rng.random() < 0.12:
        text += " " + rng.choice(_CLOSERS) + rng.choice(("", "."))
    return text


def _story(clues: list[Clue], head: Clue | None, rng: random.Random) -> tuple[str, list[Clue], Clue | None]:
    """People, a thing and a place told in one sentence, and the clues that are left."""
    found: dict[CluePart, Clue] = {}
    for clue in [*([head] if head else []), *clues]:
        if clue.part:
            found.setdefault(clue.part, clue)
    who, what, where = (found.get(part) for part in (CluePart.PEOPLE, CluePart.THINGS, CluePart.PLACE))
    if who is None or (what is None and where is None):
        return "", clues, head
    many = " and " in who.shown
    verb = rng.choice(_VERBS)
    text = (
        f"{who.shown} {verb if many else _singular(verb)} {what.shown}"
        if what
        else f"{who.shown} {'are' if many else 'is'}"
    )
    if where:
        text += f" {rng.choice(('in', 'at', 'in', 'near'))} {rng.choice((where.shown, 'the ' + where.value))}"
    used = (who, what, where)
    return text, [clue for clue in clues if clue not in used], None if head in used else head


def _singular(verb: str) -> str:
    first, *rest = verb.split(" ", 1)
    return " ".join([first + ("es" if first.endswith(("ch", "sh", "s")) else "s"), *rest])

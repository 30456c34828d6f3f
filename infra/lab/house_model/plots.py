"""Synthetic plots."""

# ruff: noqa: C901, PLR0912, PLR0915 - a grammar is one long list of draws and their shares

from __future__ import annotations

from typing import Any, Final, get_args

from contracts.content.plot import Structure
from infra.lab.house_model import clues
from infra.lab.house_model.clues import Clue, Fact, What
from infra.lab.house_model.example import Cast, ExampleDraft, said
from infra.lab.house_model.words import NOUNS, NUMBERS, PLACES, article, unlike

STRUCTURES: Final[tuple[str, ...]] = get_args(Structure)
_PREMISES: Final = (
    "{A} must find the {e} before anybody else does.",
    "{A} has stolen the {e} and cannot give it back.",
    "{A} inherits the {e} and with it an old debt.",
    "{A} has one night to bring the {e} home.",
    "{A} is blamed for the loss of the {e}.",
    "{A} wants to be rid of the {e}, and it comes back.",
    "{A} finds out what the {e} is for.",
    "{A} guards the {e} and begins to doubt the order.",
    "{A} sells the {e} and learns too late what it was.",
    "{A} swears to destroy the {e}.",
)
_NAMES: Final = (
    "The letter",
    "A quiet morning",
    "The first lie",
    "The door opens",
    "A stranger asks",
    "The long road",
    "Nobody answers",
    "The {n}",
    "What the {n} hides",
    "One step too far",
    "The wrong friend",
    "Ten o'clock",
    "The price",
    "A light goes out",
    "The last chance",
    "Home again",
    "The {n} breaks",
    "Under the {p}",
    "Back to the {p}",
    "Rain",
)
_PURPOSES: Final = (
    "It shows what will be lost.",
    "It brings the {e} into play.",
    "Now there is no way back.",
    "A friend turns away because of the {e}.",
    "It makes the {e} dangerous.",
    "The player must choose.",
    "It raises the price.",
    "The truth about the {e} comes out.",
    "For a moment all seems well.",
    "Somebody pays for the {e}.",
    "It gives the player a reason to hope.",
    "The plan fails because of the {e}.",
    "The {e} is seen for the first time.",
    "It leaves one question open.",
)
_WITH: Final = tuple(text for text in _PURPOSES if "{e}" in text)
_THEMES: Final = (
    "loyalty",
    "guilt",
    "the sea",
    "growing up",
    "what a lie costs",
    "home",
    "memory",
    "greed",
    "trust",
    "freedom",
    "old age",
    "courage",
    "work",
    "silence",
)


def draft(cast: Cast) -> ExampleDraft:
    """One story: its premise, its shape, and its beats."""
    rng = cast.rng
    names = [cast.person(told=True) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    if cast.chance(0.7):
        cast.tell(
            clues.people(
                names,
                (
                    "searches with",
                    "betrays",
                    "hunts",
                    "saves",
                    "falls in love with",
                    "travels with",
                    "works against",
                ),
            )
        )
    else:
        names = [cast.person(told=False) for _ in names]
    topics: list[str] = []
    if cast.chance(0.55):
        topics = [cast.thing(told=True)]
        cast.tell(clues.topic(topics[0]))
    structure = rng.choice(STRUCTURES)
    if cast.chance(0.4):
        cast.tell(_structure(structure))
    place = cast.words.place(told=False)
    placed = cast.chance(0.4)
    if placed:
        place = unlike(lambda: cast.words.place(told=True), cast.taken)
        cast.tell(clues.place(place))
    wanted = cast.elements(rng.choice((0, 0, 1, 1, 2)))
    if wanted:
        cast.tell(clues.elements(wanted))
    themes = rng.sample(_THEMES, rng.choice((1, 2))) if cast.chance(0.4) else []
    if themes and cast.chance(0.6):
        themes = [unlike(lambda: cast.words.told(NOUNS, 0.4), cast.taken)]
        cast.tell(_theme(themes[0]))
    number = max(rng.choice((1, 2, 2, 3, 3, 4)), len(wanted))
    counted = cast.chance(0.35)
    if counted:
        cast.tell(clues.count(cast.words, number, "beat"))
    noun = lambda: cast.free([*topics, *wanted])  # noqa: E731 - a draw
    title, named = cast.title(
        lambda: cast.pick(
            "The {n}",
            "{A} and the {n}",
            "What became of the {n}",
            n=noun(),
            A=said(names[0]),
            p=place,
        ),
        0.15,
    )
    if named:
        cast.tell(clues.title(title))
    premise = cast.pick(*_PREMISES, A=said(names[0]), e=topics[0] if topics else noun()) + cast.rated()
    cast.avoided()
    prose = [premise, f"Structure: {structure}.", f"Title: {title}."]
    document: dict[str, Any] = {"premise": premise, "structure_type": structure, "title": title}
    if themes:
        document["themes"] = themes
        prose.append(f"Themes: {', '.join(themes)}.")
    if counted:
        prose.append(f"{NUMBERS[number].capitalize()} beat{'s' * (number > 1)}.")
    beats: list[dict[str, Any]] = []
    everyone = names[1:]
    for index in range(number):
        if index < len(wanted):
            purpose = cast.pick(*_WITH, e=wanted[index])
        else:
            purpose = cast.pick(*_PURPOSES, e=noun())
        beat: dict[str, Any] = {
            "purpose": purpose,
            "name": cast.pick(*_NAMES, n=noun(), p=cast.words.known(PLACES)),
        }
        line = f"{index + 1}. {purpose} Called: {beat['name']}."
        crew = [names[0]] if cast.chance(0.4) else []
        if everyone and (index == number - 1 or cast.chance(0.5)):
            crew = [names[0], *everyone] if index == number - 1 else [names[0], everyone[0]]
            everyone = [] if index == number - 1 else everyone[1:]
        if crew:
            beat["characters"] = crew
            line += f" With {', '.join(crew)}."
        if (placed and index == 0) or cast.chance(0.25):
            beat["location"] = place if index == 0 else f"{cast.words.known(PLACES)}"
            line += f" In the {beat['location']}."
        beat["tension"] = min(10, max(1, 2 * index + rng.choice((1, 2, 3, 4))))
        line += f" Tension {beat['tension']}."
        beats.append(beat)
        prose.append(line)
    document["beats"] = beats
    return ExampleDraft(clues=tuple(cast.clues), prose="\n".join(prose), document=document)


def _structure(name: str) -> Clue:
    spoken = {"three_act": "three-act", "five_act": "five-act", "hero_journey": "hero's journey"}.get(
        name, name
    )
    return Clue(
        facts=(Fact(what=What.DETAIL, text=name),),
        labels=("structure", "structure type", "structure_type", "structureType"),
        value=name,
        keywords=(name, f"{spoken} structure", spoken),
        inline=(f"with {article(spoken)} structure", f"built as {article(spoken)}"),
        extra=(f"The structure is {name}", f"Use the {spoken} structure", f"Structure: {name}"),
    )


def _theme(word: str) -> Clue:
    return Clue(
        facts=(Fact(what=What.DETAIL, text=word),),
        labels=("theme", "themes"),
        value=word,
        keywords=(f"theme {word}", f"theme: {word}"),
        inline=(f"on the theme of {word}",),
        extra=(f"The theme is {word}", f"Its theme: {word}"),
    )

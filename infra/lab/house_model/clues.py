"""Clues: what a wish names, and its phrasings."""

# ruff: noqa: PLR2004 - shares of the draws

from __future__ import annotations

import random
from enum import StrEnum

import msgspec

from infra.lab.house_model.words import NUMBERS, RATINGS, WordPool, article, listed


class What(StrEnum):
    """What a fact is about; the rows of the evaluation's table."""

    ELEMENT = "element"
    DETAIL = "detail"
    COUNT = "count"
    RATING = "rating"
    AVOID = "avoid"


class CluePart(StrEnum):
    """What a clue is in a sentence such as ``Mara hides a lamp in an old mill``."""

    PEOPLE = "people"
    THINGS = "things"
    PLACE = "place"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the wish says and the prose must keep."""

    what: What
    #: What the prose must contain (for ``avoid``: must not), in any case.
    text: str


class Clue(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a wish names, in every style."""

    facts: tuple[Fact, ...]
    #: Names of the field in ``field: value`` lines.
    labels: tuple[str, ...]
    value: str
    #: Forms in a list of keywords.
    keywords: tuple[str, ...]
    #: Fragments that follow an opener: ``with a coin``.
    inline: tuple[str, ...] = ()
    #: Sentences of their own, without the stop.
    extra: tuple[str, ...] = ()
    #: The same as several fields, where nodes have several: (names, value) of each.
    split: tuple[tuple[tuple[str, ...], str], ...] = ()
    #: Its part in a sentence that tells all at once.
    part: CluePart | None = None
    #: What it names there, with articles.
    shown: str = ""


def rating(rng: random.Random) -> Clue:
    """How explicit it may be."""
    word = rng.choice(RATINGS)
    shown = word.replace("_", " ") if rng.random() < 0.05 else word
    inline = (f"rated {shown}", f"with rating {shown}", f"with a {shown} rating")
    extra = (
        f"It should be rated {shown}",
        f"Rating: {shown}",
        f"The rating is {shown}",
        f"Rated {shown}",
        f"The content rating is {shown}",
    )
    keywords = (f"rating {shown}", f"rated {shown}", f"rating: {shown}")
    # "Make it romantic" would be a mood as well.
    if word != "romantic":
        inline += (f"({shown})", f", {shown}")
        extra += (f"Keep it {shown}", f"It has to stay {shown}", f"Nothing above {shown}", f"Make it {shown}")
        keywords += (shown,)
    return Clue(
        facts=(Fact(what=What.RATING, text=f"rated {word}"),),
        labels=("rating", "rating", "Rating", "max rating", "content rating"),
        value=shown,
        keywords=keywords,
        inline=inline,
        extra=extra,
    )


def avoid(words: list[str]) -> Clue:
    """What must not appear."""
    both, either = listed(words), listed(words, " or ")
    return Clue(
        facts=tuple(Fact(what=What.AVOID, text=word) for word in words),
        labels=("avoid", "avoid elements", "avoidElements", "Avoid", "must not appear"),
        value=", ".join(words),
        keywords=tuple(f"{no} {either}" for no in ("no", "without", "avoid")),
        inline=(f"without {either}", f"but no {either}"),
        extra=(
            f"Avoid {both}",
            f"No {either}",
            f"Do not mention {either}",
            f"There must be no {either}",
            f"Leave out {both}",
        ),
    )


def elements(words: list[str]) -> Clue:
    """What must appear, by its name."""
    shown = listed(words)
    tagged = any("_" in word for word in words)
    with_articles = shown if tagged else listed([article(word) for word in words])
    inline = [
        f"with {with_articles}",
        f"including {with_articles}",
        f"that has {with_articles}",
        f"featuring {with_articles}",
    ]
    if not tagged and len(words) > 1:
        first, *others = (article(word) for word in words)
        inline += [
            f"where {first} {verb} {listed(list(others))}"
            for verb in ("guards", "meets", "hides", "lies beside", "waits for", "is next to")
        ]
    elif not tagged:
        inline += [f"where there is {with_articles}", f"around {with_articles}", f"and {with_articles}"]
    return Clue(
        facts=tuple(Fact(what=What.ELEMENT, text=word) for word in words),
        labels=(
            "required elements",
            "requiredElements",
            "required",
            "elements",
            "must include",
            "Required elements",
        ),
        value=", ".join(words),
        keywords=(", ".join(words), shown, ", ".join(words)),
        inline=tuple(inline),
        part=CluePart.THINGS,
        shown=with_articles,
        extra=(
            f"It should contain {with_articles}",
            f"Include {with_articles}",
            f"Use {with_articles}",
            f"Required: {', '.join(words)}",
            f"{with_articles[0].upper()}{with_articles[1:]} must appear",
            f"There is {with_articles} in it",
            f"I want to see {with_articles}",
        ),
    )


def people(names: list[str], extra_verbs: tuple[str, ...] = ()) -> Clue:
    """Who is in it."""
    shown = listed(names)
    inline = [f"with {shown}", f"about {shown}"]
    if len(names) == 2:
        inline += [f"between {shown}"] * 4 + [f"{names[0]} {verb} {names[1]}" for verb in extra_verbs]
    return Clue(
        facts=tuple(Fact(what=What.DETAIL, text=name) for name in names),
        labels=("characters", "speakers", "who", "cast", "people"),
        value=", ".join(names),
        keywords=(", ".join(names), shown),
        inline=tuple(inline),
        part=CluePart.PEOPLE,
        shown=shown,
        extra=(f"The characters are {shown}", f"{shown} should be in it", f"It is about {shown}"),
    )


def place(name: str) -> Clue:
    """Where it is."""
    return Clue(
        facts=(Fact(what=What.DETAIL, text=name),),
        labels=("place", "setting", "location", "where", "Place"),
        value=name,
        keywords=(f"in {article(name)}", f"place: {name}", f"at the {name}"),
        part=CluePart.PLACE,
        shown=article(name),
        inline=(
            f"in {article(name)}",
            f"at {article(name)}",
            f"in the {name}",
            f"set in {article(name)}",
            f"at the {name}",
        ),
        extra=(
            f"It happens in {article(name)}",
            f"The setting is {article(name)}",
            f"It is set in the {name}",
        ),
    )


def mood(word: str) -> Clue:
    """How it feels."""
    return Clue(
        facts=(Fact(what=What.DETAIL, text=word),),
        labels=("mood", "tone", "feeling", "atmosphere"),
        value=word,
        keywords=(f"{word} mood", f"mood {word}", f"mood: {word}"),
        inline=(f"in {article(word)} mood", f"with {article(word)} mood", f"that feels {word}"),
        extra=(f"The mood is {word}", f"It should feel {word}", f"Make it {word}", f"Mood: {word}"),
    )


def topic(thing: str) -> Clue:
    """What it is about."""
    shown = article(thing)
    return Clue(
        facts=(Fact(what=What.ELEMENT, text=thing),),
        labels=("topic", "about", "subject"),
        value=thing,
        keywords=(thing, f"about {shown}"),
        part=CluePart.THINGS,
        shown=shown,
        inline=(f"about {shown}", f"about the {thing}", f"over {shown}", f"concerning {shown}"),
        extra=(f"It is about {shown}", f"The topic is {shown}", f"They talk about the {thing}"),
    )


def title(text: str) -> Clue:
    """What it is called."""
    return Clue(
        facts=(Fact(what=What.DETAIL, text=text),),
        labels=("title", "name", "Title"),
        value=text,
        keywords=(f"title {text}", f"called {text}"),
        inline=(f"called {text}", f"named {text}"),
        extra=(f"Call it {text}", f"The title is {text}", f"Its name is {text}"),
    )


def count(words: WordPool, number: int, noun: str) -> Clue:
    """How many of something; the prose spells the number."""
    plural = f"{noun}{'s' * (number != 1)}"
    shown = str(number) if words.rng.random() < 0.4 else NUMBERS[number]
    return Clue(
        facts=(Fact(what=What.COUNT, text=f"{NUMBERS[number]} {plural}"),),
        labels=(f"{noun}s", f"number of {noun}s"),
        value=shown,
        keywords=(f"{shown} {plural}",),
        inline=(f"with {shown} {plural}", f"in {shown} {plural}", f"of {shown} {plural}"),
        extra=(
            f"Use {shown} {plural}",
            f"It has {shown} {plural}",
            f"Make it {shown} {plural} long",
            f"I want {shown} {plural}",
        ),
    )


def pacing(word: str) -> Clue:
    """How fast it goes."""
    return Clue(
        facts=(Fact(what=What.DETAIL, text=word),),
        labels=("pacing", "pace", "Pacing"),
        value=word,
        keywords=(f"{word} pacing", f"pacing {word}", f"{word} pace"),
        inline=(f"at a {word} pace", f"with {word} pacing"),
        extra=(f"The pacing is {word}", f"Keep the pace {word}", f"Pacing: {word}"),
    )

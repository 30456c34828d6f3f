"""Synthetic documents of arbitrary schemas: facts in prose and in JSON."""

# ruff: noqa: PLR2004 - a grammar is one long list of draws and their shares

from __future__ import annotations

from typing import Any, Final

from infra.lab.house_model import clues
from infra.lab.house_model.clues import Clue, Fact, What
from infra.lab.house_model.example import Cast, ExampleDraft
from infra.lab.house_model.words import ADJECTIVES, MOODS, NAMES, NOUNS, PLACES, unlike

_TEXT_KEYS: Final = (
    "name",
    "title",
    "type",
    "color",
    "material",
    "owner",
    "place",
    "origin",
    "category",
    "label",
    "status",
    "mood",
    "weapon",
    "role",
    "author",
    "city",
    "class",
    "effect",
    "element",
    "faction",
    "genre",
    "habitat",
    "maker",
    "rank",
    "species",
    "style",
    "theme",
    "season",
    "leader",
    "reward",
)
_NUMBER_KEYS: Final = (
    "price",
    "level",
    "age",
    "count",
    "weight",
    "damage",
    "health",
    "speed",
    "year",
    "size",
    "score",
    "cost",
    "power",
    "range",
    "pages",
    "rooms",
    "players",
    "duration",
    "amount",
    "floor",
)
_LIST_KEYS: Final = (
    "tags",
    "items",
    "parts",
    "names",
    "skills",
    "colors",
    "ingredients",
    "rooms",
    "steps",
    "members",
    "features",
    "topics",
)
_FLAG_KEYS: Final = (
    "rare",
    "magic",
    "locked",
    "alive",
    "secret",
    "broken",
    "legal",
    "finished",
    "friendly",
    "heavy",
)
_SENTENCE_KEYS: Final = ("description", "summary", "text", "note", "story", "history", "purpose")
_SENTENCES: Final = (
    "Nobody knows who made it.",
    "It was found in the {p}.",
    "It hums when it rains.",
    "It belongs to the {n}.",
    "Some say that it brings luck.",
    "It has been repaired twice.",
    "It is worth more than it looks.",
    "Children are afraid of it.",
    "It opens the way to the {p}.",
    "It was lost for years.",
)


def draft(cast: Cast) -> ExampleDraft:
    """One record of a few named fields; the schema has them in an order of its own."""
    rng = cast.rng
    document: dict[str, Any] = {}
    named: list[str] = []
    own: list[str] = []
    first = cast.thing(told=True)
    cast.tell(clues.topic(first))
    opening = cast.rated()
    about = cast.pick("This is about the {e}.", "The {e}.", "About the {e}:", e=first) + opening
    for key, kind in _keys(cast):
        told = cast.chance(0.6)
        match kind:
            case "text":
                value: Any = (
                    first if key in ("name", "title") and cast.chance(0.6) else _text(cast, told=told)
                )
                said = str(value)
            case "number":
                value = rng.choice((rng.randrange(1, 13), rng.randrange(10, 101, 5), rng.randrange(1, 500)))
                said = str(value)
            case "list":
                value = [cast.noun(told=told) for _ in range(rng.choice((1, 2, 2, 3)))]
                said = ", ".join(value)
            case "flag":
                value = rng.random() < 0.5
                said = "yes" if value else "no"
            case _:
                value = cast.pick(*_SENTENCES, p=cast.words.known(PLACES), n=first)
                told, said = False, value
        told = told and value != first
        if told:
            shown = key.replace("_", " ")
            cast.tell(_field(shown, said, [*value] if isinstance(value, list) else [said]))
        document[key] = value
        (named if told else own).append(f"{key}: {said}")
    cast.avoided(0.08)
    fields = list(document.items())
    rng.shuffle(fields)
    return ExampleDraft(
        clues=tuple(cast.clues), prose="\n".join([about, *named, *own]), document=dict(fields)
    )


def _keys(cast: Cast) -> list[tuple[str, str]]:
    banks = (
        ("text", _TEXT_KEYS),
        ("text", _TEXT_KEYS),
        ("number", _NUMBER_KEYS),
        ("list", _LIST_KEYS),
        ("flag", _FLAG_KEYS),
        ("sentence", _SENTENCE_KEYS),
    )
    keys = []
    for _ in range(cast.rng.choice((1, 2, 3, 4, 5, 6, 7))):
        kind, bank = cast.rng.choice(banks)
        own = cast.chance(0.3)
        key = unlike(
            lambda bank=bank, own=own: cast.words.made_up() if own else cast.rng.choice(bank), cast.taken
        )
        keys.append((f"{key}_{cast.words.known(NOUNS)}" if own and cast.chance(0.2) else key, kind))
    return keys


def _text(cast: Cast, *, told: bool) -> str:
    bank = cast.rng.choice((NAMES, NOUNS, ADJECTIVES, PLACES, MOODS))
    text = unlike(lambda: cast.words.told(bank) if told else cast.words.known(bank), cast.taken)
    return text.lower() if cast.lower else text


def _field(key: str, value: str, words: list[str]) -> Clue:
    return Clue(
        facts=tuple(Fact(what=What.DETAIL, text=word) for word in words),
        labels=(key,),
        value=value,
        keywords=(f"{key} {value}", f"{key}: {value}"),
        inline=(f"with {key} {value}",),
        extra=(f"The {key} is {value}", f"Its {key} is {value}", f"{key[0].upper()}{key[1:]}: {value}"),
    )

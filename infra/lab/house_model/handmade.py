"""Hand-written wishes for evaluation, with a vocabulary of their own."""

from __future__ import annotations

from typing import Final

import msgspec

from infra.lab.house_model.clues import Fact, What


class Handmade(msgspec.Struct, frozen=True, kw_only=True):
    """A wish and what its prose must keep."""

    kind: str
    wish: str
    facts: tuple[Fact, ...]


def _one(kind: str, wish: str, *texts: str) -> Handmade:
    facts = []
    for text in texts:
        what = (
            What.RATING
            if text.startswith("rated ")
            else What.COUNT
            if text.split()[0] in _COUNTS
            else What.ELEMENT
        )
        facts.append(Fact(what=what, text=text))
    return Handmade(kind=kind, wish=wish, facts=tuple(facts))


_COUNTS: Final = {"two", "three", "four", "five"}

#: Never trained on; the grammars did not make them.
HANDMADE: Final = (
    _one("layout", "a frozen lake with two platforms and a coin", "frozen lake", "two platforms", "coin"),
    _one("layout", "a forest with three coins", "forest", "three coins"),
    _one(
        "layout",
        "coral reef, dolphin, 4 platforms, 2 pearls",
        "coral reef",
        "dolphin",
        "four platforms",
        "two pearls",
    ),
    _one(
        "layout",
        "I'd like a spooky attic please, put a lantern and three spiders in it",
        "spooky attic",
        "lantern",
        "three spiders",
    ),
    _one(
        "layout",
        "Haunted carnival level. Five platforms. One balloon. Keep it PG.",
        "haunted carnival",
        "five platforms",
        "balloon",
        "rated pg",
    ),
    _one(
        "layout",
        "volcano with two bridges, a dragon and an emerald; rated sfw",
        "volcano",
        "dragon",
        "emerald",
        "rated sfw",
    ),
    _one(
        "dialogue",
        "Write a dialogue between Mara and the ferryman about a lost key",
        "Mara",
        "the ferryman",
        "lost key",
    ),
    _one(
        "dialogue",
        "Pilot and engineer argue about the broken antenna. Rating: PG-13",
        "broken antenna",
        "rated pg-13",
    ),
    _one(
        "dialogue",
        "two old friends, Tobias and Wen, talk about a stolen violin in a train station",
        "Tobias",
        "Wen",
        "stolen violin",
        "train station",
    ),
    _one(
        "dialogue",
        "characters: Captain Iduna, Brask\ntopic: mutiny\nmood: tense\nrating: mature_implied",
        "Captain Iduna",
        "Brask",
        "mutiny",
        "tense",
        "rated mature_implied",
    ),
    _one(
        "dialogue",
        "a detective questions the gardener about a missing shovel, three lines",
        "the gardener",
        "shovel",
        "three lines",
    ),
    _one(
        "scene",
        "a rainy rooftop where Imre waits for Sal with two cups of coffee",
        "rainy rooftop",
        "Imre",
        "Sal",
        "coffee",
    ),
    _one(
        "scene",
        "Night market. Kavi sells a cursed mirror. Mood: uneasy.",
        "Night market",
        "Kavi",
        "cursed mirror",
        "uneasy",
    ),
    _one(
        "scene",
        "please write a quiet scene in a greenhouse at dusk, with an orchid and a music box",
        "greenhouse",
        "dusk",
        "orchid",
        "music box",
    ),
    _one(
        "scene",
        "abandoned subway station, Juno, flashlight, restricted",
        "abandoned subway station",
        "Juno",
        "flashlight",
        "rated restricted",
    ),
    _one(
        "scene",
        "the old lighthouse keeper shows Elin the broken lamp",
        "lighthouse keeper",
        "Elin",
        "broken lamp",
    ),
    _one("plot", "a mystery about a vanished orchestra", "mystery", "vanished orchestra"),
    _one(
        "plot",
        "Story of a young cartographer named Ysolde who must find the sunken city, three beats",
        "Ysolde",
        "sunken city",
        "three beats",
    ),
    _one("plot", "tragedy, Corvin and his brother, a poisoned well", "tragedy", "Corvin", "poisoned well"),
    _one(
        "plot",
        "A heist at the observatory. Characters: Nyx, Old Tom. Theme: trust. Rated R.",
        "observatory",
        "Nyx",
        "Old Tom",
        "trust",
        "rated r",
    ),
    _one(
        "transition",
        "from romantic to intense, medium pacing, gradual, 30 seconds, phone_ring and kiss_callback, PG-13",
        "from romantic to intense",
        "medium",
        "gradual",
        "30 seconds",
        "phone_ring",
        "kiss_callback",
        "rated pg-13",
    ),
    _one(
        "transition",
        "calm to storm in 12 seconds with thunder",
        "from calm to storm",
        "12 seconds",
        "thunder",
    ),
    _one(
        "transition",
        "We leave a joyful party and arrive at a lonely street. Make it slow and abrupt.",
        "joyful",
        "lonely",
        "slow",
        "abrupt",
    ),
    _one(
        "transition",
        "mood_from: hopeful\nmood_to: dread\nduration: 8\nrequired: clock tower bell",
        "from hopeful to dread",
        "8 seconds",
        "clock tower bell",
    ),
)

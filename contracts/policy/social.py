"""How do two people stand to each other, and what does a world make of that?

A world says from which values on a relationship is of which tier and of which level of intimacy, and how
explicit content may get in it at most.  Worlds are data; docs/social.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Protocol, Self

import msgspec
from pydantic import Field, StrictBool, StrictFloat, StringConstraints, field_validator, model_validator

from contracts.nodes.node import (
    FILM_RATINGS,
    PLAIN,
    Element,
    NodePart,
    Rating,
    SaidRating,
    Words,
    canonical_rating,
)

#: What a relationship is measured by.
VALUES: Final = ("affinity", "trust", "chemistry", "tension")
ValueName = Literal["affinity", "trust", "chemistry", "tension"]
#: One of them, -100 to 100; 0 where nothing is known.
Value = Annotated[StrictFloat, Field(ge=-100, le=100)]
Sentence = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PLAIN)
]


class Band(StrEnum):
    """How much intimacy content may tell, least first."""

    NONE = "none"
    LIGHT = "light"
    DEEP = "deep"
    INTENSE = "intense"

    @property
    def rank(self) -> int:
        """0 for the least."""
        return list(Band).index(self)

    @property
    def rating(self) -> Rating:
        """What content of the band needs where a world does not say otherwise."""
        return list(Rating)[self.rank]


def known_rating(said: Any) -> Any:
    """A rating of either scale as the canonical one.

    Raises:
        ValueError: it is on neither; with the words that are.
    """
    found = canonical_rating(said)
    if found is not None and found not in list(Rating):
        known = ", ".join([*Rating, *FILM_RATINGS])
        raise ValueError(f"{str(said)[:60]!r} is no rating; use one of {known}")
    return found


class Preferences(NodePart):
    """What a user wants beside the greatest rating."""

    #: Tell one band of intimacy less than the relationship would bear.
    reduce_intimacy: StrictBool = False
    #: What must not be named, whatever the node says.
    avoid_elements: tuple[Element, ...] = Field(default=(), max_length=32)


class Social(NodePart):
    """How the two whom the content is about stand to each other, and what its user allows."""

    #: How much they like each other, -100 to 100.
    affinity: Value = 0
    #: How far they trust each other, -100 to 100.
    trust: Value = 0
    #: How much they are drawn to each other, -100 to 100.
    chemistry: Value = 0
    #: How much lies between them, -100 to 100.
    tension: Value = 0
    #: The greatest rating that the user allows, on either scale; none: the world's.
    max_rating: SaidRating | None = None
    #: What else the user wants.
    preferences: Preferences = Preferences()

    @field_validator("max_rating", mode="before")
    @classmethod
    def _known(cls, said: Any) -> Any:
        return known_rating(said)

    @property
    def tells(self) -> bool:
        """Whether it says anything about the relationship."""
        return any(name in self.model_fields_set for name in VALUES)


class Tier(NodePart):
    """A kind of relationship, and from which values on it is one."""

    #: Its name, as the writer is told.
    name: Words
    #: What it means, in a sentence for the writer.
    says: Sentence | None = None
    #: Least values.
    at_least: dict[ValueName, Value] = Field(default={})
    #: Greatest values.
    at_most: dict[ValueName, Value] = Field(default={})

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name in VALUES:
            least, most = self.at_least.get(name), self.at_most.get(name)
            if least is not None and most is not None and least > most:
                raise ValueError(
                    f"no {name} is both at least {least:g} and at most {most:g}; change one of them"
                )
        return self

    @property
    def bounded(self) -> bool:
        """Whether there are values that it does not take."""
        return bool(self.at_least or self.at_most)

    def takes(self, social: Social) -> bool:
        """Whether a relationship is within its bounds."""
        values: Mapping[str, float] = {name: getattr(social, name) for name in VALUES}
        return all(values[name] >= least for name, least in self.at_least.items()) and all(
            values[name] <= most for name, most in self.at_most.items()
        )


class IntimacyLevel(Tier):
    """How intimate a relationship is, from which values on, and how explicit that may be told."""

    #: How much intimacy content may tell.
    band: Band
    #: What content of the level needs; none: what is usual for its band.
    rating: SaidRating | None = None

    @field_validator("rating", mode="before")
    @classmethod
    def _known(cls, said: Any) -> Any:
        return known_rating(said)

    @property
    def needs(self) -> Rating:
        """What content of the level needs."""
        return self.rating or self.band.rating


class WorldPreferences(NodePart):
    """What all content of a world has in common."""

    #: How it is told, in a sentence for the writer.
    tone: Sentence | None = None
    #: What must not be named in it.
    avoid_elements: tuple[Element, ...] = Field(default=(), max_length=32)


class World(NodePart):
    """A world's schema; of tiers and of levels the last one counts that takes the relationship."""

    #: Its file's name.
    name: str
    #: What world it is, for people.
    says: Sentence | None = None
    #: The greatest rating of its content, on either scale.
    max_rating: SaidRating
    #: Kinds of relationship; the first takes every one.
    tiers: tuple[Tier, ...] = Field(min_length=1, max_length=32)
    #: Levels of intimacy; the first takes every relationship and tells none.
    levels: tuple[IntimacyLevel, ...] = Field(min_length=1, max_length=32)
    #: What all its content has in common.
    preferences: WorldPreferences = WorldPreferences()

    @field_validator("max_rating", mode="before")
    @classmethod
    def _known(cls, said: Any) -> Any:
        return known_rating(said)

    @field_validator("tiers", "levels")
    @classmethod
    def _ordered(cls, given: tuple[Tier, ...]) -> tuple[Tier, ...]:
        if given[0].bounded:
            raise ValueError("the first must take every relationship; leave out its at_least and at_most")
        names = [each.name.casefold() for each in given]
        for index, each in enumerate(given):
            if index and not each.bounded:
                raise ValueError(
                    f"{each.name!r} takes every relationship and hides those before it; bound it"
                )
            if names.index(names[index]) != index:
                raise ValueError(f"{each.name!r} is named twice; rename one of them")
        return given

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.levels[0].band is not Band.NONE:
            raise ValueError("levels: the first level holds for strangers; give it the band 'none'")
        for each in self.levels:
            if each.rating is not None and each.rating.rank > self.max_rating.rank:
                raise ValueError(
                    f"levels: {each.name!r} has rating {str(each.rating)!r}, above max_rating "
                    f"{str(self.max_rating)!r}; lower the one or raise the other"
                )
        return self


class RelationshipEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What a world makes of a relationship."""

    #: Whose tiers and levels they are.
    world: str
    tier: str
    level: str
    band: Band
    #: What content of the level needs, before anything limits it.
    rating: Rating


def standing(social: Social, world: World) -> tuple[RelationshipEffect, Tier, IntimacyLevel]:
    """Tier and level of a relationship in a world.

    The last tier and the last level count whose bounds take the values.  A user who wants less intimacy
    gets, of the levels that take them, the last one of the next lower band among these.
    """
    tier = [each for each in world.tiers if each.takes(social)][-1]
    held = [each for each in world.levels if each.takes(social)]
    level = held[-1]
    if social.preferences.reduce_intimacy:
        lower = [each for each in held if each.band.rank < level.band.rank]
        most = max((each.band.rank for each in lower), default=0)
        level = next((each for each in reversed(lower) if each.band.rank == most), level)
    told = RelationshipEffect(
        world=world.name, tier=tier.name, level=level.name, band=level.band, rating=level.needs
    )
    return told, tier, level


class Worlds(Protocol):
    """The schemas of the worlds."""

    def world(self, name: str | None) -> World | None:
        """The world of that name, ``None`` where it has no schema; without a name the default one."""
        ...

    def names(self) -> tuple[str, ...]:
        """The worlds that there are."""
        ...

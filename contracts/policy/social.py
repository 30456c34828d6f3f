"""Social context: relationships, worlds, and the intimacy and rating that follow from them.

A world's schema maps a relationship to a tier and a level of intimacy, and limits the rating.  Worlds are data;
see docs/social.md.
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
    RatingInput,
    Words,
    canonical_rating,
)

#: Dimensions of a relationship.
VALUES: Final = ("affinity", "trust", "chemistry", "tension")
ValueName = Literal["affinity", "trust", "chemistry", "tension"]
#: Value of a dimension, -100 to 100; 0 if unknown.
Value = Annotated[StrictFloat, Field(ge=-100, le=100)]
Sentence = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PLAIN)
]


class Band(StrEnum):
    """Amount of intimacy in the content, least first."""

    NONE = "none"
    LIGHT = "light"
    DEEP = "deep"
    INTENSE = "intense"

    @property
    def rank(self) -> int:
        """Position on the scale, 0 for the least."""
        return list(Band).index(self)

    @property
    def rating(self) -> Rating:
        """Rating that content of the band needs, unless the world says otherwise."""
        return list(Rating)[self.rank]


def parse_rating(value: Any) -> Any:
    """Convert a rating of either scale to the canonical one.

    Raises:
        ValueError: it is on neither scale; the message lists the valid ratings.
    """
    rating = canonical_rating(value)
    if rating is not None and rating not in list(Rating):
        known = ", ".join([*Rating, *FILM_RATINGS])
        raise ValueError(f"{str(value)[:60]!r} is not a rating; use one of {known}")
    return rating


class Preferences(NodePart):
    """The user's preferences beside the maximum rating."""

    #: Use one band of intimacy less than the relationship allows.
    reduce_intimacy: StrictBool = False
    #: Elements that the content must not mention, whatever the node says.
    avoid_elements: tuple[Element, ...] = Field(default=(), max_length=32)


class Social(NodePart):
    """Relationship of the two characters, and what the user allows."""

    #: How much they like each other, -100 to 100.
    affinity: Value = 0
    #: How much they trust each other, -100 to 100.
    trust: Value = 0
    #: How attracted they are to each other, -100 to 100.
    chemistry: Value = 0
    #: How much tension there is between them, -100 to 100.
    tension: Value = 0
    #: Highest rating that the user allows, on either scale. Default: the world's.
    max_rating: RatingInput | None = None
    #: Further preferences of the user.
    preferences: Preferences = Preferences()

    @field_validator("max_rating", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        return parse_rating(value)

    @property
    def tells(self) -> bool:
        """Whether any dimension of the relationship is given."""
        return any(name in self.model_fields_set for name in VALUES)


class Tier(NodePart):
    """A kind of relationship, with the bounds that define it."""

    #: Name, as it appears in the prompt.
    name: Words
    #: Meaning, in one sentence for the prompt.
    says: Sentence | None = None
    #: Lower bounds.
    at_least: dict[ValueName, Value] = Field(default={})
    #: Upper bounds.
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
        """Whether any bound is set."""
        return bool(self.at_least or self.at_most)

    def takes(self, social: Social) -> bool:
        """Whether a relationship is within the bounds."""
        values: Mapping[str, float] = {name: getattr(social, name) for name in VALUES}
        return all(values[name] >= least for name, least in self.at_least.items()) and all(
            values[name] <= most for name, most in self.at_most.items()
        )


class IntimacyLevel(Tier):
    """A level of intimacy, with the bounds that define it and the rating that it needs."""

    #: Amount of intimacy in the content.
    band: Band
    #: Rating that content of the level needs. Default: the band's.
    rating: RatingInput | None = None

    @field_validator("rating", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        return parse_rating(value)

    @property
    def needs(self) -> Rating:
        """Rating that content of the level needs."""
        return self.rating or self.band.rating


class WorldPreferences(NodePart):
    """Preferences for all content of a world."""

    #: Tone, in one sentence for the prompt.
    tone: Sentence | None = None
    #: Elements that no content of the world may mention.
    avoid_elements: tuple[Element, ...] = Field(default=(), max_length=32)


class World(NodePart):
    """A world's schema; the last tier and the last level that match a relationship apply."""

    #: Name of the file.
    name: str
    #: Description of the world, for people.
    says: Sentence | None = None
    #: Highest rating of its content, on either scale.
    max_rating: RatingInput
    #: Kinds of relationship; the first one matches every relationship.
    tiers: tuple[Tier, ...] = Field(min_length=1, max_length=32)
    #: Levels of intimacy; the first one matches every relationship and has no intimacy.
    levels: tuple[IntimacyLevel, ...] = Field(min_length=1, max_length=32)
    #: Preferences for all content of the world.
    preferences: WorldPreferences = WorldPreferences()

    @field_validator("max_rating", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        return parse_rating(value)

    @field_validator("tiers", "levels")
    @classmethod
    def _ordered(cls, given: tuple[Tier, ...]) -> tuple[Tier, ...]:
        if given[0].bounded:
            raise ValueError("the first must match every relationship; remove its at_least and at_most")
        names = [each.name.casefold() for each in given]
        for index, each in enumerate(given):
            if index and not each.bounded:
                raise ValueError(
                    f"{each.name!r} matches every relationship and hides those before it; add bounds"
                )
            if names.index(names[index]) != index:
                raise ValueError(f"{each.name!r} appears twice; rename one of them")
        return given

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.levels[0].band is not Band.NONE:
            raise ValueError("levels: the first level applies to strangers; give it the band 'none'")
        for each in self.levels:
            if each.rating is not None and each.rating.rank > self.max_rating.rank:
                raise ValueError(
                    f"levels: {each.name!r} has rating {str(each.rating)!r}, above max_rating "
                    f"{str(self.max_rating)!r}; lower one or raise the other"
                )
        return self


class RelationshipEffect(msgspec.Struct, frozen=True, kw_only=True):
    """Result of applying a world's schema to a relationship."""

    #: The world whose tiers and levels apply.
    world: str
    tier: str
    level: str
    band: Band
    #: Rating that content of the level needs, before any limit.
    rating: Rating


def classify(social: Social, world: World) -> tuple[RelationshipEffect, Tier, IntimacyLevel]:
    """Tier and level of a relationship in a world.

    The last tier and the last level whose bounds match apply.  If the user prefers less intimacy, the last
    matching level of the next lower band applies.
    """
    tier = [each for each in world.tiers if each.takes(social)][-1]
    matching = [each for each in world.levels if each.takes(social)]
    level = matching[-1]
    if social.preferences.reduce_intimacy:
        lower = [each for each in matching if each.band.rank < level.band.rank]
        most = max((each.band.rank for each in lower), default=0)
        level = next((each for each in reversed(lower) if each.band.rank == most), level)
    effect = RelationshipEffect(
        world=world.name, tier=tier.name, level=level.name, band=level.band, rating=level.needs
    )
    return effect, tier, level


class Worlds(Protocol):
    """The world schemas."""

    def world(self, name: str | None) -> World | None:
        """The world of that name, ``None`` if it has no schema; without a name, the default world."""
        ...

    def names(self) -> tuple[str, ...]:
        """Names of the known worlds."""
        ...

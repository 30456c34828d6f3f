"""Level layouts: entities and their arrangement.

The format of the first three golden samples: entities in one list, or in layers that are drawn in
the order of their ``z_index``.  Coordinates are pixels, y grows downwards.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from contracts.content.document import (
    Color,
    Document,
    Extent,
    Id,
    Items,
    Maybe,
    Phrase,
    Pixels,
    Sentence,
    once,
)

Depth = Annotated[int, Field(ge=-1000, le=1000)]


class Platform(Document):
    """Solid ground."""

    type: Literal["platform"]
    id: Id
    x: Pixels
    y: Pixels
    width: Maybe[Extent] = None
    """Left out: the game's own size of a platform."""
    height: Maybe[Extent] = None
    """Left out: the game's own size of a platform."""
    color: Maybe[Color] = None


class Player(Document):
    """Where the player starts."""

    type: Literal["player"]
    id: Id
    x: Pixels
    y: Pixels
    facing: Maybe[Literal["left", "right"]] = None


class Collectible(Document):
    """Something to pick up, drawn by the game."""

    type: Literal["collectible"]
    id: Id
    item: Maybe[Phrase] = None
    """What it is: coin, key, letter."""
    x: Pixels
    y: Pixels
    value: Maybe[Annotated[int, Field(ge=0, le=1_000_000)]] = None
    """Points or amount."""


class Enemy(Document):
    """Somebody in the way."""

    type: Literal["enemy"]
    id: Id
    species: Maybe[Phrase] = None
    behavior: Maybe[Literal["idle", "patrol", "chase", "shoot"]] = None
    x: Pixels
    y: Pixels
    patrol_width: Maybe[Extent] = None
    """How far it walks, pixels."""


class Hazard(Document):
    """Something that hurts: spikes, fire, a pit."""

    type: Literal["hazard"]
    id: Id
    x: Pixels
    y: Pixels
    width: Maybe[Extent] = None
    height: Maybe[Extent] = None
    damage: Maybe[Annotated[int, Field(ge=0, le=1_000_000)]] = None


class Goal(Document):
    """Where the level ends."""

    type: Literal["goal"]
    id: Id
    x: Pixels
    y: Pixels
    leads_to: Maybe[Phrase] = None
    """The next scene."""


class Decoration(Document):
    """Something to look at that nothing collides with."""

    type: Literal["decoration"]
    id: Id
    looks: Maybe[Phrase] = None
    x: Pixels
    y: Pixels
    asset_id: Maybe[Phrase] = None


class Picture(Document):
    """Something shown as a stored image."""

    type: Literal["background_image", "platform_image", "collectible_image", "foreground_image"]
    id: Id
    asset_id: Phrase
    """Which stored image."""
    x: Pixels
    y: Pixels
    width: Maybe[Extent] = None
    """Left out: the image's own size."""
    height: Maybe[Extent] = None
    """Left out: the image's own size."""
    layer: Maybe[Depth] = None
    """Drawing order; lower is further back."""


class BackgroundColor(Document):
    """One colour behind everything."""

    type: Literal["background_color"]
    id: Id
    color: Color
    """#RRGGBB or #RRGGBBAA."""


Entity = Annotated[
    Platform | Player | Collectible | Enemy | Hazard | Goal | Decoration | Picture | BackgroundColor,
    Field(discriminator="type"),
]


class Layer(Document):
    """Entities that are drawn together."""

    id: Id
    z_index: Depth
    """Drawing order; lower is further back."""
    entities: Annotated[Items[Entity], Field(min_length=1, max_length=500)]


def _either(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"required": ["entities"]}, {"required": ["layers"]}]


class Layout(Document):
    """One level: its entities, in one list or in layers."""

    model_config = ConfigDict(json_schema_extra=_either)

    concept: Maybe[Sentence] = None
    """What playing this level should feel like, decided before anything is placed."""
    scene_name: Phrase
    entities: Annotated[Items[Entity], Field(min_length=1, max_length=500)] = ()
    """Every entity of a level without layers."""
    layers: Annotated[Items[Layer], Field(min_length=1, max_length=32)] = ()
    """Layers, for a level that is drawn in several."""

    @model_validator(mode="after")
    def _consistent(self) -> Layout:
        if not self.entities and not self.layers:
            raise ValueError("has neither entities nor layers; a layout needs one of them")
        inner = [entity.id for layer in self.layers for entity in layer.entities]
        once([layer.id for layer in self.layers], "layer id")
        once([*(entity.id for entity in self.entities), *inner], "entity id")
        return self

"""What is a level layout?"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.content.fields import Color, Coordinate, Extent, Ident, Line, Part, repeated


class _Placed(Part):
    id: Ident


class Platform(_Placed):
    """Something to stand on, drawn as a block."""

    type: Literal["platform"]
    x: Coordinate
    y: Coordinate
    width: Extent | None = None
    height: Extent | None = None


class PlatformImage(_Placed):
    """Something to stand on, drawn as an image."""

    type: Literal["platform_image"]
    asset_id: Ident
    x: Coordinate
    y: Coordinate
    width: Extent | None = None
    height: Extent | None = None


class Player(_Placed):
    """Where the player starts."""

    type: Literal["player"]
    x: Coordinate
    y: Coordinate


class BackgroundColor(_Placed):
    """A backdrop of one colour."""

    type: Literal["background_color"]
    color: Color


class BackgroundImage(_Placed):
    """A backdrop image."""

    type: Literal["background_image"]
    asset_id: Ident
    x: Coordinate
    y: Coordinate
    layer: Annotated[int, Field(ge=-1000, le=1000)] | None = None


class ForegroundImage(_Placed):
    """An image in front of the player."""

    type: Literal["foreground_image"]
    asset_id: Ident
    x: Coordinate
    y: Coordinate


class Collectible(_Placed):
    """Something to pick up, drawn as a shape."""

    type: Literal["collectible"]
    name: Line
    x: Coordinate
    y: Coordinate


class CollectibleImage(_Placed):
    """Something to pick up, drawn as an image."""

    type: Literal["collectible_image"]
    asset_id: Ident
    x: Coordinate
    y: Coordinate


class Enemy(_Placed):
    """Somebody to avoid or to fight."""

    type: Literal["enemy"]
    name: Line
    x: Coordinate
    y: Coordinate


class Hazard(_Placed):
    """Something that hurts: spikes, lava, water."""

    type: Literal["hazard"]
    name: Line
    x: Coordinate
    y: Coordinate
    width: Extent | None = None
    height: Extent | None = None


class Goal(_Placed):
    """Where the level ends."""

    type: Literal["goal"]
    x: Coordinate
    y: Coordinate


Entity = Annotated[
    Platform
    | PlatformImage
    | Player
    | BackgroundColor
    | BackgroundImage
    | ForegroundImage
    | Collectible
    | CollectibleImage
    | Enemy
    | Hazard
    | Goal,
    Field(discriminator="type"),
]
Entities = Annotated[list[Entity], Field(min_length=1, max_length=500)]


class Layer(Part):
    """Entities that are drawn together."""

    id: Ident
    z_index: Annotated[int, Field(ge=-1000, le=1000)]
    entities: Entities


class Layout(Part):
    """A level: its entities, at the top or in layers."""

    scene_name: Line
    entities: Entities | None = None
    layers: Annotated[list[Layer], Field(min_length=1, max_length=50)] | None = None

    @model_validator(mode="after")
    def _placed_once(self) -> Self:
        if (self.entities is None) == (self.layers is None):
            raise ValueError("give either entities or layers")
        layers = self.layers or []
        placed = [entity.id for entity in self.entities or []]
        placed += [entity.id for layer in layers for entity in layer.entities]
        twice = repeated(placed) or repeated([layer.id for layer in layers])
        if twice is not None:
            raise ValueError(f"id {twice!r} is used twice")
        return self

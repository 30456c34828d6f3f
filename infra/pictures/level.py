"""Level of a layout: its entities in drawing order, with the space that they take."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from infra.pictures.fields import DocumentField
from infra.pictures.typesetting import one_line

#: Entities that one picture draws.
MOST_ENTITIES: Final = 1500
MOST_LAYERS: Final = 32
#: Size of what has none of its own, in the level's pixels: for the picture alone.
_SIZES: Final[dict[str, tuple[float, float]]] = {
    "platform": (120, 20),
    "hazard": (80, 20),
    "player": (24, 30),
    "enemy": (28, 30),
    "collectible": (20, 20),
    "goal": (24, 60),
    "decoration": (24, 24),
    "background_image": (320, 180),
    "platform_image": (160, 40),
    "collectible_image": (32, 32),
    "foreground_image": (96, 120),
}
#: What has a place and no area: x is the middle and not the left edge.
POINTS: Final = frozenset({"player", "enemy", "collectible", "goal", "decoration"})
#: What stands on a platform that is near below it: at most this many times its usual height.
_STANDING: Final = frozenset({"player", "enemy", "goal"})
_NEAR: Final = 1.5
#: Entities from which on figures are drawn where they are.
_MOST_GROUNDED: Final = 300
#: Which field says what an entity is.
_NAMES: Final = {
    "collectible": "item",
    "enemy": "species",
    "goal": "leads_to",
    "decoration": "looks",
}
_COLOUR: Final = re.compile(r"#[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?")
#: Where nothing has a place.
_EMPTY: Final = (0.0, 0.0, 640.0, 320.0)
#: Room around a level, as a share of its longer side.
_MARGIN: Final = 0.03


class PlacedEntity(msgspec.Struct, frozen=True, kw_only=True):
    """An entity with its space, in the level's pixels; y grows downwards."""

    type: str
    field: DocumentField
    #: What it is, in a word or two.
    name: str
    left: float
    top: float
    width: float
    height: float
    #: Whether the size is the document's.
    sized: bool = True
    #: ``#RRGGBB`` or ``#RRGGBBAA``.
    colour: str | None = None
    #: Drawing order.
    depth: float = 0


class LevelLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer, for the list of layers."""

    field: DocumentField
    name: str
    depth: float
    entities: int


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """What a layout places."""

    #: In drawing order: what is further back comes first.
    entities: tuple[PlacedEntity, ...]
    layers: tuple[LevelLayer, ...]
    background: PlacedEntity | None
    #: Left, top, right and bottom of everything, with a margin.
    bounds: tuple[float, float, float, float]
    #: Width and height of everything, without the margin.
    size: tuple[float, float]
    #: Entities in the document.
    found: int

    def counts(self) -> Counter[str]:
        """Number of entities of each type, in the order of their first appearance."""
        return Counter(each.type for each in self.entities)


def read_level(layout: DocumentField) -> Level | None:
    """The level of a layout; ``None`` if the document is none."""
    layers = sorted(layout["layers"].items(MOST_LAYERS), key=lambda layer: layer["z_index"].number or 0)
    lists = [(layout["entities"], 0.0), *((each["entities"], each["z_index"].number or 0) for each in layers)]
    entities: list[PlacedEntity] = []
    background: PlacedEntity | None = None
    drawn = 0
    for listed, depth in lists:
        for field in listed.items(MOST_ENTITIES - drawn):
            drawn += 1
            kind = field["type"].text
            if kind == "background_color":
                background = _background(field) or background
            elif (placed := _place(field, kind, depth)) is not None:
                entities.append(placed)
    found = sum(len(listed) for listed, _ in lists)
    if not found or (not entities and background is None):
        return None
    entities = _grounded(entities)
    # A stable sort: within a layer the document's order counts.
    entities.sort(key=lambda each: each.depth)
    bounds, margin = _bounds(entities)
    return Level(
        entities=tuple(entities),
        layers=tuple(
            LevelLayer(
                field=each,
                name=one_line(each["id"].text, most=60),
                depth=each["z_index"].number or 0,
                entities=len(each["entities"]),
            )
            for each in layers
        ),
        background=background,
        bounds=bounds,
        size=(bounds[2] - bounds[0] - 2 * margin, bounds[3] - bounds[1] - 2 * margin),
        found=found,
    )


def _background(field: DocumentField) -> PlacedEntity | None:
    colour = _colour(field)
    if colour is None:
        return None
    return PlacedEntity(
        type="background_color", field=field, name=colour, left=0, top=0, width=0, height=0, colour=colour
    )


def _place(field: DocumentField, kind: str, depth: float) -> PlacedEntity | None:
    x, y = field["x"].number, field["y"].number
    if x is None or y is None or kind not in _SIZES:
        return None
    width, height = field["width"].number, field["height"].number
    usual = _SIZES[kind]
    wide = width if width is not None and width > 0 else usual[0]
    high = height if height is not None and height > 0 else usual[1]
    named = field["asset_id"] if kind.endswith("_image") else field[_NAMES.get(kind, "id")]
    return PlacedEntity(
        type=kind,
        field=field,
        name=one_line(named.text or field["id"].text, most=80),
        left=x - wide / 2 if kind in POINTS else x,
        top=y,
        width=wide,
        height=high,
        sized=width is not None and height is not None,
        colour=_colour(field),
        depth=field["layer"].number or depth,
    )


def _grounded(entities: list[PlacedEntity]) -> list[PlacedEntity]:
    """Figures with their feet on the platform below them, where there is one near."""
    if len(entities) > _MOST_GROUNDED:
        return entities
    tops = [each for each in entities if each.type == "platform"]
    return [_stand(each, tops) if each.type in _STANDING else each for each in entities]


def _stand(figure: PlacedEntity, platforms: Sequence[PlacedEntity]) -> PlacedEntity:
    middle = figure.left + figure.width / 2
    below = [
        each.top
        for each in platforms
        if each.left <= middle <= each.left + each.width
        and 0 < each.top - figure.top <= figure.height * _NEAR
    ]
    return figure if not below else msgspec.structs.replace(figure, height=min(below) - figure.top)


def _colour(field: DocumentField) -> str | None:
    said = field["color"].text
    return said.lower() if _COLOUR.fullmatch(said) else None


def _bounds(entities: Sequence[PlacedEntity]) -> tuple[tuple[float, float, float, float], float]:
    """Bounds, and the margin in them."""
    # A background image without a size covers the level, however large that is.
    sides = [_sides(each) for each in entities if each.sized or each.type != "background_image"]
    if not sides:
        return _EMPTY, 0.0
    left, top = min(side[0] for side in sides), min(side[1] for side in sides)
    right, bottom = max(side[2] for side in sides), max(side[3] for side in sides)
    margin = max(20.0, _MARGIN * max(right - left, bottom - top))
    return (left - margin, top - margin, right + margin, bottom + margin), margin


def _sides(entity: PlacedEntity) -> tuple[float, float, float, float]:
    reach = max(patrol_of(entity) / 2 - entity.width / 2, 0)
    return (
        entity.left - reach,
        entity.top,
        entity.left + entity.width + reach,
        entity.top + entity.height,
    )


def patrol_of(entity: PlacedEntity) -> float:
    """How far an enemy walks, in the level's pixels."""
    reach = entity.field["patrol_width"].number if entity.type == "enemy" else None
    return max(reach or 0, 0)

"""Picture of a layout: the level at scale, with grid, legend and layers."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from infra.pictures import svg
from infra.pictures.fields import DocumentField
from infra.pictures.label_places import LabelPlaces
from infra.pictures.level import POINTS, Level, PlacedEntity, patrol_of, read_level
from infra.pictures.marks import LEGEND_NAMES, draw_mark, legend_mark
from infra.pictures.sheet import INNER, MARGIN, WIDTH, Sheet, chip, tip
from infra.pictures.svg import Markup
from infra.pictures.theme import ON_DARK, ON_LIGHT, is_dark
from infra.pictures.typesetting import LEAD, SMALL, TINY, cut, text_width

#: Room for the numbers on the left of the level.
_AXIS: Final = 44
_LEFT: Final = MARGIN + _AXIS
_WIDE: Final = WIDTH - MARGIN - _LEFT
_LOWEST: Final = 160
_TALLEST: Final = 520
#: Picture pixels per pixel of the level, at most.
_LARGEST_SCALE: Final = 1.25
#: Smallest distance of two grid lines, picture pixels.
_GRID: Final = 48
#: Names that are written beside entities.
_MOST_NAMES: Final = 70
#: Longest of them, pixels.
_NAME: Final = 130
#: Whose names come first where there is little room.
_FIRST: Final = ("player", "goal", "enemy", "collectible", "hazard", "platform", "decoration")


class LevelView(msgspec.Struct, frozen=True, kw_only=True):
    """Where the level is in the picture."""

    left: float
    top: float
    width: float
    height: float
    #: The level's coordinates of the upper left corner.
    x0: float
    y0: float
    #: Picture pixels per pixel of the level.
    scale: float

    def x(self, value: float) -> float:
        """A coordinate of the level in the picture."""
        return self.left + (value - self.x0) * self.scale

    def y(self, value: float) -> float:
        """A coordinate of the level in the picture."""
        return self.top + (value - self.y0) * self.scale


def draw_layout(sheet: Sheet, document: DocumentField) -> bool:
    """Draw a layout; whether the document is one."""
    level = read_level(document)
    if level is None:
        return False
    sheet.paragraph(document["concept"], style=LEAD, colour="soft", most=4)
    sheet.space(14)
    view = _view(level, sheet.y)
    sheet.add(_ground(level, view), *_grid(view, level), _entities(level, view))
    sheet.y += view.height
    sheet.add(*_numbers(view))
    sheet.space(38)
    _legend(sheet, level, view)
    _layers(sheet, level)
    drawn = len(level.entities) + (level.background is not None)
    if level.found > drawn:
        sheet.note(f"{drawn:,} of {level.found:,} entities are drawn")
    return True


def _view(level: Level, top: float) -> LevelView:
    x0, y0, x1, y1 = level.bounds
    wide, high = x1 - x0, y1 - y0
    scale = min(_WIDE / wide, _TALLEST / high, _LARGEST_SCALE)
    height = min(max(high * scale, _LOWEST), _TALLEST)
    # The level is in the middle of what is left over.
    x0 -= (_WIDE / scale - wide) / 2
    y0 -= (height / scale - high) / 2
    return LevelView(left=_LEFT, top=top, width=_WIDE, height=height, x0=x0, y0=y0, scale=scale)


def _area(view: LevelView, **attributes: str | float | None) -> Markup:
    return svg.element(
        "rect", x=view.left, y=view.top, width=view.width, height=view.height, rx=6, **attributes
    )


def _ground(level: Level, view: LevelView) -> Markup:
    found = level.background
    if found is None or found.colour is None:
        return _area(view, class_="us-f-sunken")
    fill = _area(view, fill=found.colour[:7], fill_opacity=opacity(found.colour))
    return svg.group(tip(found.field), fill)


def opacity(colour: str) -> float | None:
    """The opacity of ``#RRGGBBAA``; none for ``#RRGGBB``."""
    return None if len(colour) == len("#RRGGBB") else int(colour[7:9], 16) / 255


def _scope(level: Level) -> str | None:
    """Class of what is drawn on the level's own colour."""
    colour = level.background.colour if level.background is not None else None
    if colour is None or (opacity(colour) or 1) < 0.5:  # noqa: PLR2004 - the surface shows through
        return None
    return ON_DARK if is_dark(colour) else ON_LIGHT


def grid_step(shown: float, room: float, least: float) -> float:
    """The distance of grid lines: 1, 2 or 5 times a power of ten.

    Args:
        shown: what the axis shows, in its own unit.
        room: pixels that it has.
        least: smallest distance of two lines in pixels.
    """
    rough = max(shown * least / room, 1e-6)
    power = 10.0 ** math.floor(math.log10(rough))
    return next((power * each for each in (1, 2, 5) if power * each >= rough), power * 10)


def _ticks(view: LevelView) -> tuple[list[float], list[float]]:
    step = grid_step(view.width / view.scale, view.width, _GRID)
    return _multiples(view.x0, view.width / view.scale, step), _multiples(
        view.y0, view.height / view.scale, step
    )


def _multiples(start: float, length: float, step: float) -> list[float]:
    first = math.ceil(start / step)
    return [each * step for each in range(first, math.floor((start + length) / step) + 1)]


def _grid(view: LevelView, level: Level) -> list[Markup]:
    across, down = _ticks(view)
    bottom, right = view.top + view.height, view.left + view.width
    path = "".join(f"M{svg.number(view.x(x))} {svg.number(view.top)}V{svg.number(bottom)}" for x in across)
    path += "".join(f"M{svg.number(view.left)} {svg.number(view.y(y))}H{svg.number(right)}" for y in down)
    lines = svg.element("path", d=path, class_="us-s-ink", stroke_opacity=0.09)
    return [svg.group(lines, class_=_scope(level))]


def _numbers(view: LevelView) -> list[Markup]:
    across, down = _ticks(view)
    bottom = view.top + view.height
    drawn = [
        svg.text_line(f"{x:,.0f}", view.x(x), bottom + 16, TINY, "soft", anchor="middle")
        for x in across
        if view.left + 8 < view.x(x) < view.left + view.width - 8
    ]
    drawn += [
        svg.text_line(f"{y:,.0f}", view.left - 8, view.y(y) + 4, TINY, "soft", anchor="end")
        for y in down
        if view.top + 4 < view.y(y) < bottom - 2
    ]
    return drawn


def _entities(level: Level, view: LevelView) -> Markup:
    # Figures lie over everything that has an area, however far back they are.
    order = sorted(level.entities, key=lambda each: each.type in POINTS)
    drawn = [
        svg.group(tip(each.field), draw_mark(each, *_box(each, view), reach=patrol_of(each) * view.scale))
        for each in order
    ]
    return svg.group(*drawn, _names(level, view), class_=_scope(level))


def _box(entity: PlacedEntity, view: LevelView) -> tuple[float, float, float, float]:
    """Left, top, width and height in the picture."""
    if entity.type == "background_image" and not entity.sized:
        return view.left + 6, view.top + 6, view.width - 12, view.height - 12
    return (
        view.x(entity.left),
        view.y(entity.top),
        max(entity.width * view.scale, 2),
        max(entity.height * view.scale, 2),
    )


def _names(level: Level, view: LevelView) -> Markup:
    """The names of entities, where there is room for them."""
    places = LabelPlaces(view.left + 2, view.top + 2, view.left + view.width - 2, view.top + view.height - 2)
    marks = [each for each in level.entities if each.type not in ("platform", "background_image")]
    for each in marks[:400]:
        places.occupy(*_box(each, view))
    order = sorted(level.entities, key=lambda each: _rank(each.type))
    drawn: list[Markup] = []
    halo: dict[str, str | float | None] = {
        "stroke_width": 3,
        "stroke_linejoin": "round",
        "paint_order": "stroke",
    }
    behind = level.background.colour if level.background is not None and _scope(level) else None
    halo |= {"class_": "us-s-sunken"} if behind is None else {"stroke": behind[:7]}
    for entity in order[: 2 * _MOST_NAMES]:
        if not entity.name or len(drawn) == _MOST_NAMES:
            continue
        said = cut(_name(entity), _NAME, TINY)
        wide = text_width(said, TINY)
        left, top, width, height = _box(entity, view)
        inside = entity.type == "platform" and height >= 17 and wide + 10 <= width  # noqa: PLR2004 - a line
        colour = "ink"
        scope = None
        if inside:
            place = (left + width / 2, top + height / 2 + 4)
            places.occupy(place[0] - wide / 2, place[1] - 10, wide, 12)
            if entity.colour is not None:
                scope = ON_DARK if is_dark(entity.colour) else ON_LIGHT
        elif entity.type == "background_image":
            place = (left + wide / 2 + 10, top + 18)
        else:
            found = places.find(left, top, width, height, wide)
            if found is None:
                continue
            place = found
            colour = "soft" if entity.type in ("platform", "decoration") else "ink"
        line = svg.text_line(said, *place, TINY, colour, anchor="middle")
        if not inside:
            # Readable over whatever is below it.
            line = svg.group(line, **halo)
        drawn.append(svg.group(tip(entity.field), line, class_=scope))
    return svg.group(*drawn)


def _name(entity: PlacedEntity) -> str:
    match entity.type:
        case "player":
            return "player"
        case "goal" if entity.field["leads_to"].text:
            return f"→ {entity.name}"
        case _:
            return entity.name


def _rank(kind: str) -> int:
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


def _legend(sheet: Sheet, level: Level, view: LevelView) -> None:
    x = float(_LEFT)
    for kind, count in sorted(level.counts().items(), key=lambda item: _rank(item[0])):
        said = f"{LEGEND_NAMES[kind]} {count:,}"
        wide = text_width(said, SMALL) + 24 + 18
        if x > _LEFT and x + wide > WIDTH - MARGIN - 130:
            x, sheet.y = float(_LEFT), sheet.y + 24
        sheet.add(legend_mark(kind, x, sheet.y - 9), svg.text_line(said, x + 24, sheet.y + 4, SMALL, "soft"))
        x += wide
    width, height = level.size
    said = f"{width:,.0f} \N{MULTIPLICATION SIGN} {height:,.0f} px, scale {view.scale:.2g}"
    sheet.add(svg.text_line(said, WIDTH - MARGIN, sheet.y + 4, SMALL, "soft", anchor="end"))
    sheet.space(10)


def _layers(sheet: Sheet, level: Level) -> None:
    if not level.layers:
        return
    sheet.space(18)
    x = float(_LEFT)
    for layer in reversed(level.layers):
        counted = f"{layer.entities} {'entity' if layer.entities == 1 else 'entities'}"
        drawn, wide = chip(
            layer.field, f"{layer.name}  ·  z {layer.depth:g}  ·  {counted}", x, sheet.y, most=INNER
        )
        if x > _LEFT and x + wide > WIDTH - MARGIN:
            x, sheet.y = float(_LEFT), sheet.y + 30
            drawn, wide = chip(layer.field, f"{layer.name}  ·  z {layer.depth:g}  ·  {counted}", x, sheet.y)
        sheet.add(drawn)
        x += wide + 8
    sheet.space(24)

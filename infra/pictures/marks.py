"""Marks of a level's entities."""

from __future__ import annotations

from typing import Final

from infra.pictures import svg
from infra.pictures.level import PlacedEntity
from infra.pictures.svg import Markup

LEGEND_NAMES: Final = {
    "platform": "platform",
    "player": "player",
    "collectible": "collectible",
    "enemy": "enemy",
    "hazard": "hazard",
    "goal": "goal",
    "decoration": "decoration",
    "background_image": "background image",
    "platform_image": "platform image",
    "collectible_image": "collectible image",
    "foreground_image": "foreground image",
}
#: Smallest and largest height of a figure, picture pixels.
_FIGURE: Final = (21, 36)
#: Teeth of a hazard at most.
_TEETH: Final = 60
#: Size from which an image is its frame alone.
_PLAIN: Final = 400
_n = svg.number


def draw_mark(  # noqa: PLR0911 - one mark for each type
    entity: PlacedEntity, left: float, top: float, width: float, height: float, *, reach: float = 0
) -> Markup:
    """The mark of an entity.

    Args:
        entity: the entity.
        left: of its space in the picture.
        top: as above.
        width: as above.
        height: as above.
        reach: how far it walks.
    """
    middle = left + width / 2
    match entity.type:
        case "platform":
            return _platform(entity, left, top, width, height)
        case "hazard":
            return _hazard(left, top, width, height, sized=entity.sized)
        case "player":
            tall = _figure(height)
            return player(middle, top + height, tall, left=entity.field["facing"].text == "left")
        case "enemy":
            walk = _walk(middle, top + height, reach) if reach else svg.NOTHING
            return svg.join(walk, enemy(middle, top + height, _figure(height)))
        case "goal":
            return goal(middle, top + height, min(max(height, 26), 60))
        case "collectible":
            return coin(middle, top + height / 2, min(max(width / 2, 5), 9))
        case "decoration":
            return decoration(middle, top + height / 2)
        case _:
            return image(left, top, width, height)


def legend_mark(kind: str, x: float, y: float) -> Markup:  # noqa: PLR0911 - as above
    """A mark 18 pixels wide and high for the legend."""
    match kind:
        case "platform":
            return svg.element("rect", x=x, y=y + 5, width=18, height=8, rx=2, class_="us-f-platform")
        case "hazard":
            return _hazard(x, y + 4, 18, 10, sized=True)
        case "player":
            return player(x + 9, y + 18, 18, left=False)
        case "enemy":
            return enemy(x + 9, y + 17, 16)
        case "goal":
            return goal(x + 9, y + 18, 18)
        case "collectible":
            return coin(x + 9, y + 9, 6)
        case "decoration":
            return decoration(x + 9, y + 9)
        case _:
            return image(x + 1, y + 3, 16, 13)


def _figure(height: float) -> float:
    return min(max(height, _FIGURE[0]), _FIGURE[1])


def _platform(entity: PlacedEntity, left: float, top: float, width: float, height: float) -> Markup:
    box = {"x": left, "y": top, "width": width, "height": height, "rx": min(3, height / 3)}
    if entity.colour is not None:
        seen = None if len(entity.colour) == len("#RRGGBB") else int(entity.colour[7:9], 16) / 255
        return svg.element(
            "rect", **box, fill=entity.colour[:7], fill_opacity=seen, class_="us-s-ink", stroke_opacity=0.35
        )
    # A dashed outline: the game decides how large it is.
    dashes = None if entity.sized else "4 3"
    seen = 0.9 if entity.sized else 0.45
    return svg.element(
        "rect",
        **box,
        class_="us-f-platform us-s-ink",
        fill_opacity=seen,
        stroke_opacity=0.5,
        stroke_dasharray=dashes,
    )


def _hazard(left: float, top: float, width: float, height: float, *, sized: bool) -> Markup:
    teeth = min(max(round(width / 10), 2), _TEETH)
    step = width / teeth
    low = top + max(height, 6)
    path = f"M{_n(left)} {_n(low)}" + "".join(
        f"L{_n(left + (index + 0.5) * step)} {_n(top)}L{_n(left + (index + 1) * step)} {_n(low)}"
        for index in range(teeth)
    )
    return svg.element(
        "path",
        d=f"{path}z",
        class_="us-f-hazard us-s-surface",
        stroke_width=0.75,
        stroke_linejoin="round",
        stroke_dasharray=None if sized else "3 2",
    )


def player(x: float, ground: float, tall: float, *, left: bool) -> Markup:
    """Somebody who stands on the ground and looks to one side."""
    head = tall * 0.2
    body = f"M{_n(x - head * 1.25)} {_n(ground)}v{_n(-tall * 0.34)}a{_n(head * 1.25)} {_n(head * 1.25)} 0 0 1 {_n(head * 2.5)} 0v{_n(tall * 0.34)}z"
    turn = -1 if left else 1
    nose = f"M{_n(x + turn * head * 1.7)} {_n(ground - tall * 0.46)}l{_n(turn * head * 1.5)} {_n(tall * 0.13)}l{_n(-turn * head * 1.5)} {_n(tall * 0.13)}z"
    face = svg.element("circle", cx=x, cy=ground - tall + head, r=head)
    return svg.group(
        face,
        svg.element("path", d=body),
        svg.element("path", d=nose),
        class_="us-f-player us-s-surface",
        stroke_width=0.9,
    )


def enemy(x: float, ground: float, tall: float) -> Markup:
    """Somebody in the way: a shield with two eyes."""
    half = tall * 0.46
    path = (
        f"M{_n(x - half)} {_n(ground - tall * 0.92)}l{_n(half * 0.5)} {_n(tall * 0.2)}h{_n(half)}"
        f"l{_n(half * 0.5)} {_n(-tall * 0.2)}v{_n(tall * 0.62)}"
        f"a{_n(half)} {_n(tall * 0.3)} 0 0 1 {_n(-2 * half)} 0z"
    )
    eyes = [
        svg.element("circle", cx=x + side * half * 0.4, cy=ground - tall * 0.44, r=tall * 0.075)
        for side in (-1, 1)
    ]
    return svg.join(
        svg.element(
            "path", d=path, class_="us-f-enemy us-s-surface", stroke_width=0.9, stroke_linejoin="round"
        ),
        svg.group(*eyes, class_="us-f-surface"),
    )


def _walk(x: float, ground: float, reach: float) -> Markup:
    left, right = x - reach / 2, x + reach / 2
    path = f"M{_n(left)} {_n(ground - 7)}v6M{_n(left)} {_n(ground - 4)}H{_n(right)}M{_n(right)} {_n(ground - 7)}v6"
    return svg.element("path", d=path, class_="us-s-enemy", stroke_width=1.25, stroke_dasharray="3 2")


def goal(x: float, ground: float, tall: float) -> Markup:
    """A flag on a pole."""
    wide = min(tall * 0.5, 20)
    flag = f"M{_n(x)} {_n(ground - tall)}l{_n(wide)} {_n(tall * 0.17)}l{_n(-wide)} {_n(tall * 0.17)}z"
    pole = svg.element(
        "path", d=f"M{_n(x)} {_n(ground)}V{_n(ground - tall)}", class_="us-s-goal", stroke_width=2
    )
    return svg.join(pole, svg.element("path", d=flag, class_="us-f-goal us-s-surface", stroke_width=0.75))


def coin(x: float, y: float, radius: float) -> Markup:
    """Something to pick up."""
    return svg.join(
        svg.element("circle", cx=x, cy=y, r=radius, class_="us-f-gold us-s-surface", stroke_width=1),
        svg.element(
            "circle",
            cx=x,
            cy=y,
            r=radius * 0.5,
            class_="us-s-surface",
            fill="none",
            stroke_width=1,
            stroke_opacity=0.75,
        ),
    )


def decoration(x: float, y: float) -> Markup:
    """Something to look at: an open diamond."""
    path = f"M{_n(x)} {_n(y - 6)}l6 6l-6 6l-6-6z"
    return svg.element("path", d=path, class_="us-f-surface us-s-soft", fill_opacity=0.7, stroke_width=1.4)


def image(left: float, top: float, width: float, height: float) -> Markup:
    """A stored image: a frame with a horizon."""
    x, y = left + width / 2, top + height / 2
    size = min(width, height, 22) * 0.5
    hill = (
        f"M{_n(x - size)} {_n(y + size * 0.6)}l{_n(size * 0.7)} {_n(-size * 0.9)}"
        f"l{_n(size * 0.5)} {_n(size * 0.5)}l{_n(size * 0.3)} {_n(-size * 0.3)}l{_n(size * 0.5)} {_n(size * 0.7)}z"
    )
    frame = svg.element(
        "rect",
        x=left,
        y=top,
        width=width,
        height=height,
        rx=min(4, height / 4),
        class_="us-f-soft us-s-soft",
        fill_opacity=0.07,
        stroke_dasharray="5 3",
    )
    glyph = svg.element("path", d=hill, class_="us-f-soft", fill_opacity=0.75)
    return svg.join(frame, glyph) if max(width, height) < _PLAIN else frame

"""Text drawing of a level: its platforms, figures and things as characters, for a terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from infra.pictures.level import Level, PlacedEntity, read_level

if TYPE_CHECKING:
    from infra.pictures.fields import DocumentField

#: Most lines of a level.
_MOST_ROWS: Final = 18
#: A character is about twice as high as it is wide.
_ASPECT: Final = 2.0


class LevelMark(msgspec.Struct, frozen=True):
    """How a type of entity is drawn."""

    #: One character, and what takes its place where the terminal has ASCII alone.
    sign: str
    plain: str
    #: A surface fills its width; all else is one character in its middle.
    surface: bool = False


#: In drawing order: later ones cover earlier ones.
_MARKS: Final[dict[str, LevelMark]] = {
    "platform": LevelMark("▀", "=", surface=True),
    "platform_image": LevelMark("▀", "=", surface=True),
    "hazard": LevelMark("▲", "^", surface=True),
    "decoration": LevelMark("◇", "*"),
    "goal": LevelMark("⚑", ">"),
    "collectible": LevelMark("●", "o"),
    "collectible_image": LevelMark("●", "o"),
    "enemy": LevelMark("✖", "x"),
    "player": LevelMark("☺", "@"),
}


def draw_level(document: DocumentField, width: int, *, plain: bool = False) -> list[str]:
    """Draw a layout as lines of text; the last ones are the legend.

    Args:
        document: the document.
        width: characters of a line.
        plain: use ASCII alone.

    Returns:
        The lines; none where the document is no layout that can be drawn.
    """
    level = read_level(document)
    if level is None or not level.entities:
        return []
    return [*_draw(level, width, plain=plain), *_legend(level, width, plain=plain)]


def _draw(level: Level, width: int, *, plain: bool) -> list[str]:
    left, top, right, bottom = level.bounds
    across = (width - 1) / max(right - left, 1.0)
    rows = max(3, min(_MOST_ROWS, round((bottom - top) * across / _ASPECT)))
    down = (rows - 1) / max(bottom - top, 1.0)
    grid = [[" "] * width for _ in range(rows)]
    order = list(_MARKS)
    drawn = [each for each in level.entities if each.type in _MARKS]
    for entity in sorted(drawn, key=lambda each: order.index(each.type)):
        mark = _MARKS[entity.type]
        sign = mark.plain if plain else mark.sign
        row = _clamp(round((_foot(entity, mark) - top) * down), rows)
        if mark.surface:
            first = _clamp(round((entity.left - left) * across), width)
            last = _clamp(round((entity.left + entity.width - left) * across), width)
            for column in range(first, max(first, last - 1) + 1):
                grid[row][column] = sign
        else:
            column = _clamp(round((entity.left + entity.width / 2 - left) * across), width)
            # On a surface it stands in the line above.
            above = row - 1 if row > 0 and grid[row][column] in "▀=▲^" else row
            grid[above][column] = sign
    return ["".join(line).rstrip() for line in grid]


def _foot(entity: PlacedEntity, mark: LevelMark) -> float:
    """The height at which an entity is drawn: a surface's top, and the feet of all else."""
    return entity.top if mark.surface else entity.top + entity.height


def _clamp(value: int, size: int) -> int:
    return max(0, min(size - 1, value))


def _legend(level: Level, width: int, *, plain: bool) -> list[str]:
    counts: Counter[str] = Counter()
    for kind, number in level.counts().items():
        if kind in _MARKS:
            counts[kind.removesuffix("_image")] += number
    lines = [""]
    for kind, number in counts.items():
        said = f"{_MARKS[kind].plain if plain else _MARKS[kind].sign} {kind} {number}"
        if lines[-1] and len(lines[-1]) + 2 + len(said) > width:
            lines.append("")
        lines[-1] += f"{'  ' if lines[-1] else ''}{said}"
    return lines

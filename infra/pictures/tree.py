"""Picture of any document: a tree of its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from infra.pictures import svg
from infra.pictures.fields import DocumentField
from infra.pictures.sheet import MARGIN, WIDTH, Sheet, baseline, tip
from infra.pictures.svg import Markup
from infra.pictures.typesetting import BODY, SMALL, cut, one_line, text_width, wrap

#: Rows that one picture has, lines of one text, and levels.
MOST_ROWS: Final = 400
_MOST_LINES: Final = 4
_DEEPEST: Final = 24
_INDENT: Final = 22
#: Width of the names.
_NAMES: Final = 170
_HEIGHT: Final = 25
#: Fields that name an item of a list.
_IDENTITY: Final = ("name", "title", "id", "label")


class TreeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a tree."""

    field: DocumentField
    #: Its name, or its number in a list from 1.
    name: str
    depth: int
    #: Whether it is the last of its siblings, for it and every level above.
    lasts: tuple[bool, ...]

    @property
    def branch(self) -> bool:
        """Whether it has fields of its own."""
        return isinstance(self.field.value, Mapping | list | tuple)

    @property
    def value(self) -> str:
        """What is written beside the name."""
        return value_text(self.field)


def walk_tree(document: DocumentField, most: int = MOST_ROWS) -> tuple[list[TreeRow], bool]:
    """The first rows of a document, and whether there are more."""
    rows: list[TreeRow] = []
    for row in _walk(document, ()):
        if len(rows) == most:
            return rows, True
        rows.append(row)
    return rows, False


def _walk(field: DocumentField, lasts: tuple[bool, ...]) -> Iterator[TreeRow]:
    if len(lasts) >= _DEEPEST:
        return
    count = len(field)
    listed = isinstance(field.value, list | tuple)
    names: Any = range(count) if listed else cast("Mapping[str, Any]", field.value) if count else ()
    for index, name in enumerate(names):
        child = field[name]
        inner = (*lasts, index == count - 1)
        said = f"{index + 1}" if listed else one_line(str(name), most=200)
        yield TreeRow(field=child, name=said, depth=len(lasts), lasts=inner)
        yield from _walk(child, inner)


def value_text(field: DocumentField) -> str:
    """A value in a few words: a list by its number of items, an object by what identifies it."""
    value = field.value
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return value or "empty text"
        case list() | tuple():
            return f"{len(field):,} {'item' if len(field) == 1 else 'items'}"
        case Mapping():
            named = next((field[name].text for name in _IDENTITY if field[name].text), "")
            return named or f"{len(field):,} {'field' if len(field) == 1 else 'fields'}"
        case _:
            return field.text or "no number"


def draw_tree(sheet: Sheet, document: DocumentField) -> bool:
    """Draw any JSON value as a tree."""
    sheet.space(12)
    if not isinstance(document.value, Mapping | list | tuple):
        sheet.paragraph(document, text=value_text(document))
        return True
    rows, more = walk_tree(document)
    #: Where the line of each level begins.
    starts: dict[int, float] = {}
    drawn = 0
    for row in rows:
        if sheet.full:
            more = True
            break
        _draw_row(sheet, row, starts)
        drawn += 1
    if not rows:
        sheet.paragraph(document, text="empty", colour="soft")
    if more:
        sheet.note(f"the first {drawn:,} fields are drawn")
    return True


def _draw_row(sheet: Sheet, row: TreeRow, starts: dict[int, float]) -> None:
    x = MARGIN + row.depth * _INDENT
    middle = sheet.y + _HEIGHT / 2
    branch = _branch(row, x, middle, starts)
    room = WIDTH - MARGIN - x - 14
    name = cut(row.name, max(min(room * 0.4, 260), 60), SMALL)
    named = svg.text_line(name, x + 14, sheet.y + baseline(SMALL) + 3, SMALL, "ink" if row.branch else "soft")
    # Values are in one column, as long as the tree is not too deep.
    left = max(MARGIN + _NAMES, x + 14 + text_width(name, SMALL) * 1.08 + 16)
    width = max(WIDTH - MARGIN - left, 80)
    colour = "soft" if row.branch or not row.field else "ink"
    style = SMALL if row.branch else BODY
    lines = wrap(row.value, width, style, most=_MOST_LINES)
    text = [
        svg.text_line(
            line,
            left,
            sheet.y + baseline(style) + (3 if style is SMALL else 2) + index * style.leading,
            style,
            colour,
        )
        for index, line in enumerate(lines)
    ]
    sheet.add(branch, svg.group(tip(row.field) if not row.branch else svg.NOTHING, named, *text))
    sheet.y += max(_HEIGHT, len(lines) * style.leading + 4)


def _branch(row: TreeRow, x: float, middle: float, starts: dict[int, float]) -> Markup:
    """The line from the field above to this one."""
    if row.depth == 0:
        starts[1] = middle + 8
        return svg.element("circle", cx=x + 3, cy=middle, r=2.5, class_="us-f-faint")
    start = starts[row.depth]
    starts[row.depth] = middle
    starts[row.depth + 1] = middle + 8
    path = f"M{svg.number(x - _INDENT + 3)} {svg.number(start)}V{svg.number(middle)}H{svg.number(x + 8)}"
    return svg.element("path", d=path, class_="us-s-line", fill="none")

"""Text drawing of any document: a tree of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from infra.pictures.text_sheet import cells
from infra.pictures.tree import MOST_ROWS, TreeRow, value_text, walk_tree
from infra.pictures.typesetting import cut_by, one_line

if TYPE_CHECKING:
    from infra.pictures.fields import DocumentField
    from infra.pictures.text_sheet import TextSheet

#: Columns of a name.
_NAME: Final = 28


def draw_tree_text(sheet: TextSheet, document: DocumentField) -> None:
    """Draw any JSON value."""
    if not isinstance(document.value, Mapping | list | tuple):
        sheet.paragraph(value_text(document))
        return
    rows, more = walk_tree(document)
    if not rows:
        sheet.add("empty")
    for row in rows:
        sheet.add(_line(row))
    if more:
        sheet.add(f"the first {MOST_ROWS:,} fields are drawn")


def _line(row: TreeRow) -> str:
    trunk = "".join("  " if last else "│ " for last in row.lasts[1:-1])
    branch = ("└ " if row.lasts[-1] else "├ ") if row.depth else ""
    return f"{trunk}{branch}{cut_by(row.name, _NAME, cells)}: {one_line(row.value, most=400)}"

"""Text drawing of any content, for a terminal: it says where the content comes from, and needs no colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from infra.pictures.fields import DocumentField
from infra.pictures.text_level import draw_level
from infra.pictures.text_sheet import MOST_LINES, TextSheet
from infra.pictures.text_story import draw_dialogue_text, draw_scene_text
from infra.pictures.text_time import draw_plot_text, draw_transition_text
from infra.pictures.text_tree import draw_tree_text
from infra.pictures.typesetting import one_line

if TYPE_CHECKING:
    from infra.pictures.label import PictureLabel

#: Narrowest and widest drawing, characters.
_NARROW: Final = 20
_WIDE: Final = 160
#: What draws a kind, and the field with its title.
_DRAWERS: Final[dict[str, tuple[str, Callable[[TextSheet, DocumentField], bool]]]] = {
    "plot": ("title", draw_plot_text),
    "scene": ("title", draw_scene_text),
    "dialogue": ("title", draw_dialogue_text),
    "transition": ("title", draw_transition_text),
}


def draw_text(
    kind: str,
    content: Any,
    *,
    label: PictureLabel | None = None,
    width: int = 78,
    plain: bool = False,
    most: int = MOST_LINES,
) -> list[str]:
    """Draw a document as lines of text.

    Any JSON value can be drawn: one that is not of its kind is drawn as a tree.  Texts of the document are cleaned of
    everything that a terminal obeys, and bounded.

    Args:
        kind: the content's kind.
        content: the document; ``None``: there is none, and the label says why.
        label: where the content comes from.
        width: characters of a line, from 20 to 160.
        plain: use ASCII alone.
        most: lines, at most, beside one that says that there are more.
    """
    sheet = TextSheet(max(_NARROW, min(width, _WIDE)), most=most)
    document = DocumentField(content)
    if label is not None:
        sheet.both(kind, one_line(label.text))
    if kind == "layout":
        level = draw_level(document, sheet.width, plain=plain)
        if level:
            sheet.paragraph(document["scene_name"].text, most=2)
            sheet.add(*level)
            return sheet.finish(plain=plain)
    if kind in _DRAWERS:
        name, drawer = _DRAWERS[kind]
        sheet.paragraph(document[name].text, most=2)
        if drawer(sheet, document):
            return sheet.finish(plain=plain)
    if content is not None:
        draw_tree_text(sheet, document)
    return sheet.finish(plain=plain)

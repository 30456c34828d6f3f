"""Drawing of any content: one function for every door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from infra.pictures.dialogue import draw_dialogue
from infra.pictures.fields import DocumentField
from infra.pictures.label import PictureLabel
from infra.pictures.layout import draw_layout
from infra.pictures.plot import draw_plot
from infra.pictures.png import render_png
from infra.pictures.scene import draw_scene
from infra.pictures.sheet import Sheet
from infra.pictures.theme import PictureTheme
from infra.pictures.transition import draw_transition
from infra.pictures.tree import draw_tree

#: What draws a kind, and the field with its title.
_DRAWERS: Final[dict[str, tuple[str, Callable[[Sheet, DocumentField], bool]]]] = {
    "layout": ("scene_name", draw_layout),
    "plot": ("title", draw_plot),
    "scene": ("title", draw_scene),
    "dialogue": ("title", draw_dialogue),
    "transition": ("title", draw_transition),
}
#: Fields that may be a document's title.
_TITLES: Final = ("title", "name", "scene_name")


def draw(
    kind: str,
    content: Any,
    *,
    label: PictureLabel | None = None,
    theme: PictureTheme = PictureTheme.AUTO,
) -> str:
    """Draw a document as SVG.

    Any JSON value can be drawn: one that is not of its kind is drawn as a tree.  Equal arguments give equal bytes.

    Args:
        kind: the content's kind.
        content: the document; ``None``: there is none, and the label says why.
        label: where the content comes from.
        theme: the colours.

    Returns:
        One ``svg`` element, for a file or a page: no script, no ids, nothing outside it.
    """
    return _sheet(kind, content, label).finish(theme)


def draw_png(
    kind: str,
    content: Any,
    *,
    label: PictureLabel | None = None,
    theme: PictureTheme = PictureTheme.LIGHT,
) -> bytes:
    """Draw a document as PNG; see :func:`draw`.  The theme ``auto`` is light.

    Raises:
        PngUnavailable: the extra ``pictures`` is not installed.
    """
    sheet = _sheet(kind, content, label)
    svg = sheet.finish(theme, plain=True)
    return render_png(svg, height=round(sheet.y))


def _sheet(kind: str, content: Any, label: PictureLabel | None) -> Sheet:
    document = DocumentField(content)
    if kind in _DRAWERS:
        name, drawer = _DRAWERS[kind]
        sheet = Sheet(kind, document[name], label, untitled=_untitled(kind, document))
        if drawer(sheet, document):
            return sheet
    title = next((document[name] for name in _TITLES if document[name].text), DocumentField(""))
    sheet = Sheet(kind, title, label, untitled="Untitled" if content is not None else f"No {kind}")
    if content is not None:
        draw_tree(sheet, document)
    return sheet


def _untitled(kind: str, document: DocumentField) -> str:
    """What is set in place of a title."""
    if kind == "transition":
        return f"{document['mood_from'].text} → {document['mood_to'].text}"
    return "Untitled"

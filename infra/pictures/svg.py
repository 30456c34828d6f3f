"""SVG as text: elements, escaping and numbers."""

from __future__ import annotations

import math
from typing import Any, Final, NewType

import msgspec

from contracts.printable import printable
from infra.pictures.typesetting import TextStyle, clean

#: Escaped markup.  A foreign text becomes markup through :func:`escape` alone.
Markup = NewType("Markup", str)

NOTHING: Final = Markup("")
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
#: Characters of a value in a tooltip.
_SHOWN: Final = 300
_TITLE_LONGEST: Final = 8000


def escape(text: str) -> Markup:
    """A foreign text as markup, without control and invisible characters."""
    return Markup(printable(text, keep="\n").translate(_ENTITIES))


def number(value: float) -> str:
    """A finite number with at most two decimals."""
    rounded = round(value, 2)
    return f"{rounded:.0f}" if rounded == int(rounded) else f"{rounded:.2f}".rstrip("0")


def element(name: str, *children: Markup, **attributes: str | float | None) -> Markup:
    """An element.

    Args:
        name: its name.
        children: its content.
        attributes: its attributes; ``class_`` stands for ``class``, an underscore inside for a hyphen; ``None``: left
            out.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{number(value) if isinstance(value, int | float) else escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(children)
    return Markup(f"<{name}{said}>{inner}</{name}>" if inner else f"<{name}{said}/>")


def group(*children: Markup, **attributes: str | float | None) -> Markup:
    """A group; none for no children."""
    inside = [each for each in children if each]
    return element("g", *inside, **attributes) if inside else NOTHING


def join(*parts: Markup) -> Markup:
    """Elements beside each other."""
    return Markup("".join(parts))


def text_line(
    text: str,
    x: float,
    y: float,
    style: TextStyle,
    colour: str = "ink",
    *,
    anchor: str | None = None,
    **attributes: str | float | None,
) -> Markup:
    """One line of foreign text with its baseline at ``y``.

    Args:
        text: the line.
        x: where it starts, ends or has its middle, see ``anchor``.
        y: of the baseline.
        style: its type.
        colour: a name of the palette.
        anchor: ``middle`` or ``end``.
        attributes: more attributes.
    """
    return element(
        "text",
        escape(text),
        x=x,
        y=y,
        class_=f"{style.name} us-f-{colour}",
        text_anchor=anchor,
        **attributes,
    )


def tooltip(pointer: str, value: Any) -> Markup:
    """The tooltip of a field: its JSON pointer and its value.

    Args:
        pointer: JSON pointer of the field.
        value: a text, shown whole, or another JSON value, cut to a length.
    """
    whole = isinstance(value, str)
    said = clean(value if whole else json_text(value), most=_TITLE_LONGEST if whole else _SHOWN)
    return element("title", escape(f"{clean(pointer, most=_SHOWN) or '/'}\n{said}"))


def json_text(value: Any) -> str:
    """A value as JSON; an ellipsis if it cannot be written."""
    try:
        return msgspec.json.encode(value).decode()
    except (RecursionError, TypeError, ValueError, OverflowError):
        return "…"


def finite(value: Any) -> float | None:
    """A JSON number as a finite float within a picture's bounds; ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return min(max(found, -_LARGEST), _LARGEST) if math.isfinite(found) else None


#: Largest coordinate that is drawn.
_LARGEST: Final = 10_000_000.0

"""Sheet: a card that is filled from top to bottom, with its head, origin and foot."""

from __future__ import annotations

from typing import Any, Final

from infra.pictures import svg
from infra.pictures.fields import DocumentField
from infra.pictures.label import PictureLabel
from infra.pictures.svg import Markup
from infra.pictures.theme import PictureTheme, plain_stylesheet, stylesheet
from infra.pictures.typesetting import (
    BODY,
    EYEBROW,
    LABEL,
    SMALL,
    TINY,
    TITLE,
    TextStyle,
    clean,
    cut,
    one_line,
    text_width,
    wrap,
)

WIDTH: Final = 960
MARGIN: Final = 32
#: Of the area between the margins.
INNER: Final = WIDTH - 2 * MARGIN
_BAR: Final = 5
_RADIUS: Final = 10
#: Height beyond which nothing more is drawn.
TALLEST: Final = 30_000


class Sheet:
    """A picture in the making.

    Args:
        kind: the content's kind.
        title: its title.
        label: where the content comes from; ``None``: not known.
        untitled: what is set if the title is empty.
    """

    def __init__(
        self, kind: str, title: DocumentField, label: PictureLabel | None, *, untitled: str = "Untitled"
    ) -> None:
        #: Where the next part starts.
        self.y = 0.0
        self._parts: list[Markup] = []
        self._notes: list[str] = []
        self._label = label
        self._kind = one_line(kind, most=40)
        said = one_line(title.text, most=400) or one_line(untitled, most=400)
        self._name = said
        self._head(said, title)

    @property
    def full(self) -> bool:
        """Whether the picture is as tall as it may get."""
        return self.y > TALLEST

    def add(self, *parts: Markup) -> None:
        """Add drawn parts; they are where they are."""
        self._parts += [each for each in parts if each]

    def note(self, text: str) -> None:
        """Add a sentence to the foot."""
        self._notes.append(text)

    def note_left_out(self, drawn: int, found: int, what: str) -> None:
        """Say in the foot that not everything is drawn."""
        if found > drawn:
            self.note(f"the first {drawn:,} of {found:,} {what} are drawn")

    def space(self, pixels: float) -> None:
        """Leave some room."""
        self.y += pixels

    def paragraph(
        self,
        field: DocumentField,
        *,
        x: float = MARGIN,
        width: float = INNER,
        style: TextStyle = BODY,
        colour: str = "ink",
        most: int = 0,
        text: str | None = None,
    ) -> None:
        """Set a field's text in lines and move on below it; nothing for a field without text.

        Args:
            field: the field, for the text and the tooltip.
            x: left edge.
            width: of the lines.
            style: type.
            colour: a name of the palette.
            most: number of lines; 0: no limit.
            text: what is set instead of the field's own text.
        """
        drawn, height = paragraph(
            field, x=x, y=self.y, width=width, style=style, colour=colour, most=most, text=text
        )
        self.add(drawn)
        self.y += height

    def heading(self, text: str, *, x: float = MARGIN) -> None:
        """Start a section."""
        self.y += EYEBROW.leading
        self.add(svg.text_line(text.upper(), x, self.y - 4, EYEBROW, "soft"))
        self.y += 7

    def rule(self) -> None:
        """Draw a hairline between two sections."""
        self.y += 18
        self.add(hairline(MARGIN, self.y, WIDTH - MARGIN))
        self.y += 18

    def chips(
        self, fields: list[tuple[DocumentField, str]], *, x: float = MARGIN, width: float = INNER
    ) -> None:
        """Set short texts in rounded boxes beside each other.

        Args:
            fields: each with the text that is set.
            x: left edge.
            width: room before they go on below.
        """
        at, found = x, [(field, one_line(text, most=400)) for field, text in fields]
        row = False
        for field, text in found:
            if not text:
                continue
            drawn, wide = chip(field, text, at, self.y, most=width)
            if at > x and at + wide > x + width:
                at, self.y = x, self.y + 30
                drawn, wide = chip(field, text, at, self.y, most=width)
            self.add(drawn)
            at, row = at + wide + 8, True
        self.y += 26 if row else 0

    def finish(self, theme: PictureTheme, *, plain: bool = False) -> str:
        """The whole picture as SVG.

        Args:
            theme: its colours.
            plain: without custom properties, for renderers that do not know them.
        """
        self._foot()
        height = round(self.y)
        style = plain_stylesheet(theme) if plain else stylesheet(theme)
        label = f"{self._kind}: {self._name}" + (f", {clean(self._label.text)}" if self._label else "")
        card = svg.join(self._card(height), svg.group(*self._parts))
        return svg.element(
            "svg",
            svg.element("style", svg.Markup(style)),
            card,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {WIDTH} {height}",
            width=WIDTH,
            height=height,
            class_=f"us-picture us-{theme}",
            role="img",
            aria_label=one_line(label, most=600),
        )

    def _card(self, height: float) -> Markup:
        accent = self._label.group if self._label is not None else "faint"
        bar = svg.element(
            "rect", x=0.5, y=0.5, width=WIDTH - 1, height=3 * _RADIUS, rx=_RADIUS, class_=f"us-f-{accent}"
        )
        right, bottom = WIDTH - 0.5, height - 0.5
        side = f"H{right}V{bottom - _RADIUS}a{_RADIUS} {_RADIUS} 0 0 1-{_RADIUS} {_RADIUS}"
        path = f"M.5 {_BAR + 0.5}{side}H{_RADIUS + 0.5}a{_RADIUS} {_RADIUS} 0 0 1-{_RADIUS}-{_RADIUS}z"
        return svg.join(bar, svg.element("path", d=path, class_="us-f-surface us-s-line"))

    def _head(self, title: str, field: DocumentField) -> None:
        self.y = _BAR + 24
        kind = self._kind.upper()
        self.add(svg.text_line(kind, MARGIN, self.y + 10, EYEBROW, "soft"))
        if self._label is not None:
            self.add(self._origin(self._label, INNER - text_width(kind, EYEBROW) - 60))
        self.y += 23
        self.paragraph(field, style=TITLE, most=2, text=title)
        if self._label is not None and self._label.reason:
            self.space(2)
            self.paragraph(
                DocumentField(self._label.reason, "reason"),
                style=SMALL,
                colour="soft",
                most=2,
                text=f"Reason: {one_line(self._label.reason)}",
            )
        self.space(8)

    def _origin(self, label: PictureLabel, room: float) -> Markup:
        right = WIDTH - MARGIN
        # On the right of the text: a font of the system may be wider than what is measured.
        dot = svg.element("circle", cx=right - 4, cy=self.y + 6.5, r=4, class_=f"us-f-{label.group}")
        said = cut(one_line(label.text, most=400), room, LABEL)
        line = svg.text_line(said, right - 16, self.y + 10.5, LABEL, label.group, anchor="end")
        return svg.group(svg.tooltip("origin", label.text), dot, line)

    def _foot(self) -> None:
        identity = one_line(self._label.request_id, most=80) if self._label is not None else ""
        for note in self._notes[:3]:
            self.y += 20
            self.add(svg.text_line(f"… {note}", MARGIN, self.y, SMALL, "soft"))
        self.y += 26 if identity else 28
        if identity:
            self.add(svg.text_line(identity, WIDTH - MARGIN, self.y, TINY, "soft", anchor="end"))
            self.y += 22


def paragraph(
    field: DocumentField,
    *,
    x: float,
    y: float,
    width: float,
    style: TextStyle = BODY,
    colour: str = "ink",
    most: int = 0,
    text: str | None = None,
) -> tuple[Markup, float]:
    """A field's text in lines, and its height; see :meth:`Sheet.paragraph`."""
    lines = wrap(field.text if text is None else text, width, style, most=most)
    if not lines:
        return svg.NOTHING, 0.0
    drawn = [
        svg.text_line(line, x, y + index * style.leading + baseline(style), style, colour)
        for index, line in enumerate(lines)
    ]
    return svg.group(tip(field), *drawn), len(lines) * style.leading


def baseline(style: TextStyle) -> float:
    """Distance of the baseline from the top of a line."""
    return style.leading / 2 + style.size * 0.36


def tip(field: DocumentField) -> Markup:
    """The tooltip of a field."""
    return svg.tooltip(field.pointer, field.value)


def chip(
    field: DocumentField, text: str, x: float, y: float, *, most: float = INNER, colour: str = "ink"
) -> tuple[Markup, float]:
    """A short text in a rounded box 24 pixels high, and its width."""
    said = cut(text, most - 26, SMALL)
    wide = text_width(said, SMALL) + 26
    box = svg.element("rect", x=x, y=y, width=wide, height=24, rx=12, class_="us-f-sunken us-s-line")
    # In the middle: a font of the system may be wider than what is measured.
    line = svg.text_line(said, x + wide / 2, y + 16.2, SMALL, colour, anchor="middle")
    return svg.group(tip(field), box, line), wide


def hairline(left: float, y: float, right: float, *, colour: str = "line", **attributes: Any) -> Markup:
    """A horizontal line."""
    return svg.element(
        "path",
        d=f"M{svg.number(left)} {svg.number(y)}H{svg.number(right)}",
        class_=f"us-s-{colour}",
        **attributes,
    )

"""Typesetting: foreign text made safe, approximate widths, line breaks and ellipses."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final

import msgspec

from contracts.printable import printable

#: Advance widths of the characters from U+0020 to U+007E in thousandths of the font's size: of the widest of Inter,
#: Liberation Sans (as wide as Arial) and DejaVu Sans, so that a line fits in whatever the system has.
_ASCII: Final = (
    *(318, 401, 466, 838, 642, 982, 780, 300, 390, 390, 501, 838, 318, 460, 318, 360),
    *(636, 636, 636, 636, 646, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 556),
    *(1015, 690, 686, 730, 770, 667, 611, 778, 752, 295, 571, 672, 565, 903, 753, 787),
    *(667, 787, 722, 667, 646, 744, 690, 989, 685, 679, 685, 390, 360, 390, 838, 556),
    *(500, 613, 635, 571, 635, 615, 370, 635, 634, 278, 278, 579, 278, 974, 634, 612),
    *(635, 635, 411, 528, 392, 634, 592, 818, 592, 592, 552, 636, 337, 636, 838),
)
_FIRST: Final = 0x20
#: Of other characters: letters of most scripts, wide characters (CJK, emoji) and narrow punctuation.
_OTHER: Final = 680
_WIDE: Final = 1000
_NARROW: Final = {
    "…": 1000,
    "·": 318,
    "→": 954,
    "\N{LEFT SINGLE QUOTATION MARK}": 318,
    "\N{RIGHT SINGLE QUOTATION MARK}": 318,
    "“": 518,
    "”": 518,
    "\N{EN DASH}": 500,
}
#: How much wider semibold letters are.
_BOLDER: Final = 1.12
#: Characters that one drawing takes from one text.
LONGEST: Final = 8000


class TextStyle(msgspec.Struct, frozen=True, kw_only=True):
    """A size and weight of type."""

    #: Class in the stylesheet.
    name: str
    #: Pixels.
    size: float
    #: From one baseline to the next, pixels.
    leading: float
    weight: int = 400
    #: Between letters, in pixels.
    spacing: float = 0
    italic: bool = False


TITLE: Final = TextStyle(name="us-title", size=23, leading=30, weight=600, spacing=-0.2)
HEADING: Final = TextStyle(name="us-heading", size=14, leading=20, weight=600)
LEAD: Final = TextStyle(name="us-lead", size=16, leading=25)
BODY: Final = TextStyle(name="us-body", size=14, leading=21)
SMALL: Final = TextStyle(name="us-small", size=12, leading=18)
LABEL: Final = TextStyle(name="us-label", size=12, leading=18, weight=600)
ASIDE: Final = TextStyle(name="us-aside", size=12.5, leading=19, italic=True)
TINY: Final = TextStyle(name="us-tiny", size=11, leading=15)
EYEBROW: Final = TextStyle(name="us-eyebrow", size=10.5, leading=15, weight=600, spacing=0.9)
STYLES: Final = (TITLE, HEADING, LEAD, BODY, SMALL, LABEL, ASIDE, TINY, EYEBROW)


def clean(text: str, *, most: int = LONGEST) -> str:
    """A foreign text without anything that a terminal or a text layout obeys, cut to a length; line feeds stay."""
    head = text[: most + 1]
    if not head.isascii():
        head = "".join(" " if unicodedata.category(each) == "Zs" else each for each in head)
    return printable(head.replace("\r\n", "\n").replace("\t", " "), most=most, keep="\n")


def one_line(text: str, *, most: int = LONGEST) -> str:
    """A foreign text as one line, with single blanks."""
    return " ".join(clean(text, most=most).split())


def text_width(text: str, style: TextStyle) -> float:
    """The approximate width of a clean line in pixels."""
    thousandths = sum(map(_advance, text))
    bolder = _BOLDER if style.weight > 400 else 1  # noqa: PLR2004 - regular
    return thousandths * style.size * bolder / 1000 + style.spacing * len(text)


def _advance(character: str) -> int:
    code = ord(character) - _FIRST
    if 0 <= code < len(_ASCII):
        return _ASCII[code]
    if character in _NARROW:
        return _NARROW[character]
    if unicodedata.combining(character):
        return 0
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else _OTHER


def cut(text: str, width: float, style: TextStyle) -> str:
    """A clean line that fits a width in pixels; where it does not, it ends in ``…``."""
    return cut_by(text, width, _measure(style))


def cut_by(text: str, width: float, measure: Callable[[str], float]) -> str:
    """A clean line that fits a width in any unit; where it does not, it ends in ``…``."""
    if measure(text) <= width:
        return text
    return text[: _fitting(text, width - measure("…"), measure)].rstrip(" ,;:") + "…"


def wrap(text: str, width: float, style: TextStyle, *, most: int = 0) -> tuple[str, ...]:
    """A foreign text in lines that fit a width.

    Args:
        text: the text; line feeds end a line.
        width: pixels.
        style: its type.
        most: number of lines; what is beyond it is cut with ``…``.  0: no limit.
    """
    return wrap_by(text, width, _measure(style), most=most)


def wrap_by(text: str, width: float, measure: Callable[[str], float], *, most: int = 0) -> tuple[str, ...]:
    """The same in any unit.

    Args:
        text: the text; line feeds end a line.
        width: in the unit of ``measure``.
        measure: the width of a clean line.
        most: as of :func:`wrap`.
    """
    lines: list[str] = []
    for paragraph in clean(text).split("\n"):
        lines += _break(paragraph.split(), width, measure)
    if most and len(lines) > most:
        return (*lines[: most - 1], _with_ellipsis(lines[most - 1], width, measure))
    return tuple(lines)


def _measure(style: TextStyle) -> Callable[[str], float]:
    return lambda text: text_width(text, style)


def _break(words: list[str], width: float, measure: Callable[[str], float]) -> list[str]:
    lines: list[str] = []
    line, used = "", 0.0
    blank = measure(" ")
    for word in words:
        wide = measure(word)
        if line and used + blank + wide <= width:
            line, used = f"{line} {word}", used + blank + wide
            continue
        if line:
            lines.append(line)
        rest = word
        while wide > width and len(rest) > 1:
            at = max(1, _fitting(rest, width, measure))
            lines.append(rest[:at])
            rest = rest[at:]
            wide = measure(rest)
        line, used = rest, wide
    return [*lines, line] if line else lines


def _with_ellipsis(line: str, width: float, measure: Callable[[str], float]) -> str:
    whole = f"{line.rstrip(' ,;:.')}…"
    return whole if measure(whole) <= width else cut_by(line + "……", width, measure)


def _fitting(text: str, width: float, measure: Callable[[str], float]) -> int:
    """How many characters of a text fit."""
    used = 0.0
    for index, each in enumerate(text):
        used += measure(each)
        if used > width:
            return index
    return len(text)

"""Picture of a plot: its tension curve, and its beats below."""

from __future__ import annotations

from typing import Final

from infra.pictures import svg
from infra.pictures.curve import Point, curve_path
from infra.pictures.fields import DocumentField
from infra.pictures.sheet import MARGIN, WIDTH, Sheet, hairline, paragraph, tip
from infra.pictures.svg import Markup
from infra.pictures.typesetting import BODY, EYEBROW, HEADING, LABEL, LEAD, SMALL, TINY, one_line, wrap

#: Beats that one picture draws.
MOST_BEATS: Final = 60
#: Beats whose names fit on the curve.
_NAMED: Final = 9
_HEIGHT: Final = 210
_LEFT: Final = MARGIN + 28
_TOP_ROOM: Final = 44
#: Room for a name below the lowest point.
_BELOW: Final = 40
_HIGHEST: Final = 10
#: Columns of the list: the name, and who and where.
_NAME_WIDE: Final = 560
_WHO: Final = MARGIN + 44 + _NAME_WIDE + 28


def draw_plot(sheet: Sheet, document: DocumentField) -> bool:
    """Draw a plot; whether the document is one."""
    beats = [each for each in document["beats"].items(MOST_BEATS) if each.is_object]
    if not beats:
        return False
    sheet.paragraph(document["premise"], style=LEAD, colour="soft", most=6)
    sheet.space(12)
    structure = document["structure_type"]
    sheet.chips(
        [
            (structure, structure.text.replace("_", " ")),
            *((each, each.text) for each in document["themes"].items(8)),
        ]
    )
    sheet.space(22)
    _curve(sheet, beats)
    sheet.space(14)
    for number, beat in enumerate(beats, 1):
        if sheet.full:
            break
        _beat(sheet, number, beat)
    sheet.note_left_out(len(beats), len(document["beats"]), "beats")
    return True


def tension_of(beat: DocumentField) -> float:
    """A beat's tension, from 1 to 10."""
    return min(max(beat["tension"].number or 1, 1), _HIGHEST)


def _curve(sheet: Sheet, beats: list[DocumentField]) -> None:
    top = sheet.y + _TOP_ROOM
    bottom = top + _HEIGHT
    step = (WIDTH - MARGIN - _LEFT) / len(beats)
    points: list[Point] = [
        (_LEFT + (index + 0.5) * step, _level(tension_of(beat), bottom)) for index, beat in enumerate(beats)
    ]
    sheet.add(*_scale(top, bottom))
    first, last = points[0], points[-1]
    ends: list[Point] = [(_LEFT, first[1]), *points, (WIDTH - MARGIN, last[1])]
    path = curve_path(ends)
    area = f"{path}V{svg.number(bottom)}H{svg.number(_LEFT)}z"
    sheet.add(
        svg.element("path", d=area, class_="us-f-accent", fill_opacity=0.1),
        svg.element("path", d=path, class_="us-s-accent", fill="none", stroke_width=2.25),
    )
    named = len(beats) <= _NAMED
    for number, (beat, (x, y)) in enumerate(zip(beats, points, strict=True), 1):
        name = _point_name(beat, points, number - 1, step) if named else svg.NOTHING
        sheet.add(svg.group(tip(beat), _point(x, y, number, small=not named), name))
    sheet.y = bottom


def _scale(top: float, bottom: float) -> list[Markup]:
    """Lines for calm and for the highest tension, and one in the middle."""
    lines: list[Markup] = []
    for tension in (1, 4, 7, 10):
        y = _level(tension, bottom)
        lines.append(hairline(_LEFT, y, WIDTH - MARGIN))
        lines.append(svg.text_line(f"{tension}", _LEFT - 10, y + 4, TINY, "soft", anchor="end"))
    title = svg.text_line("TENSION", MARGIN, top - 30, EYEBROW, "soft")
    return [*lines, title]


def _level(tension: float, bottom: float) -> float:
    return bottom - _BELOW - (tension - 1) / (_HIGHEST - 1) * (_HEIGHT - _BELOW)


def _point(x: float, y: float, number: int, *, small: bool) -> Markup:
    radius = 8.5 if small else 10
    dot = svg.element("circle", cx=x, cy=y, r=radius, class_="us-f-accent us-s-surface", stroke_width=2)
    return svg.join(
        dot, svg.text_line(f"{number}", x, y + 4, TINY, "surface", anchor="middle", font_weight="600")
    )


def _point_name(beat: DocumentField, points: list[Point], index: int, step: float) -> Markup:
    """A beat's name beside its point, away from the curve."""
    x, y = points[index]
    rises = index > 0 and points[index - 1][1] > y
    falls = index > 0 and points[index - 1][1] < y
    rises_on = index + 1 < len(points) and points[index + 1][1] < y
    lines = wrap(one_line(beat["name"].text, most=200), step - 14, SMALL, most=2)
    low = falls and (rises_on or index + 1 == len(points))
    start = y + 26 if low else y - 18 - (len(lines) - 1) * 15
    anchor, at = ("end", x + 12) if rises and rises_on else ("middle", x)
    if falls and not low:
        anchor, at = "start", x - 4
    drawn = [
        svg.text_line(line, at, start + row * 15, SMALL, "ink", anchor=anchor)
        for row, line in enumerate(lines)
    ]
    return svg.group(
        *drawn, class_="us-s-surface", stroke_width=4, stroke_linejoin="round", paint_order="stroke"
    )


def _beat(sheet: Sheet, number: int, beat: DocumentField) -> None:
    sheet.rule() if number == 1 else sheet.space(16)
    top = sheet.y
    x = MARGIN + 44
    sheet.add(svg.text_line(f"{number}", MARGIN + 20, top + 14.5, LABEL, "soft", anchor="end"))
    sheet.paragraph(beat["name"], x=x, width=_NAME_WIDE, style=HEADING, most=2)
    sheet.paragraph(beat["purpose"], x=x, width=_NAME_WIDE, style=SMALL, colour="soft", most=3)
    sheet.space(2)
    sheet.paragraph(beat["summary"], x=x, width=_NAME_WIDE, style=BODY, most=5)
    sheet.y = max(sheet.y, _who(sheet, beat, top))


def _who(sheet: Sheet, beat: DocumentField, top: float) -> float:
    """Tension, people and place of a beat; where they end."""
    width = WIDTH - MARGIN - _WHO
    tension = tension_of(beat)
    cells = [
        svg.element(
            "rect",
            x=_WHO + index * 13,
            y=top + 6,
            width=11,
            height=8,
            rx=2,
            class_="us-f-accent" if index < tension else "us-f-line",
        )
        for index in range(_HIGHEST)
    ]
    said = svg.text_line(f"{tension:g}", _WHO + 140, top + 14, LABEL, "accent")
    sheet.add(svg.group(tip(beat["tension"]), *cells, said))
    y = top + 21
    for field, text, colour in (
        (beat["characters"], ", ".join(each.text for each in beat["characters"].items(16)), "ink"),
        (beat["location"], beat["location"].text, "soft"),
    ):
        drawn, height = paragraph(
            field, x=_WHO, y=y, width=width, style=SMALL, colour=colour, most=3, text=text
        )
        sheet.add(drawn)
        y += height
    return y

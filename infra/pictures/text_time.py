"""Text drawings of what goes on in time: a plot's tension curve, a transition from one mood to the other."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from infra.pictures.plot import MOST_BEATS, tension_of
from infra.pictures.text_sheet import cells
from infra.pictures.transition import MOST_STEPS, duration_of, starts_of
from infra.pictures.typesetting import cut_by, one_line

if TYPE_CHECKING:
    from infra.pictures.fields import DocumentField
    from infra.pictures.text_sheet import TextSheet

_HIGHEST: Final = 10
#: Columns of the scale.
_SCALE: Final = 4
#: Columns that a beat's number needs, and of its text's indent.
_ROOM: Final = 4
_INDENT: Final = 4
#: A mood on the line of a transition takes this share of it, at most.
_MOOD: Final = 0.3


def draw_plot_text(sheet: TextSheet, document: DocumentField) -> bool:
    """Draw a plot; whether the document is one."""
    beats = [each for each in document["beats"].items(MOST_BEATS) if each.is_object]
    if not beats:
        return False
    sheet.paragraph(document["premise"].text)
    sheet.space()
    sheet.add(*draw_curve([tension_of(beat) for beat in beats], sheet.width))
    sheet.space()
    for number, beat in enumerate(beats, 1):
        if sheet.full:
            break
        full = round(tension_of(beat))
        scale = f"{'█' * full}{'░' * (_HIGHEST - full)} {tension_of(beat):g}"
        name = cut_by(one_line(beat["name"].text), sheet.width - _INDENT - 16, cells)
        sheet.both(f"{number:>2}  {name}", scale)
        sheet.paragraph(beat["summary"].text or beat["purpose"].text, indent=_INDENT, most=3)
    return True


def draw_curve(tensions: list[float], width: int) -> list[str]:
    """A curve of tensions from 1 to 10, as lines from the highest to 1; its points are the numbers of the beats."""
    across = width - _SCALE
    rows = [[" "] * across for _ in range(_HIGHEST)]
    step = across / len(tensions)
    points = [
        (round((index + 0.5) * step), _HIGHEST - round(tension)) for index, tension in enumerate(tensions)
    ]
    for (left, high), (right, low) in pairwise(points):
        for column in range(left, right):
            row = high + (low - high) * (column - left) / (right - left)
            rows[round(row)][column] = "·"
    for number, (column, row) in enumerate(points, 1):
        sign = f"{number}" if step >= _ROOM else "●"
        for place, digit in enumerate(sign):
            rows[row][min(across - 1, column + place)] = digit
    return [
        f"{_HIGHEST - row if row in (0, 3, 6, 9) else '':>2} │{''.join(line)}".rstrip()
        for row, line in enumerate(rows)
    ]


def draw_transition_text(sheet: TextSheet, document: DocumentField) -> bool:
    """Draw a transition; whether the document is one."""
    before, after = one_line(document["mood_from"].text), one_line(document["mood_to"].text)
    if not (before and after):
        return False
    steps = [each for each in document["beats"].items(MOST_STEPS) if each.is_object]
    seconds = duration_of(document, steps)
    sheet.paragraph(document["purpose"].text, most=3)
    pacing = document["pacing"].text
    facts = (document["transition_type"].text, pacing and f"{pacing} pacing")
    sheet.paragraph(" · ".join(filter(None, facts)), most=2)
    sheet.space()
    starts = starts_of(steps, seconds) if steps else []
    room = sheet.width * _MOOD
    left, right = cut_by(before, room, cells), cut_by(after, room, cells)
    across = round(sheet.width - cells(left) - cells(right)) - 3
    line = ["─"] * across
    for number, start in enumerate(starts, 1):
        for place, digit in enumerate(f"{number}"):
            line[min(across - 1, round(start / seconds * (across - 1)) + place)] = digit
    sheet.add(f"{left} {''.join(line)}→ {right}")
    sheet.add(f"{'0 s':<{round(cells(left)) + 1}}{f'{seconds:g} s':>{across + 1}}")
    sheet.space()
    for number, (step, start) in enumerate(zip(steps, starts, strict=True), 1):
        if sheet.full:
            break
        mood = f"{step['mood'].text}: " if step["mood"].text else ""
        said = f"{start:g} s, {mood}{step['text'].text or step['purpose'].text}"
        sheet.paragraph(said, indent=_INDENT, first=f"{number:>2}")
    if document["text"].text:
        sheet.space()
        sheet.quote(document["text"].text)
    return True

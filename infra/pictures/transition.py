"""Picture of a transition: from one mood to the other on a timeline."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from infra.pictures import svg
from infra.pictures.fields import DocumentField
from infra.pictures.mood import mood_colour
from infra.pictures.sheet import INNER, MARGIN, WIDTH, Sheet, hairline, paragraph, tip
from infra.pictures.svg import Markup
from infra.pictures.typesetting import (
    BODY,
    HEADING,
    LABEL,
    LEAD,
    SMALL,
    TINY,
    cut,
    one_line,
)

#: Beats that one picture draws.
MOST_STEPS: Final = 40
_BAND: Final = 46
#: Slices of a gradual change: a gradient would need an id, which two pictures in one page share.
_SLICES: Final = 96


def draw_transition(sheet: Sheet, document: DocumentField) -> bool:
    """Draw a transition; whether the document is one."""
    if not (document["mood_from"].text and document["mood_to"].text):
        return False
    steps = [each for each in document["beats"].items(MOST_STEPS) if each.is_object]
    seconds = duration_of(document, steps)
    sheet.paragraph(document["purpose"], style=LEAD, colour="soft", most=4)
    sheet.space(10)
    sheet.chips(_facts(document, seconds))
    sheet.space(24)
    _moods(sheet, document)
    _band(sheet, document, steps, seconds)
    _steps(sheet, steps)
    sheet.note_left_out(len(steps), len(document["beats"]), "beats")
    _texts(sheet, document)
    return True


def duration_of(document: DocumentField, steps: list[DocumentField]) -> float:
    """Seconds that a transition takes, as long as its last beat at least."""
    starts = [each["at_s"].number or 0 for each in steps]
    return max([document["duration_s"].number or 0, *starts, 0.001])


def _facts(document: DocumentField, seconds: float) -> list[tuple[DocumentField, str]]:
    pacing, change = document["pacing"], document["transition_type"]
    return [
        (document["duration_s"], f"{seconds:g} s"),
        (change, change.text),
        (pacing, f"{pacing.text} pacing" if pacing.text else ""),
        *((each, each.text) for each in document["elements"].items(12)),
    ]


def starts_of(steps: list[DocumentField], seconds: float) -> list[float]:
    """When each beat starts, in seconds: where the document says nothing, evenly between those around it."""
    found = [each["at_s"].number for each in steps]
    known = [(index, min(max(at, 0), seconds)) for index, at in enumerate(found) if at is not None]
    if not known or known[0][0] != 0:
        known.insert(0, (0, 0.0))
    known.append((len(steps), seconds))
    starts: list[float] = []
    for (first, begin), (after, end) in pairwise(known):
        count = after - first
        starts += [begin + max(end - begin, 0) * part / count for part in range(count)]
    return starts


def _moods(sheet: Sheet, document: DocumentField) -> None:
    before, after = document["mood_from"], document["mood_to"]
    room = INNER / 2 - 30
    for field, x, anchor in ((before, MARGIN, None), (after, WIDTH - MARGIN, "end")):
        said = cut(one_line(field.text, most=200), room, HEADING)
        sheet.add(svg.group(tip(field), svg.text_line(said, x, sheet.y + 14, HEADING, "ink", anchor=anchor)))
    sheet.space(24)


def _band(sheet: Sheet, document: DocumentField, steps: list[DocumentField], seconds: float) -> None:
    top = sheet.y
    starts = starts_of(steps, seconds) if steps else []
    stops = _stops(document, steps, starts, seconds)
    abrupt = document["transition_type"].text == "abrupt"
    width = INNER / _SLICES
    slices = [
        svg.element(
            "rect",
            x=MARGIN + index * width,
            y=top,
            # The next slice lies over the rest: no gap between them.
            width=min(width + 1, INNER - index * width),
            height=_BAND,
            fill=_colour_at(stops, (index + 0.5) / _SLICES * seconds, abrupt=abrupt),
        )
        for index in range(_SLICES)
    ]
    sheet.add(svg.group(*slices))
    for number, (step, start) in enumerate(zip(steps, starts, strict=True), 1):
        sheet.add(_marker(step, number, MARGIN + start / seconds * INNER, top))
    sheet.y = top + _BAND
    sheet.add(*_seconds(sheet.y, seconds))
    sheet.space(34)


def _stops(
    document: DocumentField, steps: list[DocumentField], starts: list[float], seconds: float
) -> list[tuple[float, str]]:
    """Moods with the second at which each is reached."""
    moods = [
        (start, step["mood"].text) for step, start in zip(steps, starts, strict=True) if step["mood"].text
    ]
    return [(0.0, document["mood_from"].text), *moods, (seconds, document["mood_to"].text)]


def _colour_at(stops: list[tuple[float, str]], at: float, *, abrupt: bool) -> str:
    index = max(place for place, (start, _) in enumerate(stops) if start <= at)
    start, mood = stops[index]
    if index + 1 == len(stops):
        return mood_colour(mood)
    end, after = stops[index + 1]
    if abrupt:
        return mood_colour(mood)
    share = (at - start) / (end - start) if end > start else 1.0
    return _mix(mood_colour(mood), mood_colour(after), share)


def _mix(before: str, after: str, share: float) -> str:
    parts = [
        round(int(before[at : at + 2], 16) * (1 - share) + int(after[at : at + 2], 16) * share)
        for at in (1, 3, 5)
    ]
    return "#" + "".join(f"{part:02x}" for part in parts)


def _marker(step: DocumentField, number: int, x: float, top: float) -> Markup:
    x = min(max(x, MARGIN + 14), WIDTH - MARGIN - 14)
    line = svg.element(
        "path",
        d=f"M{svg.number(x)} {svg.number(top)}v{_BAND}",
        class_="us-s-surface",
        stroke_width=1.5,
        stroke_opacity=0.8,
    )
    disc = svg.element("circle", cx=x, cy=top + _BAND / 2, r=10.5, class_="us-f-surface")
    digit = svg.text_line(f"{number}", x, top + _BAND / 2 + 4.2, LABEL, "ink", anchor="middle")
    return svg.group(tip(step), line, disc, digit)


def _seconds(top: float, seconds: float) -> list[Markup]:
    drawn = [hairline(MARGIN, top + 6, WIDTH - MARGIN)]
    for part in range(5):
        x = MARGIN + INNER * part / 4
        anchor = {0: None, 4: "end"}.get(part, "middle")
        tick = svg.element("path", d=f"M{svg.number(x)} {svg.number(top + 3)}v6", class_="us-s-line")
        drawn += [
            tick,
            svg.text_line(f"{seconds * part / 4:g} s", x, top + 21, TINY, "soft", anchor=anchor),
        ]
    return drawn


def _steps(sheet: Sheet, steps: list[DocumentField]) -> None:
    for number, step in enumerate(steps, 1):
        if sheet.full:
            return
        sheet.space(12)
        top = sheet.y
        dot = svg.element(
            "circle",
            cx=MARGIN + 10,
            cy=top + 10.5,
            r=10.5,
            fill=mood_colour(step["mood"].text) if step["mood"].text else None,
            class_=None if step["mood"].text else "us-f-line",
            fill_opacity=0.35,
        )
        sheet.add(dot, svg.text_line(f"{number}", MARGIN + 10, top + 14.8, LABEL, "ink", anchor="middle"))
        x, width = MARGIN + 36, INNER - 36 - 190
        sheet.paragraph(step["text"], x=x, width=width, style=BODY, most=6)
        sheet.paragraph(step["purpose"], x=x, width=width, style=SMALL, colour="soft", most=3)
        at = step["at_s"].number
        left, room = WIDTH - MARGIN - 170, 170
        mood, high = paragraph(step["mood"], x=left, y=top + 1.5, width=room, style=LABEL, most=2)
        when, more = paragraph(
            step["at_s"],
            x=left,
            y=top + 1.5 + high,
            width=room,
            style=SMALL,
            colour="soft",
            text="" if at is None else f"at {at:g} s",
        )
        sheet.add(mood, when)
        sheet.y = max(sheet.y, top + high + more)


def _texts(sheet: Sheet, document: DocumentField) -> None:
    if document["text"].text:
        sheet.space(20)
        top = sheet.y
        drawn, height = paragraph(
            document["text"], x=MARGIN + 22, y=top + 14, width=INNER - 60, style=LEAD, most=40
        )
        box = svg.element(
            "rect", x=MARGIN, y=top, width=INNER, height=height + 28, rx=8, class_="us-f-sunken"
        )
        sheet.add(box, drawn)
        sheet.y = top + height + 28
    half = (INNER - 28) / 2
    both = [name for name in ("sound", "image") if document[name].text]
    if not both:
        return
    sheet.space(20)
    top, ends = sheet.y, [sheet.y]
    for column, name in enumerate(both):
        sheet.y = top
        x = MARGIN + column * (half + 28)
        sheet.heading(name, x=x)
        sheet.paragraph(document[name], x=x, width=half, style=BODY, most=5)
        ends.append(sheet.y)
    sheet.y = max(ends)

"""Picture of a dialogue: lines with their speakers, as in a chat."""

from __future__ import annotations

from typing import Final

from infra.pictures import svg
from infra.pictures.fields import DocumentField
from infra.pictures.sheet import INNER, MARGIN, WIDTH, Sheet, paragraph, tip
from infra.pictures.svg import Markup
from infra.pictures.theme import VOICES
from infra.pictures.typesetting import (
    ASIDE,
    BODY,
    HEADING,
    LABEL,
    LEAD,
    SMALL,
    TINY,
    TextStyle,
    cut,
    one_line,
    text_width,
    wrap,
)

#: Lines, speakers and choices of one line that one picture draws.
MOST_LINES: Final = 240
_SPEAKERS: Final = 12
_CHOICES: Final = 8
_BUBBLE: Final = 560
_FACE: Final = 34
_PAD: Final = 14


class SpeakerCast:
    """The speakers with their colours and sides, in the order of their appearance.

    Args:
        dialogue: the document.
    """

    def __init__(self, dialogue: DocumentField) -> None:
        listed = [each["name"].text for each in dialogue["speakers"].items(_SPEAKERS)]
        spoken = [each["speaker"].text for each in dialogue["lines"].items(MOST_LINES)]
        self._order = {name: index for index, name in enumerate(dict.fromkeys([*listed, *spoken]))}

    def colour(self, name: str) -> str:
        """A name of the palette."""
        return VOICES[self._order.get(name, 0) % len(VOICES)]

    def on_right(self, name: str) -> bool:
        """Whether the second speaker speaks, whose lines are on the right."""
        return self._order.get(name, 0) == 1


def draw_dialogue(sheet: Sheet, document: DocumentField) -> bool:
    """Draw a dialogue; whether the document is one."""
    lines = [each for each in document["lines"].items(MOST_LINES) if each.is_object]
    if not lines:
        return False
    cast = SpeakerCast(document)
    sheet.paragraph(document["setting"], style=LEAD, colour="soft", most=4)
    sheet.space(4)
    sheet.paragraph(document["purpose"], style=SMALL, colour="soft", most=3, text=_purpose(document))
    sheet.space(10)
    _speakers(sheet, document["speakers"], cast)
    sheet.space(8)
    drawn = 0
    for line in lines:
        if sheet.full:
            break
        _line(sheet, line, cast)
        drawn += 1
    sheet.note_left_out(drawn, len(document["lines"]), "lines")
    return True


def _purpose(document: DocumentField) -> str:
    said = document["purpose"].text
    return f"Purpose: {said}" if said else ""


def _speakers(sheet: Sheet, field: DocumentField, cast: SpeakerCast) -> None:
    people = list(field.items(_SPEAKERS))
    if not people:
        return
    half = (INNER - 24) / 2
    for at in range(0, len(people), 2):
        top = sheet.y
        ends: list[float] = []
        for column, person in enumerate(people[at : at + 2]):
            sheet.y = top
            x = MARGIN + column * (half + 24)
            name = person["name"].text
            sheet.add(_face(name, x, top, cast.colour(name)))
            inner, width = x + _FACE + 12, half - _FACE - 12
            sheet.paragraph(person["name"], x=inner, width=width, style=HEADING, most=1)
            sheet.paragraph(person["voice"], x=inner, width=width, style=SMALL, colour="soft", most=3)
            if person["wants"].text:
                after = f"Wants: {person['wants'].text}"
                sheet.paragraph(
                    person["wants"], x=inner, width=width, style=SMALL, colour="soft", most=3, text=after
                )
            ends.append(max(sheet.y, top + _FACE))
        sheet.y = max(ends) + 12
    sheet.space(-12)
    sheet.rule()


def _face(name: str, x: float, y: float, colour: str) -> Markup:
    """A disc with a speaker's initials."""
    words = one_line(name, most=60).split()
    initials = "".join(word[0] for word in words[:2]).upper() or "?"
    middle = x + _FACE / 2
    disc = svg.element(
        "circle", cx=middle, cy=y + _FACE / 2, r=_FACE / 2, class_=f"us-f-{colour}", fill_opacity=0.16
    )
    return svg.join(
        disc, svg.text_line(initials, middle, y + _FACE / 2 + 4.3, LABEL, colour, anchor="middle")
    )


def _line(sheet: Sheet, line: DocumentField, cast: SpeakerCast) -> None:
    name = one_line(line["speaker"].text, most=120) or "?"
    right, colour = cast.on_right(line["speaker"].text), cast.colour(line["speaker"].text)
    text = line["text"].text
    parts: list[tuple[DocumentField, str, TextStyle, str]] = [
        (line["text"], text, BODY, "ink"),
        (line["action"], line["action"].text, ASIDE, "soft"),
        (line["subtext"], f"Meant: {line['subtext'].text}" if line["subtext"] else "", SMALL, "soft"),
    ]
    widest = max(
        (
            text_width(row, style)
            for _, said, style, _ in parts
            for row in wrap(said, _BUBBLE - 2 * _PAD, style, most=14)
        ),
        default=40.0,
    )
    wide = widest + 2 * _PAD
    x = WIDTH - MARGIN - _FACE - 12 - wide if right else MARGIN + _FACE + 12
    face_x = WIDTH - MARGIN - _FACE if right else MARGIN
    top = sheet.y + 20
    sheet.add(_caption(line, name, colour, x, x + wide, sheet.y + 13, right=right))
    y = top + 9
    drawn: list[Markup] = []
    for field, said, style, ink in parts:
        each, height = paragraph(
            field, x=x + _PAD, y=y, width=_BUBBLE - 2 * _PAD, style=style, colour=ink, most=14, text=said
        )
        drawn.append(each)
        y += height + (3 if height else 0)
    box = svg.element(
        "rect", x=x, y=top, width=wide, height=y + 6 - top, rx=12, class_=f"us-f-{colour}", fill_opacity=0.09
    )
    sheet.add(svg.group(_face(name, face_x, top, colour)), svg.group(tip(line), box, *drawn))
    sheet.y = y + 6
    _choices(sheet, line["choices"])
    sheet.space(12)


def _caption(
    line: DocumentField,
    name: str,
    colour: str,
    left: float,
    right_edge: float,
    y: float,
    *,
    right: bool,
) -> Markup:
    emotion = one_line(line["emotion"].text, most=60)
    ident = f"#{one_line(line['id'].text, most=64)}" if line["id"].text else ""
    said = cut(name, 300, LABEL)
    beside = "  ·  ".join(each for each in (emotion, ident) if each)
    body = svg.element("tspan", svg.escape(said), class_=f"us-f-{colour} us-label")
    if beside:
        body = svg.join(body, svg.element("tspan", svg.escape(f"   {beside}"), class_="us-f-soft us-tiny"))
    # One text, so that what follows the name begins where it ends in any font.
    text = svg.element(
        "text", body, x=right_edge if right else left, y=y, text_anchor="end" if right else None
    )
    return svg.group(tip(line["emotion"]) if emotion else svg.NOTHING, text)


def _choices(sheet: Sheet, field: DocumentField) -> None:
    """What the player can answer."""
    left = MARGIN + _FACE + 12 + 28
    for choice in field.items(_CHOICES):
        sheet.space(6)
        goes = one_line(choice["goto"].text, most=64)
        aim = "ends the conversation" if goes == "end" else f"→ #{goes}" if goes else ""
        intent = one_line(choice["intent"].text, most=40)
        said, height = paragraph(
            choice["text"], x=left + 30, y=sheet.y + 6, width=_BUBBLE - 60, style=BODY, most=4
        )
        beside = "  ·  ".join(each for each in (intent, aim) if each)
        note, more = paragraph(
            choice,
            x=left + 30,
            y=sheet.y + 5 + height,
            width=_BUBBLE - 60,
            style=TINY,
            colour="soft",
            text=beside,
        )
        high = height + more + 12
        rows = wrap(choice["text"].text, _BUBBLE - 60, BODY, most=4)
        wide = max([text_width(row, BODY) for row in rows] + [text_width(beside, TINY), 60.0]) + 48
        box = svg.element(
            "rect", x=left, y=sheet.y, width=wide, height=high, rx=10, class_="us-f-surface us-s-line"
        )
        mark = svg.element(
            "path",
            d=f"M{svg.number(left + 14)} {svg.number(sheet.y + 12)}l5 4.5l-5 4.5",
            class_="us-s-soft",
            fill="none",
            stroke_width=1.6,
            stroke_linecap="round",
            stroke_linejoin="round",
        )
        sheet.add(svg.group(tip(choice), box, mark, said, note))
        sheet.y += high

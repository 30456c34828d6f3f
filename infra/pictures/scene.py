"""Picture of a scene: a card."""

from __future__ import annotations

from typing import Final

from infra.pictures import svg
from infra.pictures.fields import DocumentField
from infra.pictures.sheet import INNER, MARGIN, Sheet, paragraph
from infra.pictures.typesetting import ASIDE, BODY, HEADING, LABEL, LEAD, SMALL, one_line

#: Characters, moments and exits that one picture draws.
_CHARACTERS: Final = 24
_MOMENTS: Final = 60
_EXITS: Final = 16
_GAP: Final = 28
#: Two columns.
_HALF: Final = (INNER - _GAP) / 2


def draw_scene(sheet: Sheet, document: DocumentField) -> bool:
    """Draw a scene; whether the document is one."""
    if not (document["moments"].is_list or document["narration"].text or document["setting"]):
        return False
    setting = document["setting"]
    place = setting["place"].text or setting.text
    where = "  ·  ".join(one_line(each, most=300) for each in (place, setting["time"].text) if each)
    sheet.paragraph(setting, style=LEAD, colour="soft", text=where, most=2)
    sheet.space(10)
    mood, pacing = document["mood"], document["pacing"]
    sheet.chips([(mood, mood.text), (pacing, f"{pacing.text} pacing" if pacing.text else "")])
    sheet.space(18)
    _narration(sheet, document["narration"])
    _purpose(sheet, document)
    _characters(sheet, document["characters"])
    _moments(sheet, document["moments"])
    _outcome(sheet, document["outcome"])
    _exits(sheet, document["exits"])
    return True


def _narration(sheet: Sheet, field: DocumentField) -> None:
    if not field.text:
        return
    top = sheet.y
    drawn, height = paragraph(field, x=MARGIN + 22, y=top + 14, width=INNER - 60, style=LEAD, most=40)
    box = svg.element("rect", x=MARGIN, y=top, width=INNER, height=height + 28, rx=8, class_="us-f-sunken")
    sheet.add(box, drawn)
    sheet.y = top + height + 28


def _purpose(sheet: Sheet, document: DocumentField) -> None:
    details = list(document["setting"]["details"].items(12))
    if not document["purpose"].text and not details:
        return
    sheet.space(20)
    top = sheet.y
    right = MARGIN + _HALF + _GAP
    ends: list[float] = []
    if document["purpose"].text:
        sheet.heading("Purpose")
        sheet.paragraph(document["purpose"], width=_HALF, most=8)
        ends.append(sheet.y)
    if details:
        sheet.y = top
        x = right if ends else MARGIN
        sheet.heading("Seen, heard, smelt", x=x)
        for each in details:
            sheet.paragraph(each, x=x, width=_HALF if ends else INNER, style=SMALL, colour="soft", most=3)
            sheet.space(3)
        ends.append(sheet.y)
    sheet.y = max(ends)


def _characters(sheet: Sheet, field: DocumentField) -> None:
    people = list(field.items(_CHARACTERS))
    if not people:
        return
    sheet.space(20)
    sheet.heading("Characters")
    for at in range(0, len(people), 2):
        if sheet.full:
            return
        top = sheet.y
        ends = [
            _character(sheet, each, MARGIN + column * (_HALF + _GAP), top)
            for column, each in enumerate(people[at : at + 2])
        ]
        sheet.y = max(ends) + 10
    sheet.space(-10)
    sheet.note_left_out(len(people), len(field), "characters")


def _character(sheet: Sheet, person: DocumentField, x: float, top: float) -> float:
    sheet.y = top
    name, mood = person["name"], person["mood"].text
    sheet.paragraph(name, x=x, width=_HALF, style=HEADING, most=2)
    sheet.paragraph(person["mood"], x=x, width=_HALF, style=ASIDE, colour="soft", most=1, text=mood)
    sheet.paragraph(person["goal"], x=x, width=_HALF, style=BODY, most=4)
    if person["obstacle"].text:
        but = f"But: {person['obstacle'].text}"
        sheet.paragraph(person["obstacle"], x=x, width=_HALF, style=SMALL, colour="soft", most=4, text=but)
    return sheet.y


def _moments(sheet: Sheet, field: DocumentField) -> None:
    moments = list(field.items(_MOMENTS))
    if not moments:
        return
    sheet.space(20)
    sheet.heading("What happens")
    x = MARGIN + 32
    before = None
    for number, each in enumerate(moments, 1):
        if sheet.full:
            return
        sheet.space(0 if number == 1 else 12)
        y = sheet.y + 10
        if before is not None:
            line = f"M{MARGIN + 9} {svg.number(before)}V{svg.number(y - 12)}"
            sheet.add(svg.element("path", d=line, class_="us-s-line"))
        before = y + 12
        ring = svg.element("circle", cx=MARGIN + 9, cy=y, r=9, class_="us-f-sunken us-s-line")
        digit = svg.text_line(f"{number}", MARGIN + 9, y + 4.2, LABEL, "soft", anchor="middle")
        sheet.add(ring, digit)
        action = each["action"] if each.is_object else each
        sheet.paragraph(action, x=x, width=INNER - 32, most=5)
        sheet.paragraph(each["effect"], x=x, width=INNER - 32, style=SMALL, colour="soft", most=4)
    sheet.note_left_out(len(moments), len(field), "moments")


def _outcome(sheet: Sheet, field: DocumentField) -> None:
    if field.text:
        sheet.space(20)
        sheet.heading("Outcome")
        sheet.paragraph(field, most=6)


def _exits(sheet: Sheet, field: DocumentField) -> None:
    exits = list(field.items(_EXITS))
    if not exits:
        return
    sheet.space(20)
    sheet.heading("Exits")
    sheet.space(2)
    for at in range(0, len(exits), 3):
        ends = [
            _exit(sheet, each, MARGIN + column * (INNER + 16) / 3, sheet.y)
            for column, each in enumerate(exits[at : at + 3])
        ]
        sheet.y = max(ends) + 10
    sheet.space(-6)
    sheet.note_left_out(len(exits), len(field), "exits")


def _exit(sheet: Sheet, way: DocumentField, x: float, top: float) -> float:
    width = (INNER + 16) / 3 - 16
    parts = [
        (way["label"], HEADING, "ink", way["label"].text),
        (way["leads_to"], SMALL, "goal", f"→ {way['leads_to'].text}"),
        (way["condition"], SMALL, "soft", way["condition"].text),
    ]
    y = top + 10
    drawn = []
    for field, style, colour, text in parts:
        if not field.text:
            continue
        each, height = paragraph(
            field, x=x + 14, y=y, width=width - 28, style=style, colour=colour, most=3, text=text
        )
        drawn.append(each)
        y += height
    box = svg.element(
        "rect", x=x, y=top, width=width, height=y + 10 - top, rx=8, class_="us-f-surface us-s-line"
    )
    sheet.add(svg.group(box, *drawn))
    return y + 10

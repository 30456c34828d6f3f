"""Text drawings of what is told: a scene as a card, a dialogue line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from infra.pictures.typesetting import one_line

if TYPE_CHECKING:
    from infra.pictures.fields import DocumentField
    from infra.pictures.text_sheet import TextSheet

#: Entries that one drawing has of each list.
_MOST: Final = 60
_MOST_LINES: Final = 240
_CHOICES: Final = 8
_INDENT: Final = 3


def draw_scene_text(sheet: TextSheet, document: DocumentField) -> bool:
    """Draw a scene; whether the document is one."""
    if not (document["moments"].is_list or document["narration"].text or document["setting"]):
        return False
    setting = document["setting"]
    where = (setting["place"].text or setting.text, setting["time"].text)
    how = (document["mood"].text, document["pacing"].text and f"{document['pacing'].text} pacing")
    sheet.paragraph(" · ".join(filter(None, (*where, *how))), most=2)
    sheet.space()
    sheet.quote(document["narration"].text)
    for title, field in (("Purpose", document["purpose"]), ("Outcome", document["outcome"])):
        if title == "Outcome":
            _people(sheet, document)
            _moments(sheet, document)
        if field.text:
            sheet.heading(title)
            sheet.paragraph(field.text, indent=_INDENT)
    exits = list(document["exits"].items(_MOST))
    if exits:
        sheet.heading("Exits")
    for each in exits:
        when = f" ({each['condition'].text})" if each["condition"].text else ""
        sheet.paragraph(f"{each['label'].text} → {each['leads_to'].text}{when}", indent=_INDENT, most=2)
    return True


def _people(sheet: TextSheet, document: DocumentField) -> None:
    people = list(document["characters"].items(_MOST))
    if people:
        sheet.heading("Characters")
    for each in people:
        mood = f" ({each['mood'].text})" if each["mood"].text else ""
        but = f" But: {each['obstacle'].text}" if each["obstacle"].text else ""
        name = f"{each['name'].text or each.text}{mood}"
        goal = f": {each['goal'].text}" if each["goal"].text else ""
        sheet.paragraph(f"{name}{goal}{but}", indent=_INDENT)


def _moments(sheet: TextSheet, document: DocumentField) -> None:
    moments = list(document["moments"].items(_MOST))
    if moments:
        sheet.heading("What happens")
    for number, each in enumerate(moments, 1):
        sheet.paragraph((each["action"] if each.is_object else each).text, indent=_INDENT, first=f"{number}")
        if each["effect"].text:
            sheet.paragraph(each["effect"].text, indent=_INDENT + 2, first=" " * _INDENT + "→", most=3)


def draw_dialogue_text(sheet: TextSheet, document: DocumentField) -> bool:
    """Draw a dialogue; whether the document is one."""
    lines = [each for each in document["lines"].items(_MOST_LINES) if each.is_object]
    if not lines:
        return False
    sheet.paragraph(document["setting"].text)
    before = ""
    for line in lines:
        if sheet.full:
            break
        name = one_line(line["speaker"].text, most=60) or "?"
        if name != before:
            sheet.heading(name)
        before = name
        emotion = f"({line['emotion'].text}) " if line["emotion"].text else ""
        sheet.paragraph(f"{emotion}{line['text'].text}", indent=_INDENT, most=8)
        if line["action"].text:
            sheet.paragraph(f"[{line['action'].text}]", indent=_INDENT)
        for choice in line["choices"].items(_CHOICES):
            goes = f" → {choice['goto'].text}" if choice["goto"].text else ""
            sheet.paragraph(f"{choice['text'].text}{goes}", indent=_INDENT + 4, first="     >", most=3)
    return True

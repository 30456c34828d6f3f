"""Notes, which the demo's model drafts before a document: they name each part, its number and each line.

A model this small loses what a paragraph tells between two clauses.  Notes of a fixed order make it decide on each
part of the wish, also on what is not there, and the document then only repeats them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

_NUMBERED: Final = re.compile(r"_\d+$")
_SENTENCE_END: Final = (".", "!", "?", ":", '"', "”")
#: Parts of a layout, in the order of the notes: the prefix of the entity's type, and what the notes call it.
_LAYOUT_PARTS: Final = (
    ("background", "Background"),
    ("platform", "Stands on"),
    ("player", "Player"),
    ("collectible", "Collect"),
    ("enemy", "Enemies"),
    ("hazard", "Hazards"),
    ("decoration", "Decoration"),
    ("goal", "Goal"),
)
#: Parts that the notes leave out where the document has none; of the others they say so.
_OPTIONAL: Final = frozenset({"background", "decoration"})
#: Parts without a number.
_SINGLE: Final = frozenset({"background", "player"})


def write_notes(kind: str, document: Mapping[str, Any]) -> str:
    """Write the notes that belong to a document of a built-in kind.

    Args:
        kind: content kind.
        document: a valid document of the kind.
    """
    return " ".join(_WRITERS[kind](document))


def _layout(document: Mapping[str, Any]) -> Iterable[str]:
    yield _sentence(document["scene_name"])
    if "concept" in document:
        yield _sentence(document["concept"])
    layers = [each for layer in document.get("layers", ()) for each in layer["entities"]]
    entities = [*document.get("entities", ()), *layers]
    for prefix, label in _LAYOUT_PARTS:
        names = [_name(each) for each in entities if str(each["type"]).startswith(prefix)]
        if names or prefix not in _OPTIONAL:
            yield f"{label}: {_listed(names) if prefix in _SINGLE else _counted(names)}."


def _name(entity: Mapping[str, Any]) -> str:
    return str(entity.get("item") or _NUMBERED.sub("", str(entity["id"]))).replace("_", " ")


def _counted(names: Sequence[str]) -> str:
    return ", ".join(f"{name} x{number}" for name, number in Counter(names).items()) or "none"


def _plot(document: Mapping[str, Any]) -> Iterable[str]:
    beats = document["beats"]
    yield _sentence(document["title"])
    yield _sentence(document["premise"])
    yield f"Cast: {_listed(name for beat in beats for name in beat.get('characters', ()))}."
    yield f"Structure: {document['structure_type'].replace('_', ' ')}."
    yield f"{len(beats)} beats."
    yield from _steps(beat.get("summary", beat["name"]) for beat in beats)


def _scene(document: Mapping[str, Any]) -> Iterable[str]:
    moments = document["moments"]
    yield _sentence(document["title"])
    yield f"Place: {_listed(document['setting'][part] for part in ('place', 'time') if part in document['setting'])}."
    yield f"Mood: {_listed(document[part] for part in ('mood', 'pacing') if part in document)}."
    yield f"Characters: {_listed(each['name'] for each in document.get('characters', ()))}."
    yield f"{len(moments)} moments."
    yield from _steps(
        " ".join(_sentence(each[part]) for part in ("action", "effect") if part in each) for each in moments
    )
    yield f"Outcome: {_sentence(document['outcome'])}"
    yield f"Exits: {_listed(each['label'] for each in document.get('exits', ()))}."


def _dialogue(document: Mapping[str, Any]) -> Iterable[str]:
    lines = document["lines"]
    choices = sum(len(line.get("choices", ())) for line in lines)
    yield _sentence(document["title"])
    yield f"Speakers: {_listed(line['speaker'] for line in lines)}."
    yield f"{len(lines)} lines, {choices or 'no'} choices."
    for number, line in enumerate(lines, 1):
        mark = f" ({line['id']})" if "id" in line else ""
        yield f"{number}. {line['speaker']}{mark}: {_sentence(line['text'])}"
        for choice in line.get("choices", ()):
            to = f" ({choice['goto']})" if "goto" in choice else ""
            yield f"- {_sentence(choice['text'])}{to}"


def _transition(document: Mapping[str, Any]) -> Iterable[str]:
    beats = document["beats"]
    yield f"From {document['mood_from']} to {document['mood_to']}, {document['duration_s']} seconds,"
    yield f"{document['pacing']}, {document['transition_type']}."
    yield f"With: {_listed(document['elements'])}."
    yield f"{len(beats)} beats."
    yield from _steps(beat["text"] for beat in beats)
    yield f"Last: {_sentence(document['text'])}"


def _steps(texts: Iterable[str]) -> Iterable[str]:
    for number, text in enumerate(texts, 1):
        yield f"{number}. {_sentence(text)}"


def _sentence(text: str) -> str:
    return text if text.endswith(_SENTENCE_END) else f"{text}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "none"


_WRITERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Iterable[str]]]] = {
    "layout": _layout,
    "plot": _plot,
    "scene": _scene,
    "dialogue": _dialogue,
    "transition": _transition,
}

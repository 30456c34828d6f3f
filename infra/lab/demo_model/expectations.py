"""What a wish asks for, as something that can be counted in the document: named things in their slots, and numbers.

An expectation is ``{"word": "egg", "in": ["collectible"], "count": 3}``: three collectibles are eggs.  Without
``count`` one is enough; without ``word`` the parts themselves are counted.  ``"in": ["nowhere"]`` is a thing that
must not appear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

#: Parts of a document that an expectation can name, by kind; ``text`` is every text of it.
SLOTS: Final = {
    "layout": (
        "platform",
        "player",
        "collectible",
        "enemy",
        "hazard",
        "goal",
        "decoration",
        "background",
        "name",
    ),
    "plot": ("characters", "location", "beats", "title", "structure"),
    "scene": ("characters", "place", "moments", "exits", "mood", "pacing"),
    "dialogue": ("speakers", "lines", "choices"),
    "transition": ("mood_from", "mood_to", "duration", "elements", "beats", "pacing", "transition_type"),
    "custom": (),
}
#: Endings of plurals, with what is there in the singular; the first that fits counts.
_PLURALS: Final = {
    "ies": "y",
    "ves": "f",
    "ches": "ch",
    "shes": "sh",
    "xes": "x",
    "sses": "ss",
    "ss": "ss",
    "s": "",
}
_WORD: Final = re.compile(r"[^\W\d_]+|\d+")


class Expectation(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that the document must have, or must not."""

    slots: tuple[str, ...] = msgspec.field(name="in")
    word: str = ""
    count: int | None = None


def is_met(expected: Expectation, kind: str, document: Mapping[str, Any]) -> bool:
    """Whether a document has what is expected of it, in one of the slots named."""
    if expected.slots == ("nowhere",):
        return not any(_names(expected.word, text) for text in texts(document))
    found = [part for slot in expected.slots for part in parts(kind, document, slot)]
    if not expected.word:
        if len(found) == 1 and isinstance(found[0], int | float):
            return found[0] == expected.count
        return len(found) == expected.count
    number = sum(any(_names(expected.word, text) for text in texts(part)) for part in found)
    return number >= 1 if expected.count is None else number == expected.count


def parts(kind: str, document: Mapping[str, Any], slot: str) -> list[Any]:
    """The parts of a document that belong to a slot; of a custom document, what is at a dotted path."""
    if slot == "text":
        return list(texts(document))
    if kind == "layout":
        return _entities(document, slot)
    read = _READ.get((kind, slot))
    return read(document) if read is not None else _at(document, slot)


def _entities(document: Mapping[str, Any], slot: str) -> list[Any]:
    if slot == "name":
        return [document.get("scene_name", ""), document.get("concept", "")]
    layers = [each for layer in document.get("layers", ()) for each in layer["entities"]]
    return [
        {key: value for key, value in each.items() if key != "type"}
        for each in (*document.get("entities", ()), *layers)
        if str(each["type"]).startswith(slot)
    ]


def _cast(document: Mapping[str, Any]) -> list[Any]:
    return list(dict.fromkeys(name for beat in document["beats"] for name in beat.get("characters", ())))


def _locations(document: Mapping[str, Any]) -> list[Any]:
    return list(dict.fromkeys(beat["location"] for beat in document["beats"] if "location" in beat))


def _speakers(document: Mapping[str, Any]) -> list[Any]:
    said = [each["speaker"] for each in document["lines"]]
    return list(dict.fromkeys((*said, *(each["name"] for each in document.get("speakers", ())))))


#: Slots that are not a field of the document.
_READ: Final[Mapping[tuple[str, str], Callable[[Mapping[str, Any]], list[Any]]]] = {
    ("plot", "characters"): _cast,
    ("plot", "location"): _locations,
    ("plot", "structure"): lambda document: [document["structure_type"].replace("_", " ")],
    ("scene", "place"): lambda document: list(texts(document["setting"])),
    ("scene", "characters"): lambda document: [each["name"] for each in document.get("characters", ())],
    ("dialogue", "speakers"): _speakers,
    ("dialogue", "choices"): lambda document: [
        each for line in document["lines"] for each in line.get("choices", ())
    ],
    ("transition", "duration"): lambda document: [document["duration_s"]],
}


def texts(value: Any) -> Iterable[str]:
    """Every text in a value, names of fields left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts(each)


def _at(document: Any, path: str) -> list[Any]:
    value = document
    for name in path.split("."):
        value = value.get(name, ()) if isinstance(value, Mapping) else ()
    return list(value) if isinstance(value, list | tuple) else [value]


def _names(word: str, text: str) -> bool:
    """Whether a text names a thing: all words of it, in order; a plural does not matter."""
    wanted, there = _stems(word), _stems(text)
    return any(there[at : at + len(wanted)] == wanted for at in range(len(there) - len(wanted) + 1))


def _stems(text: str) -> list[str]:
    return [_stem(each) for each in _WORD.findall(text.replace("_", " ").lower())]


def _stem(word: str) -> str:
    """A word without the ending of a plural."""
    for ending, singular in _PLURALS.items():
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + singular
    return word

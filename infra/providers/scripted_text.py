"""Answers of the scripted provider: prose and valid documents about what is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from contracts.content.kind import ContentKind
from contracts.content.registry import CONTENTS, INSTALLED
from contracts.policy import fingerprint

_STRUCTURES: Final = ("three_act", "hero_journey", "kishotenketsu", "five_act")
_TIMES: Final = ("dawn", "morning", "noon", "afternoon", "dusk", "night")
_MOODS: Final = ("quiet", "restless", "bright", "uneasy")
_NUMBERS: Final = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_COUNT: Final = re.compile(r"\b([1-8]|" + "|".join(_NUMBERS) + r")\b", re.IGNORECASE)
#: What must not be named is no part of the wish; a writer who names it is drawn again.
_AVOIDED: Final = re.compile(r"\navoid elements: [^\n]*")
_MIDDLES: Final = (
    "It begins in plain sight, with something that nobody looks at twice.",
    "The first part is easy and teaches what the second part asks for.",
    "Everything that matters is already there when it starts.",
)
_ENDS: Final = (
    "It ends where it began, and the place is not the same.",
    "The end answers the first question with another one.",
    "At the end there is one way on, and it is the one that was closed before.",
)


def wish(text: str) -> str:
    """The first sentence of what a rendered prompt asks for; one line, at most 160 characters."""
    quoted = text.rpartition("\n>>>")[0].rpartition("<<<\n")[2] or text
    line = " ".join(_AVOIDED.sub("", quoted[:2000]).split())
    return line.partition(". ")[0][:160].strip(" .") or "nothing in particular"


def prose(kind: str, text: str, key: str) -> str:
    """A few sentences about the wish; equal arguments, equal sentences."""
    return (
        f"{wish(text)}. This is a scripted {kind}. The mood is {_MOODS[fingerprint.pick(4, key)]}. "
        f"{_MIDDLES[fingerprint.pick(3, key, 'middle')]} {_ENDS[fingerprint.pick(3, key, 'end')]}"
    )


def judgement(schema: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A judge's answer; equal arguments, equal scores."""
    return {
        name: {"reason": "This is a scripted judgement.", "score": 3 + fingerprint.pick(3, key, name)}
        for name in schema.get("properties", {})
    }


def document(kind: str, text: str, key: str, schema: Mapping[str, Any] | None) -> Any:
    """A valid document about the wish; an empty one where a custom schema allows none.

    Args:
        kind: content kind.
        text: the rendered prompt.
        key: decides what the prompt leaves open.
        schema: JSON Schema; of a kind's own only what it settles about single fields counts.
    """
    installed = INSTALLED.get(kind)
    made = _document(kind, text, key, schema) if installed is None else _installed(installed, kind, text, key)
    for name, field in (schema or {}).get("properties", {}).items() if kind != "custom" else ():
        if "const" in field:
            made[name] = field["const"]
        elif name == "duration_s":
            made[name] = min(max(made[name], field.get("minimum", 0)), field.get("maximum", made[name]))
    return made


def _document(kind: str, text: str, key: str, schema: Mapping[str, Any] | None) -> Any:
    line = wish(text)
    number = fingerprint.pick(10, key)
    match kind:
        case "layout":
            return _layout(line, number)
        case "plot":
            beats = [
                {"purpose": f"{name} of: {line}", "name": name, "tension": 1 + (number + 3 * i) % 10}
                for i, name in enumerate(("Opening", "Turn", "Ending"))
            ]
            return {
                "premise": line,
                "structure_type": _STRUCTURES[number % 4],
                "title": line[:60],
                "beats": beats,
            }
        case "scene":
            return {
                "purpose": line,
                "title": line[:60],
                "setting": {"place": "A scripted place", "time": _TIMES[number % 6]},
                "mood": _MOODS[number % 4],
                "moments": [{"action": line}],
                "narration": prose(kind, text, key),
                "outcome": "Nothing has changed.",
            }
        case "dialogue":
            said = {"speaker": "The narrator", "emotion": _MOODS[number % 4], "text": line}
            reply = {"speaker": "The prompter", "emotion": "calm", "text": _ENDS[number % 3]}
            return {"purpose": line, "title": line[:60], "lines": [said, reply]}
        case "transition":
            return {
                "mood_from": _MOODS[number % 4],
                "mood_to": _MOODS[(number + 1) % 4],
                "pacing": "medium",
                "transition_type": "gradual",
                "duration_s": 10 + number,
                "beats": [{"purpose": "Go on.", "text": line}],
                "text": prose(kind, text, key),
            }
        case _:
            return CONTENTS.build(schema or {}, _Wish(line, key), full=True) or {}


def _installed(kind: ContentKind, name: str, text: str, key: str) -> Any:
    if kind.scripted is None:
        return CONTENTS.placeholder(name, None)
    return dict(kind.scripted(wish(text), fingerprint.pick(10, key)))


def _layout(line: str, number: int) -> dict[str, Any]:
    found = _COUNT.search(line)
    count = 1 + number % 4 if found is None else _NUMBERS.get(found[1].lower()) or int(found[1])
    coins = [
        {"id": f"c{i}", "type": "collectible", "item": "coin", "x": 120 + 90 * i, "y": 400 - 7 * number}
        for i in range(count)
    ]
    ground = {"id": "p1", "type": "platform", "x": 0, "y": 550, "width": 800, "height": 40}
    start = {"id": "player_start", "type": "player", "x": 60, "y": 500}
    return {"scene_name": line[:60], "entities": [ground, start, *coins]}


class _Wish:
    """The voice of a custom document: field names and the wish."""

    def __init__(self, line: str, key: str) -> None:
        self._line = line
        self._key = key

    def text(self, path: str) -> str:
        return f"{path.rpartition('.')[2]} of {self._line}"

    def pick(self, path: str, size: int) -> int:
        return fingerprint.pick(size, self._key, path)

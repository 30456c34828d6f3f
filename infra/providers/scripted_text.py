"""What does the scripted provider say when nothing goes wrong?"""

from __future__ import annotations

import re
from typing import Any

from contracts import fingerprint

_MARKED = re.compile(r"<<<\n(.*)\n>>>", re.DOTALL)
_STRUCTURES = ("three_act", "heros_journey", "kishotenketsu", "five_act")
_TIMES = ("dawn", "morning", "noon", "afternoon", "dusk", "night")


def wish(text: str) -> str:
    """What the request asks for, out of a rendered prompt; one line, at most 160 characters."""
    found = _MARKED.search(text)
    return " ".join((found[1] if found else text).split())[:160] or "nothing in particular"


def prose(kind: str, text: str, key: str) -> str:
    """A few sentences about the wish; equal arguments, equal sentences."""
    mood = ("quiet", "restless", "bright", "uneasy")[fingerprint.pick(4, key)]
    return f"This is a scripted {kind}: {wish(text)}. The mood is {mood}. It ends where it began."


def document(kind: str, text: str, key: str) -> dict[str, Any] | None:
    """A valid document of a built-in kind about the wish; ``None`` for ``custom``."""
    line = wish(text)
    number = fingerprint.pick(10, key)
    match kind:
        case "layout":
            coins = [
                {"id": f"c{i}", "type": "collectible", "name": "coin", "x": 120 + 90 * i, "y": 400 - 7 * number}
                for i in range(1 + number % 4)
            ]
            ground = {"id": "p1", "type": "platform", "x": 0, "y": 550, "width": 800, "height": 40}
            start = {"id": "player_start", "type": "player", "x": 60, "y": 500}
            return {"scene_name": line, "entities": [ground, start, *coins]}
        case "plot":
            beats = [
                {"purpose": f"{name} of: {line}", "name": name, "tension": 1 + (number + 3 * i) % 10}
                for i, name in enumerate(("Opening", "Turn", "Ending"))
            ]
            return {"title": line, "premise": line, "structure": _STRUCTURES[number % 4], "beats": beats}
        case "scene":
            return {
                "title": line,
                "setting": line,
                "mood": "scripted",
                "time_of_day": _TIMES[number % 6],
                "characters": ["The narrator"],
                "narration": prose(kind, text, key),
                "choices": [],
            }
        case "dialogue":
            said = {"speaker": "The narrator", "emotion": "calm", "text": line}
            return {"title": line, "situation": line, "speakers": ["The narrator"], "lines": [said]}
        case "transition":
            return {
                "summary": line,
                "mood_from": "calm",
                "mood_to": "tense",
                "pacing": "medium",
                "transition_type": "gradual",
                "duration": 10 + number,
                "moments": [{"at": 0, "text": line}],
            }
        case _:
            return None

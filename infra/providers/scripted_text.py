"""What does the scripted provider say when nothing goes wrong?"""

from __future__ import annotations

import re
from typing import Any

from contracts import fingerprint

_MARKED = re.compile(r"<<<\n(.*)\n>>>", re.DOTALL)
_STRUCTURES = ("three_act", "hero_journey", "kishotenketsu", "five_act")
_TIMES = ("dawn", "morning", "noon", "afternoon", "dusk", "night")


def wish(text: str) -> str:
    """What the request asks for, out of a rendered prompt; one line, at most 160 characters."""
    found = _MARKED.search(text)
    return " ".join((found[1] if found else text).split())[:160] or "nothing in particular"


def _title(line: str) -> str:
    return line[:60].strip() or "Untitled"


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
                {
                    "id": f"c{i}",
                    "type": "collectible",
                    "item": "coin",
                    "x": 120 + 90 * i,
                    "y": 400 - 7 * number,
                }
                for i in range(1 + number % 4)
            ]
            ground = {"id": "p1", "type": "platform", "x": 0, "y": 550, "width": 800, "height": 40}
            start = {"id": "player_start", "type": "player", "x": 60, "y": 500}
            return {"scene_name": _title(line), "entities": [ground, start, *coins]}
        case "plot":
            beats = [
                {"purpose": f"{name} of: {line}", "name": name, "tension": 1 + (number + 3 * i) % 10}
                for i, name in enumerate(("Opening", "Turn", "Ending"))
            ]
            return {
                "premise": line,
                "structure_type": _STRUCTURES[number % 4],
                "title": _title(line),
                "beats": beats,
            }
        case "scene":
            return {
                "purpose": line,
                "title": _title(line),
                "setting": {"place": "A scripted place", "time": _TIMES[number % 6]},
                "mood": "scripted",
                "moments": [{"action": line}],
                "narration": prose(kind, text, key),
                "outcome": "Nothing has changed.",
            }
        case "dialogue":
            said = {"speaker": "The narrator", "emotion": "calm", "text": line}
            return {"purpose": line, "title": _title(line), "lines": [said]}
        case "transition":
            return {
                "mood_from": "calm",
                "mood_to": "tense",
                "pacing": "medium",
                "transition_type": "gradual",
                "duration_s": 10 + number,
                "beats": [{"purpose": "Go on.", "text": line}],
                "text": line,
            }
        case _:
            return None

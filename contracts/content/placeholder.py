"""Placeholder documents of the built-in kinds, labelled in every visible text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Begins every visible text of a placeholder.
MARK: Final = "[placeholder]"

_SAYS: Final = f"{MARK} No content was generated here."

#: One valid document per built-in kind.
DOCUMENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "layout": {
        "scene_name": f"{MARK} Layout",
        "entities": [
            {"type": "platform", "id": "placeholder_ground", "x": 0, "y": 500, "width": 800, "height": 40},
            {"type": "player", "id": "placeholder_start", "x": 80, "y": 440},
            {"type": "goal", "id": "placeholder_goal", "x": 700, "y": 440},
        ],
    },
    "plot": {
        "premise": _SAYS,
        "structure_type": "three_act",
        "title": f"{MARK} Plot",
        "beats": [
            {"purpose": _SAYS, "name": f"{MARK} Beginning", "tension": 1},
            {"purpose": _SAYS, "name": f"{MARK} Middle", "tension": 1},
            {"purpose": _SAYS, "name": f"{MARK} End", "tension": 1},
        ],
    },
    "scene": {
        "purpose": _SAYS,
        "title": f"{MARK} Scene",
        "setting": {"place": f"{MARK} Place"},
        "mood": f"{MARK} Mood",
        "moments": [{"action": f"{MARK} Nothing happens yet."}],
        "narration": _SAYS,
        "outcome": f"{MARK} Nothing has changed.",
    },
    "dialogue": {
        "purpose": _SAYS,
        "title": f"{MARK} Dialogue",
        "lines": [{"speaker": f"{MARK} Speaker", "text": _SAYS}],
    },
    "transition": {
        "purpose": _SAYS,
        "mood_from": f"{MARK} Mood",
        "mood_to": f"{MARK} Mood",
        "pacing": "medium",
        "transition_type": "abrupt",
        "duration_s": 2,
        "beats": [{"purpose": _SAYS, "text": f"{MARK} Cut to the next scene."}],
        "text": _SAYS,
    },
}


class Placeholders:
    """The voice of a placeholder: every text is the mark, every choice the first."""

    def text(self, path: str) -> str:
        """The mark."""
        del path
        return MARK

    def pick(self, path: str, size: int) -> int:
        """The first."""
        del path, size
        return 0

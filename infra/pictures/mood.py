"""Colours of moods: words that are known have their own, others one that depends on the word alone."""

from __future__ import annotations

import colorsys
import hashlib
from typing import Final

from infra.pictures.typesetting import one_line

#: Hue in degrees of words, and of the words that begin with them.
_HUES: Final[dict[int, tuple[str, ...]]] = {
    345: ("romantic", "tender", "love", "intimate", "longing", "nostalg"),
    5: ("intense", "angry", "anger", "rage", "alarm", "violent", "fury"),
    22: ("tense", "urgent", "danger", "hurried", "frantic", "breathless", "action", "restless", "desper"),
    42: ("playful", "joy", "happy", "cheer", "bright", "warm", "festive", "hope", "triumph"),
    95: ("fresh", "curious", "light", "lively"),
    160: ("relie", "safe", "compan", "content", "sooth"),
    200: ("calm", "quiet", "peace", "serene", "hushed", "still", "gentle"),
    225: ("sad", "melanch", "sorrow", "lonel", "cold", "grief", "sombre", "somber"),
    262: ("myster", "uncanny", "dream", "strange", "awe", "wonder"),
    285: ("uneas", "dread", "ominous", "eerie", "afraid", "fear", "dark"),
}
_SATURATION: Final = 0.5
_LIGHTNESS: Final = 0.58


def mood_colour(mood: str) -> str:
    """The colour of a mood as ``#rrggbb``: of middle lightness, for a light and a dark page."""
    red, green, blue = colorsys.hls_to_rgb(_hue(mood) / 360, _LIGHTNESS, _SATURATION)
    return "#" + "".join(f"{round(part * 255):02x}" for part in (red, green, blue))


def _hue(mood: str) -> int:
    said = one_line(mood, most=120).lower()
    for word in said.replace(",", " ").split():
        for hue, beginnings in _HUES.items():
            if word.startswith(beginnings):
                return hue
    digest = hashlib.sha256(said.encode()).digest()
    return int.from_bytes(digest[:2], "big") % 360

"""Position in the log: how far a reader of its three streams has come, as the id of a server-sent event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from contracts import pipeline

#: Streams in the order of an id, with their letters.
LETTERS: Final = {pipeline.REQUESTS: "R", pipeline.EVENTS: "E", pipeline.DEAD: "D"}
_FORM: Final = re.compile(r"R([0-9]{1,19})\.E([0-9]{1,19})\.D([0-9]{1,19})")

#: The last sequence that was read, by stream.
LogPosition = Mapping[str, int]


def format_position(position: LogPosition) -> str:
    """The position as text: ``R812.E90311.D4``."""
    return ".".join(f"{letter}{position[stream]}" for stream, letter in LETTERS.items())


def parse_position(text: str) -> dict[str, int] | None:
    """The position in a text; ``None``: it is none."""
    found = _FORM.fullmatch(text)
    return None if found is None else dict(zip(LETTERS, map(int, found.groups()), strict=True))


def count_behind(position: LogPosition, other: LogPosition) -> int:
    """How many messages a position is behind another one, in all streams."""
    return sum(max(0, other[stream] - position[stream]) for stream in LETTERS)


def is_ahead(position: LogPosition, other: LogPosition) -> bool:
    """Whether a position is ahead of another one in some stream."""
    return any(position[stream] > other[stream] for stream in LETTERS)

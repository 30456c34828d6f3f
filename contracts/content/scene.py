"""What is a scene?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.content.fields import Line, Part, Passage


class Choice(Part):
    """Something that the player may decide."""

    text: Line
    consequence: Passage


class Scene(Part):
    """A place, a moment and what happens in it."""

    title: Line
    setting: Passage
    mood: Line
    time_of_day: Literal["dawn", "morning", "noon", "afternoon", "dusk", "night"]
    characters: Annotated[list[Line], Field(max_length=20)]
    narration: Passage
    choices: Annotated[list[Choice], Field(max_length=8)] = []

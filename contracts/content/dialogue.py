"""What is a dialogue?"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts.content.fields import Line, Part, Passage


class Speech(Part):
    """What one character says."""

    speaker: Line
    emotion: Line
    text: Passage


class Dialogue(Part):
    """Characters who talk, one after another."""

    title: Line
    situation: Passage
    speakers: Annotated[list[Line], Field(min_length=1, max_length=12)]
    lines: Annotated[list[Speech], Field(min_length=1, max_length=80)]

    @model_validator(mode="after")
    def _everybody_is_named(self) -> Self:
        for index, line in enumerate(self.lines):
            if line.speaker not in self.speakers:
                raise ValueError(f"lines.{index}.speaker {line.speaker!r} is not among the speakers")
        return self

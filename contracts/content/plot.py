"""What is a plot?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.content.fields import Line, Part, Passage


class Beat(Part):
    """One step of the story."""

    purpose: Passage
    name: Line
    #: 1 (calm) to 10 (the peak).
    tension: Annotated[int, Field(ge=1, le=10)]


class Plot(Part):
    """A story in beats."""

    title: Line
    premise: Passage
    structure: Literal["three_act", "heros_journey", "kishotenketsu", "five_act", "episodic", "branching"]
    beats: Annotated[list[Beat], Field(min_length=2, max_length=24)]

"""What is a transition?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.content.fields import Line, Part, Passage


class Moment(Part):
    """One step on the way from mood to mood."""

    #: Seconds after the transition began.
    at: Annotated[int, Field(ge=0, le=600)]
    text: Passage


class Transition(Part):
    """A bridge between two scenes."""

    summary: Passage
    mood_from: Line
    mood_to: Line
    pacing: Literal["slow", "medium", "fast"]
    transition_type: Literal["gradual", "abrupt"]
    #: Seconds.
    duration: Annotated[int, Field(ge=1, le=600)]
    moments: Annotated[list[Moment], Field(min_length=1, max_length=20)]

"""Transitions: from one scene's mood to the next one's, with pacing and duration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from contracts.content.document import Document, Items, Maybe, Phrase, Prose, Seconds, Sentence


class Step(Document):
    """One moment on the way."""

    purpose: Sentence
    """What it does to the mood."""
    text: Sentence
    """What is seen, heard or told."""
    mood: Maybe[Phrase] = None
    at_s: Maybe[Seconds] = None
    """When it starts, seconds from the start of the transition."""


class Transition(Document):
    """The bridge between two scenes."""

    purpose: Maybe[Sentence] = None
    """What the player should take along into the next scene."""
    mood_from: Phrase
    mood_to: Phrase
    pacing: Literal["slow", "medium", "fast"]
    transition_type: Literal["gradual", "abrupt"]
    duration_s: Annotated[float, Field(gt=0, le=600)]
    """Seconds on screen."""
    title: Maybe[Phrase] = None
    elements: Annotated[Items[Phrase], Field(max_length=32)] = ()
    """What appears in it and is meant to be recognised: a ringing phone, a remembered kiss."""
    beats: Annotated[Items[Step], Field(min_length=1, max_length=20)]
    """In the order in which they happen."""
    text: Prose
    """The narration, as the player reads or hears it."""
    sound: Maybe[Sentence] = None
    image: Maybe[Sentence] = None
    """What is on screen at the cut to the next scene."""

    @model_validator(mode="after")
    def _in_time(self) -> Transition:
        last = 0.0
        for index, step in enumerate(self.beats):
            if step.at_s is None:
                continue
            if step.at_s < last:
                raise ValueError(
                    f"beats.{index}.at_s is {step.at_s:g}, before the beat ahead of it ({last:g})"
                )
            if step.at_s > self.duration_s:
                raise ValueError(f"beats.{index}.at_s is {step.at_s:g}, after the end ({self.duration_s:g})")
            last = step.at_s
        return self

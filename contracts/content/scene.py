"""Scenes: setting, characters, moments and outcome."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from contracts.content.document import Document, Id, Items, Maybe, Phrase, Prose, Sentence, once


class Setting(Document):
    """Where and when."""

    place: Phrase
    time: Maybe[Phrase] = None
    """Time of day or of the story: dusk, the third winter."""
    details: Annotated[Items[Sentence], Field(max_length=12)] = ()
    """What can be seen, heard or smelt."""


class Role(Document):
    """A character as the scene needs it."""

    name: Phrase
    goal: Sentence
    """What this character wants here."""
    obstacle: Maybe[Sentence] = None
    """What is in the way."""
    mood: Maybe[Phrase] = None


class Moment(Document):
    """Something that happens."""

    action: Sentence
    """What is done, and by whom."""
    effect: Maybe[Sentence] = None
    """What it changes."""


class Exit(Document):
    """A way on, offered to the player."""

    id: Id
    label: Phrase
    """What the player reads."""
    leads_to: Phrase
    """The next scene."""
    condition: Maybe[Sentence] = None
    """When it is offered."""


class Scene(Document):
    """One scene."""

    purpose: Sentence
    """Why the story needs this scene."""
    title: Phrase
    setting: Setting
    mood: Phrase
    pacing: Maybe[Literal["slow", "medium", "fast"]] = None
    characters: Annotated[Items[Role], Field(max_length=16)] = ()
    """Empty for a scene without people."""
    moments: Annotated[Items[Moment], Field(min_length=1, max_length=40)]
    """In the order in which they happen."""
    narration: Prose
    """What the player reads or hears when the scene opens."""
    outcome: Sentence
    """What is different when it ends."""
    exits: Annotated[Items[Exit], Field(max_length=8)] = ()
    """Where the player can go from here."""

    @model_validator(mode="after")
    def _consistent(self) -> Scene:
        once([role.name for role in self.characters], "character")
        once([way.id for way in self.exits], "exit id")
        return self

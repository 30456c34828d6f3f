"""Dialogues: lines with speaker and tone, and the player's choices."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from contracts.content.document import Document, Id, Items, Maybe, Phrase, Prose, Sentence, once

#: Where a choice points that ends the conversation.
END = "end"


class Speaker(Document):
    """Somebody who takes part."""

    name: Phrase
    voice: Maybe[Sentence] = None
    """How this character talks."""
    wants: Maybe[Sentence] = None
    """What this character is after in this conversation."""


class Choice(Document):
    """One thing that the player can say."""

    intent: Maybe[Phrase] = None
    """What the player means by it: comfort, deflect, lie."""
    text: Sentence
    goto: Maybe[Id] = None
    """Id of the line that answers it, or "end"; left out: the next line."""


class Line(Document):
    """One thing said."""

    id: Maybe[Id] = None
    """Only for lines that a choice points to."""
    speaker: Phrase
    subtext: Maybe[Sentence] = None
    """What is meant and not said."""
    emotion: Maybe[Phrase] = None
    text: Prose
    action: Maybe[Sentence] = None
    """What the speaker does while talking."""
    choices: Annotated[Items[Choice], Field(max_length=6)] = ()
    """What the player can answer."""


class Dialogue(Document):
    """A conversation."""

    purpose: Sentence
    """What has changed between the speakers at the end."""
    title: Phrase
    setting: Maybe[Sentence] = None
    speakers: Annotated[Items[Speaker], Field(max_length=12)] = ()
    """Who takes part; when given, everybody who speaks is listed."""
    lines: Annotated[Items[Line], Field(min_length=1, max_length=200)]
    """In the order in which they are said."""

    @model_validator(mode="after")
    def _consistent(self) -> Dialogue:
        once([speaker.name for speaker in self.speakers], "speaker")
        known = {speaker.name for speaker in self.speakers}
        ids = [line.id for line in self.lines if line.id is not None]
        once(ids, "line id")
        targets = {*ids, END}
        for index, line in enumerate(self.lines):
            if known and line.speaker not in known:
                raise ValueError(f"lines.{index}.speaker {line.speaker!r} is not listed in speakers")
            for choice in line.choices:
                if choice.goto is not None and choice.goto not in targets:
                    raise ValueError(
                        f"lines.{index}: a choice goes to {choice.goto!r}, which no line has as id"
                    )
        return self

"""Plots: the shape of a story and its beats."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.content.document import Document, Items, Maybe, Phrase, Prose, Sentence

Structure = Literal[
    "three_act",
    "five_act",
    "hero_journey",
    "kishotenketsu",
    "mystery",
    "tragedy",
    "episodic",
    "branching",
]


class Beat(Document):
    """One step of the story."""

    purpose: Sentence
    """What this beat does to the story: what is different after it."""
    name: Phrase
    summary: Maybe[Prose] = None
    """What happens, in a few sentences."""
    characters: Annotated[Items[Phrase], Field(max_length=16)] = ()
    """Who is in it."""
    location: Maybe[Phrase] = None
    tension: Annotated[int, Field(ge=1, le=10)]
    """1 is rest, 10 is the moment that the story was built for."""


class Plot(Document):
    """A story as a sequence of beats."""

    premise: Sentence
    """The story in one or two sentences: who wants what, and what stands in the way."""
    structure_type: Structure
    title: Phrase
    themes: Annotated[Items[Phrase], Field(max_length=8)] = ()
    beats: Annotated[Items[Beat], Field(min_length=1, max_length=40)]
    """In the order in which the player meets them."""

"""What may a designer ask of the content, and what happens when generation fails?"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

#: A thing by its name, or a node's tag such as ``phone_ring``.
Element = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$")
]
ContentId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Rating(StrEnum):
    """How explicit content may be, mildest first."""

    SFW = "sfw"
    ROMANTIC = "romantic"
    MATURE_IMPLIED = "mature_implied"
    RESTRICTED = "restricted"

    @property
    def rank(self) -> int:
        """0 for the mildest."""
        return list(Rating).index(self)


class Constraints(BaseModel):
    """What the content must name, and what it must not."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    required_elements: tuple[Element, ...] = Field(default=(), max_length=32)
    avoid_elements: tuple[Element, ...] = Field(default=(), max_length=32)

    @model_validator(mode="after")
    def _agree(self) -> Constraints:
        avoided = {each.casefold() for each in self.avoid_elements}
        both = [each for each in self.required_elements if each.casefold() in avoided]
        if both:
            raise ValueError(f"{both[0]!r} is both required and to be avoided; leave it out of one of them")
        return self


class Node(BaseModel):
    """A generation node, as far as requests can have one."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    constraints: Constraints = Constraints()


class FallbackMode(StrEnum):
    """What the fallback stage does when generation failed."""

    #: A hand-made document of the kind.
    GOLDEN_SAMPLE = "golden_sample"
    #: The prepared document that ``default_content_id`` names.
    DEFAULT_CONTENT = "default_content"
    #: No content: go on without.
    SKIP = "skip"
    #: Further attempts first, then what ``then`` says.
    RETRY = "retry"
    #: A document that fits the schema and says that it is a placeholder.
    PLACEHOLDER = "placeholder"
    #: Fail visibly.
    NONE = "none"


class Fallback(BaseModel):
    """A request's or node's fallback, complete and without contradictions."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    mode: FallbackMode = FallbackMode.GOLDEN_SAMPLE
    #: Name of a file in golden_samples/default_content/.
    default_content_id: ContentId | None = None
    #: Further attempts in mode ``retry``.
    retries: int = Field(default=1, ge=1, le=10)
    #: Mode ``retry``: wait before each further attempt.  Otherwise: the deadline, if no other is set.
    timeout_ms: int | None = Field(default=None, ge=1, le=86_400_000)
    #: What follows when the retries are used up.
    then: FallbackMode = FallbackMode.GOLDEN_SAMPLE

    @model_validator(mode="after")
    def _complete(self) -> Fallback:
        wants_default = FallbackMode.DEFAULT_CONTENT in (
            self.mode,
            self.then if self.mode is FallbackMode.RETRY else None,
        )
        if wants_default and self.default_content_id is None:
            raise ValueError("default_content_id is required with default_content: name a default content")
        if self.mode is FallbackMode.RETRY and self.then is FallbackMode.RETRY:
            raise ValueError("then must be another mode than retry")
        return self

"""Reviews: what people say about the contents of results."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from contracts.nodes.node import PLAIN

#: The scale, from unusable to excellent.
WORST: Final = 1
BEST: Final = 5
#: The lowest score of a good result.
GOOD: Final = 4
MAX_TAGS: Final = 8
MAX_NOTE: Final = 1000
#: Characters of a reviewer's name.
MAX_REVIEWER: Final = 100
#: The content names a person or has a secret: a result with this tag is never promoted.
PERSONAL: Final = "personal"

ReviewTag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
ReviewerName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_REVIEWER, pattern=PLAIN)
]


class ReviewMode(StrEnum):
    """How many contents a reviewer sees at once."""

    SINGLE = "single"
    #: Two that can be compared, on sides that follow from a hash.
    PAIR = "pair"


class ReviewScore(BaseModel):
    """What a reviewer says about one content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: int = Field(ge=WORST, le=BEST, strict=True, description="From 1, unusable, to 5, excellent.")
    tags: tuple[ReviewTag, ...] = Field(
        default=(),
        max_length=MAX_TAGS,
        description="Words for the report, such as `vivid`; `personal` keeps the result from being promoted.",
    )
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_NOTE)] | None = Field(
        default=None, description="For people; not kept where `audit.store_prompts` is off."
    )

    @field_validator("tags")
    @classmethod
    def _once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(given))

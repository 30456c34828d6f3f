"""Settings of human review."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from contracts.reviews import BEST, GOOD, WORST


class ReviewSettings(BaseModel):
    """What a result needs to become a golden sample (docs/review.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    #: Reviewers who have scored it.
    promote_min_reviews: int = Field(default=1, ge=1, le=100)
    #: Mean of their scores.
    promote_min_score: float = Field(default=float(GOOD), ge=WORST, le=BEST)
    #: Lowest single score: one reviewer who gave less keeps it out.
    promote_lowest_score: int = Field(default=3, ge=WORST, le=BEST)

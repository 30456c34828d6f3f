"""Helper tasks of a generation: a model judges the document, and a model rewrites the wish or the draft.

They are no content kinds, although routes name providers for them.  Neither may keep a result from its deadline:
what it could not do is in its record.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from contracts.errors import ErrorCode
from contracts.kinds import HELPER_TASKS

#: The tasks, as routes and reports of provider calls name them.
EVALUATION, ENHANCEMENT = HELPER_TASKS


class CriterionScore(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge says about one criterion of its rubric."""

    name: str
    #: 1 to 5.
    score: int
    reason: str = ""


class EvaluationInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement of a model about a document, or why there is none."""

    state: Literal["scored", "skipped", "failed"] = "skipped"
    #: Mean of the criteria by their weights, 1 to 5, two decimals; ``None`` unless scored.
    score: float | None = None
    criteria: tuple[CriterionScore, ...] = ()
    #: Name of the rubric, and the SHA-256 of its content.
    rubric: str | None = None
    rubric_hash: str | None = None
    #: Who judged, or failed to.
    provider: str | None = None
    model: str | None = None
    time_ms: float = 0.0
    #: Error of the call that gave no judgement.
    code: ErrorCode | None = None
    #: Why there is no score; empty where there is one.
    reason: str = ""


class EnhancementInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rewriting of a request's wish or draft."""

    #: ``kept``: the answer could not be used, so that the text stays as it was.
    state: Literal["rewritten", "kept", "skipped", "failed"] = "skipped"
    #: ``draft`` or ``wish``.
    of: str = "draft"
    provider: str | None = None
    model: str | None = None
    time_ms: float = 0.0
    #: Error of the call that gave no text.
    code: ErrorCode | None = None
    #: Why the text was not rewritten; empty where it was.
    reason: str = ""
    #: SHA-256 of the text before, and of the text that replaced it.
    before_hash: str | None = None
    after_hash: str | None = None
    #: SHA-256 of the instructions.
    instructions_hash: str | None = None
    #: Software that computed the answer.
    engine: str = ""
    #: The same seed gives the same answer, bit for bit.
    deterministic: bool = False
    #: An earlier call's answer, from the response cache.
    cached: bool = False

    @property
    def rewritten(self) -> bool:
        """Whether the content was made from the rewritten text."""
        return self.state == "rewritten"

"""Rubric: the criteria by which a model judges a document.

Rubrics are data; see docs/evaluation.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, StrictFloat, StringConstraints, model_validator

from contracts.kinds import KindName
from contracts.nodes.node import PLAIN, NodePart
from contracts.policy import fingerprint

#: Scores from the lowest to the highest.
SCORES = (1, 2, 3, 4, 5)

Meaning = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PLAIN)
]
Question = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=PLAIN)
]
CriterionName = Annotated[
    str, StringConstraints(min_length=1, max_length=40, pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")
]


class Criterion(NodePart):
    """One thing that a document is judged by."""

    #: Small letters, digits and single underscores.
    name: CriterionName
    #: What the judge answers with a score.
    question: Question
    #: Share in the whole score, beside the other weights.
    weight: StrictFloat = Field(default=1.0, gt=0, le=100)
    #: Kinds that it is for; none: all.
    kinds: tuple[KindName, ...] = Field(default=(), max_length=64)


class Rubric(NodePart):
    """A rubric file."""

    #: The name of its file.
    name: str
    says: Meaning | None = None
    #: What the scores 1 to 5 mean, one line each.
    scale: tuple[Meaning, Meaning, Meaning, Meaning, Meaning]
    criteria: tuple[Criterion, ...] = Field(min_length=1, max_length=12)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [each.name for each in self.criteria]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"criteria: two are called {twice!r}; give each a name of its own")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of its content."""
        return fingerprint.digest(self.model_dump(mode="json", exclude={"name"}))

    def for_kind(self, kind: str) -> tuple[Criterion, ...]:
        """The criteria of a kind, in the order of the file."""
        return tuple(each for each in self.criteria if not each.kinds or kind in each.kinds)


def answer_schema(criteria: tuple[Criterion, ...]) -> dict[str, Any]:
    """JSON Schema of a judge's answer: for each criterion a reason, and then a score."""
    judged = {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "score": {"type": "integer", "enum": [*SCORES]}},
        "required": ["reason", "score"],
        "additionalProperties": False,
    }
    names = [each.name for each in criteria]
    return {
        "type": "object",
        "properties": dict.fromkeys(names, judged),
        "required": names,
        "additionalProperties": False,
    }

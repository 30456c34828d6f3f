"""What may a designer ask of a generation node?

Every field is optional: a node is one layer of several, and :mod:`contracts.nodes.layers` fills what it leaves
out.  What must be there in the end, and what contradicts what, is for :mod:`contracts.nodes.validation`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from contracts.kinds import KindName

#: What a name, a label or a mood is made of: no control characters (C0, DEL, C1), no line separators, no
#: marks that turn the direction of writing.  Databases refuse some of them, and terminals obey others.
PLAIN: Final = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$"
#: A thing by its name, or a node's tag such as ``phone_ring``.
Element = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=PLAIN)]
ContentId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
#: A mood or a purpose: one word or a few.
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=PLAIN)]


class Rating(StrEnum):
    """How explicit content may be, mildest first."""

    SFW = "sfw"
    ROMANTIC = "romantic"
    MATURE_IMPLIED = "mature_implied"
    RESTRICTED = "restricted"

    @property
    def rank(self) -> int:
        """0 for the mildest."""
        return _RANKS[self]


_RANKS: Final = {rating: rank for rank, rating in enumerate(Rating)}

#: The film scale, and what stands for it: the canonical rating is what is kept.
FILM_RATINGS: Final = {
    "G": Rating.SFW,
    "PG": Rating.SFW,
    "PG-13": Rating.ROMANTIC,
    "R": Rating.MATURE_IMPLIED,
    "NC-17": Rating.RESTRICTED,
}


def canonical_rating(said: Any) -> Any:
    """The canonical rating for one of the film scale; anything else as it is."""
    return FILM_RATINGS.get(said.upper(), said) if isinstance(said, str) else said


#: A rating on either scale.
SaidRating = Annotated[
    Rating,
    BeforeValidator(canonical_rating),
    WithJsonSchema({"type": "string", "enum": [*map(str, Rating), *FILM_RATINGS]}),
]


class Pacing(StrEnum):
    """How fast it goes."""

    SLOW = "slow"
    MEDIUM = "medium"
    FAST = "fast"


class TransitionType(StrEnum):
    """How one mood becomes the other."""

    GRADUAL = "gradual"
    ABRUPT = "abrupt"


class Strategy(StrEnum):
    """Who shares a generation, and for how long."""

    #: Generated once, the same for everybody for ever.
    ONCE = "once"
    #: The same throughout one playthrough.
    PER_PLAYTHROUGH = "per_playthrough"
    #: A player's own, in all their playthroughs.
    PER_PLAYER = "per_player"
    #: Generated anew each time, never kept.
    ALWAYS = "always"


class SeedSource(StrEnum):
    """What the seed is made from."""

    PLAYTHROUGH = "playthrough"
    PLAYER = "player"
    #: The moment of the request: another seed each time.
    TIMESTAMP = "timestamp"
    #: The node alone: for regression tests.
    FIXED = "fixed"


#: Purposes that are known, and what each means; a node may name another.
PURPOSES: Final = {
    "gap_fill": "bridge what lies between two scenes",
    "variation": "tell what exists in another way",
    "adaptive": "answer what the player has done",
    "ambient": "give the background some life",
    "original": "make something new",
}


class NodePart(BaseModel):
    """A node or a part of one; names are accepted in snake_case and in camelCase."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _said_once(cls, given: Any) -> Any:
        said: Any = given
        if isinstance(given, dict) and len(said) > 1:
            for name, field in cls.model_fields.items():
                if field.alias != name and {name, field.alias} <= said.keys():
                    raise ValueError(f"{name} and {field.alias} are the same field; keep one of them")
        return said


class Style(NodePart):
    """What it should feel like."""

    #: Mood of what comes before.
    mood_from: Words | None = None
    #: Mood to arrive at.
    mood_to: Words | None = None
    #: How fast it goes.
    pacing: Pacing | None = None
    #: How one mood becomes the other.
    transition_type: TransitionType | None = None


class Duration(NodePart):
    """How long it lasts on screen, seconds."""

    #: Shortest, seconds.
    min: StrictFloat | None = Field(default=None, ge=-86_400, le=86_400)
    #: Longest, seconds.
    max: StrictFloat | None = Field(default=None, ge=-86_400, le=86_400)
    #: What is wanted, seconds.
    target: StrictFloat | None = Field(default=None, ge=-86_400, le=86_400)


class Constraints(NodePart):
    """What the content must name, what it must not, and which rules it follows."""

    #: How explicit it may be: `sfw`, `romantic`, `mature_implied`, `restricted`, or `G` to `NC-17`.
    rating: SaidRating | None = None
    #: What must be named.
    required_elements: tuple[Element, ...] = Field(default=(), max_length=32)
    #: What must not be named.
    avoid_elements: tuple[Element, ...] = Field(default=(), max_length=32)
    #: Rules such as `build_tension_gradually`.
    content_rules: tuple[Element, ...] = Field(default=(), max_length=32)


class NodeBudget(NodePart):
    """What its generations may take together in one window of the operator's budgets (docs/budgets.md)."""

    #: Tokens of prompts and answers.
    tokens: StrictInt | None = Field(default=None, ge=0, le=10**12)
    #: Money, in the unit of the servers' prices.
    cost: StrictFloat | None = Field(default=None, ge=0, le=10**9)


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


class NodeFallback(NodePart):
    """A node's fallback: what it leaves out comes from the layers around it."""

    #: What is done when generation failed.
    mode: FallbackMode | None = None
    #: Name of a file in golden_samples/default_content/.
    default_content_id: ContentId | None = None
    #: Further attempts in mode `retry`.
    retries: StrictInt | None = Field(default=None, ge=1, le=10)
    #: Mode `retry`: wait before each further attempt, ms.  Otherwise: the deadline, if no other is set.
    timeout_ms: StrictInt | None = Field(default=None, ge=1, le=86_400_000)
    #: What follows when the retries are used up.
    then: FallbackMode | None = None


class Fallback(NodePart):
    """A request's fallback, complete and without contradictions."""

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
    def _complete(self) -> Self:
        wants_default = FallbackMode.DEFAULT_CONTENT in (
            self.mode,
            self.then if self.mode is FallbackMode.RETRY else None,
        )
        if wants_default and self.default_content_id is None:
            raise ValueError("default_content_id is required with default_content: name a default content")
        if self.mode is FallbackMode.RETRY and self.then is FallbackMode.RETRY:
            raise ValueError("then must be another mode than retry")
        return self


class Node(NodePart):
    """A generation node: a template's, a designer's, or what a request adds."""

    #: The node's own name.
    id: ContentId | None = None
    #: What is generated: a content kind.
    generation_type: KindName | None = None
    #: What it is for: `gap_fill`, `variation`, `adaptive`, `ambient`, `original`, or a word of your own.
    purpose: Words | None = None
    #: What it should feel like.
    style: Style | None = None
    #: How long it lasts on screen.
    duration: Duration | None = None
    #: What the content must name, what it must not, and which rules it follows.
    constraints: Constraints | None = None
    #: Who shares a generation, and for how long.
    strategy: Strategy | None = None
    #: What the seed is made from.
    seed_source: SeedSource | None = None
    #: What is done when generation failed.
    fallback: NodeFallback | None = None
    #: What its generations may take together.
    budget: NodeBudget | None = None
    #: The template that lies below it.
    template_id: ContentId | None = None
    #: Whether it is in use.
    enabled: StrictBool = True
    #: Raised when what was generated before should not be used any more.
    version: StrictInt = Field(default=1, ge=1, le=1_000_000_000)

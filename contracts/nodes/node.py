"""Generation nodes: the fields that a designer can set.

Every field is optional: a node is one layer of several, and :mod:`contracts.nodes.layers` merges them.
:mod:`contracts.nodes.validation` reports missing fields and contradictions.
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

#: Characters of a name, a label or a mood: no control characters (C0, DEL, C1), no line separators, no marks
#: that change the writing direction.  Databases reject some of them, and terminals obey others.
PLAIN: Final = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$"
#: A named thing, or a node's tag such as ``phone_ring``.
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
        """Position on the scale, 0 for the mildest."""
        return _RANKS[self]


_RANKS: Final = {rating: rank for rank, rating in enumerate(Rating)}

#: The film scale, mapped to the canonical ratings; only canonical ratings are stored.
FILM_RATINGS: Final = {
    "G": Rating.SFW,
    "PG": Rating.SFW,
    "PG-13": Rating.ROMANTIC,
    "R": Rating.MATURE_IMPLIED,
    "NC-17": Rating.RESTRICTED,
}


def canonical_rating(said: Any) -> Any:
    """The canonical rating of a film rating; any other value unchanged."""
    return FILM_RATINGS.get(said.upper(), said) if isinstance(said, str) else said


#: A rating on either scale.
RatingInput = Annotated[
    Rating,
    BeforeValidator(canonical_rating),
    WithJsonSchema({"type": "string", "enum": [*map(str, Rating), *FILM_RATINGS]}),
]


class Pacing(StrEnum):
    """Speed of the content."""

    SLOW = "slow"
    MEDIUM = "medium"
    FAST = "fast"


class TransitionType(StrEnum):
    """How the mood changes."""

    GRADUAL = "gradual"
    ABRUPT = "abrupt"


class Strategy(StrEnum):
    """Who shares a generation, and for how long."""

    #: Generated once and shared by everybody.
    ONCE = "once"
    #: Shared within one playthrough.
    PER_PLAYTHROUGH = "per_playthrough"
    #: Shared by all playthroughs of one player.
    PER_PLAYER = "per_player"
    #: Generated for each request, never cached.
    ALWAYS = "always"


class SeedSource(StrEnum):
    """Source of the seed."""

    PLAYTHROUGH = "playthrough"
    PLAYER = "player"
    #: The time of the request: a new seed each time.
    TIMESTAMP = "timestamp"
    #: The node alone, for regression tests.
    FIXED = "fixed"


#: Known purposes and their meanings; a node may use another word.
PURPOSES: Final = {
    "gap_fill": "bridge two scenes",
    "variation": "retell existing content in another way",
    "adaptive": "react to what the player did",
    "ambient": "add life to the background",
    "original": "create something new",
}


class NodePart(BaseModel):
    """A node or a part of one; field names are accepted in snake_case and in camelCase."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _reject_duplicates(cls, given: Any) -> Any:
        fields: Any = given
        if isinstance(given, dict) and len(fields) > 1:
            for name, field in cls.model_fields.items():
                if field.alias != name and {name, field.alias} <= fields.keys():
                    raise ValueError(f"{name} and {field.alias} are the same field; keep one of them")
        return fields


class Style(NodePart):
    """Mood and pace of the content."""

    #: Mood before the content.
    mood_from: Words | None = None
    #: Mood at the end of the content.
    mood_to: Words | None = None
    #: Speed of the content.
    pacing: Pacing | None = None
    #: How the mood changes: gradually or abruptly.
    transition_type: TransitionType | None = None


class Duration(NodePart):
    """Length on screen, in seconds."""

    #: Shortest length, in seconds.
    min: StrictFloat | None = Field(default=None, ge=-86_400, le=86_400)
    #: Longest length, in seconds.
    max: StrictFloat | None = Field(default=None, ge=-86_400, le=86_400)
    #: Intended length, in seconds.
    target: StrictFloat | None = Field(default=None, ge=-86_400, le=86_400)


class Constraints(NodePart):
    """What the content must mention, what it must not mention, and which rules it follows."""

    #: Highest rating: `sfw`, `romantic`, `mature_implied`, `restricted`, or `G` to `NC-17`.
    rating: RatingInput | None = None
    #: Elements that the content must mention.
    required_elements: tuple[Element, ...] = Field(default=(), max_length=32)
    #: Elements that the content must not mention.
    avoid_elements: tuple[Element, ...] = Field(default=(), max_length=32)
    #: Rules for the content, such as `build_tension_gradually`.
    content_rules: tuple[Element, ...] = Field(default=(), max_length=32)


class NodeBudget(NodePart):
    """Most that all generations of the node may consume per budget window (docs/budgets.md)."""

    #: Tokens of prompts and answers.
    tokens: StrictInt | None = Field(default=None, ge=0, le=10**12)
    #: Money, in the currency of the configured prices.
    cost: StrictFloat | None = Field(default=None, ge=0, le=10**9)


class FallbackMode(StrEnum):
    """What the fallback stage does when generation fails."""

    #: Answer with a hand-made document of the kind.
    GOLDEN_SAMPLE = "golden_sample"
    #: Answer with the prepared document that ``default_content_id`` names.
    DEFAULT_CONTENT = "default_content"
    #: Answer without content; the game skips the node.
    SKIP = "skip"
    #: Try again, then do what ``then`` says.
    RETRY = "retry"
    #: Answer with a document that fits the schema and is marked as a placeholder.
    PLACEHOLDER = "placeholder"
    #: Answer with an error.
    NONE = "none"


class NodeFallback(NodePart):
    """A node's fallback; missing fields come from the other layers."""

    #: What to do when generation fails.
    mode: FallbackMode | None = None
    #: Name of a file in golden_samples/default_content/.
    default_content_id: ContentId | None = None
    #: Number of further attempts in mode `retry`.
    retries: StrictInt | None = Field(default=None, ge=1, le=10)
    #: Mode `retry`: wait before each further attempt, ms.  Other modes: the deadline, if no other is set.
    timeout_ms: StrictInt | None = Field(default=None, ge=1, le=86_400_000)
    #: What to do when all retries have failed.
    then: FallbackMode | None = None


class Fallback(NodePart):
    """A request's fallback, complete and free of contradictions."""

    mode: FallbackMode = FallbackMode.GOLDEN_SAMPLE
    #: Name of a file in golden_samples/default_content/.
    default_content_id: ContentId | None = None
    #: Number of further attempts in mode ``retry``.
    retries: int = Field(default=1, ge=1, le=10)
    #: Mode ``retry``: wait before each further attempt.  Other modes: the deadline, if no other is set.
    timeout_ms: int | None = Field(default=None, ge=1, le=86_400_000)
    #: What to do when all retries have failed.
    then: FallbackMode = FallbackMode.GOLDEN_SAMPLE

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs_default = FallbackMode.DEFAULT_CONTENT in (
            self.mode,
            self.then if self.mode is FallbackMode.RETRY else None,
        )
        if needs_default and self.default_content_id is None:
            raise ValueError("default_content_id is required with default_content: name a default content")
        if self.mode is FallbackMode.RETRY and self.then is FallbackMode.RETRY:
            raise ValueError("then cannot be retry; choose another mode")
        return self


class Node(NodePart):
    """A generation node: a template's, a designer's, or the fields that a request adds."""

    #: Id of the node.
    id: ContentId | None = None
    #: Content kind to generate.
    generation_type: KindName | None = None
    #: Purpose: `gap_fill`, `variation`, `adaptive`, `ambient`, `original`, or a word of your own.
    purpose: Words | None = None
    #: Mood and pace of the content.
    style: Style | None = None
    #: Length on screen.
    duration: Duration | None = None
    #: What the content must mention, what it must not mention, and which rules it follows.
    constraints: Constraints | None = None
    #: Who shares a generation, and for how long.
    strategy: Strategy | None = None
    #: Source of the seed.
    seed_source: SeedSource | None = None
    #: What to do when generation fails.
    fallback: NodeFallback | None = None
    #: Most that all generations of the node may consume.
    budget: NodeBudget | None = None
    #: Template that the node starts from.
    template_id: ContentId | None = None
    #: Whether the node is in use.
    enabled: StrictBool = True
    #: Raise it to stop using earlier generations.
    version: StrictInt = Field(default=1, ge=1, le=1_000_000_000)

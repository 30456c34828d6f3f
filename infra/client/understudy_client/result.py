"""A request's one result, as the log keeps it.

Fields that a later pipeline adds are ignored, and a value that it adds to a list (a status, an error code) is kept as
text: a client need not be upgraded with its pipeline.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec


class Status(StrEnum):
    """How a request ended."""

    #: The model's own, checked content.
    SUCCESS = "success"
    #: The same, from an earlier generation.
    CACHED = "cached"
    #: Model calls are turned off: prepared content answered.
    CACHED_FALLBACK = "cached_fallback"
    #: The model failed: prepared content stood in.
    FAIL_FALLBACK = "fail_fallback"
    #: The content could not be made valid, and the request has no fallback.
    FAIL_VALIDATION = "fail_validation"
    #: Generation failed otherwise, and the request has no fallback.
    FAILED = "failed"
    #: Fallback mode ``skip``: go on without content.
    SKIPPED = "skipped"
    #: A document that fits the schema and says that it is a placeholder.
    PLACEHOLDER = "placeholder"
    #: The request was cancelled.
    CANCELLED = "cancelled"
    #: The request itself could not be accepted.
    REJECTED = "rejected"


class Origin(StrEnum):
    """Where the content comes from."""

    #: A model, for this request.
    LIVE = "live"
    #: An earlier generation.
    CACHE = "cache"
    #: The scripted provider, for tests.
    SCRIPTED = "scripted"
    #: A golden sample of the kind.
    GOLDEN_SAMPLE = "golden_sample"
    #: The document that the request's fallback names.
    DEFAULT_CONTENT = "default_content"
    #: Built from the schema.
    PLACEHOLDER = "placeholder"
    #: There is no content.
    NONE = "none"


#: Statuses of a result that a game can go on with.
USABLE: Final = frozenset(
    {
        Status.SUCCESS,
        Status.CACHED,
        Status.CACHED_FALLBACK,
        Status.FAIL_FALLBACK,
        Status.SKIPPED,
        Status.PLACEHOLDER,
    }
)


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The error behind a result."""

    #: ``GEN_…``; decide on it, never on the message.
    code: str
    stage: str
    message: str


class StandIn(msgspec.Struct, frozen=True, kw_only=True):
    """The prepared content that stood in: its file name and the SHA-256 of its content."""

    name: str
    hash: str


class ContentRef(msgspec.Struct, frozen=True, kw_only=True):
    """Content too large for a message, in the object store ``assets``."""

    object: str
    sha256: str
    #: Bytes.
    size: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One provider call."""

    provider: str
    model: str
    #: ``None``: it gave a usable completion.
    code: str | None = None
    #: Milliseconds.
    time_ms: float = 0.0
    #: Why it was made or given up.
    why: str = ""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of all attempts; ``None``: no provider reported them."""

    prompt: int | None = None
    completion: int | None = None


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What the request cost."""

    tokens: Tokens = Tokens()
    #: Milliseconds of work per stage.
    time_ms: dict[str, float] = {}
    #: Money, in the provider's currency; ``None``: not known.
    amount: float | None = None


class RatingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The rating that was asked for and the one that held."""

    requested: str = "sfw"
    effective: str = "sfw"
    clamped: bool = False


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was done until the document was valid."""

    level: str
    #: How often structuring was asked again.
    reasks: int = 0
    #: What was changed, one line each.
    changes: tuple[str, ...] = ()
    #: Paths of fields that got an empty text.
    filled: tuple[str, ...] = ()


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """The same prompt, parameters, seed, models and engines gave other content before."""

    #: SHA-256 of the first content.
    first_hash: str
    #: The request that it was generated for.
    first_request: str


class SceneInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One scene that a plot asked for, and its state when the plot ended."""

    #: The scene's own request; its result has the content.
    request_id: str
    #: Number of the plot's beat, from 1.
    beat: int
    name: str
    #: How it ended; ``running`` or ``pending`` where it had not.
    status: str
    origin: str | None = None
    reason: str | None = None


class ExperimentArm(msgspec.Struct, frozen=True, kw_only=True):
    """The arm of an experiment that a request counts for."""

    name: str
    arm: str
    #: Pseudonym of the player, playthrough or request that was split: 16 hex digits, unlike in other experiments.
    unit: str
    #: Version of the split: 12 hex digits, others as soon as arms, weights, settings or requests of it change.
    revision: str


class CriterionScore(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge says about one criterion of its rubric."""

    name: str
    #: 1 to 5.
    score: int
    reason: str = ""


class EvaluationInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement of a model about the content, or why there is none."""

    #: ``scored``, ``skipped`` or ``failed``.
    state: str = "skipped"
    #: Mean of the criteria by their weights, 1 to 5; ``None`` unless scored.
    score: float | None = None
    criteria: tuple[CriterionScore, ...] = ()
    #: Name of the rubric, and the SHA-256 of its content.
    rubric: str | None = None
    rubric_hash: str | None = None
    provider: str | None = None
    model: str | None = None
    time_ms: float = 0.0
    code: str | None = None
    #: Why there is no score.
    reason: str = ""


class EnhancementInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rewriting of the wish or the draft."""

    #: ``rewritten``, ``kept``, ``skipped`` or ``failed``.
    state: str = "skipped"
    #: ``draft`` or ``wish``.
    of: str = "draft"
    provider: str | None = None
    model: str | None = None
    time_ms: float = 0.0
    code: str | None = None
    #: Why the text was not rewritten.
    reason: str = ""
    #: SHA-256 of the text before, of the text that replaced it, and of the instructions.
    before_hash: str | None = None
    after_hash: str | None = None
    instructions_hash: str | None = None
    engine: str = ""
    #: The same seed gives the same answer, bit for bit.
    deterministic: bool = False
    #: An earlier call's answer, from the response cache.
    cached: bool = False


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """How the content was made."""

    provider: str | None = None
    model: str | None = None
    seed: int | None = None
    #: The seed was honoured, bit for bit.
    deterministic: bool = False
    drift: Drift | None = None
    prompt_version: str | None = None
    prompt_hash: str | None = None
    #: ``type|purpose|from|to|strategy|seed|version``; ``None``: nothing is cached.
    cache_key: str | None = None
    #: The request that a cached result was generated for.
    generated_for: str | None = None
    rating: RatingInfo = RatingInfo()
    cost: Cost = Cost()
    #: 0 to 1; ``None`` for what was not generated.
    quality_score: float | None = None
    #: What takes from the score, one short line each, with the path of the text.
    quality_reasons: tuple[str, ...] = ()
    #: ``None``: evaluation is off, or nothing was generated.
    evaluation: EvaluationInfo | None = None
    #: ``None``: enhancement is off, or nothing was generated.
    enhancement: EnhancementInfo | None = None
    receipt: Receipt | None = None
    warnings: tuple[str, ...] = ()
    replay_of: str | None = None
    #: The replay job that edited the request before it was repeated.
    patched_by: str | None = None
    #: The arm of the experiment that the request counts for; ``None``: it counts for none.
    experiment: ExperimentArm | None = None
    #: SHA-256 of the canonical request.
    input_hash: str | None = None
    #: Broker's timestamp of the request, milliseconds since the epoch.
    requested_at_ms: int | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A request's one result."""

    request_id: str
    kind: str
    #: One of :class:`Status`; a later pipeline may add others.
    status: str
    #: One of :class:`Origin`; a later pipeline may add others.
    origin: str
    #: Why the content is not the model's own; set unless ``origin`` is ``live`` or ``cache``.
    reason: str | None = None
    #: The document; ``None`` where there is none, or where ``content_ref`` says where it is.
    content: Any = None
    #: Where content above 512 KiB is; :meth:`Client.document` fetches it.
    content_ref: ContentRef | None = None
    #: SHA-256 of the canonical content.
    content_hash: str | None = None
    error: ErrorInfo | None = None
    #: Every provider call, in order.
    attempts: tuple[Attempt, ...] = ()
    #: Set for origins ``golden_sample`` and ``default_content``.
    stand_in: StandIn | None = None
    #: The scenes of a plot that asked for them, in the order of its beats.
    scenes: tuple[SceneInfo, ...] = ()
    meta: Meta = Meta()

    @property
    def usable(self) -> bool:
        """A game can go on with it: the exit status 0 of ``understudy request --wait``."""
        return self.status in USABLE


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of text while a model writes; it is not stored."""

    stage: str
    attempt: int
    #: Counts the pieces of one provider call, from 0.
    index: int
    text: str

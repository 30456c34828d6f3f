"""What is the one answer to a request, and which answers cannot exist?"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from contracts.errors import ErrorCode
from contracts.policy.rating import RatingInfo
from contracts.usage import Attempt, Tokens


class Status(StrEnum):
    """How a request ended."""

    #: The model's own, checked content.
    SUCCESS = "success"
    #: The same, from a real earlier generation.
    CACHED = "cached"
    #: No model was wanted (``GEN_PROVIDER_DISABLED``): prepared content answered.
    CACHED_FALLBACK = "cached_fallback"
    #: A model was wanted and failed: prepared content stood in.
    FAIL_FALLBACK = "fail_fallback"
    #: Fallback mode ``none``, and the content could not be made valid.
    FAIL_VALIDATION = "fail_validation"
    #: Fallback mode ``none``, and generation failed otherwise.
    FAILED = "failed"
    #: Fallback mode ``skip``: go on without content.
    SKIPPED = "skipped"
    #: A document that fits the schema and says that it is a placeholder.
    PLACEHOLDER = "placeholder"
    #: Somebody cancelled the request.
    CANCELLED = "cancelled"
    #: The request itself could not be accepted.
    REJECTED = "rejected"


class Origin(StrEnum):
    """Where the content comes from."""

    #: A model wrote it for this request.
    LIVE = "live"
    #: A model wrote it for an earlier request.
    CACHE = "cache"
    #: The scripted provider wrote it: for tests and demos, never live.
    SCRIPTED = "scripted"
    #: A hand-made document of the kind; ``stand_in`` names it.
    GOLDEN_SAMPLE = "golden_sample"
    #: The prepared document that the request's fallback named; ``stand_in`` names it.
    DEFAULT_CONTENT = "default_content"
    #: Built from the schema, and labelled in its text.
    PLACEHOLDER = "placeholder"
    #: There is no content.
    NONE = "none"


#: Statuses with which ``understudy request --wait`` exits 0: somebody can use the answer.
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

#: The endings that exist.
ORIGINS_OF: Final[dict[Status, frozenset[Origin]]] = {
    Status.SUCCESS: frozenset({Origin.LIVE, Origin.SCRIPTED}),
    Status.CACHED: frozenset({Origin.CACHE}),
    Status.CACHED_FALLBACK: frozenset({Origin.GOLDEN_SAMPLE, Origin.DEFAULT_CONTENT}),
    Status.FAIL_FALLBACK: frozenset({Origin.GOLDEN_SAMPLE, Origin.DEFAULT_CONTENT}),
    Status.FAIL_VALIDATION: frozenset({Origin.NONE}),
    Status.FAILED: frozenset({Origin.NONE}),
    Status.SKIPPED: frozenset({Origin.NONE}),
    Status.PLACEHOLDER: frozenset({Origin.PLACEHOLDER}),
    Status.CANCELLED: frozenset({Origin.NONE}),
    Status.REJECTED: frozenset({Origin.NONE}),
}

_EXPLAINS_ITSELF: Final = frozenset({Origin.LIVE, Origin.CACHE})
_HAS_STAND_IN: Final = frozenset({Origin.GOLDEN_SAMPLE, Origin.DEFAULT_CONTENT})
SCRIPTED: Final = "scripted"


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The real error behind an ending."""

    code: ErrorCode
    stage: str
    message: str


class StandIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which prepared content stood in: its file name and the SHA-256 of its content."""

    name: str
    hash: str


class ContentRef(msgspec.Struct, frozen=True, kw_only=True):
    """Content too large for a message: an object in the ``assets`` store."""

    object: str
    sha256: str
    #: Bytes.
    size: int


class RepairLevel(StrEnum):
    """How a document came to be a valid one; the later, the more was done to it."""

    #: A grammar kept the model to the schema while it wrote.
    CONSTRAINED = "constrained"
    #: The model's text was valid as it came.
    PARSED = "parsed"
    #: The text was no strict JSON or held more than the document, used an id twice, listed a person twice or not at
    #: all; it was mended.
    REPAIRED = "repaired"
    #: It followed a document that could not be used.
    RE_ASKED = "re_asked"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was done until the document was valid."""

    level: RepairLevel
    #: How often structuring was asked again.
    reasks: int = 0
    #: What was mended, left out or chosen, one line each.
    changes: tuple[str, ...] = ()
    #: Paths of the fields that had no value, and have an empty text now.
    filled: tuple[str, ...] = ()


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What the request cost."""

    tokens: Tokens = Tokens()
    #: Milliseconds of work per stage.
    time_ms: dict[str, float] = {}
    #: Money, in the provider's currency; ``None`` where never known.
    amount: float | None = None


class SceneInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One scene that a plot has asked for, and how far it was when the plot ended."""

    #: The scene's own request: its content stands in that one's result.
    request_id: str
    #: Which beat of the plot it tells, from 1.
    beat: int
    #: The beat's name.
    name: str
    #: How the scene ended; ``running``: not yet; ``pending``: it was not asked for.
    status: str
    #: Where its content comes from; ``None`` where it has not ended.
    origin: Origin | None = None
    #: Why it is not the model's own; or why it was not asked for.
    reason: str | None = None


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """The same prompt, parameters, seed, models and engines came to something else before."""

    #: SHA-256 of the content that came first.
    first_hash: str
    #: The request that it was generated for.
    first_request: str


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """How the content came to be."""

    provider: str | None = None
    model: str | None = None
    seed: int | None = None
    #: Was the seed honoured, bit for bit?
    deterministic: bool = False
    #: Why it was not; ``None`` where nothing else is known to have come of the same.
    drift: Drift | None = None
    prompt_version: str | None = None
    prompt_hash: str | None = None
    #: Who shares it, as ``type|purpose|from|to|strategy|seed|version``; ``None``: nothing is kept.
    cache_key: str | None = None
    #: The request that a cached result was generated for.
    generated_for: str | None = None
    rating: RatingInfo = RatingInfo()
    cost: Cost = Cost()
    #: 0 to 1, from stated heuristics; ``None`` for what was not generated.
    quality_score: float | None = None
    #: ``None`` for what was not generated.
    receipt: Receipt | None = None
    warnings: tuple[str, ...] = ()
    replay_of: str | None = None
    #: SHA-256 of the canonical request.
    input_hash: str | None = None
    #: Broker's timestamp of ``requested``, milliseconds since the epoch.
    requested_at_ms: int | None = None


class ResultBody(msgspec.Struct, frozen=True, kw_only=True):
    """Fields that ``result`` and ``revised`` share, with the rules that make a lie impossible.

    Raises:
        ValueError: for a result that claims what it is not (see :func:`check`).
    """

    request_id: str
    kind: str
    #: How the request ended.
    status: Status
    #: Where the content comes from.
    origin: Origin
    #: Why it is not the model's own; there unless ``origin`` is ``live`` or ``cache``.
    reason: str | None = None
    #: The document; ``None`` where there is none, or where ``content_ref`` says where it is.
    content: Any = None
    #: Where content above 512 KiB is.
    content_ref: ContentRef | None = None
    #: SHA-256 of the canonical content.
    content_hash: str | None = None
    #: What went wrong; ``None`` where the content was generated, or skipped without an error.
    error: ErrorInfo | None = None
    #: Every provider call, in order.
    attempts: tuple[Attempt, ...] = ()
    #: What stood in, for origins ``golden_sample`` and ``default_content``.
    stand_in: StandIn | None = None
    #: The scenes of a plot that has asked for them, in the order of its beats.
    scenes: tuple[SceneInfo, ...] = ()
    meta: Meta = Meta()

    def __post_init__(self) -> None:
        check(self)


def check(result: ResultBody) -> None:  # noqa: C901 - one rule after another
    """Refuse a result that claims what it is not.

    Raises:
        ValueError: naming the fields that contradict each other.
    """
    status, origin = result.status, result.origin
    if origin not in ORIGINS_OF[status]:
        raise ValueError(f"status {status} cannot have origin {origin}")
    if origin not in _EXPLAINS_ITSELF and not (result.reason or "").strip():
        raise ValueError(f"origin {origin} needs a reason")
    if (result.stand_in is not None) != (origin in _HAS_STAND_IN):
        raise ValueError(f"origin {origin} and stand_in contradict each other")
    has_content = bool(result.content) or result.content_ref is not None
    if has_content != (origin is not Origin.NONE):
        raise ValueError(f"origin {origin} and content contradict each other")
    if has_content and result.content_hash is None:
        raise ValueError("content needs its content_hash")
    scripted = result.meta.provider == SCRIPTED
    if origin is Origin.LIVE and (scripted or result.meta.provider is None):
        raise ValueError("origin live needs a provider, and the scripted one is never live")
    if origin is Origin.SCRIPTED and not scripted:
        raise ValueError("origin scripted is for the scripted provider")
    if result.meta.drift is not None and result.meta.deterministic:
        raise ValueError("what drifted is not deterministic")
    generated = status in (Status.SUCCESS, Status.CACHED)
    if generated and result.error is not None:
        raise ValueError(f"status {status} cannot carry an error")
    if not generated and status is not Status.SKIPPED and result.error is None:
        raise ValueError(f"status {status} needs an error")
    if status is Status.CACHED_FALLBACK and not _disabled(result):
        raise ValueError("cached_fallback is for GEN_PROVIDER_DISABLED alone")
    if status is Status.FAIL_FALLBACK and _disabled(result):
        raise ValueError("without a wanted model the status is cached_fallback")


def _disabled(result: ResultBody) -> bool:
    return result.error is not None and result.error.code is ErrorCode.GEN_PROVIDER_DISABLED

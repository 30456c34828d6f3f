"""What does the body of each event say?

One tolerant struct per event: unknown fields are ignored, every field added later has a default,
so that a stored event decodes for ever.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from contracts.errors import ErrorCode
from contracts.nodes.node import Rating
from contracts.policy.budget_scope import BillingContext
from contracts.policy.cache_key import CacheKey
from contracts.policy.rating import RatingInfo
from contracts.policy.social import RelationshipEffect
from contracts.result import ResultBody
from contracts.usage import Attempt, Tokens


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that travels on a ``gen.`` subject."""

    name: ClassVar[str]
    version: ClassVar[int] = 1


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """Sampling parameters of one provider call."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    #: Seconds.
    timeout_s: float
    stop: tuple[str, ...] = ()
    #: The answer has to be made anew: nothing that was kept may stand in for it.
    fresh: bool = False


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was decided about a request before a model is asked; travels with it."""

    #: Stream sequence and broker timestamp (ms since the epoch) of ``requested``.
    request_seq: int
    requested_at_ms: int
    #: When the fallback answers if nobody else has, ms since the epoch.
    deadline_at_ms: int
    input_hash: str
    #: Rendered instruction for the writing stage, and its SHA-256.
    prompt: str
    prompt_hash: str
    prompt_version: str
    freeform: Params
    structuring: Params
    #: JSON Schema of the answer; ``None``: the kind's own.
    schema: dict[str, Any] | None = None
    #: What the content must name, and what it must not.
    required_elements: tuple[str, ...] = ()
    avoid_elements: tuple[str, ...] = ()
    #: What fields of the document have to be, as JSON Schema by their names; ``None``: nothing is settled.
    settled: dict[str, dict[str, Any]] | None = None
    rating: RatingInfo = RatingInfo()
    #: What the world makes of the relationship; ``None`` where the request tells none.
    social: RelationshipEffect | None = None
    tags: tuple[str, ...] = ()
    workspace: str | None = None
    world: str | None = None
    #: Who shares it, as ``type|purpose|from|to|strategy|seed|version``; ``None``: nothing is kept.
    cache_key: str | None = None
    #: Its place in the result cache.
    slot: CacheKey | None = None
    replay_of: str | None = None
    #: What the requests for a plot's scenes have in common; ``None``: no scenes are wanted.
    scenes: dict[str, Any] | None = None
    #: Whose budgets its calls are paid from.
    spender: BillingContext | None = None


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """What has happened to a request so far; every stage adds its part."""

    attempts: tuple[Attempt, ...] = ()
    tokens: Tokens = Tokens()
    amount: float | None = None
    #: Milliseconds of work per stage; the runner fills it in.
    time_ms: dict[str, float] = {}
    warnings: tuple[str, ...] = ()


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What one layer decided about a request's node; of a list, what it added."""

    #: Dotted path in the node, such as ``style.mood_to``.
    field: str
    value: Any
    #: ``template``, ``node``, ``rules`` or ``request``.
    by: str
    #: Of a rule: its line, from 1, how it is written, and the conditions that held.
    line: int | None = None
    rule: str | None = None
    when: tuple[str, ...] = ()


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """Prose from a provider, kept as it came."""

    text: str
    provider: str
    model: str
    finish_reason: str
    #: Was the seed honoured, bit for bit?
    deterministic: bool = False
    #: An earlier call's answer, from the response cache.
    cached: bool = False
    #: What computed it, beside the model: with another, the same seed may draw something else.
    engine: str = ""


class ContextBuilt(Event, frozen=True, kw_only=True):
    """``context_built``."""

    name: ClassVar[str] = "context_built"
    attempt: int
    brief: Brief
    trail: Trail = Trail()
    #: Which layer decided what about the node; only on the first attempt.
    decided: tuple[Decided, ...] = ()


class Clamped(Event, frozen=True, kw_only=True):
    """``clamped``."""

    name: ClassVar[str] = "clamped"
    requested: Rating
    effective: Rating
    #: Who allows no more: the world by its name, the user, or both.
    by: str = ""
    attempt: int = 1


class Drafted(Event, frozen=True, kw_only=True):
    """``drafted``."""

    name: ClassVar[str] = "drafted"
    attempt: int
    brief: Brief
    draft: Draft
    trail: Trail = Trail()


class Structured(Event, frozen=True, kw_only=True):
    """``structured``: ``document`` is the provider's text, not parsed yet."""

    name: ClassVar[str] = "structured"
    attempt: int
    brief: Brief
    draft: Draft
    document: Draft
    #: How often structuring was asked again.
    reask: int = 0
    trail: Trail = Trail()


class Invalid(Event, frozen=True, kw_only=True):
    """``invalid``: why the document cannot be used, one line per fault with its path."""

    name: ClassVar[str] = "invalid"
    attempt: int
    brief: Brief
    draft: Draft
    document: Draft
    errors: tuple[str, ...]
    reask: int
    trail: Trail = Trail()


class Failed(Event, frozen=True, kw_only=True):
    """``failed``."""

    name: ClassVar[str] = "failed"
    attempt: int
    code: ErrorCode
    stage: str
    message: str
    #: Unusable output kept for triage, cut to a bound.
    evidence: str | None = None
    brief: Brief | None = None
    trail: Trail = Trail()


class Deadline(Event, frozen=True, kw_only=True):
    """``deadline``: written by the broker when a request's timer fires."""

    name: ClassVar[str] = "deadline"
    #: Sequence of the ``requested`` that the timer was armed for.
    request_seq: int
    deadline_ms: int
    attempt: int = 1


class Cancelled(Event, frozen=True, kw_only=True):
    """``cancelled``."""

    name: ClassVar[str] = "cancelled"
    reason: str = ""
    attempt: int = 1


class Result(Event, ResultBody, frozen=True, kw_only=True):
    """``result``: exactly one per request."""

    name: ClassVar[str] = "result"

    @property
    def attempt(self) -> int:
        """A result has no second attempt."""
        return 1


class Plotted(Event, frozen=True, kw_only=True):
    """``plotted``: the plot is there and checked, its scenes are still to come."""

    name: ClassVar[str] = "plotted"
    attempt: int
    brief: Brief
    #: What becomes the plot's result when its scenes have ended.
    result: Result


class Revised(Event, ResultBody, frozen=True, kw_only=True):
    """``revised``: real content from the replay ``revised_by``, on the original's subject."""

    name: ClassVar[str] = "revised"
    revised_by: str

    @property
    def attempt(self) -> int:
        """A revision has no second attempt; its replay's id tells revisions apart."""
        return 1


class Progress(Event, frozen=True, kw_only=True):
    """``progress``: text as it is being written; core NATS, never stored."""

    name: ClassVar[str] = "progress"
    stage: str
    attempt: int
    #: Counts the messages of one provider call, from 0.
    index: int
    text: str


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that no stage could use, with everything needed to look at it and replay it."""

    code: ErrorCode
    reason: str
    stage: str
    #: Where the message stands in the log.
    stream: str
    sequence: int
    subject: str
    #: Broker's timestamp of the message, ms since the epoch.
    time_ms: int
    deliveries: int
    headers: dict[str, str] = {}
    #: The raw bytes; base64 in JSON.  Above 512 KiB ``body_ref`` holds a reference instead.
    body: bytes | None = None
    body_ref: dict[str, Any] | None = None
    size: int = 0
    sha256: str = ""
    #: The last output a provider gave for it, cut to a bound.
    evidence: str | None = None

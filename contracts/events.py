"""Event bodies.

One tolerant struct per event: unknown fields are ignored, and every field added later has a default, so that
stored events always decode.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from contracts.errors import ErrorCode
from contracts.helper_tasks import EnhancementInfo
from contracts.lineage import Lineage
from contracts.nodes.node import Rating
from contracts.policy.budget_scope import BillingContext
from contracts.policy.cache_key import CacheKey
from contracts.policy.experiments import Treatment
from contracts.policy.rating import RatingInfo
from contracts.policy.social import RelationshipEffect
from contracts.result import ResultBody
from contracts.usage import Attempt, Tokens


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Body of a message on a ``gen.`` subject."""

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
    #: Whether the answer must be generated anew, without any cache.
    fresh: bool = False


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that context-build decides about a request before a model is called; travels with the request."""

    #: Stream sequence and broker timestamp (ms since the epoch) of ``requested``.
    request_seq: int
    requested_at_ms: int
    #: When the fallback answers if there is no result yet, ms since the epoch.
    deadline_at_ms: int
    input_hash: str
    #: Rendered instruction for freeform-gen, and its SHA-256.
    prompt: str
    prompt_hash: str
    prompt_version: str
    freeform: Params
    structuring: Params
    #: JSON Schema of the answer; ``None``: the kind's own.
    schema: dict[str, Any] | None = None
    #: Elements that the content must mention, and elements that it must not.
    required_elements: tuple[str, ...] = ()
    avoid_elements: tuple[str, ...] = ()
    #: Schema pins: JSON Schema by name of a field of the document; ``None``: no pins.
    settled: dict[str, dict[str, Any]] | None = None
    rating: RatingInfo = RatingInfo()
    #: Result of applying the world's schema to the relationship; ``None`` if the request gives none.
    social: RelationshipEffect | None = None
    tags: tuple[str, ...] = ()
    workspace: str | None = None
    world: str | None = None
    #: Readable cache key, ``type|purpose|from|to|strategy|seed|version``; ``None``: not cached.
    cache_key: str | None = None
    #: Key in the result cache.
    slot: CacheKey | None = None
    replay_of: str | None = None
    #: How the request descends from an earlier one; ``None`` where ``replay_of`` says it all.
    lineage: Lineage | None = None
    #: Fields that all scene requests of a plot share; ``None``: no scenes.
    scenes: dict[str, Any] | None = None
    #: Identity that the request's calls are billed to.
    spender: BillingContext | None = None
    #: What an experiment does with the request; ``None``: it is in none.
    experiment: Treatment | None = None

    @property
    def descent(self) -> Lineage | None:
        """How the request descends from an earlier one; ``None``: it does not."""
        if self.lineage is None and self.replay_of is not None:
            return Lineage(replay_of=self.replay_of)
        return self.lineage

    @property
    def regenerates(self) -> bool:
        """Whether the request repeats another one to see what is generated today: no stored answer is used."""
        descent = self.descent
        return descent is not None and not descent.reuse

    @property
    def provider(self) -> str | None:
        """The provider that an operator or an experiment chose in place of the routed one; ``None``: the routed one."""
        chosen = None if self.lineage is None else self.lineage.provider
        return chosen or (None if self.experiment is None else self.experiment.provider)


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """History of a request so far; every stage appends to it."""

    attempts: tuple[Attempt, ...] = ()
    tokens: Tokens = Tokens()
    amount: float | None = None
    #: Milliseconds of work per stage; the runner fills it in.
    time_ms: dict[str, float] = {}
    warnings: tuple[str, ...] = ()
    #: Drafts that were asked for because the document before was below the bar of quality or above its rating.
    redrafts: int = 0
    #: Those of them that were asked for because of the rating.
    rating_redrafts: int = 0
    #: What became of the rewriting of the wish or the draft; ``None``: enhancement is off.
    enhancement: EnhancementInfo | None = None


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A value that one layer set in a request's node; for a list, the elements that it added."""

    #: Dotted path in the node, such as ``style.mood_to``.
    field: str
    value: Any
    #: ``template``, ``node``, ``rules`` or ``request``.
    by: str
    #: For a rule: its line, from 1, its text, and the conditions that were true.
    line: int | None = None
    rule: str | None = None
    when: tuple[str, ...] = ()


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """Prose from a provider, unchanged unless ``original`` says otherwise."""

    text: str
    provider: str
    model: str
    finish_reason: str
    #: Whether the seed was honoured, bit for bit.
    deterministic: bool = False
    #: Whether the answer of an earlier call was reused, from the response cache.
    cached: bool = False
    #: Software that computed the answer; with another one, the same seed can give another text.
    engine: str = ""
    #: The text as the provider wrote it, where enhancement rewrote it; empty: it did not.
    original: str = ""


class ContextBuilt(Event, frozen=True, kw_only=True):
    """``context_built``."""

    name: ClassVar[str] = "context_built"
    attempt: int
    brief: Brief
    trail: Trail = Trail()
    #: Which layer set each value of the node; only on the first attempt.
    decided: tuple[Decided, ...] = ()


class Clamped(Event, frozen=True, kw_only=True):
    """``clamped``."""

    name: ClassVar[str] = "clamped"
    requested: Rating
    effective: Rating
    #: Who limits the rating: the world by its name, the user, or both.
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
    """``structured``: ``document`` is the provider's text, not yet parsed."""

    name: ClassVar[str] = "structured"
    attempt: int
    brief: Brief
    draft: Draft
    document: Draft
    #: Number of re-asks of structuring.
    reask: int = 0
    trail: Trail = Trail()


class Invalid(Event, frozen=True, kw_only=True):
    """``invalid``: why the document cannot be used, one line per fault, with its path."""

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
    #: Unusable output for triage, cut to a maximum length.
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


class Shadowed(Result, frozen=True, kw_only=True):
    """``shadowed``: the result of a shadow, which subscribers of results do not get; exactly one per shadow."""

    name: ClassVar[str] = "shadowed"


class Plotted(Event, frozen=True, kw_only=True):
    """``plotted``: the plot is valid; its scenes are still to be generated."""

    name: ClassVar[str] = "plotted"
    attempt: int
    brief: Brief
    #: The plot's result, published when its scenes have ended.
    result: Result


class Revised(Event, ResultBody, frozen=True, kw_only=True):
    """``revised``: content from the replay ``revised_by``, on the original's subject."""

    name: ClassVar[str] = "revised"
    revised_by: str
    #: The replay that is undone: this is the content from before it, and ``revised_by`` the request that has it.
    undoes: str | None = None

    @property
    def attempt(self) -> int:
        """A revision has no second attempt; the replay's id distinguishes revisions."""
        return 1


class Progress(Event, frozen=True, kw_only=True):
    """``progress``: text while it is generated; core NATS, never stored."""

    name: ClassVar[str] = "progress"
    stage: str
    attempt: int
    #: Counts the messages of one provider call, from 0.
    index: int
    text: str


class ShadowProgress(Progress, frozen=True, kw_only=True):
    """``shadow_progress``: the same of a shadow, for whoever runs it."""

    name: ClassVar[str] = "shadow_progress"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that no stage could use, with everything needed to inspect and replay it."""

    code: ErrorCode
    reason: str
    stage: str
    #: Position of the message in the log.
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
    #: The provider's last output for it, cut to a maximum length.
    evidence: str | None = None

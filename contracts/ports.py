"""Ports: what stages need from the outside, as protocols.

An awaited call of a port raises :class:`contracts.errors.Unavailable` where the broker does not answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec

from contracts.cache_entry import CacheCount, CacheEntry, CacheLayer
from contracts.content.verdict import Verdict
from contracts.envelope import Received
from contracts.errors import ErrorCode, UnderstudyError
from contracts.events import Params, Plotted, Result
from contracts.nodes.node import Rating
from contracts.policy.budget import Change, Refusal
from contracts.policy.budget_scope import BillingContext
from contracts.policy.cache_key import CacheKey
from contracts.policy.explicitness import TooExplicit
from contracts.policy.prompts import PromptVersion
from contracts.result import Origin, Status
from contracts.usage import Attempt, Tokens

OnToken = Callable[[str], None]
#: The time now, milliseconds since the epoch.
Clock = Callable[[], int]
#: Adds one to a count of the result cache.
CountCache = Callable[[CacheCount], None]
#: Returns the tokens that a request's writing call has reserved for a structuring call, which does not follow.
ReleaseTokens = Callable[[str], None]
#: Evaluates a text of rules in a context: part of a node, in snake_case, whose lists are added to the node's.
#: Empty for a text that is not in the rule language: context-build refuses it with the position.
Overrides = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
#: ``finish_reason`` of an answer that its model ended, and of one that was cut off.
STOP = "stop"
LENGTH = "length"
#: ``finish_reason`` of a document that a grammar kept to the schema up to its end.
GRAMMAR = "grammar"


class ProviderError(UnderstudyError):
    """A provider call that gave no usable completion.

    Args:
        code: what it means to the request.
        message: the real error, for logs and the result.
        retryable: the same call may succeed later (a full queue, a lost connection).
        attempts: every call that was made, the last one included; empty after a single call.
        retry_after_s: seconds that the provider asked to wait; ``None`` where it named none.
    """

    #: The model had begun to write: the tokens of the call are not known.
    begun: bool = False

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retryable: bool = False,
        attempts: tuple[Attempt, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.attempts = attempts
        self.retry_after_s = retry_after_s


class CallRefused(ProviderError):  # noqa: N818 - names the call's state
    """A working provider refused this one call; another call may succeed."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A call's input; the ids are for the provider's log, script and cache, never for the model."""

    text: str
    kind: str
    stage: str
    request_id: str
    #: The same with a sketch of the JSON Schema, for whoever enforces the schema, and for small windows; may be empty.
    compact: str = ""
    attempt: int = 1
    #: It repeats an earlier call to see what is generated today: no stored answer is used.
    repeats: bool = False
    #: Number of the re-ask; 0: the document is asked for the first time.
    reask: int = 0
    #: The request's words, which are part of ``text`` when prose is written; for models that get messages of their own.
    wish: str = ""
    #: A request's own JSON Schema, for those too; ``None``: the kind's.
    schema: Mapping[str, Any] | None = None
    #: The budgets that pay for the call.
    spender: BillingContext | None = None
    #: Experiment and arm of the request, whose stored answers are its own; empty: none.
    arm: str = ""
    #: An answer to a part of the text is of no use: a provider refuses what does not fit, and shortens nothing.
    whole: bool = False
    #: Another provider is asked if this one fails: nothing is waited for that may not come.
    has_alternative: bool = False


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's answer."""

    text: str
    provider: str
    model: str
    #: :data:`STOP`, :data:`LENGTH` or :data:`GRAMMAR`; any other word is the server's own and proves nothing.
    finish_reason: str
    tokens: Tokens = Tokens()
    #: Money; ``None`` where the provider did not report it.
    amount: float | None = None
    #: The same seed gives the same text, bit for bit.
    deterministic: bool = False
    #: Calls that failed before this one.
    attempts: tuple[Attempt, ...] = ()
    time_ms: float = 0.0
    #: An earlier call's answer, from the response cache.
    cached: bool = False
    #: The software that ran the model: with another one, the same seed may give another text.
    engine: str = ""
    #: Addition to the attempt's ``why``; often empty.
    note: str = ""


class Provider(Protocol):
    """A model, local or behind a server."""

    name: str
    model: str

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Answer one prompt.  What a model reasons before its answer is in neither ``text`` nor ``on_token``.

        Args:
            prompt: the input.
            params: sampling parameters; the provider keeps their time-out.
            schema: JSON Schema that the answer should follow, where the provider can.
            on_token: called with each piece of text as it is written.

        Raises:
            ProviderError: no usable completion; its code says why.
        """
        ...


class Accounts(Protocol):
    """The accounts of budgets; a change reads and writes an account atomically."""

    def change(self, name: str, change: Change, *, ends_ms: int) -> Awaitable[Refusal | None]:
        """Change one account, whose window ends at ``ends_ms`` since the epoch.

        The change is sent before this returns, whether it is awaited or not; awaiting gives why there is no room
        for a reservation.  A reservation raises ``Unavailable`` without a broker; a settlement waits for it.
        """
        ...


class StoredRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A ``requested`` message as the log keeps it."""

    kind: str
    request_id: str
    body: bytes
    sequence: int
    #: Broker's timestamp, ms since the epoch.
    time_ms: int
    #: Why this build cannot read it: a version that is newer.
    newer: str = ""


class Log(Protocol):
    """The event log, as far as stages look back."""

    async def first_request(self, request_id: str) -> StoredRequest | None:
        """The request that owns the id: the one with the lowest sequence, whatever its kind."""
        ...


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a request ended: the label of its result."""

    status: Status
    origin: Origin
    reason: str | None = None


class RequestProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a request is, by the log."""

    #: The request that owns the id; ``None``: there is none, or it was swept.
    owner: StoredRequest | None = None
    #: ``None``: it has no result yet.
    ending: Ending | None = None


class SceneLog(Protocol):
    """The event log, as far as plots look at their scenes."""

    async def seen(self, request_ids: Sequence[str]) -> Mapping[str, RequestProgress]:
        """How far each of the requests is."""
        ...

    async def plotted(self, request_id: str) -> Plotted | None:
        """The plot that waits for its scenes, or ``None``."""
        ...


class Announce(Protocol):
    """Shows watchers the text of a provider call while it is written; nothing is stored."""

    def __call__(self, received: Received[Any], *, stage: str) -> AbstractContextManager[OnToken]:
        """Begin the text of the call for an event; the function takes its pieces, and leaving sends the rest."""
        ...


class ResultCache(Protocol):
    """Results that models wrote, by cache key."""

    async def get(self, key: CacheKey) -> tuple[CacheEntry, CacheLayer] | None:
        """Find an entry and the layer that held it; ``None``: there is none, or it has expired."""
        ...

    async def put(self, key: CacheKey, entry: CacheEntry) -> None:
        """Store an entry; a second one under the same key replaces the first."""
        ...


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to generate under one cache key."""

    #: Id of the request that holds it.
    leader: str
    #: 1; 2 once a leader has failed.
    turn: int


class Leases(Protocol):
    """The leases of all processes; compare-and-set decides between two that want the same one."""

    async def find(self, key: str) -> tuple[Lease | None, int]:
        """Find the lease of a key, and the revision on which it can be acquired."""
        ...

    async def acquire(self, key: str, lease: Lease, *, revision: int, remaining_s: int) -> bool:
        """Store a lease unless the key changed since ``revision``; whether this request holds it now.

        Args:
            key: cache key to generate under.
            lease: the lease to store.
            revision: revision that :meth:`find` gave; 0: there was no lease.
            remaining_s: seconds until the leader's deadline.
        """
        ...


class StoredResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result as the event log keeps it."""

    result: Result
    #: Broker's timestamp, ms since the epoch.
    at_ms: int


class Results(Protocol):
    """The results in the event log."""

    async def find(self, request_id: str) -> StoredResult | None:
        """Find a request's result; ``None``: it has none yet."""
        ...

    async def exists(self, request_id: str) -> bool:
        """Whether a request has a result; cheaper than :meth:`find`."""
        ...


class SeedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """What a generation produced."""

    content_hash: str
    request_id: str


class DriftLedger(Protocol):
    """The first output of each generation that must be repeatable, over all processes."""

    async def first(self, key: str, output: SeedOutput) -> SeedOutput:
        """Store an output unless one is stored under the key; the one that is stored."""
        ...


class KnownReplays(Protocol):
    """The replays that operators started."""

    async def holds(self, request_id: str, replay_of: str) -> bool:
        """Whether an operator started a request, to its last byte, as a replay of ``replay_of``."""
        ...


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One golden sample or default content."""

    #: File name.
    name: str
    kind: str
    content: Any
    #: SHA-256 of the canonical content.
    hash: str
    rating: Rating = Rating.SFW
    tags: tuple[str, ...] = ()
    author: str | None = None
    #: Shows the format only: used where no other sample of its kind may be.
    last_resort: bool = False


class Samples(Protocol):
    """The stand-ins: golden samples by kind, default contents by id."""

    def of_kind(self, kind: str) -> tuple[Sample, ...]:
        """The golden samples of a kind, in file-name order."""
        ...

    def default_content(self, content_id: str) -> Sample | None:
        """The named default content, or ``None``."""
        ...


class Explicitness(Protocol):
    """Judges how explicit content is."""

    def above(self, document: Any, allowed: Rating) -> tuple[TooExplicit, ...]:
        """The texts of a document that need a higher rating than the allowed one."""
        ...


class Prompts(Protocol):
    """The prompt families, compiled."""

    def families(self) -> tuple[str, ...]:
        """Names of all families, sorted."""
        ...

    def versions(self, family: str) -> tuple[PromptVersion, ...]:
        """The versions of a family, oldest first; empty if there is no such family."""
        ...

    def render(self, version: PromptVersion, values: Mapping[str, Any]) -> str:
        """The prompt of a version with a value for each of its variables, as data between markers."""
        ...


class Templates(Protocol):
    """The node templates, by id."""

    def ids(self) -> tuple[str, ...]:
        """Ids of all that there are, sorted."""
        ...

    def find(self, template_id: str) -> Mapping[str, Any] | None:
        """A template's fields in snake_case; ``None``: there is none, or it can no longer be read."""
        ...

    def lost(self, template_id: str) -> str | None:
        """Why a template that once existed can no longer be read; ``None`` otherwise."""
        ...


class Contents(Protocol):
    """The content kinds: their schemas, and the checks of documents.

    Work on a request's own schema has limits of time and memory, and large work runs in another process: those
    methods are async, and raise ``Unavailable`` when too many calls wait.
    """

    def schema(self, kind: str, own: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The JSON Schema that documents of the kind follow; ``own`` for ``custom``."""
        ...

    async def verdict(self, own: Mapping[str, Any]) -> Verdict:
        """Whether a request's own JSON Schema can be used."""
        ...

    async def faults(self, kind: str, document: Any, own: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Why the document is not valid, one line per fault with its path; empty when it is."""
        ...

    async def placeholder(self, kind: str, own: Mapping[str, Any] | None) -> Any | None:
        """A valid, labelled placeholder document; ``None`` where none can be built within the limits."""
        ...

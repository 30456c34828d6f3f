"""What do stages need from the outside, in their own words?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from contracts.content.verdict import Verdict
from contracts.errors import ErrorCode, UnderstudyError
from contracts.events import Params, Plotted
from contracts.nodes.node import Rating
from contracts.policy.budget import Change, Refusal
from contracts.policy.budget_scope import BillingContext
from contracts.policy.explicitness import TooExplicit
from contracts.policy.prompts import PromptVersion
from contracts.result import Origin, Status
from contracts.usage import Attempt, Tokens

OnToken = Callable[[str], None]
#: The time now, milliseconds since the epoch.
Clock = Callable[[], int]
#: What a text of rules comes to in a context: part of a node, in snake_case, whose lists are to be added to
#: the node's.  Empty for a text that is no rules: context-build refuses it, and says where.
Overrides = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
#: ``finish_reason`` of an answer that its model meant to end, and of one that was cut off.
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
        attempts: every call that was made, the last one included; none where there was but one.
        retry_after_s: seconds that the provider asked to be left alone; ``None`` where it did not say.
    """

    #: The model had begun to write: nobody knows what the call took.
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
    """A provider that works and will not do this one call; another call may well succeed."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is asked; the ids are for its log, its script and its cache, never for the model."""

    text: str
    kind: str
    stage: str
    request_id: str
    attempt: int = 1
    #: Whose budgets the call is paid from.
    spender: BillingContext | None = None
    #: Drafts that there is room for in them; ``None``: as many as the provider likes.
    drafts: int | None = None


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider answered."""

    text: str
    provider: str
    model: str
    #: :data:`STOP`, :data:`LENGTH` or :data:`GRAMMAR`; any other word is the server's own, and no proof of a good end.
    finish_reason: str
    tokens: Tokens = Tokens()
    #: Money; ``None`` where the provider did not tell.
    amount: float | None = None
    #: Was the seed honoured, bit for bit?
    deterministic: bool = False
    #: Calls that were made and given up before this one.
    attempts: tuple[Attempt, ...] = ()
    time_ms: float = 0.0
    #: An earlier call's answer, from the response cache.
    cached: bool = False
    #: What computed it, beside the model: with another, the same seed may draw something else.
    engine: str = ""
    #: How the answer came, for the attempt's ``why``; empty where there is nothing to say.
    note: str = ""


class Provider(Protocol):
    """A model, wherever it runs."""

    name: str
    model: str

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Answer one prompt.  What a model reasons before it answers is no part of text or tokens told.

        Args:
            prompt: what to answer.
            params: sampling parameters; the time-out is the provider's to keep.
            schema: JSON Schema that the answer should follow, where the provider can.
            on_token: called with each piece of text as it is written.

        Raises:
            ProviderError: no usable completion; its code says why.
        """
        ...


class Accounts(Protocol):
    """Keeps the accounts of budgets; nobody comes between what a change reads and what it writes."""

    def change(self, name: str, change: Change, *, ends_ms: int) -> Awaitable[Refusal | None]:
        """Change one account; the change is on its way when this returns, whether it is awaited or not.

        Args:
            name: of the account.
            change: what happens to it.
            ends_ms: when the account's window ends, ms since the epoch.

        Returns:
            when awaited, why there is no room for a reservation; ``None``: it is written.

        Raises:
            Unavailable: a reservation met no broker.  A settlement waits for the broker.
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
    """Tells watchers what a provider is writing; nothing is lost when nobody watches."""

    def __call__(self, text: str) -> None:
        """Add a piece of text."""
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
    #: Only shows the format: stands in where nothing else of its kind may.
    last_resort: bool = False


class Samples(Protocol):
    """The understudies: golden samples by kind, default contents by id."""

    def of_kind(self, kind: str) -> tuple[Sample, ...]:
        """The golden samples of a kind, in file-name order."""
        ...

    def default_content(self, content_id: str) -> Sample | None:
        """The named default content, or ``None``."""
        ...


class Explicitness(Protocol):
    """Judges how explicit content is."""

    def above(self, document: Any, allowed: Rating) -> tuple[TooExplicit, ...]:
        """What a document says that the allowed rating does not allow; empty when it is fit."""
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
        """A template's fields in snake_case; ``None``: there is none, or it is lost."""
        ...

    def lost(self, template_id: str) -> str | None:
        """Why a template that there was cannot be used any more; ``None`` otherwise."""
        ...


class Contents(Protocol):
    """Knows what a valid document of a kind is.

    What a stranger's schema asks for is worked out within limits of time and memory, elsewhere where it is
    much: those methods are waited for, and raise an ``Unavailable`` of their infrastructure when too many wait.
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

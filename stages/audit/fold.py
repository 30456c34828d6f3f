"""What is known about one request, and how do two pieces of knowledge become one?

A record is a join semilattice: merging is idempotent, commutative and associative, so that events
may be folded in any order and any number of times.  Each section carries the order by which the
better of two is chosen.  docs/adr/0003 says why.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from contracts import pipeline

#: A request that no stage has taken up yet.
PENDING: Final = "pending"
#: A request on its way through the stages.
RUNNING: Final = "running"
#: Only stray events are known: nobody asked, as far as the log says.
UNKNOWN: Final = "unknown"

#: The broker's times of one message reach us rounded in two ways that differ by this much.
_ROUNDING_MS: Final = 1


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """From ``requested``; of several with one id the first is the request."""

    sequence: int
    kind: str
    at_ms: int
    input_hash: str
    #: The prompt, or its hash as ``sha256:…``; ``None`` where none could be read.
    prompt: str | None = None
    workspace: str | None = None
    replay_of: str | None = None
    #: The request's canonical parameters, without the prompt.
    parameters: dict[str, Any] = {}
    #: Known from the dead letter alone: nobody could read the message itself.
    unread: bool = False

    @property
    def order(self) -> tuple[int, ...]:
        """The earliest wins, and the message itself before what a letter says about it."""
        return (-self.at_ms, -self.sequence, not self.unread)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """From any event between request and result; the furthest of the highest attempt counts."""

    sequence: int
    attempt: int
    rank: int
    event: str
    at_ms: int
    #: Of ``requested``, for a replay that starts at a later stage.
    requested_at_ms: int | None = None
    input_hash: str | None = None
    prompt_hash: str | None = None
    prompt_version: str | None = None
    workspace: str | None = None
    replay_of: str | None = None
    #: What rating was asked for, and what held.
    rating: dict[str, Any] = {}
    #: Snapshots of the sampling parameters, by stage.
    sampling: dict[str, Any] = {}
    provider: str | None = None
    model: str | None = None
    #: What the providers wrote, as it came, cut to a bound.
    draft: str | None = None
    document: str | None = None

    @property
    def order(self) -> tuple[int, ...]:
        """Highest attempt, then furthest stage, then latest."""
        return (self.attempt, self.rank, self.at_ms, self.sequence)


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """From ``failed``, ``invalid`` or a dead letter: the last one."""

    stream: str
    sequence: int
    at_ms: int
    code: str
    stage: str
    message: str

    @property
    def order(self) -> tuple[Any, ...]:
        """The latest wins; the stream settles ties."""
        return (self.at_ms, self.stream, self.sequence)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Unusable output kept for triage: the last one, cut to a bound."""

    stream: str
    sequence: int
    at_ms: int
    text: str

    @property
    def order(self) -> tuple[Any, ...]:
        """The latest wins; the stream settles ties."""
        return (self.at_ms, self.stream, self.sequence)


class End(msgspec.Struct, frozen=True, kw_only=True):
    """From ``result``: there is one as long as the log keeps it."""

    stream: str
    created_ms: int
    sequence: int
    at_ms: int
    #: The result as it was published; large contents are left out, their hash stays.
    result: dict[str, Any]

    @property
    def order(self) -> tuple[int, ...]:
        """The earliest wins."""
        return (-self.at_ms, -self.created_ms, -self.sequence)

    def answers(self, asked: Asked) -> bool:
        """Is this the end of that request, not of an earlier one that had the same id?"""
        began = self.result["meta"].get("requested_at_ms")
        return began is None or abs(began - asked.at_ms) <= _ROUNDING_MS


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """From ``revised``: the latest."""

    sequence: int
    at_ms: int
    by: str
    content_hash: str | None

    @property
    def order(self) -> tuple[int, ...]:
        """The latest wins."""
        return (self.at_ms, self.sequence)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the log says about one request."""

    request_id: str
    kind: str
    #: When somebody last asked with this id, and when a result was last given, ms since the epoch.
    last_asked_ms: int | None = None
    last_end_ms: int | None = None
    asked: Asked | None = None
    step: Step | None = None
    trouble: Trouble | None = None
    evidence: Evidence | None = None
    end: End | None = None
    revision: Revision | None = None


Section = TypeVar("Section", Asked, Step, Trouble, Evidence, End, Revision)


def _better(one: Section | None, other: Section | None) -> Section | None:
    if one is None or other is None:
        return one or other
    if one.order != other.order:
        return one if one.order > other.order else other
    if one == other:
        return one
    # The same message read under two settings; any rule will do that does not look at the order.
    return max(one, other, key=msgspec.json.encode)


def merge(one: Record, other: Record) -> Record:
    """What both say together.

    Raises:
        ValueError: for records of different requests.
    """
    if one.request_id != other.request_id:
        raise ValueError(f"records of {one.request_id!r} and {other.request_id!r} cannot be merged")
    asked = _better(one.asked, other.asked)
    return Record(
        request_id=one.request_id,
        kind=asked.kind if asked else _kind(one, other),
        last_asked_ms=_later(one.last_asked_ms, other.last_asked_ms),
        last_end_ms=_later(one.last_end_ms, other.last_end_ms),
        asked=asked,
        step=_better(one.step, other.step),
        trouble=_better(one.trouble, other.trouble),
        evidence=_better(one.evidence, other.evidence),
        end=_better(one.end, other.end),
        revision=_better(one.revision, other.revision),
    )


def _later(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return max(one, other)


def _kind(one: Record, other: Record) -> str:
    end = _better(one.end, other.end)
    return str(end.result["kind"]) if end else min(one.kind, other.kind)


def status(record: Record) -> str:
    """The result's status; until then ``running`` once a stage has taken it up, else ``pending``.

    What is known from stray events alone is ``unknown``: a cancellation of an id that nobody asked
    for, a dead letter about junk.
    """
    if record.end is not None:
        return str(record.end.result["status"])
    if record.step is not None:
        return RUNNING
    if record.asked is None:
        return UNKNOWN
    failed = record.trouble is not None and record.trouble.stream != pipeline.DEAD
    return RUNNING if failed else PENDING


def open_since_ms(record: Record) -> int | None:
    """When the request came that has no result yet; ``None``: none is open.

    After a result it is a late duplicate, or a new request whose id the log had forgotten: only the
    log can tell.
    """
    if record.last_asked_ms is None:
        return None if record.step is None or record.end is not None else record.step.requested_at_ms
    if record.end is None:
        return record.asked.at_ms if record.asked is not None else record.last_asked_ms
    ended = record.last_end_ms is not None and record.last_end_ms >= record.last_asked_ms
    return None if ended else record.last_asked_ms

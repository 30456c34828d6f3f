"""Record of one request, and the merge of two records.

A record is a join semilattice: merging is idempotent, commutative and associative, so that events
may be folded in any order and any number of times.  Each section carries the order by which the
better of two is chosen.  docs/adr/0003 says why.

An id that the log has forgotten may be used again: it then names another request.  The time at which the
broker took them distinguishes the two; every event that leads to a result carries it: a *life* of the id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from contracts import pipeline

#: A request that no stage has taken up yet.
PENDING: Final = "pending"
#: A request on its way through the stages.
RUNNING: Final = "running"
#: Only stray events are known; the log has no request.
UNKNOWN: Final = "unknown"
#: There is a result, and no request that it answers; it does not count.
UNREQUESTED: Final = "unrequested"
#: Asked again with the id of an earlier request; nothing says that it became a request of its own.
REPEATED: Final = "repeated"
#: The life of what names no request.
NO_LIFE: Final = 0


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """From ``requested``; of several with one id the first is the request."""

    sequence: int
    kind: str
    at_ms: int
    input_hash: str
    #: The prompt, or its hash and length as ``sha256:… (12 characters)``; ``None`` where none could be read.
    prompt: str | None = None
    workspace: str | None = None
    replay_of: str | None = None
    #: The request's canonical parameters, without the prompt.
    parameters: dict[str, Any] = {}
    #: Known from the dead letter alone: the message itself cannot be read.
    unread: bool = False

    @property
    def order(self) -> tuple[int, ...]:
        """The earliest wins, and the message itself before what a letter says about it."""
        return (-self.at_ms, -self.sequence, not self.unread)


class StageFacts(msgspec.Struct, frozen=True, kw_only=True):
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
    """From ``result``: one of each life, unless somebody forges another one."""

    stream: str
    created_ms: int
    sequence: int
    at_ms: int
    #: The result as it was published; large contents are left out, their hash stays.  Without words where these
    #: are not kept.
    result: dict[str, Any]

    @property
    def order(self) -> tuple[int, ...]:
        """The earliest wins."""
        return (-self.at_ms, -self.created_ms, -self.sequence)


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


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """A message whose headers contradict it."""

    #: ``source`` or ``identity``.
    kind: str
    stream: str
    created_ms: int
    sequence: int
    at_ms: int
    subject: str
    #: What contradicts what.
    detail: str


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the log says about one request."""

    request_id: str
    kind: str
    #: When the broker took the request, ms since the epoch: which life of the id it is.
    life_ms: int = NO_LIFE
    #: What is wrong with the message that this was made of; not merged.
    anomaly: Anomaly | None = None
    asked: RequestFacts | None = None
    step: StageFacts | None = None
    trouble: Trouble | None = None
    evidence: Evidence | None = None
    end: End | None = None
    revision: Revision | None = None


Section = TypeVar("Section", RequestFacts, StageFacts, Trouble, Evidence, End, Revision)


def _better(one: Section | None, other: Section | None) -> Section | None:
    if one is None or other is None:
        return one or other
    if one.order != other.order:
        return one if one.order > other.order else other
    if one == other:
        return one
    # The same message read under two settings; any rule will do that does not look at the order.
    return max(one, other, key=msgspec.json.encode)


def merge(one: RequestRecord, other: RequestRecord) -> RequestRecord:
    """The record that two records of one life make together.

    Raises:
        ValueError: for records of different requests.
    """
    if (one.request_id, one.life_ms) != (other.request_id, other.life_ms):
        raise ValueError(f"records of {_name(one)} and {_name(other)} cannot be merged")
    asked = _better(one.asked, other.asked)
    return RequestRecord(
        request_id=one.request_id,
        kind=asked.kind if asked else _kind(one, other),
        life_ms=one.life_ms,
        asked=asked,
        step=_better(one.step, other.step),
        trouble=_better(one.trouble, other.trouble),
        evidence=_better(one.evidence, other.evidence),
        end=_better(one.end, other.end),
        revision=_better(one.revision, other.revision),
    )


def _name(one: RequestRecord) -> str:
    return f"{one.request_id!r} of {one.life_ms}"


def _kind(one: RequestRecord, other: RequestRecord) -> str:
    end = _better(one.end, other.end)
    return str(end.result["kind"]) if end else min(one.kind, other.kind)


def status(record: RequestRecord, *, repeated: bool = False) -> str:
    """The result's status; until then ``running`` once a stage has taken it up, else ``pending``.

    What is known from stray events alone is ``unknown``: a cancellation of an id that nobody asked
    for, a dead letter about junk.  A result alone is ``unrequested``.

    Args:
        record: one life.
        repeated: another life of the id came before it, and no stage has taken this one up.
    """
    if record.end is not None:
        known = record.asked is not None or record.step is not None
        return str(record.end.result["status"]) if known else UNREQUESTED
    if record.step is not None:
        return RUNNING
    if record.asked is None:
        return UNKNOWN
    if repeated:
        return REPEATED
    failed = record.trouble is not None and record.trouble.stream != pipeline.DEAD
    return RUNNING if failed else PENDING


def open_since_ms(record: RequestRecord) -> int | None:
    """When the request came that has no result yet; ``None``: it has one, or there is no request."""
    if record.end is not None:
        return None
    if record.asked is not None:
        return record.asked.at_ms
    return record.step.requested_at_ms if record.step is not None else None


class LifeView(msgspec.Struct, frozen=True, kw_only=True):
    """One life as it is shown: with what names no request and belongs to it by its time."""

    record: RequestRecord
    shown: RequestRecord
    repeated: bool


def seen(lives: Sequence[RequestRecord]) -> list[LifeView]:
    """All lives of one id, in the order of their beginnings, as they are shown.

    A failure before there was a brief, a revision and a letter name no request: each belongs to the
    life in which it came.  Of those who asked again without becoming a request only the last is kept.

    Args:
        lives: everything that is known about the id; what names no request has a life of its own.
    """
    ordered = sorted(lives, key=lambda each: each.life_ms)
    stray = next((each for each in ordered if each.life_ms == NO_LIFE), None)
    ordered = [each for each in ordered if each.life_ms != NO_LIFE]
    first = next((n for n, each in enumerate(ordered) if each.asked or each.step), len(ordered))
    again = [each for each in ordered[first + 1 :] if each.step is None and each.end is None]
    real = [each for each in ordered if each not in again]
    found = [LifeView(record=each, shown=each, repeated=True) for each in again[-1:]]
    for index, each in enumerate(real):
        began = each.life_ms if index else 0
        ended = real[index + 1].life_ms if index + 1 < len(real) else None
        shown = each if stray is None else merge(each, _within(stray, each, began, ended))
        found.append(LifeView(record=each, shown=shown, repeated=False))
    if stray is not None:
        found.append(LifeView(record=stray, shown=stray, repeated=False))
    return sorted(found, key=lambda each: each.record.life_ms)


def _within(stray: RequestRecord, life: RequestRecord, began_ms: int, ended_ms: int | None) -> RequestRecord:
    def mine(section: Section | None) -> Section | None:
        if section is None or section.at_ms < began_ms:
            return None
        return section if ended_ms is None or section.at_ms < ended_ms else None

    return RequestRecord(
        request_id=life.request_id,
        kind=life.kind,
        life_ms=life.life_ms,
        trouble=mine(stray.trouble),
        evidence=mine(stray.evidence),
        revision=mine(stray.revision),
    )

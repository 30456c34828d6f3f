"""What is known about one request, and how do two pieces of knowledge become one?

A record is a join semilattice: merging is idempotent, commutative and associative, so that events
may be folded in any order and any number of times.  Each section carries the order by which the
better of two is chosen.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """From ``requested``; of several with one id the first is the request."""

    sequence: int
    kind: str
    at_ms: int
    input_hash: str
    prompt: str | None = None
    workspace: str | None = None
    replay_of: str | None = None
    #: The request's canonical parameters, without the prompt.
    parameters: dict[str, Any] = {}

    @property
    def order(self) -> tuple[int, ...]:
        """The lowest sequence wins."""
        return (-self.sequence,)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """From any event between request and result; the furthest of the highest attempt counts."""

    sequence: int
    attempt: int
    rank: int
    event: str
    at_ms: int
    prompt_hash: str | None = None
    prompt_version: str | None = None
    #: Snapshot of the sampling parameters.
    sampling: dict[str, Any] = {}

    @property
    def order(self) -> tuple[int, ...]:
        """Highest attempt, then furthest stage, then latest."""
        return (self.attempt, self.rank, self.sequence)


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """From ``failed``, ``invalid`` or a dead letter: the last one, with the output kept for triage."""

    stream: str
    sequence: int
    at_ms: int
    code: str
    stage: str
    message: str
    evidence: str | None = None

    @property
    def order(self) -> tuple[Any, ...]:
        """The latest wins; the stream settles ties."""
        return (self.at_ms, self.stream, self.sequence)


class End(msgspec.Struct, frozen=True, kw_only=True):
    """From ``result``: there is one."""

    stream: str
    created_ms: int
    sequence: int
    at_ms: int
    #: The result as it was published; large contents are left out, their hash stays.
    result: dict[str, Any]

    @property
    def order(self) -> tuple[int, ...]:
        """The lowest sequence wins."""
        return (-self.sequence,)


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """From ``revised``: the latest."""

    sequence: int
    at_ms: int
    by: str
    content_hash: str | None

    @property
    def order(self) -> tuple[int, ...]:
        """The latest wins."""
        return (self.sequence,)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the log says about one request."""

    request_id: str
    kind: str
    asked: Asked | None = None
    step: Step | None = None
    trouble: Trouble | None = None
    end: End | None = None
    revision: Revision | None = None


Section = TypeVar("Section", Asked, Step, Trouble, End, Revision)


def _better(one: Section | None, other: Section | None) -> Section | None:
    if one is None or other is None:
        return one or other
    return one if one.order >= other.order else other


def merge(one: Record, other: Record) -> Record:
    """What both say together; on equal order ``one`` wins.

    Raises:
        ValueError: for records of different requests.
    """
    if one.request_id != other.request_id:
        raise ValueError(f"records of {one.request_id!r} and {other.request_id!r} cannot be merged")
    asked = _better(one.asked, other.asked)
    return Record(
        request_id=one.request_id,
        kind=asked.kind if asked else min(one.kind, other.kind),
        asked=asked,
        step=_better(one.step, other.step),
        trouble=_better(one.trouble, other.trouble),
        end=_better(one.end, other.end),
        revision=_better(one.revision, other.revision),
    )


def status(record: Record) -> str:
    """``pending`` before the first stage, ``running`` until the result, then the result's."""
    if record.end is not None:
        return str(record.end.result["status"])
    return "running" if record.step or record.trouble else "pending"

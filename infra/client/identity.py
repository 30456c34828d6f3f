"""Which request has an id, and is a result its own?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from contracts import envelope, subjects
from contracts import events as ev
from contracts.errors import UnderstudyError, Unreadable
from contracts.kinds import KINDS
from contracts.request import RequestError

if TYPE_CHECKING:
    from infra.nats.log import LogEntry

#: The broker's times of one message reach us rounded in two ways that differ by this much.
_ROUNDING_MS: Final = 1


class IdTaken(UnderstudyError):  # noqa: N818 - names the state of the id
    """The id belongs to another request; nothing of that request is given away.

    Args:
        request_id: the id.
        kind: content kind of the request that has it.
        sequence: where that request stands in REQUESTS; ``None`` where the log has only its result.
        wanted: the kind that was asked for.
    """

    def __init__(
        self, request_id: str, kind: str, sequence: int | None, *, wanted: str | None = None
    ) -> None:
        owner = f"a {kind} request" if wanted in (None, kind) else f"a {kind} request, not a {wanted} request"
        other = " with another body" if wanted == kind else ""
        place = "its result is still in the log" if sequence is None else f"sequence {sequence} of REQUESTS"
        super().__init__(
            f"the id {request_id} was used for {owner}{other} ({place}); choose another id, or leave it out"
        )
        self.request_id = request_id
        self.kind = kind
        self.sequence = sequence


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """A request that the broker has acknowledged."""

    request_id: str
    kind: str
    subject: str
    #: In REQUESTS.
    sequence: int
    #: The broker had this very request already.
    duplicate: bool = False
    #: SHA-256 of what is asked for, as its result tells it.
    input_hash: str | None = None


class RequestIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Which request is meant: any with the id, one of a kind, or the very one that was published."""

    request_id: str
    kind: str | None = None
    #: In REQUESTS.
    sequence: int | None = None
    input_hash: str | None = None


def bad_id(request_id: str) -> RequestError:
    """What is wrong with a request id."""
    return RequestError("id", f"{request_id!r} must match {subjects.REQUEST_ID.pattern}")


def named(request_id: str) -> bool:
    """Can this be a request's name?  One that is rejected for its id has a name too, but no dot or wildcard."""
    try:
        subjects.parse(subjects.gen("requested", KINDS[0], request_id))
    except subjects.SubjectError:
        return False
    return True


def wanted(request_id: str | Submitted, kind: str | None) -> RequestIdentity:
    """Which request is meant.

    Raises:
        RequestError: the id is none; it might match other requests' subjects.
    """
    if isinstance(request_id, str):
        if not named(request_id):
            raise bad_id(request_id)
        return RequestIdentity(request_id=request_id, kind=kind)
    # A cancellation has a place of its own in the log, which is not that of its request.
    known = request_id.input_hash is not None
    return RequestIdentity(
        request_id=request_id.request_id,
        kind=request_id.kind,
        sequence=request_id.sequence if known else None,
        input_hash=request_id.input_hash,
    )


def kind_of(requested: LogEntry) -> str:
    """The content kind of a stored request."""
    return requested.subject.split(".")[2]


def equal(one: bytes, other: bytes) -> bool:
    """Are two bodies the same request, as the pipeline sees it?"""
    if one == other:
        return True
    try:
        return msgspec.json.decode(one) == msgspec.json.decode(other)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False


def answers(entry: LogEntry, result: ev.Result, owner: LogEntry) -> bool:
    """Is this the result of that request, not of an earlier one that had the same id?

    Args:
        entry: where the result stands.
        result: the same, read.
        owner: the request that has the id now.
    """
    began = result.meta.requested_at_ms
    return entry.time_ns >= owner.time_ns if began is None else abs(began - owner.time_ms) <= _ROUNDING_MS


def stored(entry: LogEntry) -> ev.Result:
    """The result that stands on its subject in EVENTS.

    Raises:
        Unreadable: it is none, or that of another request.
    """
    said = envelope.decode("result", entry.body, {})
    if not isinstance(said, ev.Result) or entry.subject != subjects.gen("result", said.kind, said.request_id):
        raise Unreadable(f"what stands on {entry.subject} is not the result of that request")
    return said

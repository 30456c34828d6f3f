"""Which request an id means, and which result is that request's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from understudy_client import protocol
from understudy_client.errors import IdTaken, Unreadable
from understudy_client.result import Result

if TYPE_CHECKING:
    from understudy_client.answer import Submitted
    from understudy_client.log import StoredMessage

#: The broker rounds the two times of one message in different ways, by this much.
_ROUNDING_MS: Final = 1

_decode: Final = msgspec.json.Decoder(Result).decode


class RequestIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The request that is meant: any with the id, one of a kind, or the very one that was published."""

    request_id: str
    kind: str | None = None
    #: In REQUESTS.
    sequence: int | None = None
    trace_id: str | None = None

    def taken(self, kind: str, sequence: int | None) -> IdTaken:
        """The error for an id that another request has."""
        return IdTaken(self.request_id, kind, sequence, expected=self.kind)


def meant(request: str | Submitted, kind: str | None) -> RequestIdentity:
    """The request that an id, or a submission, means.

    Raises:
        InvalidRequest: the id is none; it might match other requests' subjects.
    """
    if isinstance(request, str):
        protocol.check_id(request, rejected=True)
        return RequestIdentity(request_id=request, kind=kind)
    return RequestIdentity(
        request_id=request.request_id,
        kind=request.kind,
        # A cancellation has a sequence of its own, which is not its request's.
        sequence=request.sequence if request.subject.startswith("gen.requested.") else None,
        trace_id=request.trace_id,
    )


def same_body(one: bytes, other: bytes) -> bool:
    """Whether two bodies are the same request, as the pipeline sees it."""
    if one == other:
        return True
    try:
        return msgspec.json.decode(one) == msgspec.json.decode(other)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False


def read(stored: StoredMessage) -> Result:
    """The result on its subject in EVENTS.

    Raises:
        Unreadable: it is none, that of another request, or no stage published it.
    """
    if protocol.ANSWERED in stored.headers or protocol.SCHEDULER in stored.headers:
        raise Unreadable(f"the message on {stored.subject} was written by the broker, not by a stage")
    try:
        result = _decode(stored.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"the message on {stored.subject} cannot be read: {error}") from None
    if stored.subject != protocol.subject(protocol.answer(result.request_id), result.kind, result.request_id):
        raise Unreadable(f"the message on {stored.subject} is not the result of that request")
    return result


def traced(stored: StoredMessage, expected: RequestIdentity) -> bool | None:
    """Whether a result belongs to the trace of the request; ``None``: one of them has no trace."""
    found = protocol.trace_id(stored.headers)
    return None if found is None or expected.trace_id is None else found == expected.trace_id


def answers(stored: StoredMessage, result: Result, owner: StoredMessage) -> bool:
    """Whether a result is that of a request, and not of an earlier one with the same id.

    Args:
        stored: the result as the log keeps it.
        result: the same, read.
        owner: the request that has the id now.
    """
    began = result.meta.requested_at_ms
    if began is None:
        return stored.time_ns >= owner.time_ns
    return abs(began - owner.time_ms) <= _ROUNDING_MS

"""Envelope of an event: headers, deduplication id and decoding by name.

CloudEvents 1.0 in binary mode, as the NATS protocol binding of that specification has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

import msgspec

from contracts import pipeline, subjects
from contracts.errors import ErrorCode, NewerVersion, Unreadable
from contracts.events import Event

TYPE_PREFIX: Final = "dev.understudy.gen."
SOURCE: Final = "understudy"

MSG_ID: Final = "Nats-Msg-Id"
EXPECTED_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_LAST_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
SCHEDULE: Final = "Nats-Schedule"
SCHEDULE_TARGET: Final = "Nats-Schedule-Target"

#: Marks a message that was read and had been stored as the broker's answer to another read.
ANSWERED: Final = "Understudy-Answered"
#: What the broker's answer to a read says of its source; no publisher sends it.
READ_FROM: Final = "Nats-Stream"
#: What the broker puts on a message that a schedule publishes.
SCHEDULER: Final = "Nats-Scheduler"
#: Events that come by a schedule.
_SCHEDULED: Final = frozenset(
    row.event for row in pipeline.ROWS if pipeline.BROKER in row.published_by or "Retry" in row.made_by
)

#: Bodies and contents above this many bytes go to the object store.
INLINE_MAX: Final = 512 * 1024

_TYPE: Final = re.compile(r"dev\.understudy\.gen\.([a-z_]+)\.v([0-9]{1,40})")

E_co = TypeVar("E_co", covariant=True)


class Received(msgspec.Struct, Generic[E_co], frozen=True, kw_only=True):
    """One event as a handler gets it."""

    #: The decoded body.
    event: E_co
    name: str
    kind: str
    request_id: str
    stream: str
    sequence: int
    #: Broker's timestamp, ms since the epoch.
    time_ms: int
    #: The stream's creation time, ms since the epoch; with ``sequence`` it names the message.
    stream_created_ms: int = 0
    headers: Mapping[str, str] = {}
    #: Times that the broker has delivered it, this one included.
    deliveries: int = 1


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """The body of ``requested`` as it came; ``contracts.request.read`` checks it."""

    body: bytes


class Scheduled(msgspec.Struct, frozen=True, kw_only=True):
    """A timer: what the broker publishes later, on another subject."""

    body: bytes


def message_id(request_id: str, sequence: int, stage: str, event: str, attempt: int | str) -> str:
    """The deduplication id of rule 2; the request's sequence tells two lives of one id apart."""
    return f"{request_id}:{sequence}:{stage}:{event}:{attempt}"


def headers(  # noqa: PLR0913 - one for each header
    *,
    name: str,
    version: int,
    kind: str,
    request_id: str,
    stage: str,
    attempt: int | str,
    time: str,
    traceparent: str,
    request_seq: int = 0,
) -> dict[str, str]:
    """The headers of one event.

    Args:
        name: event name.
        version: version of the event's body.
        kind: content kind.
        request_id: id of the request.
        stage: publishing stage.
        attempt: the event's attempt, or what else tells it from the stage's other events.
        time: RFC 3339 with zone.
        traceparent: W3C trace context.
        request_seq: sequence of the request in REQUESTS; 0: not known, and the broker looks for no duplicate.
    """
    ident = message_id(request_id, request_seq, stage, name, attempt)
    found = {
        "ce-specversion": "1.0",
        "ce-id": ident,
        "ce-type": f"{TYPE_PREFIX}{name}.v{version}",
        "ce-source": f"{SOURCE}/{stage}",
        "ce-subject": f"{kind}/{request_id}",
        "ce-time": time,
        "ce-datacontenttype": "application/json",
        "traceparent": traceparent,
    }
    if request_seq:
        found[MSG_ID] = ident
    return found


#: Only stages publish events; one that cannot be read is our defect, not the client's.
_DEFECT: Final = ErrorCode.GEN_INTERNAL
_DECODERS: Final = {
    row.event: msgspec.json.Decoder(row.body) for row in pipeline.ROWS if row.body is not None
}


def decode(name: str, body: bytes, message_headers: Mapping[str, str]) -> Event | Requested | Scheduled:
    """Decode an event's body by its name.

    Args:
        name: event name from the subject.
        body: the message's bytes.
        message_headers: the message's headers; a version in ``ce-type`` is heeded.

    Raises:
        Unreadable: the body is not what the event's struct says; the text names the field.  Or the broker wrote the
            message, which no stage or client did.
        NewerVersion: a later version of a known event.
    """
    check_author(name, message_headers)
    if name == "timer":
        if SCHEDULE not in message_headers:
            raise Unreadable(f"a timer needs the header {SCHEDULE}", code=_DEFECT)
        return Scheduled(body=body)
    check_version(name, message_headers)
    try:
        if name == "requested":
            return Requested(body=body)
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise Unreadable(f"event {name!r} is unknown", code=_DEFECT)
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"the body of {name} cannot be read: {error}", code=_DEFECT) from None


def has_author(name: str, message_headers: Mapping[str, str]) -> bool:
    """Whether a client or a stage published a message, as :func:`check_author` finds it."""
    try:
        check_author(name, message_headers)
    except Unreadable:
        return False
    return True


def check_author(name: str, message_headers: Mapping[str, str]) -> None:
    """Refuse what a reply subject or a schedule brought to a subject that its author may not publish on.

    The broker asks for no permission there (docs/threat-model.md).

    Raises:
        Unreadable: no stage or client published the message.
    """
    if ANSWERED in message_headers or READ_FROM in message_headers:
        raise Unreadable(f"this {name} is the broker's answer to a read, not an event", code=_DEFECT)
    if SCHEDULER in message_headers and name not in _SCHEDULED:
        raise Unreadable(f"this {name} came by a schedule, as no {name} does", code=_DEFECT)


def encode(value: msgspec.Struct) -> bytes:
    """Encode a body as JSON; half a surrogate pair, which UTF-8 does not allow, becomes a question mark."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # An error's text may have it, and a damaged text is better than no event.
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
        return text.encode("utf-8", "replace")


def check_version(name: str, message_headers: Mapping[str, str]) -> None:
    """Compare the header ``ce-type`` with the event's name and the version that this build reads.

    Raises:
        Unreadable: it names another event.
        NewerVersion: it names a later version.
    """
    found = _TYPE.fullmatch(message_headers.get("ce-type", ""))
    if found is None:
        return
    row = pipeline.ROW_OF.get(name)
    if found[1] != name:
        clients = row is not None and pipeline.CLIENT in row.published_by
        code = ErrorCode.GEN_INVALID_REQUEST if clients else _DEFECT
        raise Unreadable(f"header ce-type says {found[1]!r}, the subject says {name!r}", code=code)
    known = row.body.version if row is not None and row.body is not None else 1
    if int(found[2]) > known:
        raise NewerVersion(f"{name} v{found[2]} is newer than v{known}, which this build reads")


def address(subject: str) -> subjects.Subject:
    """Read a message's subject.

    Raises:
        Unreadable: naming the token at fault.
    """
    try:
        return subjects.parse(subject)
    except subjects.SubjectError as error:
        raise Unreadable(str(error)) from None

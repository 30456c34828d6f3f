"""Decoding of deliveries: the addressed event of a message, or why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import envelope, subjects
from contracts import events as ev
from contracts.envelope import Received, Requested
from contracts.errors import Unreadable
from contracts.subjects import Subject
from infra.telemetry.trace_context import TraceContext, read_context

if TYPE_CHECKING:
    from infra.nats.pull import Delivery

#: Events that an id has although it is not acceptable: its request, and what leads to its answer.
_ANSWERING: Final = frozenset({"requested", "timer", "deadline", "result", "shadowed"})


def read_trace(delivery: Delivery) -> TraceContext:
    """The context that a message was published in."""
    return read_context(
        delivery.msg.headers,
        subject=delivery.msg.subject,
        sequence=delivery.sequence,
        time_ms=delivery.time_ms,
    )


def decode(delivery: Delivery, address: Subject | None, stream_created_ms: int) -> Received[Any]:
    """The event of a message, as a handler gets it.

    Args:
        delivery: the message.
        address: its subject; ``None`` for a dead letter.
        stream_created_ms: when its stream was created, ms since the epoch.

    Raises:
        Unreadable: id or body; the text says what.
        NewerVersion: a later version of a known event.
    """
    msg = delivery.msg
    if address is None:
        letter, address = _letter(msg.subject, msg.data)
        return _received(delivery, letter, address, stream_created_ms)
    if address.event not in _ANSWERING and not address.acceptable:
        raise Unreadable(
            f"request id {address.request_id!r} in the subject must match {subjects.REQUEST_ID.pattern}"
        )
    event = envelope.decode(address.event, msg.data, msg.headers or {})
    return _received(delivery, event, address, stream_created_ms)


def as_raw_request(delivery: Delivery, address: Subject, stream_created_ms: int) -> Received[Any]:
    """A request in a version that this build does not know, with its body left as it is."""
    return _received(delivery, Requested(body=delivery.msg.data), address, stream_created_ms)


def _received(delivery: Delivery, event: Any, address: Subject, stream_created_ms: int) -> Received[Any]:
    return Received(
        event=event,
        name=address.event,
        kind=address.kind,
        request_id=address.request_id,
        stream=delivery.stream,
        sequence=delivery.sequence,
        time_ms=delivery.time_ms,
        stream_created_ms=stream_created_ms,
        headers=delivery.msg.headers or {},
        deliveries=delivery.deliveries,
    )


def _letter(subject: str, body: bytes) -> tuple[ev.DeadLetter, Subject]:
    tokens = subject.split(".")
    try:
        letter = msgspec.json.decode(body, type=ev.DeadLetter)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"dead letter cannot be read: {error}") from None
    if len(tokens) != 4:  # noqa: PLR2004 - dead.<stage>.<kind>.<request_id>
        raise Unreadable(f"subject {subject!r} is not dead.<stage>.<kind>.<request_id>")
    return letter, Subject(event="dead", kind=tokens[2], request_id=tokens[3])

"""Decoding of deliveries: the addressed event of a message, or why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import envelope, subjects
from contracts import events as ev
from contracts.envelope import Received, Requested
from contracts.errors import Unreadable

if TYPE_CHECKING:
    from contracts.subjects import Subject
    from infra.nats.pull import Delivery

#: Events that an id has although it is not acceptable: its request, and what leads to its answer.
_ANSWERING: Final = frozenset({"requested", "timer", "deadline", "result"})


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
    headers = msg.headers or {}
    if address is None:
        letter, kind, request_id = _letter(msg.subject, msg.data)
        return _received(delivery, letter, "dead", kind, request_id, headers, stream_created_ms)
    if not address.acceptable and address.event not in _ANSWERING:
        raise Unreadable(
            f"request id {address.request_id!r} in the subject must match {subjects.REQUEST_ID.pattern}"
        )
    event = envelope.decode(address.event, msg.data, headers)
    return _received(
        delivery, event, address.event, address.kind, address.request_id, headers, stream_created_ms
    )


def as_raw_request(delivery: Delivery, stream_created_ms: int) -> Received[Any]:
    """A request in a version that this build does not know, with its body left as it is.

    Raises:
        Unreadable: its subject is not one of the pipeline's.
    """
    address = envelope.address(delivery.msg.subject)
    event = Requested(body=delivery.msg.data)
    headers = delivery.msg.headers or {}
    return _received(
        delivery, event, address.event, address.kind, address.request_id, headers, stream_created_ms
    )


def _received(
    delivery: Delivery,
    event: Any,
    name: str,
    kind: str,
    request_id: str,
    headers: dict[str, str],
    stream_created_ms: int,
) -> Received[Any]:
    return Received(
        event=event,
        name=name,
        kind=kind,
        request_id=request_id,
        stream=delivery.stream,
        sequence=delivery.sequence,
        time_ms=delivery.time_ms,
        stream_created_ms=stream_created_ms,
        headers=headers,
    )


def _letter(subject: str, body: bytes) -> tuple[ev.DeadLetter, str, str]:
    tokens = subject.split(".")
    try:
        letter = msgspec.json.decode(body, type=ev.DeadLetter)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"dead letter cannot be read: {error}") from None
    if len(tokens) != 4:  # noqa: PLR2004 - dead.<stage>.<kind>.<request_id>
        raise Unreadable(f"subject {subject!r} is not dead.<stage>.<kind>.<request_id>")
    return letter, tokens[2], tokens[3]

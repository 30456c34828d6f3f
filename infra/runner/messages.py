"""Messages as they go out: subject, body and headers of events, timers, orders and dead letters."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts import envelope, subjects, timestamp
from contracts import events as ev
from contracts.envelope import encode
from contracts.errors import ErrorCode
from contracts.outcome import Cancel, Schedule, Submit
from contracts.result import ErrorInfo, Meta, Origin, Status


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message, ready to be published."""

    subject: str
    body: bytes
    headers: dict[str, str]
    #: The first writer wins: a refusal is no error, and what was to follow is dropped.
    once: bool = False
    #: A dead letter: for people, beside what the request gets.
    letter: bool = False
    #: What the body says; ``None`` for timers and orders.
    event: ev.Event | ev.DeadLetter | None = None


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who publishes, and when."""

    stage: str
    #: Seconds since the epoch.
    now: float
    traceparent: str
    #: Sequence of the request that is worked on; 0: not known.
    request_seq: int = 0

    @property
    def time(self) -> str:
        """``now`` as RFC 3339."""
        return timestamp.format_s(self.now)


def timed(event: ev.Event, stage: str, elapsed_ms: float) -> ev.Event:
    """The event with this stage's milliseconds added to what it carries."""
    if isinstance(event, ev.Plotted):
        return msgspec.structs.replace(event, result=timed(event.result, stage, elapsed_ms))
    trail = getattr(event, "trail", None)
    if isinstance(trail, ev.Trail):
        spent = {**trail.time_ms, stage: round(trail.time_ms.get(stage, 0) + elapsed_ms, 3)}
        return msgspec.structs.replace(event, trail=msgspec.structs.replace(trail, time_ms=spent))
    if isinstance(event, ev.Result | ev.Revised):
        cost = event.meta.cost
        spent = {**cost.time_ms, stage: round(cost.time_ms.get(stage, 0) + elapsed_ms, 3)}
        cost = msgspec.structs.replace(cost, time_ms=spent)
        return msgspec.structs.replace(event, meta=msgspec.structs.replace(event.meta, cost=cost))
    return event


def _serial(event: ev.Event) -> str:
    """What tells this event from the others that the same stage publishes for the request."""
    if isinstance(event, ev.Revised):
        return event.revised_by
    attempt: int = getattr(event, "attempt", 1)
    reask: int = getattr(event, "reask", 0)
    return f"{attempt}-{reask}" if reask else str(attempt)


def of_event(event: ev.Event, *, kind: str, request_id: str, sender: Sender) -> Message:
    """The message of one event; a result is published under rule 3, that of a shadow where nobody listens."""
    if isinstance(event, ev.Revised):
        request_id = event.request_id
    if isinstance(event, ev.Result) and subjects.is_shadow(request_id):
        event = ev.Shadowed(**msgspec.structs.asdict(event))
    headers = envelope.headers(
        name=event.name,
        version=event.version,
        kind=kind,
        request_id=request_id,
        stage=sender.stage,
        attempt=_serial(event),
        time=sender.time,
        traceparent=sender.traceparent,
        request_seq=sender.request_seq,
    )
    if isinstance(event, ev.Cancelled):
        # Of another request than the one that is worked on.
        headers.pop(envelope.MSG_ID, None)
    # A result is the first of its request; what leads to one is not stored once there is one, which
    # also tells the next stage that there was none yet.
    once = isinstance(
        event, ev.Result | ev.ContextBuilt | ev.Drafted | ev.Structured | ev.Invalid | ev.Plotted
    )
    if once:
        # Two plots of one request would share out their scenes: the first one counts.
        first = "plotted" if isinstance(event, ev.Plotted) else subjects.answer(request_id)
        headers[envelope.EXPECTED_LAST] = "0"
        headers[envelope.EXPECTED_LAST_SUBJECT] = subjects.any_kind(first, request_id)
    return Message(
        subject=subjects.gen(event.name, kind, request_id),
        body=encode(event),
        headers=headers,
        once=once,
        event=event,
    )


def of_schedule(schedule: Schedule, *, kind: str, request_id: str, sender: Sender) -> Message:
    """The timer that makes the broker publish the event later; the first one per slot counts."""
    target = of_event(schedule.event, kind=kind, request_id=request_id, sender=sender)
    timer = subjects.gen("timer", kind, request_id)
    headers = {
        **target.headers,
        envelope.SCHEDULE: f"@at {timestamp.format_ms(schedule.at_ms)}",
        envelope.SCHEDULE_TARGET: target.subject,
        envelope.EXPECTED_LAST: "0",
    }
    # The condition is on the timer itself, and the copy that the broker publishes must not be taken
    # for a repetition of the timer.
    headers.pop(envelope.EXPECTED_LAST_SUBJECT, None)
    headers.pop(envelope.MSG_ID, None)
    return Message(
        subject=f"{timer}.{schedule.slot}" if schedule.slot else timer,
        body=target.body,
        headers=headers,
        once=True,
    )


def of_order(order: Submit | Cancel, *, sender: Sender) -> Message:
    """The message that asks for another request, once, or calls it off."""
    if isinstance(order, Cancel):
        return of_event(order.event, kind=order.kind, request_id=order.request_id, sender=sender)
    headers = envelope.headers(
        name="requested",
        version=1,
        kind=order.kind,
        request_id=order.request_id,
        stage=sender.stage,
        attempt=1,
        time=sender.time,
        traceparent=sender.traceparent,
    )
    headers[envelope.EXPECTED_LAST] = "0"
    headers[envelope.EXPECTED_LAST_SUBJECT] = subjects.any_kind("requested", order.request_id)
    return Message(
        subject=subjects.gen("requested", order.kind, order.request_id),
        body=order.body,
        headers=headers,
        once=True,
    )


def of_letter(letter: ev.DeadLetter, *, kind: str, request_id: str, sender: Sender) -> Message:
    """The message of a dead letter; one per message and stage."""
    ident = f"{letter.stream}:{letter.sequence}:{letter.stage}"
    unknown = kind == subjects.UNKNOWN_KIND
    return Message(
        subject=subjects.dead_unknown(letter.stage, letter.stream, letter.sequence)
        if unknown
        else subjects.dead(letter.stage, kind, request_id),
        body=encode(letter),
        headers={
            "ce-specversion": "1.0",
            "ce-id": ident,
            "ce-type": "dev.understudy.dead.v1",
            "ce-source": f"{envelope.SOURCE}/{letter.stage}",
            "ce-time": sender.time,
            "ce-datacontenttype": "application/json",
            "traceparent": sender.traceparent,
            envelope.MSG_ID: f"dead:{ident}",
        },
        letter=True,
        event=letter,
    )


def failed(event: Any, *, stage: str, code: ErrorCode, message: str, **more: Any) -> ev.Failed:
    """``failed`` for an event, with the brief and trail that it carried unless others are given."""
    more.setdefault("trail", getattr(event, "trail", ev.Trail()))
    more.setdefault("brief", getattr(event, "brief", None))
    return ev.Failed(attempt=getattr(event, "attempt", 1), code=code, stage=stage, message=message, **more)


def bare_result(
    *, kind: str, request_id: str, status: Status, code: ErrorCode, stage: str, message: str, meta: Meta
) -> ev.Result:
    """The smallest true result: no content, and why."""
    return ev.Result(
        request_id=request_id,
        kind=kind,
        status=status,
        origin=Origin.NONE,
        reason=message,
        error=ErrorInfo(code=code, stage=stage, message=message),
        meta=meta,
    )

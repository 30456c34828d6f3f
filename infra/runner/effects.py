"""Effects of an outcome: the messages and large objects that follow from it, as values.

Nothing here waits, looks up or reads a clock: what a decision needs comes in as a :class:`Situation`, and
``publishing`` carries out what comes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

import msgspec

from contracts import events as ev
from contracts import pipeline, retry, subjects
from contracts.envelope import INLINE_MAX, Requested
from contracts.errors import ErrorCode, Unavailable
from contracts.outcome import Delegate, Emit, Fail, Outcome, Record, Reject, Retry, Schedule, Wait
from contracts.result import Meta, Status
from infra.runner import messages
from infra.runner.dead_letter import letter_of
from infra.runner.messages import Message, Sender
from infra.stores.assets import reference

if TYPE_CHECKING:
    from contracts.envelope import Received
    from contracts.pipeline import Stage
    from contracts.ports import StoredRequest
    from contracts.subjects import Subject
    from infra.nats.pull import Delivery

#: Room that a message's headers need beside its body, bytes.
_HEADERS_BYTES: Final = 4096


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when an outcome is turned into messages."""

    #: The stage whose outcome it is.
    stage: Stage
    #: The message that the outcome is for.
    delivery: Delivery
    #: Its subject; ``None``: it is not one of the pipeline's.
    address: Subject | None
    #: Its event; ``None``: it cannot be read.
    received: Received[Any] | None
    #: The request that owns the id, where :func:`needs_owner` says so and the log has it.
    owner: StoredRequest | None = None
    #: The broker's time, seconds since the epoch.
    now: float
    #: W3C trace context of what is published.
    traceparent: str
    #: Milliseconds that the stage worked on the message.
    elapsed_ms: float
    #: Tries of a retryable error before the request fails.
    max_attempts: int
    #: Bytes that the broker takes in one message.
    max_bytes: int

    @property
    def event(self) -> ev.Event | None:
        """The event; ``None`` where it cannot be read, and for a request or a timer."""
        event = None if self.received is None else self.received.event
        return event if isinstance(event, ev.Event) else None


class Effects(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from an outcome."""

    #: To be published in this order.
    messages: tuple[Message, ...] = ()
    #: Bodies that messages refer to; they are stored first.
    uploads: tuple[bytes, ...] = ()

    def __add__(self, other: Effects) -> Effects:
        return Effects(messages=self.messages + other.messages, uploads=self.uploads + other.uploads)


def needs_owner(
    stage: Stage, address: Subject | None, received: Received[Any] | None, outcome: Outcome
) -> bool:
    """Whether the effects depend on which request owns the id."""
    if address is None:
        return False
    if address.event == "requested":
        return isinstance(outcome, Fail | Reject)
    if stage.answers and _poisoned(outcome):
        return True
    # The sequence of the request goes into every message id (rule 2).
    return _known_sequence(None if received is None else received.event) is None


def decide(outcome: Outcome, at: Situation) -> Effects:
    """What goes out for an outcome.

    Raises:
        Unavailable: a request is tried again, which is its delivery's own matter: there is no attempt to count.
    """
    if at.address is None:
        return _letter(outcome, at, _sender(at, 0))
    effects = _effects(outcome, at, at.address)
    for message in effects.messages:
        if len(message.body) + _HEADERS_BYTES > at.max_bytes:
            return _too_large(message, at, at.address)
    return effects


def orders(outcome: Delegate, *, stage: Stage, now: float, traceparent: str) -> tuple[Message, ...]:
    """The messages to other requests, in order.

    Args:
        outcome: which requests are asked for or cancelled.
        stage: who asks.
        now: the broker's time, seconds since the epoch.
        traceparent: W3C trace context of what is published.
    """
    sender = Sender(stage=stage.name, now=now, traceparent=traceparent)
    return tuple(messages.of_order(order, sender=sender) for order in outcome.orders)


def _effects(outcome: Outcome, at: Situation, address: Subject) -> Effects:
    sender = _sender(at, _request_seq(at, address))
    match outcome:
        case Emit(events=events):
            return _events(events, at, address, sender)
        case Schedule():
            timer = messages.of_schedule(
                outcome, kind=address.kind, request_id=address.request_id, sender=sender
            )
            return Effects(messages=(timer,))
        case Retry():
            return _retry(outcome, at, address, sender)
        case Fail(events=events):
            effects = _events(events, at, address, sender) + _ending(outcome, at, address, sender)
            return effects + _letter(outcome, at, sender)
        case Reject():
            return _ending(outcome, at, address, sender) + _letter(outcome, at, sender)
        case Record() | Wait() | Delegate():
            raise TypeError(f"{type(outcome).__name__} is no message of the request at hand")
        case _ as never:
            assert_never(never)


def _sender(at: Situation, request_seq: int) -> Sender:
    return Sender(stage=at.stage.name, now=at.now, traceparent=at.traceparent, request_seq=request_seq)


def _request_seq(at: Situation, address: Subject) -> int:
    """Sequence of the request that a message belongs to; 0: the log does not know it."""
    if address.event == "requested":
        return at.delivery.sequence
    known = _known_sequence(at.event)
    if known is not None:
        return known
    return 0 if at.owner is None else at.owner.sequence


def _known_sequence(event: Any) -> int | None:
    match event:
        case ev.Deadline(request_seq=sequence):
            return sequence
        case ev.Event(brief=ev.Brief(request_seq=sequence)):  # pyright: ignore[reportAttributeAccessIssue] - most have one
            return sequence
        case _:
            return None


def _events(events: tuple[ev.Event, ...], at: Situation, address: Subject, sender: Sender) -> Effects:
    if len(events) == 1:
        return _event(events[0], at, address, sender)
    effects = Effects()
    for event in events:
        effects += _event(event, at, address, sender)
    return effects


def _event(event: ev.Event, at: Situation, address: Subject, sender: Sender) -> Effects:
    """One event; a content that is too large for a message is stored, and referred to."""
    event = messages.timed(event, at.stage.name, at.elapsed_ms)
    message = messages.of_event(event, kind=address.kind, request_id=address.request_id, sender=sender)
    if len(message.body) <= INLINE_MAX or not isinstance(event, ev.Result | ev.Revised):
        return Effects(messages=(message,))
    content = msgspec.json.encode(event.content)
    if event.content is None or len(content) <= INLINE_MAX:
        return Effects(messages=(message,))
    event = msgspec.structs.replace(event, content=None, content_ref=reference(content))
    message = messages.of_event(event, kind=address.kind, request_id=address.request_id, sender=sender)
    return Effects(messages=(message,), uploads=(content,))


def _retry(outcome: Retry, at: Situation, address: Subject, sender: Sender) -> Effects:
    """The same event again as its next attempt, after a back-off kept by the broker; or the end of trying."""
    event: Any = None if at.received is None else at.received.event
    if isinstance(event, Requested):
        raise Unavailable(outcome.message)
    trail = outcome.trail if outcome.trail is not None else event.trail
    if event.attempt >= at.max_attempts:
        failed = messages.failed(
            event,
            stage=at.stage.name,
            code=outcome.code,
            message=f"{outcome.message} (given up after {event.attempt} attempts)",
            trail=trail,
        )
        message = messages.of_event(failed, kind=address.kind, request_id=address.request_id, sender=sender)
        return Effects(messages=(message,))
    again = msgspec.structs.replace(event, attempt=event.attempt + 1, trail=trail)
    wait = max(retry.backoff(event.attempt, key=address.request_id), outcome.after_s)
    schedule = Schedule(
        event=again, at_ms=int((at.now + wait) * 1000), slot=f"{at.stage.name}-{again.attempt}"
    )
    timer = messages.of_schedule(schedule, kind=address.kind, request_id=address.request_id, sender=sender)
    return Effects(messages=(timer,))


def _ending(outcome: Fail | Reject, at: Situation, address: Subject, sender: Sender) -> Effects:
    """What the rest of the pipeline gets for a message that this stage could not use.

    It goes before the letter: a full DEAD must not keep an answer back.
    """
    event = _ending_event(outcome, at, address)
    return Effects() if event is None else _event(event, at, address, sender)


def _ending_event(outcome: Fail | Reject, at: Situation, address: Subject) -> ev.Event | None:
    requested = address.event == "requested"
    if not address.acceptable and not requested:
        # No request has this id.
        return None
    if isinstance(outcome, Reject) and requested:
        first = at.owner is None or at.owner.sequence == at.delivery.sequence
        mine = pipeline.letter_writer("requested") == at.stage.name
        return _bare(Status.REJECTED, outcome, at, address, at.delivery.time_ms) if mine and first else None
    if at.stage.answers:
        # The last stage has nobody to hand over to; a letter about junk must not end a request.
        if at.owner is None or not _poisoned(outcome):
            return None
        return _bare(Status.FAILED, outcome, at, address, at.owner.time_ms)
    if at.stage.unfailing or pipeline.letter_writer(address.event) not in {at.stage.name, None}:
        return None
    return _failed(outcome, at)


def _failed(outcome: Fail | Reject, at: Situation) -> ev.Failed:
    if isinstance(outcome, Reject):
        return messages.failed(
            at.event, stage=at.stage.name, code=ErrorCode.GEN_INTERNAL, message=outcome.message
        )
    more: dict[str, Any] = {} if outcome.trail is None else {"trail": outcome.trail}
    return messages.failed(
        at.event,
        stage=at.stage.name,
        code=outcome.code,
        message=outcome.message,
        evidence=outcome.evidence,
        **more,
    )


def _letter(outcome: Outcome, at: Situation, sender: Sender) -> Effects:
    """The dead letter of a message that nobody could use; letters have none of their own."""
    if at.delivery.stream == pipeline.DEAD:
        return Effects()
    match outcome:
        case Fail(letter=True):
            pass
        case Reject():
            subject = at.delivery.msg.subject
            event = subject.split(".")[1] if subject.startswith("gen.") else ""
            if pipeline.letter_writer(event) != at.stage.name:
                return Effects()
        case _:
            return Effects()
    letter, uploads = letter_of(at.delivery, outcome, stage=at.stage.name)
    known = at.address if at.address is not None and at.address.acceptable else None
    kind, request_id = (known.kind, known.request_id) if known else (subjects.UNKNOWN_KIND, "")
    message = messages.of_letter(letter, kind=kind, request_id=request_id, sender=sender)
    return Effects(messages=(message,), uploads=uploads)


def _too_large(message: Message, at: Situation, address: Subject) -> Effects:
    """What the request gets instead of an event that no broker takes."""
    sender = _sender(at, _request_seq(at, address))
    why = Fail(
        code=ErrorCode.GEN_INTERNAL,
        message=f"{message.subject} has {len(message.body)} bytes, more than the broker takes ({at.max_bytes})",
    )
    if at.stage.answers:
        event = message.event
        requested_at_ms = event.meta.requested_at_ms if isinstance(event, ev.Result) else None
        bare: ev.Event = _bare(Status.FAILED, why, at, address, requested_at_ms or at.delivery.time_ms)
    else:
        # Without the trail and the brief: they may be what is too large.
        bare = messages.failed(
            at.event, stage=at.stage.name, code=why.code, message=why.message, brief=None, trail=ev.Trail()
        )
    return Effects(
        messages=(messages.of_event(bare, kind=address.kind, request_id=address.request_id, sender=sender),)
    )


def _poisoned(outcome: Outcome) -> bool:
    match outcome:
        case Fail(code=code, letter=letter):
            return letter or code is ErrorCode.GEN_POISON
        case Reject(code=code):
            return code is ErrorCode.GEN_POISON
        case _:
            return False


def _bare(
    status: Status, outcome: Fail | Reject, at: Situation, address: Subject, requested_at_ms: int
) -> ev.Result:
    return messages.bare_result(
        kind=address.kind,
        request_id=address.request_id,
        status=status,
        code=outcome.code,
        stage=at.stage.name,
        message=outcome.message,
        meta=Meta(requested_at_ms=requested_at_ms),
    )

"""Report of an execution: what is emitted about a message whose work has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from contracts import events as ev
from contracts.outcome import Delegate, Emit, Fail, Outcome, Record, Reject, Retry, Schedule, Wait
from contracts.subjects import UNKNOWN_KIND
from infra.telemetry.events import (
    LetterWritten,
    MessageEnding,
    MessageHandled,
    RatingLowered,
    ResultPublished,
    level_of,
)

if TYPE_CHECKING:
    from infra.nats.pull import Delivery
    from infra.runner.messages import Message
    from infra.telemetry.dispatch import Telemetry


def ending_of(outcome: Outcome | None) -> MessageEnding:  # noqa: PLR0911 - one for each outcome
    """How a message ended whose outcome was carried out."""
    match outcome:
        case Emit() | None:
            return MessageEnding.EMITTED
        case Schedule():
            return MessageEnding.SCHEDULED
        case Retry():
            return MessageEnding.RETRIED
        case Fail():
            return MessageEnding.FAILED
        case Reject():
            return MessageEnding.REJECTED
        case Record():
            return MessageEnding.RECORDED
        case Wait() | Delegate():
            return MessageEnding.PUT_OFF
        case _ as never:
            assert_never(never)


def report(
    telemetry: Telemetry,
    *,
    stage: str,
    delivery: Delivery,
    outcome: Outcome | None,
    ending: MessageEnding,
    problem: str,
    duration_ms: float,
) -> None:
    """Emit how the work on a message ended."""
    takers = telemetry.takers(MessageHandled, level_of(ending, problem))
    if takers:
        name, kind, request_id = _names(delivery.msg.subject)
        handled = MessageHandled(
            stage=stage,
            name=name,
            kind=kind,
            request_id=request_id,
            stream=delivery.stream,
            seq=delivery.sequence,
            deliveries=delivery.deliveries,
            ending=ending,
            code=getattr(outcome, "code", ""),
            problem=problem,
            duration_ms=round(duration_ms, 2),
        )
        for taker in takers:
            taker(handled)
    for event in outcome.events if isinstance(outcome, Emit | Fail) else ():
        if isinstance(event, ev.Clamped):
            _, kind, request_id = _names(delivery.msg.subject)
            telemetry.emit(
                RatingLowered(
                    stage=stage,
                    kind=kind,
                    request_id=request_id,
                    requested=event.requested,
                    effective=event.effective,
                    by=event.by,
                )
            )


def _names(subject: str) -> tuple[str, str, str]:
    """Event name, content kind and request id of a subject; empty where it has none."""
    match subject.split(".", 3):
        case [_, name, kind, request_id]:
            return name, kind, request_id
        case tokens:
            _, name, kind, *_ = *tokens, "", ""
            return name, kind, ""


def published(stage: str, result: ev.Result, *, now_s: float) -> ResultPublished:
    """What is emitted about a result that the broker has stored.

    Args:
        stage: who published it.
        result: the result.
        now_s: the broker's time, seconds since the epoch.
    """
    error, requested_at_ms = result.error, result.meta.requested_at_ms
    return ResultPublished(
        stage=stage,
        kind=result.kind,
        request_id=result.request_id,
        status=result.status,
        origin=result.origin,
        code="" if error is None else error.code,
        failed_in="" if error is None else error.stage,
        problem="" if error is None else error.message,
        latency_ms=None if requested_at_ms is None else round(max(0.0, now_s * 1000 - requested_at_ms), 2),
    )


def letter_written(stage: str, message: Message, *, answered: bool) -> LetterWritten:
    """What is emitted about a dead letter that the broker has stored."""
    letter = message.event
    if not isinstance(letter, ev.DeadLetter):
        raise TypeError(f"{message.subject} is no dead letter")
    _, _, kind, request_id = message.subject.split(".", 3)
    known = kind != UNKNOWN_KIND
    return LetterWritten(
        stage=stage,
        kind=kind if known else "",
        request_id=request_id if known else "",
        stream=letter.stream,
        seq=letter.sequence,
        code=letter.code,
        problem=letter.reason,
        answered=answered,
    )

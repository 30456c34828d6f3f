"""What goes on stage when generation failed?"""

from __future__ import annotations

from typing import Any

import msgspec

from contracts import events as ev
from contracts import request
from contracts.envelope import Received, Requested
from contracts.errors import ErrorCode
from contracts.node import FallbackMode
from contracts.outcome import Emit, Outcome, Schedule
from contracts.ports import Contents, Log, Samples, StoredRequest
from contracts.result import ErrorInfo
from stages.fallback.answer import Ending, answer

#: After these another attempt would end the same way.
_FINAL = frozenset(
    {
        ErrorCode.GEN_PROVIDER_DISABLED,
        ErrorCode.GEN_INVALID_REQUEST,
        ErrorCode.GEN_POISON,
        ErrorCode.GEN_CANCELLED,
    }
)


async def handle(
    received: Received[Any], *, log: Log, samples: Samples, contents: Contents, default_deadline_ms: int
) -> Outcome:
    """Arm the deadline of a new request; answer one that failed, ran late or was cancelled.

    Args:
        received: ``requested``, ``failed``, ``deadline`` or ``cancelled``.
        log: the event log.
        samples: golden samples and default contents.
        contents: the content kinds, for placeholders.
        default_deadline_ms: deadline of requests that name none.

    Returns:
        the deadline's timer, the next attempt, or the result; nothing for an unknown request.
    """
    event = received.event
    if isinstance(event, Requested):
        plan = _plan(event.body, received.kind, default_deadline_ms)[1]
        return Schedule(
            event=ev.Deadline(request_seq=received.sequence, deadline_ms=plan.deadline_ms),
            at_ms=received.time_ms + plan.deadline_ms,
        )
    owner = await log.first_request(received.request_id)
    if owner is None or owner.kind != received.kind:
        return Emit()
    return _respond(received, owner, samples, contents, default_deadline_ms)


def _plan(
    body: bytes, kind: str, default_deadline_ms: int
) -> tuple[request.GenerationRequest | str, request.FallbackPlan]:
    try:
        asked = request.read(body, kind)
    except request.RequestError as error:
        return str(error), request.plan_fallback(None, default_deadline_ms=default_deadline_ms)
    return asked, request.plan_fallback(asked, default_deadline_ms=default_deadline_ms)


def _respond(
    received: Received[Any],
    owner: StoredRequest,
    samples: Samples,
    contents: Contents,
    default_deadline_ms: int,
) -> Outcome:
    asked, plan = _plan(owner.body, owner.kind, default_deadline_ms)
    event = received.event
    trail, brief = ev.Trail(), None
    match event:
        case ev.Failed():
            error = ErrorInfo(code=event.code, stage=event.stage, message=event.message)
            trail, brief = event.trail, event.brief
            again = _next_attempt(event, plan, received.time_ms)
            if again is not None:
                return again
        case ev.Deadline():
            if event.request_seq != owner.sequence:
                return Emit()
            error = ErrorInfo(
                code=ErrorCode.GEN_TIMEOUT,
                stage="fallback",
                message=f"no result within the deadline of {event.deadline_ms} ms",
            )
        case ev.Cancelled():
            message = f"cancelled: {event.reason}" if event.reason else "cancelled by the client"
            error = ErrorInfo(code=ErrorCode.GEN_CANCELLED, stage="fallback", message=message)
        case _:
            raise TypeError(f"fallback does not take {received.name}")
    if isinstance(asked, str) and error.code is not ErrorCode.GEN_CANCELLED:
        error = ErrorInfo(code=ErrorCode.GEN_INVALID_REQUEST, stage="fallback", message=asked)
    ending = Ending(
        request_id=owner.request_id,
        kind=owner.kind,
        error=error,
        plan=plan,
        asked=None if isinstance(asked, str) else asked,
        brief=brief,
        trail=trail,
        requested_at_ms=owner.time_ms,
    )
    return Emit(events=(answer(ending, samples=samples, contents=contents),))


def _next_attempt(event: ev.Failed, plan: request.FallbackPlan, now_ms: int) -> Schedule | None:
    """Mode ``retry``: the brief once more, after the wait."""
    if plan.mode is not FallbackMode.RETRY or event.code in _FINAL or event.brief is None:
        return None
    if event.attempt > plan.retries:
        return None
    trail = msgspec.structs.replace(
        event.trail, warnings=(*event.trail.warnings, f"attempt {event.attempt} failed: {event.code}")
    )
    return Schedule(
        event=ev.ContextBuilt(attempt=event.attempt + 1, brief=event.brief, trail=trail),
        at_ms=now_ms + plan.retry_wait_ms,
        slot=f"retry-{event.attempt + 1}",
    )

"""Fallback handler: golden sample, default content, skip, retry, placeholder or error."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts import events as ev
from contracts import request, revisions, scenes
from contracts.envelope import Received, Requested
from contracts.errors import ErrorCode
from contracts.experiments import NO_EXPERIMENTS, Experiments, assign
from contracts.nodes.node import FallbackMode
from contracts.outcome import Emit, Outcome, Schedule
from contracts.policy.experiments import ExperimentArm
from contracts.ports import Contents, KnownReplays, Log, Samples, SceneLog, StoredRequest
from contracts.result import ErrorInfo
from stages.fallback.answer import FailedRequest, answer
from stages.fallback.plan import Planned, PlanOf

#: After these codes another attempt would fail the same way.
_FINAL = frozenset(
    {
        ErrorCode.GEN_PROVIDER_DISABLED,
        ErrorCode.GEN_INVALID_REQUEST,
        ErrorCode.GEN_POISON,
        ErrorCode.GEN_BUDGET_EXCEEDED,
        ErrorCode.GEN_CANCELLED,
    }
)


async def handle(
    received: Received[Any],
    *,
    log: Log,
    scene_log: SceneLog,
    samples: Samples,
    contents: Contents,
    plan_of: PlanOf,
    replays: KnownReplays,
    experiments: Experiments = NO_EXPERIMENTS,
) -> Outcome:
    """Arm the deadline of a new request; answer one that failed, timed out or was cancelled.

    Args:
        received: ``requested``, ``failed``, ``deadline`` or ``cancelled``.
        log: the event log.
        scene_log: the same, for plots that wait for their scenes.
        samples: golden samples and default contents.
        contents: the content kinds, for placeholders.
        plan_of: plans the fallback for a body and its kind (:func:`stages.fallback.plan.planner`).
        replays: the known replays.
        experiments: the experiments, for results of requests without a brief.

    Returns:
        the deadline's timer, the next attempt, or the result; nothing for an unknown request.  A plot that
        waits for its scenes is answered with their current state.
    """
    event = received.event
    if isinstance(event, Requested):
        plan = plan_of(event.body, received.kind).plan
        return Schedule(
            event=ev.Deadline(request_seq=received.sequence, deadline_ms=plan.deadline_ms),
            at_ms=received.time_ms + plan.deadline_ms,
        )
    owner = await log.first_request(received.request_id)
    if owner is None or owner.kind != received.kind:
        return Emit()
    planned = plan_of(owner.body, owner.kind)
    if planned.asked is not None and planned.asked.scenes and _ends_a_plot(event, owner):
        plotted = await scene_log.plotted(owner.request_id)
        if plotted is not None:
            seen = await scene_log.seen(scenes.ids(plotted))
            outcome = Emit(events=scenes.answers_with(plotted, seen))
            return await revisions.confirm(outcome, request_id=received.request_id, replays=replays)
    return await _respond(received, owner, planned, samples, contents, experiments)


def _ends_a_plot(event: Any, owner: StoredRequest) -> bool:
    """Whether the event ends a plot that waits for its scenes; its content is valid."""
    match event:
        case ev.Deadline():
            return event.request_seq == owner.sequence
        case ev.Failed():
            return event.stage == "context-build"
        case _:
            return False


async def _respond(
    received: Received[Any],
    owner: StoredRequest,
    planned: Planned,
    samples: Samples,
    contents: Contents,
    experiments: Experiments,
) -> Outcome:
    plan, event = planned.plan, received.event
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
            message = f"no result within the deadline of {event.deadline_ms} ms"
            if owner.newer:
                message = f"{message}: {owner.newer}"
            error = ErrorInfo(code=ErrorCode.GEN_TIMEOUT, stage="fallback", message=message)
        case ev.Cancelled():
            message = f"cancelled: {event.reason}" if event.reason else "cancelled by the client"
            error = ErrorInfo(code=ErrorCode.GEN_CANCELLED, stage="fallback", message=message)
        case _:
            raise TypeError(f"fallback does not take {received.name}")
    if planned.asked is None and error.code is not ErrorCode.GEN_CANCELLED and not owner.newer:
        error = ErrorInfo(code=ErrorCode.GEN_INVALID_REQUEST, stage="fallback", message=planned.fault)
    ending = FailedRequest(
        request_id=owner.request_id,
        kind=owner.kind,
        error=error,
        plan=plan,
        asked=planned.asked,
        lost=planned.lost,
        brief=brief,
        trail=trail,
        requested_at_ms=owner.time_ms,
        input_hash=planned.asked.input_hash(owner.kind) if planned.asked else None,
        experiment=None
        if error.code is ErrorCode.GEN_INVALID_REQUEST
        else _find_arm(brief, planned, owner, experiments),
    )
    return Emit(events=(await answer(ending, samples=samples, contents=contents),))


def _find_arm(
    brief: ev.Brief | None, planned: Planned, owner: StoredRequest, experiments: Experiments
) -> ExperimentArm | None:
    """The arm that a request counts for: a request that no stage has decided about has one too."""
    if brief is not None:
        return brief.experiment and brief.experiment.counted
    if planned.asked is None:
        return None
    found = assign(experiments.current(), planned.asked, owner.kind, owner.request_id).treatment
    return found and found.counted


def _next_attempt(event: ev.Failed, plan: request.FallbackPlan, now_ms: int) -> Schedule | None:
    """Mode ``retry``: publish the brief again after the wait."""
    if plan.mode is not FallbackMode.RETRY or event.code in _FINAL or event.brief is None:
        return None
    # Another draft for the sake of quality was an attempt too, and is no retry of the request's.
    if event.attempt - event.trail.redrafts > plan.retries:
        return None
    trail = msgspec.structs.replace(
        event.trail, warnings=(*event.trail.warnings, f"attempt {event.attempt} failed: {event.code}")
    )
    return Schedule(
        event=ev.ContextBuilt(attempt=event.attempt + 1, brief=event.brief, trail=trail),
        at_ms=now_ms + plan.retry_wait_ms,
        slot=f"retry-{event.attempt + 1}",
    )

"""Repetition of an earlier request: what only an operator may ask for, and the start at a later stage.

A request that starts at a later stage gets what the stages before it stored for the earlier request, and today's brief
for everything else; what it starts from is checked and validated like any other.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from contracts import events as ev
from contracts import scenes
from contracts.errors import ErrorCode
from contracts.lineage import INPUT_OF, Lineage, find_id_fault
from contracts.outcome import Emit, Outcome, Reject
from contracts.ports import KnownReplays
from contracts.revisions import UNCONFIRMED

_UNKNOWN: Final = (
    "only a replay that an operator starts may begin at a later stage, name its provider or be a shadow; leave out "
    "from_stage, provider and shadow"
)


class StoredSteps(Protocol):
    """What stages stored for a request on its way."""

    async def find(self, event: str, request_id: str) -> ev.Drafted | ev.Structured | None:
        """Find the last ``drafted`` or ``structured`` of a request; ``None``: the log has none (any more)."""
        ...


async def resolve(outcome: Outcome, *, request_id: str, replays: KnownReplays, steps: StoredSteps) -> Outcome:
    """Confirm what a request says about its descent, and start it at its stage.

    Args:
        outcome: what context-build decided about the request.
        request_id: the request's own id.
        replays: the replays that operators started.
        steps: what stages stored for the earlier request.

    Returns:
        the same outcome for a request that starts at the first stage; else the event that its stage starts from, or a
        rejection.  A claim that no operator made is dropped.

    Raises:
        Unavailable: the broker does not answer.
    """
    built = find_built(outcome)
    lineage = None if built is None else built.brief.lineage
    misnamed = None if built is None else find_id_fault(lineage, request_id)
    if misnamed is not None:
        return Reject(code=ErrorCode.GEN_INVALID_REQUEST, message=misnamed)
    if built is None or lineage is None or not (lineage.needs_mark or lineage.patched_by):
        return outcome
    if not await _is_known(lineage, request_id, replays):
        if lineage.needs_mark:
            return Reject(code=ErrorCode.GEN_INVALID_REQUEST, message=_UNKNOWN)
        return _replace(outcome, built, _unconfirmed(built, lineage))
    if lineage.from_stage is None:
        return outcome
    event = INPUT_OF[lineage.from_stage]
    return start(outcome, await steps.find(event, lineage.replay_of))


async def _is_known(lineage: Lineage, request_id: str, replays: KnownReplays) -> bool:
    """Whether an operator started a repetition, or the plot that it is a scene of."""
    if await replays.holds(request_id, lineage.replay_of):
        return True
    scene, repeated = scenes.split_id(request_id), scenes.split_id(lineage.replay_of)
    if scene is None or repeated is None or scene[1] != repeated[1]:
        return False
    # The pipeline asks for the scenes of a shadow, and marks none of them.
    plain = lineage == Lineage(replay_of=lineage.replay_of, shadow=True)
    return plain and await replays.holds(scene[0], repeated[0])


def find_built(outcome: Outcome) -> ev.ContextBuilt | None:
    """The event with the brief that an outcome leads to; ``None``: there is none."""
    if not isinstance(outcome, Emit):
        return None
    return next((event for event in outcome.events if isinstance(event, ev.ContextBuilt)), None)


def start(outcome: Outcome, step: ev.Drafted | ev.Structured | None) -> Outcome:
    """Replace the brief's event by the one that the request's first stage starts from.

    Args:
        outcome: what context-build decided about the request.
        step: what was stored for the earlier request; ``None``: the log no longer has it.
    """
    built = find_built(outcome)
    lineage = None if built is None else built.brief.lineage
    if built is None or lineage is None or lineage.from_stage is None:
        return outcome
    if step is None:
        missing = f"the {INPUT_OF[lineage.from_stage]} of {lineage.replay_of} is not in the log (any more)"
        return Reject(
            code=ErrorCode.GEN_INVALID_REQUEST, message=f"from_stage: {missing}; repeat the whole request"
        )
    note = f"starts at {lineage.from_stage}, from what {lineage.replay_of} had stored"
    trail = msgspec.structs.replace(
        built.trail, warnings=(*built.trail.warnings, note), enhancement=step.trail.enhancement
    )
    brief = _written_by(built.brief, step.brief)
    if isinstance(step, ev.Drafted):
        begun: ev.Event = ev.Drafted(attempt=1, brief=brief, draft=step.draft, trail=trail)
    else:
        begun = ev.Structured(attempt=1, brief=brief, draft=step.draft, document=step.document, trail=trail)
    return _replace(outcome, built, begun)


def _written_by(brief: ev.Brief, stored: ev.Brief) -> ev.Brief:
    """Today's brief with the prompt and the parameters that the stored prose was written with."""
    same = brief.slot is not None and stored.slot is not None and brief.slot.key == stored.slot.key
    return msgspec.structs.replace(
        brief,
        prompt=stored.prompt,
        prompt_hash=stored.prompt_hash,
        prompt_version=stored.prompt_version,
        freeform=stored.freeform,
        # Another key says what today's prompt, models or schema would have given.
        slot=brief.slot if same else None,
    )


def _unconfirmed(built: ev.ContextBuilt, lineage: Lineage) -> ev.ContextBuilt:
    brief = msgspec.structs.replace(built.brief, lineage=msgspec.structs.replace(lineage, patched_by=None))
    trail = msgspec.structs.replace(built.trail, warnings=(*built.trail.warnings, UNCONFIRMED))
    return msgspec.structs.replace(built, brief=brief, trail=trail)


def _replace(outcome: Outcome, built: ev.ContextBuilt, by: ev.Event) -> Outcome:
    beside = outcome.events if isinstance(outcome, Emit) else ()
    return Emit(events=tuple(by if event is built else event for event in beside))

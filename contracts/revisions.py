"""Revisions: the content of a replay for the subscribers of the request that it repeats.

Any client can publish a request whose ``replay_of`` names a request of another client.  Only a replay that an
operator started reaches the subscribers of that request.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts import events as ev
from contracts.outcome import Emit, Outcome
from contracts.ports import KnownReplays

#: Warning in the result of a request that only says that it is a replay.
UNCONFIRMED: Final = (
    "replay_of is what the request says of itself: no replay that an operator started has its id"
)


def answers(result: ev.Result, brief: ev.Brief) -> tuple[ev.Event, ...]:
    """The result; for a replay, also the revision for its original's subscribers."""
    lineage = brief.descent
    if lineage is None or not lineage.revises:
        return (result,)
    body: dict[str, Any] = msgspec.structs.asdict(result) | {"request_id": lineage.replay_of}
    return result, ev.Revised(revised_by=result.request_id, **body)


def source(request_id: str, revised_by: str | None) -> str | None:
    """The replay whose content a request has now.

    Args:
        request_id: the request.
        revised_by: ``revised_by`` of its latest ``revised``; ``None``: it has none.

    Returns:
        the replay; ``None``: its own result has the content, also after an undo.
    """
    return None if revised_by == request_id else revised_by


async def confirm(outcome: Outcome, *, request_id: str, replays: KnownReplays) -> Outcome:
    """Drop ``revised`` from an outcome unless the request is a known replay of the request that it revises.

    Args:
        outcome: what a stage decided.
        request_id: the request that it was decided for.
        replays: the replays that operators started.

    Returns:
        the outcome; where the replay is unknown, without ``revised`` and with :data:`UNCONFIRMED` among the
        result's warnings.

    Raises:
        Unavailable: the broker does not answer.
    """
    if not isinstance(outcome, Emit):
        return outcome
    revised = next((event for event in outcome.events if isinstance(event, ev.Revised)), None)
    if revised is None or await replays.holds(request_id, revised.request_id):
        return outcome
    return Emit(events=tuple(_warn(event) for event in outcome.events if event is not revised))


def _warn(event: ev.Event) -> ev.Event:
    if not isinstance(event, ev.Result):
        return event
    meta = msgspec.structs.replace(event.meta, warnings=(*event.meta.warnings, UNCONFIRMED))
    return msgspec.structs.replace(event, meta=meta)

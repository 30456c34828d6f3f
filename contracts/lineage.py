"""Lineage of reruns: ids of replays and shadows, and which replays may revise another request's result.

Any client can publish a request whose id begins with ``rp-`` and whose ``replay_of`` names a request of somebody
else.  Only a replay of a dead letter that an operator started reaches the subscribers of that request.
"""

from __future__ import annotations

from typing import Final

import msgspec

from contracts import events as ev
from contracts.outcome import Emit, Outcome
from contracts.ports import KnownReplays

#: First characters of the ids of requests that repeat others; such a request never reads the cache.
REPLAY: Final = "rp-"
SHADOW: Final = "sh-"
#: Warning in the result of a request that only says that it is a replay.
UNCONFIRMED: Final = (
    "replay_of is what the request says of itself: no replay of a dead letter is known by its id"
)


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

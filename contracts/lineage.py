"""Lineage of reruns: ids of replays and shadows, and which replays may revise another request's result.

Any client can publish a request whose id begins with ``rp-`` and whose ``replay_of`` names a request of somebody
else.  Only a replay of a dead letter that an operator started reaches the subscribers of that request.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from contracts import events as ev
from contracts.outcome import Emit, Outcome
from contracts.ports import KnownReplays

_REPLAY: Final = "rp-"
_SHADOW: Final = "sh-"
_PARTS: Final = re.compile(r"rp-([1-9][0-9]{0,18})-([1-9][0-9]{0,18})", re.ASCII)
#: Warning in the result of a request that only says that it is a replay.
UNCONFIRMED: Final = (
    "replay_of is what the request says of itself: no replay of a dead letter is known by its id"
)


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's id says about it; anybody may choose such an id."""

    request_id: str
    relation: Literal["replay", "shadow"] | None
    #: Sequence of the dead letter, and which replay of it this is, from 1; ``None`` without a replay's full form.
    letter: int | None = None
    number: int | None = None

    @classmethod
    def parse(cls, request_id: str) -> Lineage:
        """Read any id; one that says nothing has no relation."""
        if request_id.startswith(_SHADOW):
            return cls(request_id=request_id, relation="shadow")
        if not request_id.startswith(_REPLAY):
            return cls(request_id=request_id, relation=None)
        found = _PARTS.fullmatch(request_id)
        letter, number = (int(found[1]), int(found[2])) if found else (None, None)
        return cls(request_id=request_id, relation="replay", letter=letter, number=number)

    @classmethod
    def make_replay(cls, letter: int, number: int) -> Lineage:
        """The lineage of a replay that is about to be published.

        Args:
            letter: sequence of the dead letter.
            number: which replay of it, from 1.
        """
        return cls(request_id=f"{_REPLAY}{letter}-{number}", relation="replay", letter=letter, number=number)

    @property
    def repeats(self) -> bool:
        """Whether the request repeats another one: its author asks for what is generated today."""
        return self.relation is not None


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

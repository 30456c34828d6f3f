"""What of an outcome goes into the result cache?"""

from __future__ import annotations

from typing import Any

import msgspec

from contracts import cache_entry as kept
from contracts import events as ev
from contracts.cache_entry import SHADOW, CacheEntry
from contracts.envelope import Received
from contracts.outcome import Emit, Outcome
from contracts.policy.cache_key import CacheKey


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """An entry and its place."""

    slot: CacheKey
    kept: CacheEntry


def keep(received: Received[Any], outcome: Outcome) -> Keep | None:
    """The entry for a result that a model wrote, a replay's included; ``None`` for everything else.

    Late ones count: the request has a stand-in by then, and the next one need not.
    """
    event = received.event
    if not isinstance(event, ev.Structured) or not isinstance(outcome, Emit):
        return None
    slot = event.brief.slot
    if slot is None or received.request_id.startswith(SHADOW):
        return None
    result = next((each for each in outcome.events if isinstance(each, ev.Result)), None)
    if result is None:
        return None
    entry = kept.of_result(result, request_id=received.request_id, node=slot.node)
    return None if entry is None else Keep(slot=slot, kept=entry)

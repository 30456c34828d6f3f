"""Cache write: the entry of the result cache that an outcome makes, and its key."""

from __future__ import annotations

from typing import Any

from contracts import cache_entry
from contracts import events as ev
from contracts.cache_entry import CacheEntry
from contracts.envelope import Received
from contracts.outcome import Emit, Outcome
from contracts.policy.cache_key import CacheKey


def cache_write(received: Received[Any], outcome: Outcome) -> tuple[CacheKey, CacheEntry] | None:
    """The entry for a result that a model wrote, a replay's included; ``None`` for everything else.

    A result that comes after its request's deadline counts too: the next equal request gets it.
    """
    event = received.event
    if not isinstance(event, ev.Structured) or not isinstance(outcome, Emit):
        return None
    key = event.brief.slot
    lineage = event.brief.descent
    if key is None or (lineage is not None and lineage.shadow):
        return None
    result = next((each for each in outcome.events if isinstance(each, ev.Result)), None)
    if result is None:
        return None
    entry = cache_entry.from_result(result, request_id=received.request_id, node=key.node)
    return None if entry is None else (key, entry)

"""Does a request lead its generation, follow another one's, or get what is kept?

Of equal requests that come together one generates.  The others wait and look at its result.
"""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from contracts import cache_entry as kept
from contracts.cache_entry import CacheEntry
from contracts.errors import ErrorCode
from contracts.events import ContextBuilt, Result
from contracts.outcome import Emit, Fail, Outcome, Wait
from contracts.result import Origin, Status

#: Leaders whose failure is not the end: the first.
TURNS: Final = 2
#: Shortest and longest wait of a follower between two looks, seconds.
_SHORTEST_S: Final = 0.25
_LONGEST_S: Final = 2.0
#: A follower looks again when it has waited this much longer.
_PATIENCE: Final = 0.2


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who generates now."""

    #: Request id of the leader.
    leader: str
    #: 1; 2 when the first leader failed.
    turn: int


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How the leader's request ended."""

    result: Result
    #: When, by the broker's clock, ms since the epoch.
    at_ms: int


class FlightState(msgspec.Struct, frozen=True, kw_only=True):
    """What there is at a request's place; looked up in this order, each only if needed."""

    kept: CacheEntry | None = None
    lease: Lease | None = None
    #: The leader's result, if it has one.
    ended: Ended | None = None
    #: This request has its result already.
    answered: bool = False


class Lead(msgspec.Struct, frozen=True, kw_only=True):
    """Take the lease if it still is as it was looked up, then generate; else look again."""

    turn: int


def wants(outcome: Outcome, request_id: str) -> ContextBuilt | None:
    """The event of a request whose content may be shared; replays and shadows look at nothing kept."""
    if request_id.startswith((kept.REPLAY, kept.SHADOW)) or not isinstance(outcome, Emit):
        return None
    built = next((event for event in outcome.events if isinstance(event, ContextBuilt)), None)
    return built if built is not None and built.brief.slot is not None else None


def decide(
    built: ContextBuilt, outcome: Outcome, standing: FlightState, *, request_id: str, now_ms: int
) -> Outcome | Lead:
    """What a request does, given what there is at its place.

    Args:
        built: what goes out if it leads.
        outcome: the same with everything beside it.
        standing: what there is.
        request_id: the request's own id.
        now_ms: ms since the epoch.
    """
    if standing.kept is not None:
        return _answered(built, outcome, standing.kept, request_id)
    lease, ended = standing.lease, standing.ended
    if lease is None:
        return Lead(turn=1)
    if lease.leader == request_id:
        return outcome
    if standing.answered:
        return Emit()
    if ended is None:
        waited_s = max(0.0, (now_ms - built.brief.requested_at_ms) / 1000)
        return Wait(
            seconds=min(_LONGEST_S, max(_SHORTEST_S, waited_s * _PATIENCE)),
            why=f"request {lease.leader} generates the same",
            expected=True,
        )
    return _after(built, outcome, lease, ended, request_id)


def _after(
    built: ContextBuilt, outcome: Outcome, lease: Lease, ended: Ended, request_id: str
) -> Outcome | Lead:
    """What a follower makes of the leader's result."""
    result = ended.result
    if built.brief.requested_at_ms > ended.at_ms:
        # It came when that flight was over, and nothing was kept of it: a flight of its own.
        return Lead(turn=1)
    match result.status:
        case Status.SUCCESS | Status.CACHED:
            real = kept.of_result(result, request_id=lease.leader)
            if real is None:
                return Lead(turn=lease.turn)
            return _answered(built, outcome, real, request_id)
        case Status.CANCELLED | Status.REJECTED:
            return Lead(turn=lease.turn)
        case (
            Status.CACHED_FALLBACK
            | Status.FAIL_FALLBACK
            | Status.FAIL_VALIDATION
            | Status.FAILED
            | Status.SKIPPED
            | Status.PLACEHOLDER
        ):
            if lease.turn < TURNS:
                return Lead(turn=lease.turn + 1)
            code = result.error.code if result.error else ErrorCode.GEN_INTERNAL
            why = result.error.message if result.error else str(result.status)
            return Fail(
                code=code,
                message=f"request {lease.leader} asked for the same and failed: {why}",
                trail=built.trail,
            )
        case _ as never:
            assert_never(never)


def _answered(built: ContextBuilt, outcome: Outcome, found: CacheEntry, request_id: str) -> Emit:
    """The result, and what else was to be told (a lowered rating)."""
    result = kept.answer(found, request_id=request_id, brief=built.brief, trail=built.trail)
    beside = outcome.events if isinstance(outcome, Emit) else ()
    return Emit(events=(*(event for event in beside if event is not built), result))


def is_hit(outcome: Outcome) -> bool:
    """Whether a request was answered with what another one generated."""
    return isinstance(outcome, Emit) and any(
        isinstance(event, Result) and event.origin is Origin.CACHE for event in outcome.events
    )

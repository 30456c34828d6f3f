"""Single flight: of equal requests at the same time, one generates and the others are answered with its result.

The first request takes a lease on the cache key and leads.  Followers wait and look at the leader's result.  When
a leader fails, one follower takes over once; when that one fails too, all fail with its error code.
"""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from contracts import cache_entry, revisions
from contracts.cache_entry import CacheEntry, CacheLayer
from contracts.errors import ErrorCode
from contracts.events import ContextBuilt, Result
from contracts.outcome import Emit, Fail, Outcome, Wait
from contracts.policy.cache_key import CacheKey
from contracts.ports import Clock, CountCache, Lease, Leases, ResultCache, Results, StoredResult
from contracts.result import Status

#: Leaders that may fail before every follower fails.
MAX_TURNS: Final = 2
#: Shortest and longest wait of a follower between two looks, seconds.
_MIN_WAIT_S: Final = 0.25
_MAX_WAIT_S: Final = 2.0
#: Wait between two looks, as a share of the time since the request came.
_WAIT_SHARE: Final = 0.2
#: Times that a request which lost the race for a lease looks again at once.
_RACES: Final = 3
#: Seconds until it looks again later.
_RACE_WAIT_S: Final = 0.25


class FlightState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known under a request's cache key, read in this order and only as far as needed."""

    entry: CacheEntry | None = None
    #: Layer that held the entry.
    layer: CacheLayer | None = None
    lease: Lease | None = None
    #: Revision on which the lease can be acquired; 0: there is none.
    revision: int = 0
    #: The leader's result, if it has one.
    ended: StoredResult | None = None
    #: This request already has a result.
    answered: bool = False


class Lead(msgspec.Struct, frozen=True, kw_only=True):
    """Acquire the lease on the revision that was read, then generate; on a lost race look again."""

    turn: int


class SingleFlight:
    """Decides what a request with a cache key does: generate, wait, answer or fail.

    Args:
        cache: the result cache.
        leases: the leases on its keys.
        results: the results of leaders.
        count: counts what became of requests.
        clock: the broker's time, ms since the epoch.
    """

    def __init__(
        self, *, cache: ResultCache, leases: Leases, results: Results, count: CountCache, clock: Clock
    ) -> None:
        self._cache = cache
        self._leases = leases
        self._results = results
        self._count = count
        self._clock = clock

    async def resolve(self, outcome: Outcome, *, request_id: str) -> Outcome:
        """Replace a brief by the answer that another request's generation gives, if one does.

        Args:
            outcome: what the request does if it generates: ``context_built`` and the events beside it.
            request_id: the request's own id.

        Returns:
            the same outcome for a leader and for a request that shares nothing; else a cached result, a wait, or
            the leader's failure.

        Raises:
            Unavailable: the broker does not answer.
        """
        built = shareable(outcome)
        if built is None or built.brief.slot is None:
            return outcome
        key, asked_at_ms = built.brief.slot, built.brief.requested_at_ms
        for _ in range(_RACES):
            state = await self._look(key, request_id)
            now_ms = self._clock()
            decided = decide(built, outcome, state, request_id=request_id, now_ms=now_ms)
            if not isinstance(decided, Lead):
                self._count_answer(decided, state, asked_at_ms)
                return decided
            acquired = await self._leases.acquire(
                key.key,
                Lease(leader=request_id, turn=decided.turn),
                revision=state.revision,
                remaining_s=(built.brief.deadline_at_ms - now_ms) // 1000,
            )
            if acquired:
                followed = state.ended is not None and state.ended.at_ms >= asked_at_ms
                self._count("taken_over" if followed else "led")
                return outcome
        return Wait(seconds=_RACE_WAIT_S, why="other requests took the lease first", expected=True)

    async def _look(self, key: CacheKey, request_id: str) -> FlightState:
        found = await self._cache.get(key)
        if found is not None:
            return FlightState(entry=found[0], layer=found[1])
        lease, revision = await self._leases.find(key.key)
        if lease is None or lease.leader == request_id:
            return FlightState(lease=lease, revision=revision)
        return FlightState(
            lease=lease,
            revision=revision,
            ended=await self._results.find(lease.leader),
            answered=await self._results.exists(request_id),
        )

    def _count_answer(self, decided: Outcome, state: FlightState, asked_at_ms: int) -> None:
        if not _is_answer(decided):
            return
        if state.layer is None or state.entry is None or state.entry.created_at_ms > asked_at_ms:
            self._count("followed")
        else:
            self._count(state.layer.value)


def shareable(outcome: Outcome) -> ContextBuilt | None:
    """The event whose brief has a cache key; ``None`` also for replays that do not ask for the cache."""
    if not isinstance(outcome, Emit):
        return None
    built = next((event for event in outcome.events if isinstance(event, ContextBuilt)), None)
    if built is None or built.brief.slot is None:
        return None
    descent = built.brief.descent
    return built if descent is None or descent.reuse else None


def decide(
    built: ContextBuilt, outcome: Outcome, state: FlightState, *, request_id: str, now_ms: int
) -> Outcome | Lead:
    """Decide what a request does, given what is known under its cache key.

    Args:
        built: the brief's event.
        outcome: what goes out if the request leads; ``built`` is part of it.
        state: what is known.
        request_id: the request's own id.
        now_ms: ms since the epoch.
    """
    if state.entry is not None:
        return _answer(built, outcome, state.entry, request_id)
    lease, ended = state.lease, state.ended
    if lease is None:
        return Lead(turn=1)
    if lease.leader == request_id:
        return outcome
    if state.answered:
        return Emit()
    if ended is None:
        waited_s = max(0.0, (now_ms - built.brief.requested_at_ms) / 1000)
        return Wait(
            seconds=min(_MAX_WAIT_S, max(_MIN_WAIT_S, waited_s * _WAIT_SHARE)),
            why=f"request {lease.leader} generates the same",
            expected=True,
        )
    return _follow(built, outcome, lease, ended, request_id)


def _follow(
    built: ContextBuilt, outcome: Outcome, lease: Lease, ended: StoredResult, request_id: str
) -> Outcome | Lead:
    """Decide what a follower does after the leader's result."""
    result = ended.result
    if built.brief.requested_at_ms > ended.at_ms:
        # The request came after that flight had ended, and the cache has no entry of it.
        return Lead(turn=1)
    match result.status:
        case Status.SUCCESS | Status.CACHED:
            entry = cache_entry.from_result(result, request_id=lease.leader)
            if entry is None:
                return Lead(turn=lease.turn)
            return _answer(built, outcome, entry, request_id)
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
            if lease.turn < MAX_TURNS:
                return Lead(turn=lease.turn + 1)
            code = result.error.code if result.error else ErrorCode.GEN_INTERNAL
            why = result.error.message if result.error else str(result.status)
            return Fail(
                code=code,
                message=f"request {lease.leader} for the same content failed: {why}",
                trail=built.trail,
            )
        case _ as never:
            assert_never(never)


def _answer(built: ContextBuilt, outcome: Outcome, entry: CacheEntry, request_id: str) -> Emit:
    """The cached result in place of the brief, after the events beside it (a lowered rating)."""
    result = cache_entry.to_result(entry, request_id=request_id, brief=built.brief, trail=built.trail)
    beside = outcome.events if isinstance(outcome, Emit) else ()
    return Emit(
        events=(*(event for event in beside if event is not built), *revisions.answers(result, built.brief))
    )


def _is_answer(outcome: Outcome) -> bool:
    return isinstance(outcome, Emit) and any(isinstance(event, Result) for event in outcome.events)

"""What does a request that shares its content find out, before it is decided what it does?

Looks up what :mod:`stages.context_build.single_flight` needs to know, and takes the lease where that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from contracts import events as ev
from contracts import pipeline, subjects
from contracts.outcome import Outcome, Wait
from stages.context_build import single_flight
from stages.context_build.single_flight import Ended, FlightState, Lead

if TYPE_CHECKING:
    from contracts.policy.cache_key import CacheKey
    from contracts.ports import Clock
    from infra.nats.flights import Flights
    from infra.nats.lookup import Lookup
    from infra.stores.cache_stats import CacheStats
    from infra.stores.cache_store import CacheLayer, CacheStore

#: Times that a lost race for the lease is run again at once.
_RACES: Final = 3
#: Seconds until it is run again later.
_AGAIN_S: Final = 0.25
_decode: Final = msgspec.json.Decoder(ev.Result).decode


class SingleFlight:
    """Settles what requests do that have a place in the result cache.

    Args:
        results: the result cache.
        flights: the leases.
        lookup: reads results of leaders.
        hits: counts.
        clock: the broker's time, ms since the epoch.
    """

    def __init__(
        self, *, results: CacheStore, flights: Flights, lookup: Lookup, hits: CacheStats, clock: Clock
    ) -> None:
        self._clock = clock
        self._results = results
        self._flights = flights
        self._lookup = lookup
        self._hits = hits

    async def settle(
        self, built: ev.ContextBuilt, slot: CacheKey, outcome: Outcome, request_id: str
    ) -> Outcome:
        """What the request does now.

        Args:
            built: what goes out if it leads.
            slot: its place.
            outcome: the same with everything beside it.
            request_id: the request's own id.

        Raises:
            Unavailable: the broker does not answer.
        """
        for _ in range(_RACES):
            standing, layer, revision = await self._look(slot, request_id)
            now_ms = self._clock()
            decided = single_flight.decide(built, outcome, standing, request_id=request_id, now_ms=now_ms)
            if not isinstance(decided, Lead):
                self._count(decided, standing, layer, built.brief.requested_at_ms)
                return decided
            taken = await self._flights.take(
                slot.key,
                leader=request_id,
                turn=decided.turn,
                revision=revision,
                remaining_s=(built.brief.deadline_at_ms - now_ms) // 1000,
            )
            if taken:
                follows = standing.ended is not None and standing.ended.at_ms >= built.brief.requested_at_ms
                self._hits.count("taken_over" if follows else "led")
                return outcome
        return Wait(seconds=_AGAIN_S, why="others took the lease first", expected=True)

    async def _look(self, slot: CacheKey, request_id: str) -> tuple[FlightState, CacheLayer | None, int]:
        found = await self._results.get(slot)
        if found is not None:
            return FlightState(kept=found[0]), found[1], 0
        lease, revision = await self._flights.look(slot.key)
        if lease is None or lease.leader == request_id:
            return FlightState(lease=lease), None, revision
        ended = await self._ended(lease.leader)
        answered = await self._lookup.has_result(request_id)
        return FlightState(lease=lease, ended=ended, answered=answered), None, revision

    async def _ended(self, leader: str) -> Ended | None:
        found = await self._lookup.last(pipeline.EVENTS, subjects.any_kind("result", leader))
        return None if found is None else Ended(result=_decode(found.body), at_ms=found.time_ms)

    def _count(
        self, decided: Outcome, standing: FlightState, layer: CacheLayer | None, asked_at_ms: int
    ) -> None:
        if not single_flight.is_hit(decided):
            return
        kept = standing.kept
        if layer is None or kept is None or kept.created_at_ms > asked_at_ms:
            self._hits.count("followed")
        else:
            self._hits.count(layer.value)

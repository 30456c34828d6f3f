"""Who generates what others wait for?

A lease in KV bucket ``flights``: the value is the leader's request id.  It is taken by compare-and-set on the
key's last sequence, and the broker removes it when the leader's time is up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts import envelope, pipeline
from contracts.errors import Unavailable
from infra.nats import buckets
from stages.context_build.single_flight import Lease

if TYPE_CHECKING:
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer

BUCKET: Final = pipeline.FLIGHTS.name
STREAM: Final = pipeline.FLIGHTS.stream
#: Header that tells how many leaders a flight has had.
TURN: Final = "Understudy-Turn"
#: Seconds that a lease outlives its leader's deadline.
GRACE_S: Final = 10
_PREFIX: Final = f"$KV.{BUCKET}."


class Flights:
    """The leases of all processes."""

    def __init__(self, *, wire: RequestMultiplexer, lookup: Lookup) -> None:
        self._wire = wire
        self._lookup = lookup

    async def look(self, key: str) -> tuple[Lease | None, int]:
        """The lease of a key, and the sequence on which it can be taken.

        Raises:
            Unavailable: the broker does not answer.
        """
        found = await self._lookup.last(STREAM, _PREFIX + key)
        if found is None:
            return None, 0
        if buckets.OPERATION in found.headers:
            return None, found.sequence
        turn = int(found.headers.get(TURN, "1"))
        return Lease(leader=found.body.decode("ascii", "replace"), turn=turn), found.sequence

    async def take(self, key: str, *, leader: str, turn: int, revision: int, remaining_s: int) -> bool:
        """Become the leader, unless somebody else did since ``revision``.

        Args:
            key: the place in the cache that is generated for.
            leader: the request that generates.
            turn: 1, or 2 after a failure.
            revision: sequence on which it is taken; 0: there is none.
            remaining_s: seconds until the leader's deadline.

        Raises:
            Unavailable: the broker does not answer, or does not take it.
        """
        headers = {
            envelope.EXPECTED_LAST: str(revision),
            buckets.TTL: buckets.ttl(max(0, remaining_s) + GRACE_S),
            TURN: str(turn),
        }
        ack = await self._wire.publish(_PREFIX + key, leader.encode(), headers)
        if ack.refused:
            return False
        if ack.error is not None:
            raise Unavailable(f"lease not taken: {ack.error.description}")
        return True

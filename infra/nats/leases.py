"""Leases of single flight in KV bucket ``flights``: the key is a cache key, the value the leader's request id.

A lease is acquired by compare-and-set on the key's last sequence; the broker removes it after the leader's deadline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts import bucket_table, envelope
from contracts.errors import Unavailable
from contracts.ports import Lease
from infra.nats import buckets

if TYPE_CHECKING:
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer

BUCKET: Final = bucket_table.FLIGHTS.name
STREAM: Final = bucket_table.FLIGHTS.stream
#: Header with the number of leaders that a flight has had.
TURN: Final = "Understudy-Turn"
#: Seconds that a lease outlives its leader's deadline.
GRACE_S: Final = 10
_PREFIX: Final = f"$KV.{BUCKET}."


class KvLeases:
    """The leases of all processes; implements :class:`contracts.ports.Leases`."""

    def __init__(self, *, wire: RequestMultiplexer, lookup: Lookup) -> None:
        self._wire = wire
        self._lookup = lookup

    async def find(self, key: str) -> tuple[Lease | None, int]:
        """Find the lease of a key, and the sequence on which it can be acquired.

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

    async def acquire(self, key: str, lease: Lease, *, revision: int, remaining_s: int) -> bool:
        """Store a lease unless the key changed since ``revision``; whether this request holds it now.

        Args:
            key: cache key to generate under.
            lease: the lease to store.
            revision: sequence that :meth:`find` gave; 0: there was no lease.
            remaining_s: seconds until the leader's deadline.

        Raises:
            Unavailable: the broker does not answer, or does not store it.
        """
        headers = {
            envelope.EXPECTED_LAST: str(revision),
            buckets.TTL: buckets.ttl(max(0, remaining_s) + GRACE_S),
            TURN: str(lease.turn),
        }
        ack = await self._wire.publish(_PREFIX + key, lease.leader.encode(), headers)
        if ack.refused:
            return False
        if ack.error is not None:
            raise Unavailable(f"lease not stored: {ack.error.description}")
        return True

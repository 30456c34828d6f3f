"""Crash counter: starts of redelivered messages that have not ended.

They are counted in KV bucket ``strikes`` before a message runs, and cleared when it ends in any way (rule 5).  One worker at a time holds a
message, so plain writes are enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.bucket_table import STRIKES
from contracts.errors import Unavailable

if TYPE_CHECKING:
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer

#: Counted starts without an end that make a message poison.
POISON: Final = 3
#: Counted starts from which on a message runs alone in its worker.
ALONE: Final = 2


class CrashCounter:
    """The suspects of one stage."""

    def __init__(self, *, wire: RequestMultiplexer, lookup: Lookup, stage: str) -> None:
        self._wire = wire
        self._lookup = lookup
        self._stage = stage

    def _subject(self, stream: str, sequence: int) -> str:
        return f"$KV.{STRIKES.name}.{self._stage}.{stream}-{sequence}"

    async def count(self, stream: str, sequence: int) -> int:
        """Starts of this message that have been counted and not cleared."""
        found = await self._lookup.last(STRIKES.stream, self._subject(stream, sequence))
        if found is None or "KV-Operation" in found.headers:
            return 0
        return int(found.body)

    async def add(self, stream: str, sequence: int, starts: int) -> None:
        """Write down that this start is number ``starts``."""
        ack = await self._wire.publish(self._subject(stream, sequence), str(starts).encode())
        if ack.error is not None:
            raise Unavailable(f"strike not counted: {ack.error.description}")

    async def clear(self, stream: str, sequence: int) -> None:
        """The message ended: forget its starts."""
        headers = {"KV-Operation": "PURGE", "Nats-Rollup": "sub"}
        ack = await self._wire.publish(self._subject(stream, sequence), b"", headers)
        if ack.error is not None:
            raise Unavailable(f"strike not cleared: {ack.error.description}")

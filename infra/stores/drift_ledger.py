"""Drift ledger in KV bucket ``ledger``: the first output of each generation that must be repeatable.

The first writer of a key wins; the broker removes the entry after 30 days.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import envelope
from contracts.bucket_table import LEDGER
from contracts.ports import SeedOutput
from infra.nats import buckets
from infra.telemetry.store_events import EntryNotStored, EntryUnreadable, SeedDrifted

if TYPE_CHECKING:
    from contracts.ports import CountCache
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.telemetry.dispatch import Telemetry

_decode: Final = msgspec.json.Decoder(SeedOutput).decode

#: A cluster refuses the second writer before each of its servers can read the first entry: number of repeated
#: lookups, and seconds between two.
_LOOKS: Final = 20
_PAUSE_S: Final = 0.05


class KvDriftLedger:
    """The outputs of all processes; implements :class:`contracts.ports.DriftLedger`.

    Args:
        wire: writes the bucket.
        lookup: reads it.
        count: counts outputs that differ from the first.
        telemetry: gets outputs that differ, and entries that cannot be stored or read.
    """

    def __init__(
        self, *, wire: RequestMultiplexer, lookup: Lookup, count: CountCache, telemetry: Telemetry
    ) -> None:
        self._wire = wire
        self._lookup = lookup
        self._count = count
        self._telemetry = telemetry

    async def first(self, key: str, output: SeedOutput) -> SeedOutput:
        """Store an output unless there is one under the key; returns the stored one.

        If the ledger cannot be written or read, the output counts as the first: the request still gets its result.

        Raises:
            Unavailable: the broker does not answer.
        """
        first = await self._store(key, output)
        if first.content_hash != output.content_hash:
            self._count("drifted")
            self._telemetry.emit(
                SeedDrifted(
                    kind=key.partition(".")[0],
                    request_id=output.request_id,
                    content_hash=output.content_hash,
                    first_request=first.request_id,
                    first_hash=first.content_hash,
                )
            )
        return first

    async def _store(self, key: str, output: SeedOutput) -> SeedOutput:
        subject = f"$KV.{LEDGER.name}.{key}"
        ack = await self._wire.publish(subject, msgspec.json.encode(output), {envelope.EXPECTED_LAST: "0"})
        if ack.refused:
            found = await self._lookup.last(LEDGER.stream, subject)
            for _ in range(_LOOKS):
                if found is not None:
                    break
                await asyncio.sleep(_PAUSE_S)
                found = await self._lookup.last(LEDGER.stream, subject)
            if found is None or buckets.OPERATION in found.headers:
                return output
            return self._read(key, found.body) or output
        if ack.error is not None:
            self._telemetry.emit(EntryNotStored(bucket=LEDGER.name, key=key, problem=ack.error.description))
        return output

    def _read(self, key: str, body: bytes) -> SeedOutput | None:
        try:
            return _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._telemetry.emit(EntryUnreadable(bucket=LEDGER.name, key=key, problem=str(error)))
            return None

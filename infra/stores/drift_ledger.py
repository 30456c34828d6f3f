"""Drift ledger: the first output of every seed, in a bucket.

KV bucket ``ledger``: the first who writes a key wins, and the broker forgets it after the bucket's life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import envelope
from contracts.envelope import Received
from contracts.outcome import Outcome
from contracts.pipeline import LEDGER
from stages.validate_repair import seed_drift
from stages.validate_repair.seed_drift import Claim, Output

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.stores.cache_stats import CacheStats

_decode: Final = msgspec.json.Decoder(Output).decode


class KvDriftLedger:
    """The outputs of all processes.

    Args:
        wire: writes the bucket.
        lookup: reads it.
        hits: counts what drifted.
        log: structured logger; told of it too.
    """

    def __init__(
        self, *, wire: RequestMultiplexer, lookup: Lookup, hits: CacheStats, log: FilteringBoundLogger
    ) -> None:
        self._wire = wire
        self._lookup = lookup
        self._hits = hits
        self._log = log

    async def checked(self, received: Received[Any], outcome: Outcome, *, form: str) -> Outcome:
        """The outcome, with its claim taken back if the same came to something else before.

        Args:
            received: a ``structured`` event.
            outcome: what becomes of it.
            form: how the kind is put into its schema.

        Raises:
            Unavailable: the broker does not answer.
        """
        claim = seed_drift.claim(received, outcome, form=form)
        if claim is None:
            return outcome
        first = await self.first(claim)
        if first.content_hash == claim.output.content_hash:
            return outcome
        self._hits.count("drifted")
        self._log.warning(
            "seed drift",
            kind=received.kind,
            request_id=received.request_id,
            content_hash=claim.output.content_hash,
            first_request=first.request_id,
            first_hash=first.content_hash,
        )
        return seed_drift.taken_back(outcome, first)

    async def first(self, claim: Claim) -> Output:
        """What the same came to first; the claim's own output if nothing is known.

        Raises:
            Unavailable: the broker does not answer.
        """
        subject = f"$KV.{LEDGER.name}.{claim.key}"
        ack = await self._wire.publish(
            subject, msgspec.json.encode(claim.output), {envelope.EXPECTED_LAST: "0"}
        )
        if ack.refused:
            found = await self._lookup.last(LEDGER.stream, subject)
            return claim.output if found is None else self._read(found.body, claim)
        if ack.error is not None:
            # The ledger may be lost: the request's result must not be.
            self._log.warning("not in the ledger", key=claim.key, problem=ack.error.description)
        return claim.output

    def _read(self, body: bytes, claim: Claim) -> Output:
        try:
            return _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._log.warning("entry of the ledger cannot be read", key=claim.key, problem=str(error))
            return claim.output

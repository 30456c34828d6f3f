"""The broker's time.

Deadlines count from the broker's timestamps; a stage's own clock may be an hour off.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import pipeline
from contracts.errors import Unavailable

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer

#: Seconds between two comparisons.
EVERY_S: Final = 30.0
#: Comparisons in a row; the quickest one counts.
_TRIES: Final = 3


class _Info(msgspec.Struct, frozen=True):
    ts: str = ""


class BrokerClock:
    """This machine's clock, corrected by its difference from the broker's.

    Args:
        wire: calls to the broker.
    """

    def __init__(self, wire: RequestMultiplexer) -> None:
        self._wire = wire
        #: Seconds to add to this machine's clock.
        self.offset_s = 0.0

    def now(self) -> float:
        """Seconds since the epoch, as the broker counts them."""
        return time.time() + self.offset_s

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as the broker counts them."""
        return int(self.now() * 1000)

    async def compare(self) -> None:
        """Ask the broker for its time; a broker that does not answer changes nothing."""
        best: float | None = None
        for _ in range(_TRIES):
            before = time.time()
            try:
                answer = await self._wire.call(f"$JS.API.STREAM.INFO.{pipeline.REQUESTS}")
                there = datetime.fromisoformat(msgspec.json.decode(answer.data, type=_Info).ts).timestamp()
            except (Unavailable, msgspec.MsgspecError, ValueError):
                return
            after = time.time()
            if best is None or after - before < best:
                best = after - before
                self.offset_s = there - (before + after) / 2

"""Tick of the event loop: its lag, and whether the loop still turns, seen from any thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

#: Seconds between two ticks.
EVERY_S: Final = 0.25
#: Age of the last tick, in seconds, from which on the loop counts as stuck.
LIMIT_S: Final = 2.0


class LoopTick:
    """Ticks in the running loop until it is stopped.

    Args:
        on_lag: gets the delay of each tick, seconds.
        clock: seconds, never going back.
    """

    def __init__(
        self, on_lag: Callable[[float], object] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_lag = on_lag
        self._clock = clock
        self._last = clock()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._last = self._clock()
        self._schedule()

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()

    def problems(self) -> Sequence[str]:
        """An objection if the last tick is too old."""
        age = self._clock() - self._last
        return (f"the event loop has not turned for {age:.1f} s",) if age > LIMIT_S else ()

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._turn)

    def _turn(self) -> None:
        now = self._clock()
        if self._on_lag is not None:
            self._on_lag(max(0.0, now - self._last - EVERY_S))
        self._last = now
        self._schedule()

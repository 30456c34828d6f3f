"""Watchdog of the event loop, in a thread of its own.

A frozen loop can neither answer a health check nor react to a signal (rule 11).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from contextlib import suppress

#: Exit status of a process whose event loop froze.
FROZEN = 70


class Watchdog:
    """Ends the process when its event loop has not turned for a while.

    Args:
        limit_s: seconds without a turn that are taken for a freeze.
    """

    def __init__(self, *, limit_s: float = 30.0) -> None:
        self._limit = limit_s
        self._beat = time.monotonic()
        self._done = threading.Event()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch the running loop."""
        self._tick(asyncio.get_running_loop())
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """The loop may end now."""
        self._done.set()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat = time.monotonic()
        self._timer = loop.call_later(self._limit / 10, self._tick, loop)

    def _watch(self) -> None:
        late = 0
        while not self._done.wait(self._limit / 3):
            # Twice, so that a process that was stopped and continued gets a turn first.
            late = late + 1 if time.monotonic() - self._beat > self._limit else 0
            if late > 1:
                # A log that cannot be written must not keep it alive.
                with suppress(OSError, ValueError):
                    sys.stderr.write(f"event loop frozen for {self._limit:g} s: exit {FROZEN}\n")
                    sys.stderr.flush()
                os._exit(FROZEN)

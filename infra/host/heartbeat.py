"""Heartbeats of a child's event loop, seen from outside.

The child writes a byte a second into a pipe that it inherited, from a task of its event loop.  A thread
of its own would beat in a process whose loop is stuck, and a watchdog inside is stopped with its process
(rule 16).
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

#: Environment variable with the number of the pipe's writing end.
VARIABLE: Final = "SUPERVISOR_BEATS_FD"
#: Seconds between two beats.
EVERY_S: Final = 1.0
#: Bytes; beats that are read at once.
_MANY: Final = 65_536


def inherited() -> int | None:
    """The writing end that the supervisor of this process gave it; ``None``: it has none.

    What this process starts itself inherits neither the variable nor the pipe.
    """
    number = os.environ.pop(VARIABLE, "")
    if not number.isdecimal():
        return None
    handle = int(number)
    try:
        os.set_inheritable(handle, False)  # noqa: FBT003 - takes no names
        # A supervisor that does not read must not stop who is supervised.
        os.set_blocking(handle, False)
    except OSError:
        return None
    return handle


async def beat(handle: int) -> None:
    """Beat until nobody listens any more."""
    while True:
        try:
            os.write(handle, b".")
        except BlockingIOError:
            pass
        except BrokenPipeError:
            return
        await asyncio.sleep(EVERY_S)


def heard(handle: int) -> bool:
    """Were there beats since the last look?  Reads them all; the handle must not block."""
    try:
        return bool(os.read(handle, _MANY))
    except BlockingIOError:
        return False


class Silence:
    """How long nothing was heard, in time during which the listener itself ran.

    A listener that was stopped, or a machine that slept, must not take that time for a silence: each of
    its turns counts for two steps at most.

    Args:
        step_s: seconds between two turns of a listener that runs.
    """

    def __init__(self, *, step_s: float) -> None:
        self._most_s = 2 * step_s
        #: Seconds.
        self.lasted_s = 0.0
        self._excused_s = 0.0

    def turn(self, seconds: float, *, excused_s: float = 0.0) -> None:
        """Another turn without a sign of life.

        Args:
            seconds: since the last turn.
            excused_s: how many of them nobody could have used for a sign of life.
        """
        counted = min(seconds, self._most_s)
        self.lasted_s += counted
        self._excused_s += min(excused_s, counted)

    def passes(self, limit_s: float) -> bool:
        """Did it last for too long?  What is excused makes the limit three times as long at most."""
        return self.lasted_s - self._excused_s >= limit_s or self.lasted_s >= 3 * limit_s

    def end(self) -> None:
        """There was a sign of life."""
        self.lasted_s = self._excused_s = 0.0

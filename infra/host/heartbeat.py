"""Heartbeats of a child's event loop, observed by its parent.

A task of the child's event loop writes a byte a second into an inherited pipe.  A separate thread
would beat in a process whose loop is stuck, and a watchdog inside the process is stopped with it
(rule 16).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from typing import Final

from infra.host import service_watchdog

#: Environment variable with the number of the pipe's writing end.
VARIABLE: Final = "SUPERVISOR_BEATS_FD"
#: Seconds between two beats.
EVERY_S: Final = 1.0
#: Bytes; beats that are read at once.
_MANY: Final = 65_536


def inherited() -> int | None:
    """The writing end from the supervisor of this process; ``None``: there is none.

    Children of this process inherit neither the variable nor the pipe.
    """
    number = os.environ.pop(VARIABLE, "")
    if not number.isdecimal():
        return None
    handle = int(number)
    try:
        os.set_inheritable(handle, False)  # noqa: FBT003 - takes no names
        # A supervisor that does not read must not block this process.
        os.set_blocking(handle, False)
    except OSError:
        return None
    return handle


async def beat(handle: int) -> None:
    """Beat until the reading end is closed."""
    while True:
        try:
            os.write(handle, b".")
        except BlockingIOError:
            pass
        except BrokenPipeError:
            return
        await asyncio.sleep(EVERY_S)


@contextlib.asynccontextmanager
async def beating(handle: int | None) -> AsyncGenerator[None]:
    """Beat for a supervisor and for the service manager, where one of them listens.

    Args:
        handle: of :func:`inherited`.
    """
    tasks = [] if handle is None else [asyncio.create_task(beat(handle))]
    every_s = service_watchdog.period_s()
    if every_s is not None:
        tasks.append(asyncio.create_task(service_watchdog.beat(every_s)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def heard(handle: int) -> bool:
    """Whether there were beats since the last call.  Reads them all; the handle must not block."""
    try:
        return bool(os.read(handle, _MANY))
    except BlockingIOError:
        return False


class Silence:
    """Time without a beat, counted only while the listener itself ran.

    If the listener was stopped or the machine slept, that time is no silence: each of
    the listener's turns counts for two steps at most.

    Args:
        step_s: seconds between two turns of a listener that runs.
    """

    def __init__(self, *, step_s: float) -> None:
        self._most_s = 2 * step_s
        #: Seconds.
        self.lasted_s = 0.0
        self._excused_s = 0.0

    def turn(self, seconds: float, *, excused_s: float = 0.0) -> None:
        """Count a turn without a beat.

        Args:
            seconds: since the last turn.
            excused_s: how many of them the child could not run.
        """
        counted = min(seconds, self._most_s)
        self.lasted_s += counted
        self._excused_s += min(excused_s, counted)

    def passes(self, limit_s: float) -> bool:
        """Whether it lasted too long.  Excused time extends the limit to at most three times its length."""
        return self.lasted_s - self._excused_s >= limit_s or self.lasted_s >= 3 * limit_s

    def end(self) -> None:
        """End the silence."""
        self.lasted_s = self._excused_s = 0.0

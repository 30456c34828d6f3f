"""Parent death: a child process ends when its parent is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

#: ``PR_SET_PDEATHSIG`` of ``prctl(2)``.
_PARENT_DEATH_SIGNAL: Final = 1


def before_exec(*, nice: int = 0) -> Callable[[], None]:
    """Make the function that a child runs before ``exec``: SIGTERM when its parent dies, and a lower priority.

    For ``preexec_fn``.  Call it in the thread that starts the child and outlives it: the kernel
    regards that thread as the parent.  On other systems than Linux, a supervisor that is killed
    with SIGKILL leaves its children behind.

    Args:
        nice: the increase of its nice value over its parent's, 0 to 19.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    # Loaded here: between fork and exec nothing may import or allocate much.
    prctl = _prctl()
    parent = os.getpid()

    def prepare() -> None:
        # In a terminal's background group with `stty tostop`, a log line would stop the process.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        if nice:
            with suppress(OSError):
                os.nice(nice)
        if prctl is None:
            return
        prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGTERM), 0, 0, 0)
        # The parent may have died before the request; no signal would ever come.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def _prctl() -> Callable[..., int] | None:
    return ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def queued_s(pid: int) -> float:
    """Seconds that the main thread of a process has waited for a CPU; 0 if the system does not report it.

    Source: Linux, Documentation/scheduler/sched-stats.rst, ``/proc/<pid>/schedstat``.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""How does a child process end when its parent is killed?"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

#: ``PR_SET_PDEATHSIG`` of ``prctl(2)``.
_PARENT_DEATH_SIGNAL: Final = 1


def tie_to_parent() -> Callable[[], None] | None:
    """What a child runs before ``exec`` so that it gets SIGTERM when its parent dies.

    For ``preexec_fn``.  Call it in the thread that starts the child and outlives it: the kernel
    means that thread when it says parent.  ``None`` where there is no such thing (not Linux): a
    supervisor killed with SIGKILL then leaves its children behind.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if sys.platform != "linux":
        return None
    # Loaded here: between fork and exec nothing may import or allocate much.
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGTERM), 0, 0, 0)
        # The parent may have died before the request; no signal would ever come.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


def alive(pid: int) -> bool:
    """Is there a process with this id?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

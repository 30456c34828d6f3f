"""Work in a child process with limits of time and memory."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

#: Seconds on the clock per CPU second: the CPU is the limit, also on a machine that is busy with other work.
_WALL_FACTOR: Final = 300


def run_limited(work: Callable[[], bytes], *, cpu_s: float, memory: int) -> bytes | None:
    """Run work in a forked child.

    Args:
        work: what the child does; its result comes back.
        cpu_s: CPU seconds that it may take.
        memory: bytes that it may take above those of this process.

    Returns:
        The result; ``None`` where the work exceeded a limit or crashed.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _work(work, writer, cpu_s, memory)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    return said if os.waitstatus_to_exitcode(status) == 0 else None


def _work(work: Callable[[], bytes], writer: int, cpu_s: float, memory: int) -> NoReturn:
    code = 1
    try:
        # The engine writes to standard error while it is being ended.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        _limit(cpu_s, memory)
        with os.fdopen(writer, "wb") as stream:
            stream.write(work())
        code = 0
    finally:
        # A child must never return to the caller's loop.
        os._exit(code)


def _limit(cpu_s: float, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _size() + memory
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for timer in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(timer, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    signal.setitimer(signal.ITIMER_REAL, cpu_s * _WALL_FACTOR)


def _size() -> int:
    """Bytes of this process's address space."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 1 << 30
    return pages * resource.getpagesize()

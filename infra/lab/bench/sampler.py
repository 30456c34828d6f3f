"""Memory samples of a pipeline's processes."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from infra.app.process_plan import Running

#: Seconds between two looks at every process.
_EVERY_S: Final = 0.5
_MIB: Final = 1024**2


def resident(pid: int | None = None) -> int:
    """Resident bytes of a process (Linux); without its id, of this one."""
    status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii")
    line = next((one for one in status.splitlines() if one.startswith("VmRSS")), None)
    # A process that has ended and is not waited for yet has none.
    return 0 if line is None else int(line.split()[1]) * 1024


def children() -> dict[int, list[int]]:
    """Process ids by their parent's (Linux)."""
    found: dict[int, list[int]] = defaultdict(list)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            # The name before it, in brackets, may hold anything.
            found[int(stat.rpartition(")")[2].split()[1])].append(int(entry.name))
    return found


class ResidentMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Resident memory of one process, or of all processes that it started, MiB."""

    before: float
    max: float
    after: float


class Sampler:
    """Looks at the processes of a supervisor until it is cancelled.

    What a process started itself counts under ``<name>/children``.

    Args:
        processes: the processes as they are now.
    """

    def __init__(self, processes: Callable[[], Sequence[Running]]) -> None:
        self._processes = processes
        self._before: dict[str, int] = {}
        self._most: dict[str, int] = {}

    def sizes(self) -> dict[str, int]:
        """Resident bytes by name, of what is up now."""
        found: dict[str, int] = {}
        below = children()
        for each in self._processes():
            if each.pid is None:
                continue
            started = list(below.get(each.pid, ()))
            for pid in started:
                started += below.get(pid, ())
            for name, pids in ((each.name, [each.pid]), (f"{each.name}/children", started)):
                sizes = [_size(pid) for pid in pids]
                if sizes:
                    found[name] = sum(sizes)
        return found

    def begin(self) -> None:
        """Measure anew from here."""
        self._before = self.sizes()
        self._most = dict(self._before)

    async def keep_looking(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(_EVERY_S)

    def _look(self) -> dict[str, int]:
        now = self.sizes()
        for name, size in now.items():
            self._most[name] = max(size, self._most.get(name, 0))
        return now

    def end(self) -> dict[str, ResidentMemory]:
        """Memory by name since :meth:`begin`; 0 where there was no such process."""
        now = self._look()
        return {
            name: ResidentMemory(
                before=round(self._before.get(name, 0) / _MIB, 1),
                max=round(most / _MIB, 1),
                after=round(now.get(name, 0) / _MIB, 1),
            )
            for name, most in self._most.items()
        }


def _size(pid: int) -> int:
    try:
        return resident(pid)
    except OSError:
        return 0

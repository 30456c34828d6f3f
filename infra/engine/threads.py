"""Thread count of the computation when other processes need the cores.

Threads of one product busy-wait for each other.  That is fastest while each has a core.  When
another process uses one, each product waits for its last thread: two threads beside one
busy process are several times as slow as one (docs/adr/0018-the-models-own-pass.md).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from types import TracebackType

#: Seconds of computing after which the share of a core is evaluated.
_WINDOW_S: Final = 0.15
#: Share of the time that a busy thread has a core, if no other process uses it.
_ALONE: Final = 0.85
#: Seconds with fewer threads until more are tried; each failure doubles them, each success halves them.
_SHORTEST_S: Final = 0.5
_LONGEST_S: Final = 16.0


class Threads:
    """Context manager around the engine's computation; halves torch's threads while other processes use the cores."""

    def __init__(self) -> None:
        self._most = self._used = torch.get_num_threads()
        self._wall = self._cpu = 0.0
        self._began = (0.0, 0.0)
        self._rest = _SHORTEST_S
        #: When more threads are tried, seconds on the monotonic clock.
        self._due = 0.0

    def __enter__(self) -> None:
        self._began = (time.monotonic(), time.thread_time())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = time.monotonic()
        self._wall += now - self._began[0]
        self._cpu += time.thread_time() - self._began[1]
        if self._wall >= _WINDOW_S:
            self._judge(self._cpu / self._wall, now)
            self._wall = self._cpu = 0.0

    def _judge(self, held: float, now: float) -> None:
        if held < _ALONE:
            if self._used > 1:
                self._use(self._used // 2)
                self._rest = min(2 * self._rest, _LONGEST_S)
            self._due = now + self._rest
        elif self._used == self._most:
            self._rest = max(self._rest / 2, _SHORTEST_S)
        elif now >= self._due:
            self._use(min(2 * self._used, self._most))

    def _use(self, threads: int) -> None:
        self._used = threads
        torch.set_num_threads(threads)

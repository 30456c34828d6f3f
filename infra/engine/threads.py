"""Thread count of the computation when other processes need the cores.

Threads of one product wait for each other awake.  That is the fastest way while each has a core.  When
somebody else takes one, each product waits until its last thread has a turn: two threads beside one
busy process are three to five times as slow as one (docs/adr/0010-packed-products.md).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from types import TracebackType

#: Seconds of computing after which the share of a core is judged.
_WINDOW_S: Final = 0.15
#: Share of the time that a thread which is always awake has a core, if nobody takes it.
_ALONE: Final = 0.85
#: Seconds with fewer threads until more are tried; each failure doubles them, each success halves them.
_SHORTEST_S: Final = 0.5
_LONGEST_S: Final = 16.0


class Threads:
    """Used around whatever the engine's thread computes; halves torch's threads while cores are taken."""

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

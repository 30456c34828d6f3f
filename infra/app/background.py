"""Work beside the stages, restarted or ending the process when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from contracts.retry import backoff

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_BACKOFF_BASE_S: Final = 1.0
_BACKOFF_CAP_S: Final = 5.0


class Background:
    """Tasks of a process, none of which fails unseen.

    Args:
        log: told of every failure.
        failed: called when work failed without which the process is no use.
    """

    def __init__(self, log: FilteringBoundLogger, *, failed: Callable[[], None]) -> None:
        self._log = log
        self._failed = failed
        self._tasks: list[asyncio.Task[None]] = []

    def needed(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin work whose failure ends the process."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._look)
        self._tasks.append(task)

    def repeated(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin work that is begun again when it fails: the stages go on without it meanwhile."""
        self.needed(name, self._again(name, work))

    async def stop(self) -> None:
        """End all of it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _again(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            try:
                await work()
            except Exception:  # noqa: BLE001 - whatever it is, it is told, and the stages need not end for it
                failures += 1
                self._log.exception("work beside the stages failed, it is begun again", work=name)
                await asyncio.sleep(backoff(failures, base_s=_BACKOFF_BASE_S, cap_s=_BACKOFF_CAP_S, key=name))
            else:
                return

    def _look(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._log.error(
            "work beside the stages failed, the process ends",
            work=task.get_name(),
            exc_info=(type(error), error, error.__traceback__),
        )
        self._failed()

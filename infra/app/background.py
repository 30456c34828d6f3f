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
    """Tasks of a process; every failure is logged.

    Args:
        log: structured logger.
        failed: called when a task failed that the process needs.
    """

    def __init__(self, log: FilteringBoundLogger, *, failed: Callable[[], None]) -> None:
        self._log = log
        self._failed = failed
        self._tasks: list[asyncio.Task[None]] = []

    def require(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start work whose failure ends the process."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._check)
        self._tasks.append(task)

    def keep_running(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Start work that is restarted when it fails; the stages go on meanwhile."""
        self.require(name, self._restart(name, work))

    async def stop(self) -> None:
        """Cancel all work and wait for its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _restart(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            try:
                await work()
            except Exception:  # noqa: BLE001 - logged; the stages need not end for it
                failures += 1
                self._log.exception("work beside the stages failed and starts again", work=name)
                await asyncio.sleep(backoff(failures, base_s=_BACKOFF_BASE_S, cap_s=_BACKOFF_CAP_S, key=name))
            else:
                return

    def _check(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._log.error(
            "work beside the stages failed, the process ends",
            work=task.get_name(),
            exc_info=(type(error), error, error.__traceback__),
        )
        self._failed()

"""Work beside the stages, restarted or ending the process when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from understudy_client.tasks import end_tasks

from contracts.retry import backoff
from infra.telemetry.process_events import BackgroundFailed

if TYPE_CHECKING:
    from infra.telemetry.dispatch import Telemetry

_BACKOFF_BASE_S: Final = 1.0
_BACKOFF_CAP_S: Final = 5.0


class Background:
    """Tasks of a process; every failure is emitted.

    Args:
        telemetry: gets every failure.
        failed: called when a task failed that the process needs.
    """

    def __init__(self, telemetry: Telemetry, *, failed: Callable[[], None]) -> None:
        self._telemetry = telemetry
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
        await end_tasks(*self._tasks)

    async def _restart(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - emitted; the stages need not end for it
                failures += 1
                self._telemetry.emit(BackgroundFailed(work=name, restarted=True, raised=error))
                await asyncio.sleep(backoff(failures, base_s=_BACKOFF_BASE_S, cap_s=_BACKOFF_CAP_S, key=name))
            else:
                return

    def _check(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._telemetry.emit(BackgroundFailed(work=task.get_name(), restarted=False, raised=error))
        self._failed()

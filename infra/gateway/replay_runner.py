"""Replay runner: jobs that run in this process, some at a time, until they end or the gateway stops.

A job that the gateway's stop interrupts is paused: any process continues it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError
from understudy_client.errors import ClientError
from understudy_client.tasks import end_tasks

from contracts.errors import UnderstudyError, error_text
from infra.gateway.problems import BUSY_S, Problem
from infra.telemetry.events import DefectFound
from infra.telemetry.gateway_events import ReplayRunEnded, RerunEnded

if TYPE_CHECKING:
    from infra.replay.runs import RunReport
    from infra.telemetry.dispatch import Telemetry

#: Runs a job; calls what it gets as soon as this process has the job.
RunWork = Callable[[Callable[[], None]], Awaitable["RunReport"]]
#: Seconds that interrupted jobs have to record what they published.
_RECORD_S: Final = 10.0


class ReplayRunner:
    """Runs replay jobs in the background.

    Args:
        most: jobs at a time.
        telemetry: gets how they end.
    """

    def __init__(self, most: int, telemetry: Telemetry) -> None:
        self._most = most
        self._telemetry = telemetry
        #: Numbers of replay jobs, and names of reruns.
        self._running: dict[asyncio.Task[Exception | None], int | str] = {}
        self._stopping = False

    def check_room(self) -> None:
        """Refuse one job more than the settings allow.

        Raises:
            Problem: 503.
        """
        if self._stopping:
            raise Problem(503, "stopping", "the gateway stops", headers={"Retry-After": str(BUSY_S)})
        if len(self._running) >= self._most:
            raise Problem(
                503,
                "busy",
                f"{len(self._running)} replay jobs run here already, which is the limit (gateway.replays)",
                headers={"Retry-After": str(BUSY_S)},
            )

    async def start(self, job: int, work: RunWork) -> None:
        """Run a job in the background; return when this process has it.

        Args:
            job: its number.
            work: runs it.

        Raises:
            Problem: 503, too many run.
            Exception: why it does not run: whatever ``work`` raises before this process has the job.
        """
        self.check_room()
        begun = asyncio.Event()
        task = asyncio.create_task(self._run(job, work, begun.set))
        self._running[task] = job
        task.add_done_callback(self._running.pop)
        waiting = asyncio.create_task(begun.wait())
        try:
            await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not begun.is_set() and task.done() and not task.cancelled():
            error = task.result()
            if error is not None:
                raise error

    def start_rerun(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run shadows in the background; their comparison says how far they are.

        Args:
            name: of the rerun.
            work: publishes them and waits for their results.

        Raises:
            Problem: 503, too many jobs run.
        """
        self.check_room()
        task = asyncio.create_task(self._rerun(name, work))
        self._running[task] = name
        task.add_done_callback(self._running.pop)

    async def join(self, job: int) -> None:
        """Wait until a job no longer runs here, which takes a moment after it was paused."""
        here = [task for task, number in self._running.items() if number == job]
        if here:
            await asyncio.wait(here)

    async def stop(self) -> None:
        """Interrupt all jobs; they are paused, and what they have published is recorded."""
        self._stopping = True
        running = tuple(self._running)
        for task in running:
            task.cancel()
        if running:
            # A second cancellation would cut short what the first one lets it record.
            await asyncio.wait(running, timeout=_RECORD_S)

    async def close(self) -> None:
        """End all jobs for certain."""
        await self.stop()
        await end_tasks(*self._running)

    async def _rerun(self, name: str, work: Callable[[], Awaitable[None]]) -> Exception | None:
        try:
            await work()
        except (UnderstudyError, ClientError) as error:
            self._telemetry.emit(RerunEnded(job=name, problem=error_text(error)))
            return error
        except Exception as error:  # noqa: BLE001 - emitted
            self._telemetry.emit(DefectFound(part=f"rerun {name}", raised=error))
            return error
        self._telemetry.emit(RerunEnded(job=name))
        return None

    async def _run(self, job: int, work: RunWork, begin: Callable[[], None]) -> Exception | None:
        begun = False

        def on_begin() -> None:
            nonlocal begun
            begun = True
            begin()

        try:
            report = await work(on_begin)
        except (UnderstudyError, SQLAlchemyError) as error:
            if begun:
                self._telemetry.emit(ReplayRunEnded(job=job, state="interrupted", note=error_text(error)))
            return error
        except Exception as error:  # noqa: BLE001 - emitted; the job is paused
            self._telemetry.emit(DefectFound(part=f"replay job {job}", raised=error))
            return error
        self._telemetry.emit(
            ReplayRunEnded(job=job, state=report.state, published=report.published, note=report.note or "")
        )
        return None

"""Lease of a replay job: this process alone works on it, and says so every second, whatever it waits for."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from understudy_client.tasks import end_tasks

from infra.replay import jobs
from infra.replay.jobs import JobError, JobState, ReplayJob

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: Seconds between two tries to take over a job, and between two signs of life.
_CLAIM_S: Final = 0.5
_BEAT_S: Final = 1.0


class JobClaim(Protocol):
    """Takes a job for a process; ``None``: another process has it."""

    def __call__(self, engine: Engine, job: int, *, runner: str, now_ms: int) -> ReplayJob | None:
        """Try once."""
        ...


class JobLease:
    """Hold of a job by this process.

    Args:
        engine: the database.
        job: the job.
        runner: the name of this hold.
    """

    def __init__(self, engine: Engine, job: ReplayJob, runner: str) -> None:
        self._engine = engine
        self.job = job
        self._runner = runner
        self._changed = asyncio.Event()
        self._state: JobState | None = job.state
        self._error: Exception | None = None
        self._beating = asyncio.create_task(self._beat())

    def check(self) -> JobState | None:
        """The state that the job is to be in; ``None``: another process has it.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database did not take a sign of life.
        """
        if self._error is not None:
            raise self._error
        return self._state

    async def sleep(self, seconds: float) -> None:
        """Wait, at most until the job's state changes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def end(self, state: JobState, note: str | None = None) -> None:
        """Let go of the job: one that runs is in a new state then, unless somebody has set one meanwhile.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database.
        """
        await end_tasks(self._beating)
        await asyncio.to_thread(
            jobs.leave,
            self._engine,
            self.job.job,
            state,
            runner=self._runner,
            now_ms=now_ms(),
            note=note,
        )

    async def _beat(self) -> None:
        job, runner = self.job.job, self._runner
        try:
            while True:
                await asyncio.sleep(_BEAT_S)
                self._state = await asyncio.to_thread(
                    jobs.beat, self._engine, job, runner=runner, now_ms=now_ms()
                )
                if self._state is not self.job.state:
                    self._changed.set()
                if self._state is None:
                    return
        except Exception as error:  # noqa: BLE001 - raised by the next check
            self._error = error
            self._changed.set()


async def take(engine: Engine, job: int, claim: JobClaim) -> JobLease:
    """Take a job, as soon as no other process has it.

    Args:
        engine: the database.
        job: the job's number.
        claim: how.

    Raises:
        JobError: as ``claim``; or another process keeps it.
        sqlalchemy.exc.SQLAlchemyError: the database.
    """
    runner = uuid.uuid4().hex
    until = time.monotonic() + jobs.LEASE_MS / 1000 + 1
    while True:
        claimed = await asyncio.to_thread(claim, engine, job, runner=runner, now_ms=now_ms())
        if claimed is not None:
            return JobLease(engine, claimed, runner)
        if time.monotonic() > until:
            raise JobError(
                f"another process works on job {job}: try again when it has ended; `understudy replay pause {job}` pauses "
                "a run"
            )
        await asyncio.sleep(_CLAIM_S)


def now_ms() -> int:
    """The time, ms since the epoch."""
    return round(time.time() * 1000)

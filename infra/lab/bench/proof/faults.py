"""Faults: what is done to a running pipeline, and to which part of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from infra.app.process_plan import BROKER, Running

if TYPE_CHECKING:
    from collections.abc import Generator

    from infra.app.supervisor import Supervisor
    from infra.lab.bench.outcomes import Outage

#: Seconds between two looks at who is up.
_LOOK_S: Final = 0.05
#: Shortest and longest time that a process stays frozen, seconds; the supervisor kills what is silent for ten.
_FROZEN_S: Final = (2.0, 6.0)
#: Seconds that a process has to come back before the next fault.
_BACK_S: Final = 60.0


class CausedFault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault that happened."""

    kind: str
    #: The process, node or file that it happened to.
    target: str
    #: Milliseconds since the epoch.
    began_ms: float
    ended_ms: float


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One fault that can be caused."""

    kind: str
    target: str
    #: How often it comes in a round of all faults.
    weight: int
    #: Causes it and returns when it is over; false: its target was not up.
    strike: Callable[[], Awaitable[bool]]


class ServiceClock:
    """Records when the promise's clock stood still: without a broker, or without a running fallback.

    Args:
        supervisor: of the pipeline.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._frozen: set[int] = set()
        self._held = 0
        self._since: float | None = None
        self._absences: list[Outage] = []

    async def keep_looking(self) -> None:
        """Look at the processes again and again, until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(_LOOK_S)

    @contextmanager
    def frozen(self, pid: int) -> Generator[None]:
        """A process that is there and does nothing."""
        self._frozen.add(pid)
        try:
            yield
        finally:
            self._frozen.discard(pid)

    @contextmanager
    def without_broker(self) -> Generator[None]:
        """A time in which no broker can store."""
        self._held += 1
        self._look()
        try:
            yield
        finally:
            self._held -= 1
            self._look()

    def absences(self) -> Sequence[Outage]:
        """From when to when the clock stood still, milliseconds since the epoch."""
        open_one = [] if self._since is None else [(self._since, time.time() * 1000)]
        return [*self._absences, *open_one]

    def _look(self) -> None:
        now = time.time() * 1000
        if self._serves():
            if self._since is not None:
                self._absences.append((self._since, now))
                self._since = None
        elif self._since is None:
            self._since = now

    def _serves(self) -> bool:
        up = [each for each in self._supervisor.processes if each.ready and each.pid not in self._frozen]
        planned = {each.name for each in self._supervisor.processes}
        broker = BROKER not in planned or any(each.name == BROKER for each in up)
        return broker and not self._held and any("fallback" in each.stages for each in up)


class ProcessFaults:
    """Kills, stops and freezes processes of a pipeline.

    Args:
        supervisor: starts them again.
        clock: told what is frozen.
        dice: choose durations.
    """

    def __init__(self, supervisor: Supervisor, clock: ServiceClock, dice: random.Random) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._dice = dice

    def plans(self) -> list[FaultPlan]:
        """Every fault of every process."""
        found: list[FaultPlan] = []
        for each in self._supervisor.processes:
            name = each.name
            found += (
                FaultPlan(kind="SIGKILL", target=name, weight=4, strike=lambda name=name: self._end(name, signal.SIGKILL)),
                FaultPlan(kind="SIGTERM", target=name, weight=1, strike=lambda name=name: self._end(name, signal.SIGTERM)),
                FaultPlan(kind="SIGSTOP", target=name, weight=2, strike=lambda name=name: self._freeze(name)),
            )  # fmt: skip
        return found

    def _find(self, name: str) -> Running | None:
        return next((each for each in self._supervisor.processes if each.name == name and each.ready), None)

    async def _end(self, name: str, number: signal.Signals) -> bool:
        target = self._find(name)
        if target is None or not send_signal(target.pid, number):
            return False
        await self._returned(name, target.restarts)
        return True

    async def _freeze(self, name: str) -> bool:
        target = self._find(name)
        if target is None or target.pid is None:
            return False
        with self._clock.frozen(target.pid):
            if not send_signal(target.pid, signal.SIGSTOP):
                return False
            try:
                await asyncio.sleep(self._dice.uniform(*_FROZEN_S))
            finally:
                send_signal(target.pid, signal.SIGCONT)
        return True

    async def _returned(self, name: str, restarts: int) -> None:
        def back(processes: Sequence[Running]) -> bool:
            return any(each.name == name and each.restarts > restarts and each.ready for each in processes)

        async with asyncio.timeout(_BACK_S):
            await self._supervisor.until(back)


def send_signal(pid: int | None, number: signal.Signals) -> bool:
    """Send a signal; false: there is no such process."""
    try:
        os.kill(pid or 0, number) if pid else None
    except ProcessLookupError:
        return False
    return pid is not None


@asynccontextmanager
async def timed(kind: str, target: str, faults: list[CausedFault]) -> AsyncGenerator[None]:
    """Record what happens inside as one fault."""
    began = time.time() * 1000
    yield
    faults.append(CausedFault(kind=kind, target=target, began_ms=began, ended_ms=time.time() * 1000))

"""Supervised process of stages: what is known of it, and when it has taken too long."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts.retry import backoff
from infra.app.process_plan import SupervisorError
from infra.host import parent_death
from infra.host.heartbeat import Silence
from infra.telemetry.process_events import StagesBack, StagesKilled, StagesNotReady

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.app.child_process import ChildProcess
    from infra.app.process_plan import Member
    from infra.telemetry.dispatch import Telemetry

#: Seconds up after which earlier ends of a process are forgotten.
STEADY_S: Final = 10.0
_BACKOFF_BASE_S: Final = 0.2
_BACKOFF_CAP_S: Final = 10.0
#: Ends before it was ever ready, after which a process is given up.
_TRIES: Final = 3
#: A stage that ends with these and says why found a person's mistake; trying again is no use.
_MISTAKES: Final = (1, 2)
_WRONG_USAGE: Final = 2


class StartPatience(msgspec.Struct, frozen=True, kw_only=True):
    """How long the supervisor waits; seconds."""

    #: Between two looks.
    step_s: float = 1.0
    #: Without a beat of a process that was ready, or an answer of the broker.
    silent_s: float = 10.0
    #: The same before it was ready: starting Python and loading a model may keep its loop from turning.
    starting_s: float = 120.0
    #: Before a broker that says that it cannot store is believed.
    broken_s: float = 3.0
    #: Until it is ready, while it loads no model.
    ready_s: float = 300.0
    #: Until its model is loaded.
    loading_s: float = 1800.0
    #: Between two lines that say what is waited for.
    told_s: float = 15.0


class SupervisedMember:
    """One member's processes, one after the other.

    Args:
        member: what is wanted.
        patience: how long to wait.
        changed: called when its state changes.
        telemetry: gets what happens.
    """

    def __init__(
        self, member: Member, *, patience: StartPatience, changed: Callable[[], None], telemetry: Telemetry
    ) -> None:
        self.member = member
        self.life: ChildProcess | None = None
        self.restarts = 0
        self.ready = False
        self.ever_ready = False
        #: What is known of why it is not ready.
        self.doing = "not started yet"
        #: The mistake that its last process named.
        self.problem: str | None = None
        #: ``HOST:PORT`` of its metrics and health; ``None``: it has not named one.
        self.metrics_address: str | None = None
        #: Where the gateway listens, or last did; ``None``: it has not said, or this is no gateway.
        self.http_url: str | None = None
        #: Whether its ``/readyz`` answered 200 in time, and how often in a row it gave no answer.
        self.answers = False
        self.misses = 0
        self._loading = False
        self._killed = False
        #: How long its process had waited for a processor at the last look.
        self._queued_s = 0.0
        self._patience = patience
        self._changed = changed
        self._silence = Silence(step_s=patience.step_s)
        self._waiting = Silence(step_s=patience.step_s)
        self._told_at_s = 0.0
        self._telemetry = telemetry

    @property
    def pid(self) -> int | None:
        """Of the process that lives; ``None`` while it is down."""
        return self.life.pid if self.life is not None and self.life.alive else None

    @property
    def label(self) -> str:
        """What it runs, for people."""
        stages = self.member.stages
        return f"stages {', '.join(stages)}" if stages else f"the {self.member.name}"

    def begin(self) -> None:
        """A process is about to be started."""
        self.life, self.problem, self.metrics_address = None, None, None
        self.answers, self.misses = False, 0
        self.ready = self._loading = self._killed = False
        self.doing = "starting"
        self._silence.end()
        self._queued_s = 0.0
        if self.ever_ready:
            self._wait_anew()

    def hear(self, line: bytes) -> None:
        """Take a line of its standard output: what it says of itself, or something for people."""
        match _said(line):
            case {"ready": True}:
                if self.ever_ready and self.pid is not None:
                    self._telemetry.emit(
                        StagesBack(stages=self.member.name, pid=self.pid, restarts=self.restarts)
                    )
                self.ready = self.ever_ready = True
                self._wait_anew()
                self._changed()
            case {"loading": str(model)}:
                self.doing, self._loading = f"loading the model {model}", True
            case {"metrics": str(address)}:
                self.metrics_address = address
            case {"http_url": str(url)}:
                self.http_url = url
                self._changed()
            case {"problem": str(problem)}:
                self.problem = problem
            case _:
                with suppress(OSError, ValueError):
                    sys.stderr.write(line.decode(errors="replace") + "\n")

    def look(self, seconds: float) -> None:
        """Judge it, so many seconds after the last look; what has frozen is killed.

        Raises:
            SupervisorError: it was never ready, and that took too long.
        """
        life = self.life
        if life is not None and life.alive and not self._killed:
            queued_s, self._queued_s = self._queued_s, parent_death.queued_s(life.pid)
            if life.beaten():
                self._silence.end()
                if self.doing == "starting":
                    self.doing = "connecting to the broker"
            else:
                # On a busy machine one that gives way to others waits for its turn: that is no freeze.
                self._silence.turn(seconds, excused_s=max(0.0, self._queued_s - queued_s))
            if self._silence.passes(self._patience.silent_s if self.ready else self._patience.starting_s):
                self._kill(life, "its event loop is frozen", self._silence.lasted_s)
        if not self.ready:
            self._waiting.turn(seconds)
            self._look_at_start(life, self._waiting.lasted_s)

    def ended(self, status: int) -> None:
        """Its process has ended."""
        self.ready = False
        self.doing = f"ended with status {status}" + (f": {self.problem}" if self.problem else "")

    def give_up_on(self, status: int, failures: int) -> None:
        """Decide whether another try makes sense.

        What was ready once is tried for ever: the other stages go on answering meanwhile.

        Raises:
            SupervisorError: it makes none.
        """
        if self.ever_ready:
            return
        if self.problem is not None and status in _MISTAKES:
            raise SupervisorError(f"{self.label} cannot start: {self.problem}", status=status)
        if status == _WRONG_USAGE or (failures >= _TRIES and (status >= 0 or self._killed)):
            raise SupervisorError(
                f"{self.label} ended with status {status} before they were ready; "
                "the reason is in the log above",
                status=status if status > 0 else 1,
            )

    def _look_at_start(self, life: ChildProcess | None, waited_s: float) -> None:
        most_s = self._patience.loading_s if self._loading else self._patience.ready_s
        if waited_s >= most_s:
            if not self.ever_ready:
                raise SupervisorError(f"{self.label} are not ready after {waited_s:.0f} s: {self.doing}")
            if life is not None and life.alive and not self._killed:
                self._kill(life, f"it was not ready ({self.doing})", waited_s)
        elif waited_s - self._told_at_s >= self._patience.told_s:
            self._told_at_s = waited_s
            self._telemetry.emit(
                StagesNotReady(stages=self.member.name, doing=self.doing, seconds=round(waited_s))
            )

    def _kill(self, life: ChildProcess, why: str, seconds: float) -> None:
        self._killed = True
        self._telemetry.emit(
            StagesKilled(stages=self.member.name, pid=life.pid, problem=why, seconds=round(seconds, 1))
        )
        life.kill()

    def _wait_anew(self) -> None:
        self._waiting.end()
        self._told_at_s = 0.0


async def pause(stopping: asyncio.Event, failures: int, name: str, *, cap_s: float = _BACKOFF_CAP_S) -> None:
    """Wait before another try: longer from failure to failure, not at all once the pipeline stops."""
    seconds = backoff(failures, base_s=_BACKOFF_BASE_S, cap_s=cap_s, key=name)
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


def _said(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return None

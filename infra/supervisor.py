"""What happens when a process of the pipeline ends?"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import structlog

from contracts.errors import UnderstudyError
from contracts.retry import backoff
from infra import child, runtime
from infra.nats import topology
from infra.nats.embedded import BrokerError, Embedded
from infra.processes import (
    BROKER,
    Member,
    Running,
    SupervisorError,
    all_ready,
    environment,
    plan,
    stage_command,
)

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import FilteringBoundLogger

    from infra.settings import Settings

#: Seconds up after which earlier ends of a process are forgotten.
STEADY_S: Final = 10.0
#: Seconds beyond ``settings.grace`` that a stopping stage gets before SIGKILL.
STOP_S: Final = 5.0
_BACKOFF_BASE_S: Final = 0.2
_BACKOFF_CAP_S: Final = 10.0
#: Ends before it was ever ready, after which a process is given up.
_TRIES: Final = 3
#: A stage that says this found a person's mistake; trying again is no use.
_WRONG_USAGE: Final = 2
#: Bytes; the longest line a stage may print on standard output.
_LINE: Final = 1024 * 1024


class _Child:
    """One member's process and its history."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self.ready = False
        self.ever_ready = False

    @property
    def pid(self) -> int | None:
        return None if self.process is None or self.process.returncode is not None else self.process.pid


class Supervisor:
    """Broker, topology and stages, kept running.

    A process counts as alive until it exits: whether a stage still moves is for its own watchdog
    thread to judge.

    Args:
        settings: handed to every stage through its environment.
        split: one process per stage.
        copies: how often a stage runs in all.
        command: what runs stages; for tests.

    Raises:
        SettingsError: an unknown stage in ``copies``.
        SupervisorError: fewer than one copy.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        split: bool = False,
        copies: Mapping[str, int] | None = None,
        command: Callable[[Sequence[str]], Sequence[str]] = stage_command,
    ) -> None:
        self._settings = settings
        self._command = command
        self._children = [_Child(member) for member in plan(split=split, copies=copies)]
        self._broker: Embedded | None = None
        self._broker_restarts = 0
        self._url = settings.nats_url
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._applying = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._started = datetime.now(UTC).isoformat()
        self._log: FilteringBoundLogger = structlog.get_logger(component="supervisor")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def nats_url(self) -> str:
        """The broker's URL."""
        if self._url is None:
            raise SupervisorError("the broker is not started yet")
        return self._url

    @property
    def processes(self) -> tuple[Running, ...]:
        """Every process as it is now, an embedded broker first."""
        stages = tuple(
            Running(
                name=each.member.name,
                pid=each.pid,
                stages=each.member.stages,
                restarts=each.restarts,
                ready=each.ready and each.pid is not None,
            )
            for each in self._children
        )
        if self._broker is None:
            return stages
        running = self._broker.running
        broker = Running(
            name=BROKER,
            pid=self._broker.pid if running else None,
            stages=(),
            restarts=self._broker_restarts,
            ready=running,
        )
        return (broker, *stages)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name, of what is up."""
        return {each.name: each.pid for each in self.processes if each.pid is not None}

    async def start(self) -> None:
        """Start everything and return when every stage is bound; on failure nothing is left.

        Raises:
            BrokerError: the embedded broker does not start.
            TopologyError: the broker refuses the topology.
            Unreachable: no broker at ``UNDERSTUDY_NATS_URL``.
            SupervisorError: a stage ends again and again before it is ready.
        """
        try:
            if self._settings.nats_url is None:
                self._broker = Embedded(
                    self._settings.data_dir,
                    self._settings.broker.port,
                    sync_interval=self._settings.broker.sync_interval,
                )
                await self._broker.start()
                self._url = self._broker.url
                self._watch(self._keep_broker(self._broker), BROKER)
            await self._apply()
            for each in self._children:
                self._watch(self._keep(each), each.member.name)
            await self.until(all_ready)
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Run until :meth:`stop`; raises what ended the supervision of a process, if anything does."""
        await self.until(lambda _: False)

    async def until(self, holds: Callable[[tuple[Running, ...]], bool]) -> None:
        """Wait until something holds of the processes, or the supervisor stops.

        Raises:
            UnderstudyError: what ended the supervision of a process.
        """
        while True:
            # Cleared before the look and with no await in between: no change can be missed.
            self._changed.clear()
            for task in self._tasks:
                if task.done() and not task.cancelled():
                    task.result()
            if self._stopping.is_set() or holds(self.processes):
                return
            await self._changed.wait()

    async def stop(self) -> None:
        """Stop the stages, then the broker; what does not end in time is killed."""
        self._stopping.set()
        self._changed.set()
        self._send(signal.SIGTERM)
        keepers = [task for task in self._tasks if task.get_name() != BROKER]
        if keepers and (await asyncio.wait(keepers, timeout=self._settings.grace + STOP_S))[1]:
            for name, pid in self._send(signal.SIGKILL).items():
                self._log.warning("killed: it did not stop in time", stages=name, pid=pid)
            await asyncio.wait(keepers, timeout=STOP_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._broker is not None:
            await self._broker.stop()
        runtime.clear(self._settings)

    def _watch(self, keeping: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(keeping, name=name)
        task.add_done_callback(lambda _: self._changed.set())
        self._tasks.append(task)

    def _send(self, number: signal.Signals) -> dict[str, int]:
        """Signal every stage process; which ones were up."""
        sent: dict[str, int] = {}
        for each in self._children:
            if each.process is not None and each.pid is not None:
                each.process.send_signal(number)
                sent[each.member.name] = each.pid
        return sent

    def _write_runtime(self) -> None:
        if not self._stopping.is_set():
            runtime.write(self._settings, nats_url=self.nats_url, pids=self.pids, started=self._started)

    async def _apply(self) -> None:
        async with self._applying:
            for change in await topology.apply_at(self.nats_url, self._settings):
                if change.drift:
                    self._log.warning("topology differs", change=str(change))
                else:
                    self._log.debug("topology applied", change=str(change))
        self._write_runtime()

    async def _pause(self, failures: int, name: str) -> None:
        seconds = backoff(failures, base_s=_BACKOFF_BASE_S, cap_s=_BACKOFF_CAP_S, key=name)
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _keep_broker(self, broker: Embedded) -> None:
        failures = 0
        while not self._stopping.is_set():
            since = asyncio.get_running_loop().time()
            status = await broker.wait()
            if self._stopping.is_set():
                return
            failures = 1 if asyncio.get_running_loop().time() - since >= STEADY_S else failures + 1
            self._log.error("broker ended, starting it again", status=status, log=str(broker.log))
            self._changed.set()
            while not self._stopping.is_set() and not broker.running:
                await self._pause(failures, BROKER)
                try:
                    await broker.start()
                except BrokerError as error:
                    failures += 1
                    self._log.error("broker does not start", error=str(error))
            self._broker_restarts += 1
            self._write_runtime()
            self._changed.set()

    async def _keep(self, each: _Child) -> None:
        failures = 0
        while not self._stopping.is_set():
            since = asyncio.get_running_loop().time()
            status = await self._run(each)
            if self._stopping.is_set():
                return
            failures = 1 if asyncio.get_running_loop().time() - since >= STEADY_S else failures + 1
            self._log.error("stages ended, starting them again", stages=each.member.name, status=status)
            self._give_up_on(each, status, failures)
            if status == topology.EXIT_STATUS:
                await self._apply_again(each)
            await self._pause(failures, each.member.name)
            each.restarts += 1

    async def _run(self, each: _Child) -> int:
        """One life of a process; its exit status."""
        process = await asyncio.create_subprocess_exec(
            *self._command(each.member.stages),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=environment(self._settings, self.nats_url, os.environ),
            limit=_LINE,
            preexec_fn=child.tie_to_parent(),
            # Ctrl-C in a terminal is for the supervisor, which stops them in order.
            start_new_session=True,
        )
        each.process = process
        if self._stopping.is_set():
            self._send(signal.SIGTERM)
        self._write_runtime()
        try:
            await self._listen(each, process)
            return await process.wait()
        finally:
            each.ready = False
            self._changed.set()

    async def _listen(self, each: _Child, process: asyncio.subprocess.Process) -> None:
        """Read a process' standard output until it closes: the ready line, the rest for people."""
        output = process.stdout
        while output is not None:
            try:
                line = await output.readline()
            except ValueError:
                # Longer than the limit; asyncio has dropped it.
                continue
            if not line:
                return
            if _says_ready(line):
                each.ready = each.ever_ready = True
                self._changed.set()
            else:
                sys.stderr.write(line.decode(errors="replace"))

    def _give_up_on(self, each: _Child, status: int, failures: int) -> None:
        if each.ever_ready or status < 0:
            return
        if status == _WRONG_USAGE or failures >= _TRIES:
            raise SupervisorError(
                f"stages {', '.join(each.member.stages)} ended with status {status} before they were ready; "
                "the reason is in the log above"
            )

    async def _apply_again(self, each: _Child) -> None:
        try:
            await self._apply()
        except UnderstudyError as error:
            self._log.error("topology not applied", stages=each.member.name, error=str(error))


async def up(
    settings: Settings,
    *,
    split: bool = False,
    copies: Mapping[str, int] | None = None,
    on_ready: Callable[[dict[str, Any]], None] | None = None,
    command: Callable[[Sequence[str]], Sequence[str]] = stage_command,
) -> None:
    """Run the pipeline until SIGTERM, SIGINT or SIGHUP; in the main thread.

    Args:
        settings: handed to every stage through its environment.
        split: one process per stage.
        copies: how often a stage runs in all.
        on_ready: gets ``{"ready": true, "nats_url": ..., "pids": {name: pid}}`` once all are bound.
        command: what runs stages; for tests.

    Raises:
        UnderstudyError: as :meth:`Supervisor.start`.
    """
    supervisor = Supervisor(settings, split=split, copies=copies, command=command)
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, asked.set)

    async def life() -> None:
        await supervisor.start()
        if on_ready is not None:
            on_ready({"ready": True, "nats_url": supervisor.nats_url, "pids": supervisor.pids})
        await supervisor.wait()

    living, asking = asyncio.create_task(life()), asyncio.create_task(asked.wait())
    try:
        await asyncio.wait((living, asking), return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            living.result()
    finally:
        for task in (living, asking):
            task.cancel()
        await asyncio.gather(living, asking, return_exceptions=True)
        await supervisor.stop()
        for number in signals:
            loop.remove_signal_handler(number)


def _says_ready(line: bytes) -> bool:
    try:
        return bool(msgspec.json.decode(line, type=dict[str, Any]).get("ready"))
    except msgspec.MsgspecError:
        return False

"""Supervisor: broker, topology and stages in processes that are kept running."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from understudy_client.tasks import end_tasks

from contracts import roles
from contracts.errors import UnderstudyError
from infra.app.child_process import ChildProcess, StartError
from infra.app.pipeline_monitor import PipelineMonitor
from infra.app.process_plan import (
    BROKER,
    Running,
    SupervisorError,
    all_ready,
    environment,
    gateway_command,
    plan,
    stage_command,
)
from infra.app.supervised import STEADY_S, StartPatience, SupervisedMember, pause
from infra.app.supervised_broker import SupervisedBroker
from infra.host import runtime_file
from infra.nats import connection, topology
from infra.telemetry.log_lines import to_log
from infra.telemetry.process_events import (
    FileNotWritten,
    FolderExposed,
    PipelineStopping,
    StagesEnded,
    StagesKilled,
    StartRefused,
    TopologyApplied,
    TopologyDiffers,
    TopologyNotApplied,
)

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from infra.settings.settings import Settings
    from infra.telemetry.dispatch import Telemetry

#: Seconds beyond ``settings.grace`` that a stopping stage gets before SIGKILL.
STOP_S: Final = 5.0
#: Names of the tasks that look for silence, and that ask from outside.
_WATCH: Final = "watch"
_MONITOR: Final = "monitor"


class Supervisor:
    """Broker, topology and stages, kept running.

    A process counts as alive while its event loop beats, the broker while it answers; what is silent
    for too long is killed and started again.

    Args:
        settings: handed to every stage through its environment.
        split: one process per stage.
        copies: how often a stage runs in all.
        command: what runs stages; for tests.
        patience: how long to wait for whom; for tests.
        telemetry: gets what happens; by default the log does.

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
        patience: StartPatience | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.telemetry = telemetry or to_log(words=settings.audit.store_prompts, component="supervisor")
        self._settings = settings
        self._command = command
        self._patience = patience or StartPatience()
        self._changed = asyncio.Event()
        self._children = [
            SupervisedMember(
                member, patience=self._patience, changed=self._child_changed, telemetry=self.telemetry
            )
            for member in plan(split=split, copies=copies, gateway=settings.gateway.enabled)
        ]
        self._monitor = PipelineMonitor(
            settings, members=self._children, processes=lambda: self.processes, telemetry=self.telemetry
        )
        self._broker: SupervisedBroker | None = None
        self._unwritten = False
        #: Where the gateway listens, as the runtime file has it.
        self._http_url: str | None = None
        self._url = settings.nats_url
        self._keys = settings.nats.keys
        self._stopping = asyncio.Event()
        self._applying = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._started = datetime.now(UTC).isoformat()

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
    def reached(self) -> Settings:
        """The settings with which others reach this broker, each with its own role's key.

        Raises:
            SupervisorError: the broker is not started yet.
        """
        nats = self._settings.nats.model_copy(update={"keys": self._keys})
        return self._settings.model_copy(update={"nats_url": self.nats_url, "nats": nats})

    @property
    def operator_key(self) -> Path | None:
        """The file with the operator's NKey seed; ``None``: the broker asks for none, or for another one."""
        access = connection.reach(self.reached)[1]
        return access.nkey

    @property
    def metrics_url(self) -> str | None:
        """Where ``/metrics``, ``/livez`` and ``/readyz`` of the pipeline are; ``None``: nowhere."""
        return self._monitor.url

    @property
    def http_url(self) -> str | None:
        """Where the HTTP gateway listens; ``None``: nowhere yet."""
        return next((each.http_url for each in self._children if each.http_url is not None), None)

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
        return stages if self._broker is None else (self._broker.running, *stages)

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
            SupervisorError: a stage ends again and again before it is ready, or is not ready in time.
        """
        try:
            self._keep_private()
            if self._settings.nats_url is None:
                self._broker = SupervisedBroker(
                    self._settings,
                    groups=[each.member.stages for each in self._children if each.member.stages],
                    patience=self._patience,
                    stopping=self._stopping,
                    changed=self._broker_changed,
                    telemetry=self.telemetry,
                )
                await self._broker.start()
                self._url = self._broker.url
                self._keys = self._broker.keys
                self._watch(self._broker.keep(), BROKER)
                self._watch(self._broker.ask(), BROKER)
            await self._apply()
            # Not before: a second supervisor of the same folder ends at its broker, and takes no port.
            self._monitor.start()
            for each in self._children:
                self._watch(self._keep(each), each.member.name)
            self._watch(self._look(), _WATCH)
            self._watch(self._monitor.ask(), _MONITOR)
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
        if not self._stopping.is_set():
            self.telemetry.emit(PipelineStopping(processes=len(self.pids)))
        self._stopping.set()
        self._changed.set()
        self._send(signal.SIGTERM)
        keepers = [task for task in self._tasks if task.get_name() not in {BROKER, _WATCH, _MONITOR}]
        if keepers and (await asyncio.wait(keepers, timeout=self._settings.grace + STOP_S))[1]:
            for each in self._children:
                if each.life is not None and each.pid is not None:
                    self.telemetry.emit(
                        StagesKilled(
                            stages=each.member.name,
                            pid=each.pid,
                            problem="it did not stop in time",
                            seconds=self._settings.grace + STOP_S,
                        )
                    )
                    each.life.kill()
            await asyncio.wait(keepers, timeout=STOP_S)
        await end_tasks(*self._tasks)
        if self._broker is not None:
            await self._broker.stop()
        self._monitor.stop()
        with suppress(OSError):
            runtime_file.clear(self._settings)

    def _keep_private(self) -> None:
        try:
            for sentence in runtime_file.keep_private(self._settings.data_dir):
                self.telemetry.emit(FolderExposed(problem=sentence))
        except OSError as error:
            raise SupervisorError(f"the data folder cannot be used: {error}") from error

    def _watch(self, keeping: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(keeping, name=name)
        task.add_done_callback(lambda _: self._changed.set())
        self._tasks.append(task)

    def _send(self, number: signal.Signals) -> None:
        """Signal every stage process."""
        for each in self._children:
            if each.life is not None:
                each.life.send(number)

    def _write_runtime(self) -> None:
        """Say where the pipeline runs; what cannot be written is written at a later look."""
        if self._stopping.is_set():
            return
        try:
            runtime_file.write(
                self._settings,
                nats_url=self.nats_url,
                pids=self.pids,
                started=self._started,
                metrics_url=self.metrics_url,
                http_url=self.http_url,
                nats_keys=self._keys,
            )
        except OSError as error:
            if not self._unwritten:
                self.telemetry.emit(FileNotWritten(file=runtime_file.FILE, problem=f"{error} (trying again)"))
            self._unwritten = True
        else:
            self._unwritten = False

    def _child_changed(self) -> None:
        if self.http_url != self._http_url:
            self._http_url = self.http_url
            self._write_runtime()
        self._changed.set()

    def _broker_changed(self) -> None:
        self._write_runtime()
        self._changed.set()

    async def _apply(self) -> None:
        async with self._applying:
            for change in await topology.apply_at(self.nats_url, self.reached):
                if change.drift:
                    self.telemetry.emit(TopologyDiffers(change=str(change)))
                else:
                    self.telemetry.emit(TopologyApplied(change=str(change)))
        self._write_runtime()

    async def _look(self) -> None:
        """Look again and again for what is silent."""
        loop = asyncio.get_running_loop()
        # Monotonic: no change of the clock and no sleep of the machine is a silence.
        last = loop.time()
        while True:
            await asyncio.sleep(self._patience.step_s)
            seconds, last = loop.time() - last, loop.time()
            for each in self._children:
                each.look(seconds)
            if self._broker is not None:
                self._broker.look(seconds)
            if self._unwritten:
                self._write_runtime()

    async def _keep(self, each: SupervisedMember) -> None:
        failures = 0
        while not self._stopping.is_set():
            since = asyncio.get_running_loop().time()
            try:
                status = await self._run(each)
            except StartError as error:
                failures += 1
                self._refused(each, error)
            else:
                if self._stopping.is_set():
                    return
                failures = 1 if asyncio.get_running_loop().time() - since >= STEADY_S else failures + 1
                self.telemetry.emit(
                    StagesEnded(stages=each.member.name, status=status, problem=each.problem or "")
                )
                each.give_up_on(status, failures)
                if status == topology.EXIT_STATUS:
                    await self._apply_again(each)
            await pause(self._stopping, failures, each.member.name)
            each.restarts += 1

    async def _run(self, each: SupervisedMember) -> int:
        """One life of a process; its exit status."""
        each.begin()
        life = each.life = await ChildProcess.start(
            self._command(each.member.stages) if each.member.stages else gateway_command(),
            env=environment(self._signed_in(each), self.nats_url, os.environ) | _address_of(each),
            nice=each.member.nice,
            told=each.hear,
        )
        if self._stopping.is_set():
            life.send(signal.SIGTERM)
        self._write_runtime()
        status = await life.wait()
        each.ended(status)
        self._changed.set()
        return status

    def _signed_in(self, each: SupervisedMember) -> Settings:
        """The settings of a process, with the key of its role alone."""
        if self._keys is None:
            return self._settings
        role = roles.name_of(each.member.stages) if each.member.stages else roles.GATEWAY
        nats = connection.sign_in(self._settings.nats, self._keys, role)
        return self._settings.model_copy(update={"nats": nats})

    def _refused(self, each: SupervisedMember, error: StartError) -> None:
        """The system does not start a process: it may have no memory or no process left just now."""
        each.doing = f"cannot be started: {error}"
        if not (error.passing or each.ever_ready):
            raise SupervisorError(f"{each.label} cannot be started: {error}") from error
        self.telemetry.emit(StartRefused(stages=each.member.name, problem=str(error)))

    async def _apply_again(self, each: SupervisedMember) -> None:
        try:
            await self._apply()
        except (UnderstudyError, OSError) as error:
            self.telemetry.emit(TopologyNotApplied(stages=each.member.name, problem=str(error)))


def _address_of(each: SupervisedMember) -> dict[str, str]:
    """The variable that gives a gateway the port again that clients know."""
    port = None if each.http_url is None else urlsplit(each.http_url).port
    return {} if port is None else {"UNDERSTUDY_GATEWAY__PORT": str(port)}

"""Application: the life of one process of stages, from its connection to its drain."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from faststream import FastStream
from understudy_client.connection import is_sign_in, refusal, servers

from contracts import pipeline, roles
from contracts.errors import error_text
from infra.engine.task import EngineError
from infra.nats import connection, direct, topology
from infra.nats.clock import EVERY_S
from infra.nats.pull import EXPIRES_S, SHORT_S
from infra.providers.answer_limits import STRUCTURING
from infra.providers.routing import Loading
from infra.runner.admission import Admission
from infra.runner.cancellation import Cancellation
from infra.runner.earlier_deadlines import EarlierDeadlines
from infra.runner.execution import Handle, Runner, Sink
from infra.runner.isolation import Isolation
from infra.runner.ports import RunnerPorts
from infra.runner.stage_broker import StageBroker, sign_in
from infra.runner.subscriber import CreditSubscriber
from infra.runner.watchdog import FROZEN, Watchdog
from infra.stores import cache_store
from infra.telemetry.broker_events import (
    ConnectionClosed,
    ConnectionLost,
    ConnectionRestored,
    ConnectionTrouble,
    ConsumerLost,
    PermissionRefused,
)
from infra.telemetry.process_events import (
    ModelFailed,
    ModelLoaded,
    ModelLoading,
    StagesReady,
    StagesStopped,
    StagesStopping,
)

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from infra.app.adapters import Adapters
    from infra.app.background import Background
    from infra.nats.pull import ConsumerMissing
    from infra.settings.settings import Settings

#: Exit status of a process whose user the broker refuses something (``EX_NOPERM`` of sysexits.h).
NOT_ALLOWED: Final = 77
#: Seconds between two tries to reach a lost broker.
_RECONNECT_S = 0.2


class Application:
    """The stages of one process, and the FastStream application that carries them.

    Args:
        settings: this process's settings.
        stages: names of the stages to run.
        adapters: the adapters of this process.
        handles: the handler of each stage, with its ports.
        sink: stores the rows of audit; for stage ``audit``.
    """

    def __init__(
        self,
        settings: Settings,
        stages: tuple[str, ...],
        *,
        adapters: Adapters,
        handles: Mapping[str, Handle],
        sink: Sink | None = None,
    ) -> None:
        self.settings = settings
        self.stages = stages
        self.adapters = adapters
        self.exit_status = 0
        #: Where its metrics and health are answered, ``HOST:PORT``; empty: nowhere.
        self.metrics_address = ""
        #: A thread is loading a model.
        self.loading = False
        self.ready: asyncio.Event = asyncio.Event()
        #: The local model is loaded, or never will be; there may be none.
        self.loaded = asyncio.Event()
        self.telemetry = adapters.telemetry
        self._stopping = False
        self._keeps_deadlines = bool(pipeline.DEADLINE_KEEPERS & set(stages))
        #: The broker's URL at the last look, and when its connection was lost, on the clock of ``time.monotonic``.
        self._connected_to = ""
        self._lost_at_s = 0.0
        self._watchdog = Watchdog()
        # Not the clients' inbox: prompts and drafts are delivered here.
        access: dict[str, Any] = {
            "inbox_prefix": "_INBOX_stages",
            **sign_in(connection.options(settings.nats)),
        }
        self.broker = StageBroker(
            servers(settings.nats_url or "nats://127.0.0.1:4222"),
            apply_types=False,
            logger=None,
            reconnect_time_wait=_RECONNECT_S,  # pyright: ignore[reportArgumentType] - seconds, fractions too
            reconnected_cb=self._reconnected,
            closed_cb=self._closed,
            disconnected_cb=self._disconnected,
            error_cb=self._trouble,
            # The stage that arms deadlines knows its own results, and needs those of other processes.
            no_echo=set(stages) <= pipeline.DEADLINE_KEEPERS,
            graceful_timeout=settings.grace,
            **access,
        )
        self._runners = self._build_runners(handles, sink)
        self.subscribers = self._build_subscribers()
        self.app = FastStream(
            self.broker,
            logger=None,
            on_startup=[self._connect],
            after_startup=[self._started],
            on_shutdown=[self._drain],
        )

    def _build_runners(self, handles: Mapping[str, Handle], sink: Sink | None) -> dict[str, Runner]:
        adapters = self.adapters
        ports = RunnerPorts(
            wire=adapters.wire,
            lookup=adapters.lookup,
            assets=adapters.assets,
            clock=adapters.clock,
            batches=adapters.batches,
            isolation=Isolation(),
            cancellation=Cancellation(wire=adapters.wire, lookup=adapters.lookup),
            deadlines=adapters.deadlines,
            max_attempts=self.settings.max_attempts,
            telemetry=self.telemetry,
        )
        return {
            stage: Runner(stage=stage, handle=handles[stage], ports=ports, sink=sink) for stage in self.stages
        }

    def _build_subscribers(self) -> list[CreditSubscriber]:
        settings = self.settings
        return [
            CreditSubscriber(
                broker=self.broker,
                route=route,
                runner=self._runners[route.stage],
                credits=settings.concurrency.of(route.stage),
                heartbeat_s=settings.ack_wait_of(route.stage) / 3,
                grace_s=settings.grace,
                lost=self._lost,
                expires_s=SHORT_S if pipeline.STAGE_OF[route.stage].short_leases else EXPIRES_S,
            )
            for route in pipeline.routes()
            if route.stage in self._runners
        ]

    @property
    def stopping(self) -> bool:
        """Whether it drains, or has drained."""
        return self._stopping

    async def _connect(self) -> None:
        client = await self.broker.connect()
        connection.require_tls(client, self.settings.nats_url or "", self.settings.nats)
        await self.adapters.wire.open(client)
        if pipeline.INTAKE & set(self.stages):
            await self.adapters.cache.open()
        await direct.listen(client, cache_store.FORGET, self._forget)
        await topology.require(client, self.settings, self.stages)
        await self.adapters.clock.compare()
        if self._keeps_deadlines:
            for answer in ("result", "shadowed"):
                await direct.listen(client, f"gen.{answer}.*.*", self._ended)
        self._watchdog.start()

    def _forget(self, _: Msg) -> None:
        """Somebody's data was purged."""
        self.adapters.cache.forget()
        self.adapters.responses.clear()

    async def _started(self) -> None:
        # These objects stay: a request of 20,000 lists must not make the collector visit all of them.
        gc.collect()
        gc.freeze()
        if self._keeps_deadlines:
            # A deadline leaves no time for the start of a process.
            self.adapters.schema_worker.start()
        self.ready.set()
        self.telemetry.emit(
            StagesReady(
                stages="+".join(self.stages), broker=self.broker_address(), metrics=self.metrics_address
            )
        )

    async def answer_overdue(self) -> None:
        """Answer requests whose deadline timers are late; for the stage that arms deadlines."""
        (runner,) = (self._runners[stage] for stage in self.stages if stage in pipeline.DEADLINE_KEEPERS)
        await self.adapters.deadlines.watch(runner)

    async def answer_missed(self) -> None:
        """Answer requests whose deadlines an earlier life armed and the broker missed; as above."""
        await self.ready.wait()
        adapters = self.adapters
        await EarlierDeadlines(wire=adapters.wire, clock=adapters.clock, deadlines=adapters.deadlines).run()

    async def admit(self) -> None:
        """Limit the requests that the broker accepts to those that can be answered; for the stage that arms deadlines."""
        # A call from before the connection would wait for its time-out.
        await self.ready.wait()
        await Admission(
            wire=self.adapters.wire,
            deadlines=self.adapters.deadlines,
            bounds=self.settings.admission,
            telemetry=self.telemetry,
        ).run()

    def begin(self, background: Background) -> None:
        """Begin this process's work beside its stages."""
        background.keep_running("clock", self.keep_time)
        if self.adapters.providers and STRUCTURING in self.stages:
            background.keep_running("windows", self.check_windows)
        if self._keeps_deadlines:
            background.keep_running("overdue", self.answer_overdue)
            background.keep_running("missed deadlines", self.answer_missed)
            background.keep_running("admission", self.admit)

    def _ended(self, msg: Msg) -> None:
        # What came over a subject of results under a subject of its own is none.
        if not pipeline.is_foreign(pipeline.EVENTS, msg.subject):
            self.adapters.deadlines.ended(msg.subject.rpartition(".")[2], stored=False)

    async def keep_time(self) -> None:
        """Compare this machine's clock with the broker's at intervals."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.adapters.clock.compare()

    async def load_models(self, *, on_loading: Callable[[str], None] | None = None) -> None:
        """Load the local model before the first request needs it; a failure is emitted.

        Args:
            on_loading: called with the name of each model when its loading begins.
        """
        await self.ready.wait()
        for provider in self.adapters.providers:
            if not isinstance(provider, Loading):
                continue
            began = time.monotonic()
            self.loading = True
            self.telemetry.emit(ModelLoading(provider=provider.name, model=provider.model))
            if on_loading is not None:
                on_loading(provider.model)
            try:
                await provider.ready()
            except EngineError as error:
                self.telemetry.emit(ModelFailed(provider=provider.name, problem=str(error)))
            else:
                seconds = round(time.monotonic() - began, 1)
                self.telemetry.emit(
                    ModelLoaded(provider=provider.name, model=provider.model, seconds=seconds)
                )
            self.loading = False
        self.loaded.set()

    async def check_windows(self) -> None:
        """Emit the kinds that do not fit the window of their model; for one of the stages that call models."""
        from infra.app import model_checks  # noqa: PLC0415 - jsonschema and the prompts, in one process alone

        await self.ready.wait()
        await model_checks.emit_misfits(self.settings, self.telemetry)

    async def _trouble(self, error: Exception) -> None:
        # nats-py's default prints a traceback for every lost connection.
        self.telemetry.emit(ConnectionTrouble(problem=error_text(error)))
        refused = refusal(error)
        if refused is None and not is_sign_in(error):
            return
        # No other try helps: what stages need, their role allows.
        problem = "the broker does not know this user any more"
        if refused is not None:
            role = roles.of_stages(self.stages) if self.settings.nats.nkey is not None else None
            problem = roles.explain(role, refused.verb, refused.subject)
            self.adapters.wire.refuse(refused.subject, problem)
        self.telemetry.emit(PermissionRefused(stages=self.stages, problem=problem))
        self._stop_with(NOT_ALLOWED)

    async def _disconnected(self) -> None:
        if not self._stopping:
            self._lost_at_s = time.monotonic()
            self.telemetry.emit(ConnectionLost(stages=self.stages, broker=self.broker_address()))
        self.adapters.wire.suspend()

    async def _reconnected(self) -> None:
        seconds = round(time.monotonic() - self._lost_at_s, 1)
        self.telemetry.emit(
            ConnectionRestored(stages=self.stages, broker=self.broker_address(), seconds=seconds)
        )
        # A purge meanwhile was not heard of.
        self.adapters.cache.forget()
        self.adapters.responses.clear()
        self.adapters.deadlines.reconnected()
        self.adapters.wire.renew()
        for subscriber in self.subscribers:
            subscriber.pull.renew()

    def broker_address(self) -> str:
        """URL of the broker that this process is or was last connected to, without its credentials."""
        url = self.adapters.wire.client.connected_url
        if url is not None:
            self._connected_to = f"{url.scheme}://{url.hostname}:{url.port}"
        return self._connected_to

    async def _closed(self) -> None:
        if not self._stopping:
            self.telemetry.emit(ConnectionClosed(stages=self.stages))
            self._stop_with(FROZEN)

    def _lost(self, error: ConsumerMissing) -> None:
        self.telemetry.emit(ConsumerLost(stages=self.stages, problem=str(error)))
        self._stop_with(topology.EXIT_STATUS)

    def fail(self) -> None:
        """End the process: work beside its stages failed."""
        self._stop_with(FROZEN)

    def _stop_with(self, status: int) -> None:
        self.exit_status = status
        self.app.exit()

    async def _drain(self) -> None:
        self._stopping = True
        began_s = time.monotonic()
        stages, in_hand = "+".join(self.stages), sum(each.pull.in_hand for each in self.subscribers)
        self.telemetry.emit(StagesStopping(stages=stages, in_hand=in_hand))
        await asyncio.gather(*(subscriber.pull.stop(self.settings.grace) for subscriber in self.subscribers))
        await self.adapters.close()
        self._watchdog.stop()
        seconds = round(time.monotonic() - began_s, 1)
        self.telemetry.emit(StagesStopped(stages=stages, status=self.exit_status, seconds=seconds))

    async def run(self) -> int:
        """Run until a signal or a lost consumer; the exit status."""
        await self.app.run(log_level=logging.WARNING)
        return self.exit_status

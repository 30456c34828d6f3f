"""How are the parts put together? The one composition root.

Everything that a process needs is built here and passed down; nothing opens before ``run_stages``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from faststream import FastStream
from faststream.nats import NatsBroker

from contracts import pipeline
from contracts.content.registry import Registry
from contracts.envelope import Received
from contracts.outcome import Emit
from contracts.policy.explicitness import ExplicitWords
from infra.app.background import Background
from infra.app.context_ports import context_ports, forms
from infra.app.schema_checks import CheckedContents, SchemaWorker
from infra.app.sharing import SingleFlight
from infra.engine.task import EngineError
from infra.nats import connection, topology
from infra.nats.accounts import KvAccounts
from infra.nats.batches import Batches
from infra.nats.clock import EVERY_S, BrokerClock
from infra.nats.flights import Flights
from infra.nats.lookup import Lookup
from infra.nats.multiplexer import RequestMultiplexer
from infra.nats.pull import EXPIRES_S, SHORT_S
from infra.nats.result_wait import ResultWait
from infra.nats.scene_log import LoggedScenes
from infra.providers.reservation import StructuringReservations
from infra.providers.routing import Loading, providers, refused_schemas
from infra.replay.lineage import Lineage, revises
from infra.runner.admission import Admission
from infra.runner.cancellation import Cancellation
from infra.runner.deadlines import Deadlines
from infra.runner.execution import Handle, Runner, Sink
from infra.runner.isolation import Isolation
from infra.runner.ports import RunnerPorts
from infra.runner.progress import Announcer
from infra.runner.subscriber import CreditSubscriber
from infra.runner.watchdog import FROZEN, Watchdog
from infra.stores import prompts as prompt_store
from infra.stores import samples as sample_store
from infra.stores import templates as template_store
from infra.stores import word_lists
from infra.stores import worlds as world_store
from infra.stores.assets import Assets
from infra.stores.cache_stats import CacheStats
from infra.stores.cache_store import CacheMemory, CacheStore
from infra.stores.drift_ledger import KvDriftLedger
from infra.telemetry import logging as telemetry_logging
from stages.audit import handle as audit
from stages.context_build import handle as context_build
from stages.context_build import scenes, single_flight
from stages.context_build.layering import overrides
from stages.fallback import handle as fallback
from stages.fallback.plan import planner
from stages.freeform_gen import handle as freeform_gen
from stages.structuring import handle as structuring
from stages.validate_repair import handle as validate_repair
from stages.validate_repair.caching import keep

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from contracts.outcome import Outcome
    from contracts.policy.social import Worlds
    from contracts.ports import Contents, Explicitness, Prompts, Provider, Samples, Templates
    from infra.nats.pull import ConsumerMissing
    from infra.providers.breaker import Breaker
    from infra.settings.settings import Settings
    from infra.telemetry.metrics import Exporter

#: Seconds between two tries to reach a lost broker.
_RECONNECT_S = 0.2


class Application:
    """The stages of one process and the FastStream application that carries them.

    Args:
        settings: this process's settings.
        stages: names of the stages to run.
        sink: where audit's rows go; needed with stage ``audit``.
    """

    def __init__(self, settings: Settings, stages: tuple[str, ...], *, sink: Sink | None = None) -> None:
        self.settings = settings
        self.stages = stages
        self.exit_status = 0
        #: Does a thread load a model just now?
        self.loading = False
        self.wire = RequestMultiplexer()
        self.lookup = Lookup(self.wire)
        self.assets = Assets(self.wire)
        self.clock = BrokerClock(self.wire)
        self.batches = Batches(self.wire)
        self.deadlines = Deadlines(self.clock)
        self.accounts = KvAccounts(wire=self.wire, lookup=self.lookup, clock=self.clock.now)
        self._ahead = StructuringReservations(ResultWait(wire=self.wire, lookup=self.lookup).within)
        self.ready: asyncio.Event = asyncio.Event()
        self.log = structlog.get_logger()
        self.providers: list[Provider] = []
        self.breakers: list[Breaker] = []
        self.hits = CacheStats(wire=self.wire, instance=uuid.uuid4().hex)
        kept = settings.result_cache
        self.results = CacheStore(
            wire=self.wire,
            lookup=self.lookup,
            assets=self.assets,
            memory=CacheMemory(entries=kept.entries, max_bytes=kept.max_bytes),
            hits=self.hits,
            log=self.log,
        )
        self._sharing = SingleFlight(
            results=self.results,
            flights=Flights(wire=self.wire, lookup=self.lookup),
            lookup=self.lookup,
            hits=self.hits,
            clock=self.clock.now_ms,
        )
        self._ledger = KvDriftLedger(wire=self.wire, lookup=self.lookup, hits=self.hits, log=self.log)
        self._schema_worker = SchemaWorker()
        self._stopping = False
        self._watchdog = Watchdog()
        self.broker = NatsBroker(
            connection.servers(settings.nats_url or "nats://127.0.0.1:4222"),
            apply_types=False,
            logger=None,
            reconnect_time_wait=_RECONNECT_S,  # pyright: ignore[reportArgumentType] - seconds, fractions too
            reconnected_cb=self._reconnected,
            closed_cb=self._closed,
            disconnected_cb=self._disconnected,
            error_cb=self._trouble,
            # Not where clients listen: prompts and drafts are delivered there.
            inbox_prefix="_INBOX_stages",
            # The fallback knows its own answers, and hears of those of other processes.
            no_echo=stages == ("fallback",),
            graceful_timeout=settings.grace,
            **connection.options(settings.nats),
        )
        handles = self._handles()
        ports = RunnerPorts(
            wire=self.wire,
            lookup=self.lookup,
            assets=self.assets,
            clock=self.clock,
            batches=self.batches,
            isolation=Isolation(),
            cancellation=Cancellation(wire=self.wire, lookup=self.lookup),
            deadlines=self.deadlines,
            max_attempts=settings.max_attempts,
            log=self.log,
        )
        self.subscribers: list[CreditSubscriber] = []
        runners = self._runners = {
            stage: Runner(stage=stage, handle=handles[stage], ports=ports, sink=sink) for stage in stages
        }
        for route in pipeline.routes():
            if route.stage in runners:
                self.subscribers.append(
                    CreditSubscriber(
                        broker=self.broker,
                        route=route,
                        runner=runners[route.stage],
                        credits=settings.concurrency.of(route.stage),
                        heartbeat_s=settings.ack_wait_of(route.stage) / 3,
                        grace_s=settings.grace,
                        lost=self._lost,
                        expires_s=SHORT_S if pipeline.STAGE_OF[route.stage].short_leases else EXPIRES_S,
                    )
                )
        self.app = FastStream(
            self.broker,
            logger=None,
            on_startup=[self._connect],
            after_startup=[self._started],
            on_shutdown=[self._drain],
        )

    def _handles(self) -> dict[str, Handle]:
        settings = self.settings
        refuses = refused_schemas(settings)
        contents: Contents = CheckedContents(
            Registry(refuses=refuses), self._schema_worker, grammar=refuses is not None
        )
        samples: Samples = sample_store.load(*settings.sample_folders)
        # A prompt that cannot be used stops nobody who does not need it, the fallback least of all.
        prompts: Prompts = (
            prompt_store.load(*settings.prompt_folders)
            if "context-build" in self.stages
            else prompt_store.PromptStore((), {})
        )
        # The same for templates: one that the fallback cannot read, it says.
        templates: Templates = template_store.load(
            settings.templates_dir, strict="context-build" in self.stages
        )
        worlds = self._worlds()
        explicitness: Explicitness = (
            word_lists.load(settings.rating_words) if "validate-repair" in self.stages else ExplicitWords(())
        )
        expensive = pipeline.EXPENSIVE & set(self.stages)
        routed = (
            providers(
                settings,
                accounts=self.accounts,
                on_made=self.providers.append,
                on_guarded=self.breakers.append,
                ahead=self._ahead,
            )
            if expensive
            else {}
        )
        scene_log = LoggedScenes(self.lookup)
        build = partial(
            self._build,
            **context_ports(
                settings,
                contents=contents,
                samples=samples,
                prompts=prompts,
                templates=templates,
                worlds=worlds,
            ),
        )
        of_plots = partial(
            scenes.handle, log=scene_log, clock=self.clock.now_ms, in_flight=settings.scenes_in_flight
        )
        told = Lineage(self.lookup)

        def by_name(received: Received[Any]) -> Outcome | Awaitable[Outcome]:
            return (of_plots if received.name == "plotted" else build)(received)

        return {
            "context-build": partial(
                _of_lineage,
                told,
                by_name,
            ),
            "freeform-gen": partial(self._write, providers=routed),
            "structuring": partial(self._structure, providers=routed, contents=contents),
            "validate-repair": partial(
                _of_lineage,
                told,
                self._check,
                forms=forms(contents),
                contents=contents,
                explicitness=explicitness,
                max_reasks=settings.max_reasks,
                accept_filled=settings.accept_filled,
            ),
            "fallback": partial(
                _of_lineage,
                told,
                fallback.handle,
                log=self.lookup,
                scene_log=scene_log,
                samples=samples,
                contents=contents,
                plan_of=planner(
                    templates=templates,
                    overrides=overrides,
                    worlds=worlds,
                    default_deadline_ms=settings.deadline_ms,
                ),
            ),
            "audit": partial(audit.handle, store_prompts=settings.audit.store_prompts),
        }

    def _worlds(self) -> Worlds:
        try:
            return world_store.load(self.settings.worlds_dir)
        except world_store.WorldError as error:
            if "context-build" in self.stages:
                raise
            # The fallback answers without them, at sfw.
            self.log.warning("worlds left out", problem=str(error), stages=self.stages)
            return world_store.WorldStore({})

    async def _build(self, received: Received[Any], **ports: Any) -> Outcome:
        outcome = await context_build.handle(received, **ports)
        built = single_flight.wants(outcome, received.request_id)
        if built is None or built.brief.slot is None:
            return outcome
        return await self._sharing.settle(built, built.brief.slot, outcome, received.request_id)

    async def _check(self, received: Received[Any], *, forms: dict[str, str], **ports: Any) -> Outcome:
        outcome = await validate_repair.handle(received, **ports)
        outcome = await self._ledger.checked(received, outcome, form=forms[received.kind])
        found = keep(received, outcome) if self.settings.result_cache.enabled else None
        if found is not None:
            # Before the result goes out: whoever sees the result finds the entry.
            await self.results.put(found.slot, found.kept)
        return outcome

    async def _write(self, received: Received[Any], *, providers: dict[str, Provider]) -> Outcome:
        announce = self._announcer(received, freeform_gen.STAGE)
        try:
            outcome = await freeform_gen.handle(received, providers=providers, announce=announce)
        finally:
            announce.close()
        if not isinstance(outcome, Emit):
            # No draft, so nothing to structure.
            self._ahead.release(received.request_id)
        return outcome

    async def _structure(
        self, received: Received[Any], *, providers: dict[str, Provider], contents: Contents
    ) -> Outcome:
        announce = self._announcer(received, structuring.STAGE)
        try:
            outcome = await structuring.handle(
                received, providers=providers, contents=contents, announce=announce
            )
        finally:
            announce.close()
        # Answered from a cache, or not at all.
        self._ahead.release(received.request_id)
        return outcome

    def _announcer(self, received: Received[Any], stage: str) -> Announcer:
        return Announcer(
            client=self.wire.client,
            kind=received.kind,
            request_id=received.request_id,
            stage=stage,
            attempt=received.event.attempt,
        )

    async def _connect(self) -> None:
        client = await self.broker.connect()
        connection.require_tls(client, self.settings.nats_url or "", self.settings.nats)
        await self.wire.open(client)
        if "context-build" in self.stages:
            await self.results.open()
        await topology.require(client, self.settings, self.stages)
        await self.clock.compare()
        if "fallback" in self.stages:
            await client.subscribe("gen.result.*.*", cb=self._ended)
        self._watchdog.start()

    async def _started(self) -> None:
        # What is there by now stays: a request of 20,000 lists must not have the collector look at all of it.
        gc.collect()
        gc.freeze()
        if "fallback" in self.stages:
            # A stand-in is needed now, not when a process has started.
            self._schema_worker.start()
        self.ready.set()

    async def answer_overdue(self) -> None:
        """Answer what the broker's timers have not reached; for the fallback."""
        await self.deadlines.watch(self._runners["fallback"])

    async def admit(self) -> None:
        """Keep what the broker accepts at what can be answered; for the fallback."""
        await Admission(
            wire=self.wire, deadlines=self.deadlines, bounds=self.settings.admission, log=self.log
        ).run()

    def begin(self, background: Background) -> None:
        """Begin the work beside the stages of this process."""
        background.repeated("clock", self.keep_time)
        if "fallback" in self.stages:
            background.repeated("overdue", self.answer_overdue)
            background.repeated("admission", self.admit)

    async def _ended(self, msg: Msg) -> None:
        self.deadlines.ended(msg.subject.rpartition(".")[2], stored=False)

    async def keep_time(self) -> None:
        """Compare this machine's clock with the broker's, again and again."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.clock.compare()

    async def load_models(self, *, told: Callable[[str], None] | None = None) -> None:
        """Load the local model before the first request waits for it; what cannot be is logged.

        Args:
            told: gets the name of each model when its loading begins.
        """
        await self.ready.wait()
        for provider in self.providers:
            if not isinstance(provider, Loading):
                continue
            began = time.monotonic()
            self.loading = True
            if told is not None:
                told(provider.model)
            try:
                await provider.ready()
            except EngineError as error:
                self.log.error(  # noqa: TRY400 - the text says it all
                    "the model cannot be loaded", provider=provider.name, problem=str(error)
                )
            else:
                self.log.info(
                    "model loaded", model=provider.model, seconds=round(time.monotonic() - began, 1)
                )
            self.loading = False

    async def _trouble(self, error: Exception) -> None:
        # nats-py's own default prints a traceback for every lost connection.
        self.log.debug("broker", problem=str(error) or type(error).__name__)

    async def _disconnected(self) -> None:
        if not self._stopping:
            self.log.warning("connection to the broker lost; trying to get it back", stages=self.stages)
        self.wire.suspend()

    async def _reconnected(self) -> None:
        at = self.broker_address()
        self.log.info("connected to the broker again", broker=at, stages=self.stages)
        self.results.forget()
        self.deadlines.reconnected()
        self.wire.renew()
        for subscriber in self.subscribers:
            subscriber.pull.renew()

    def broker_address(self) -> str:
        """Host and port of the broker that this process is connected to."""
        url = self.wire.client.connected_url
        return "" if url is None else f"{url.hostname}:{url.port}"

    async def _closed(self) -> None:
        if not self._stopping:
            self.log.error("the connection to the broker was closed for good", stages=self.stages)
            self._stop_with(FROZEN)

    def _lost(self, error: ConsumerMissing) -> None:
        self.log.error("consumer lost", problem=str(error))
        self._stop_with(topology.EXIT_STATUS)

    def fail(self) -> None:
        """End the process: work beside its stages failed."""
        self._stop_with(FROZEN)

    def _stop_with(self, status: int) -> None:
        self.exit_status = status
        self.app.exit()

    async def _drain(self) -> None:
        self._stopping = True
        await asyncio.gather(*(subscriber.pull.stop(self.settings.grace) for subscriber in self.subscribers))
        await self.hits.close()
        await self._ahead.close()
        await self.accounts.close()
        await self.wire.close()
        self._schema_worker.close()
        self._watchdog.stop()

    async def run(self) -> int:
        """Run until a signal or a lost consumer; the exit status."""
        await self.app.run(log_level=logging.WARNING)
        return self.exit_status


def _of_lineage(
    lineage: Lineage,
    handle: Callable[..., Outcome | Awaitable[Outcome]],
    received: Received[Any],
    **ports: Any,
) -> Outcome | Awaitable[Outcome]:
    """What becomes of a message, with ``revised`` only for what is known to be a replay."""
    made = handle(received, **ports)
    if isinstance(made, Awaitable):
        return _settled(lineage, received, made)
    return lineage.checked(received, made) if revises(made) else made


async def _settled(lineage: Lineage, received: Received[Any], made: Awaitable[Outcome]) -> Outcome:
    return await lineage.checked(received, await made)


async def run_stages(
    settings: Settings,
    stages: tuple[str, ...],
    *,
    json_ready: bool = False,
    on_loading: Callable[[str], None] | None = None,
    leave: Callable[[int], NoReturn] | None = None,
) -> int:
    """Run stages in this process until SIGTERM; what ``understudy run`` does.

    Args:
        settings: this process's settings.
        stages: names of the stages.
        json_ready: print ``{"ready": true, "stages": […]}`` when all are bound and the local model is loaded.
        on_loading: gets a model's name when its loading begins.
        leave: ends the process at once; called instead of returning while a model loads, which nothing can stop.

    Returns:
        the exit status; 78 when the topology is missing or differs.

    Raises:
        UnderstudyError: a start that cannot succeed (samples, prompts, settings, database).
    """
    telemetry_logging.configure(settings)
    sink: Any = None
    sweep: Callable[[Application], Coroutine[Any, Any, None]] | None = None
    if "audit" in stages:
        from infra.stores import audit as audit_store  # noqa: PLC0415 - only audit needs the database

        sink = await audit_store.open_sink(settings)
        sweep = partial(audit_store.sweep_forever, settings=settings, sink=sink)
    application = Application(settings, stages, sink=sink)
    background = Background(application.log, failed=application.fail)
    exporter: Exporter | None = None

    async def announce() -> None:
        # Whoever waits for it has a deadline of seconds in mind; what was published before is taken up meanwhile.
        await application.load_models(told=on_loading)
        if json_ready:
            sys.stdout.write(json.dumps({"ready": True, "stages": list(stages)}) + "\n")
            sys.stdout.flush()

    background.needed("loading", announce())
    application.begin(background)
    if sweep is not None:
        background.repeated("sweeper", partial(sweep, application))
    try:
        if settings.metrics and application.breakers:
            from infra.telemetry import metrics  # noqa: PLC0415 - only where somebody asks

            exporter = metrics.exporter(settings.metrics, application.breakers, application.log)
        status = await application.run()
    except topology.TopologyError as error:
        sys.stderr.write(f"{error}\n")
        status = topology.EXIT_STATUS
    finally:
        await background.stop()
        if exporter is not None:
            exporter.close()
        if sink is not None:
            await sink.close()
    if application.loading and leave is not None:
        leave(status)
    return status

"""Composition root: ports bound to handlers, and the start of a process of stages.

Nothing opens before ``run_stages``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from contracts import pipeline
from contracts.content.registry import Registry
from contracts.errors import Misconfigured
from contracts.experiments import NO_EXPERIMENTS
from contracts.kinds import KINDS
from contracts.policy.explicitness import ExplicitWords
from infra.app import experiment_plans
from infra.app.adapters import Adapters
from infra.app.application import Application
from infra.app.background import Background
from infra.app.context_ports import brief_ports, schema_forms
from infra.app.process_monitor import ProcessMonitor
from infra.app.schema_checks import CheckedContents
from infra.app.tracing import Tracing
from infra.nats import topology
from infra.providers.routing import build_providers, refused_schemas
from infra.stores import prompts as prompt_store
from infra.stores import samples as sample_store
from infra.stores import templates as template_store
from infra.stores import vocabulary, word_lists
from infra.stores import worlds as world_store
from infra.telemetry import logging as telemetry_logging
from infra.telemetry.process_events import ExperimentsUnreadable, WorldsLeftOut
from stages.audit import handle as audit
from stages.context_build import handle as context_build
from stages.context_build.layering import overrides
from stages.context_build.single_flight import SingleFlight
from stages.fallback import handle as fallback
from stages.fallback.plan import planner
from stages.freeform_gen import handle as freeform_gen
from stages.structuring import handle as structuring
from stages.validate_repair import handle as validate_repair
from stages.validate_repair.quality import QualityGate
from stages.validate_repair.sense.words import EveryWord

if TYPE_CHECKING:
    from contracts.experiments import Experiments
    from contracts.policy.social import Worlds
    from contracts.ports import Contents, Explicitness, Prompts, Samples, Templates
    from infra.runner.execution import Handle, Sink
    from infra.settings.settings import Settings
    from infra.stores.audit import AuditSink
    from stages.validate_repair.sense.words import Vocabulary


def assemble(settings: Settings, stages: tuple[str, ...], *, sink: Sink | None = None) -> Application:
    """Build the application of a process.

    Args:
        settings: this process's settings.
        stages: names of the stages to run.
        sink: stores the rows of audit; for stage ``audit``.

    Raises:
        UnderstudyError: samples, prompts, templates, worlds or settings that cannot be used.
    """
    adapters = Adapters(settings)
    handles = bind_handlers(settings, stages, adapters)
    return Application(settings, stages, adapters=adapters, handles=handles, sink=sink)


def bind_handlers(settings: Settings, stages: tuple[str, ...], adapters: Adapters) -> dict[str, Handle]:
    """Bind the handler of every stage to its ports.

    Args:
        settings: this process's settings.
        stages: names of the stages that run; the files of the others need not be usable.
        adapters: the adapters of this process.

    Raises:
        UnderstudyError: samples, prompts, templates, worlds or settings that cannot be used.
    """
    builds = "context-build" in stages
    refuses = refused_schemas(settings)
    contents: Contents = CheckedContents(
        Registry(refuses=refuses), adapters.schema_worker, grammar=refuses is not None
    )
    samples: Samples = sample_store.load(*settings.sample_folders)
    prompts: Prompts = (
        prompt_store.load(*settings.prompt_folders) if builds else prompt_store.PromptStore((), {})
    )
    # The fallback reports in the result that it cannot read a template.
    templates: Templates = template_store.load(settings.templates_dir, strict=builds)
    worlds = _load_worlds(settings, stages, adapters)
    experiments = _load_experiments(settings, stages, adapters)
    explicitness: Explicitness = (
        word_lists.load(settings.rating_words) if "validate-repair" in stages else ExplicitWords(())
    )
    words: Vocabulary = vocabulary.load_english() if "validate-repair" in stages else EveryWord()
    routed = (
        build_providers(
            settings,
            accounts=adapters.accounts,
            on_made=adapters.providers.append,
            on_guarded=adapters.breakers.append,
            telemetry=adapters.telemetry,
            ahead=adapters.reservations,
            responses=adapters.responses,
        )
        if pipeline.EXPENSIVE & set(stages)
        else None
    )
    by_kind = {} if routed is None else routed.by_kind
    named = routed.find if routed is not None and by_kind else None
    return {
        "context-build": partial(
            context_build.handle,
            brief=brief_ports(
                settings,
                contents=contents,
                samples=samples,
                prompts=prompts,
                templates=templates,
                worlds=worlds,
                experiments=experiments,
            ),
            flights=SingleFlight(
                cache=adapters.cache,
                leases=adapters.leases,
                results=adapters.results,
                count=adapters.cache_stats.count,
                clock=adapters.clock.now_ms,
            ),
            scene_log=adapters.scene_log,
            scenes_in_flight=settings.scenes_in_flight,
            replays=adapters.replays,
            steps=adapters.steps,
            clock=adapters.clock.now_ms,
        ),
        "freeform-gen": partial(
            freeform_gen.handle,
            providers=by_kind,
            named=named,
            announce=adapters.announce,
            release=adapters.reservations.release,
        ),
        "structuring": partial(
            structuring.handle,
            providers=by_kind,
            named=named,
            contents=contents,
            announce=adapters.announce,
            release=adapters.reservations.release,
        ),
        "validate-repair": partial(
            validate_repair.handle,
            contents=contents,
            explicitness=explicitness,
            gate=QualityGate(vocabulary=words, bars=settings.quality.bar.by_kind(KINDS)),
            max_reasks=settings.max_reasks,
            accept_filled=settings.accept_filled,
            forms=schema_forms(contents),
            ledger=adapters.ledger,
            cache=adapters.cache if settings.result_cache.enabled else None,
            replays=adapters.replays,
        ),
        "fallback": partial(
            fallback.handle,
            log=adapters.lookup,
            scene_log=adapters.scene_log,
            samples=samples,
            contents=contents,
            plan_of=planner(
                templates=templates,
                overrides=overrides,
                worlds=worlds,
                default_deadline_ms=settings.deadline_ms,
            ),
            replays=adapters.replays,
            experiments=experiments,
        ),
        "audit": partial(audit.handle, store_prompts=settings.audit.store_prompts),
    }


def _load_worlds(settings: Settings, stages: tuple[str, ...], adapters: Adapters) -> Worlds:
    try:
        return world_store.load(settings.worlds_dir)
    except world_store.WorldError as error:
        if "context-build" in stages:
            raise
        # The fallback answers without worlds, at sfw.
        adapters.telemetry.emit(WorldsLeftOut(stages=stages, problem=str(error)))
        return world_store.WorldStore({})


def _load_experiments(settings: Settings, stages: tuple[str, ...], adapters: Adapters) -> Experiments:
    def tell(problem: str) -> None:
        adapters.telemetry.emit(ExperimentsUnreadable(problem=problem))

    try:
        return experiment_plans.open_store(settings, on_problem=tell)
    except Misconfigured as error:
        if "context-build" in stages:
            raise
        # The fallback answers all the same; results without a brief are in no arm.
        tell(str(error))
        return NO_EXPERIMENTS


async def run_stages(
    settings: Settings,
    stages: tuple[str, ...],
    *,
    json_ready: bool = False,
    on_loading: Callable[[str], None] | None = None,
    on_metrics: Callable[[str], None] | None = None,
    leave: Callable[[int], NoReturn] | None = None,
) -> int:
    """Run stages in this process until SIGTERM; what ``understudy run`` does.

    Args:
        settings: this process's settings.
        stages: names of the stages.
        json_ready: print ``{"ready": true, "stages": […], "metrics": "HOST:PORT"}`` when all are bound and the local
            model is loaded.
        on_loading: called with a model's name when its loading begins.
        on_metrics: called with the address of metrics and health, if there is one.
        leave: ends the process at once; called while a model loads, because its thread cannot be stopped.

    Returns:
        the exit status; 78 when the topology is missing or differs.

    Raises:
        UnderstudyError: a start that cannot succeed (samples, prompts, settings, database).
    """
    telemetry_logging.configure(settings)
    sink: Any = None
    sweep: Callable[[Application], Coroutine[Any, Any, None]] | None = None
    if pipeline.RECORDERS & set(stages):
        from infra.stores import audit as audit_store  # noqa: PLC0415 - only recorders need the database

        sink = await audit_store.open_sink(settings)
        sweep = partial(_sweep, sink=sink)
    application = assemble(settings, stages, sink=sink)
    background = Background(application.telemetry, failed=application.fail)
    monitor, tracing = ProcessMonitor(application), Tracing(application)

    async def announce() -> None:
        # Requests are accepted meanwhile; a caller that waits for this line expects answers within seconds.
        await application.load_models(on_loading=on_loading)
        if json_ready:
            ready = {"ready": True, "stages": list(stages), "metrics": monitor.address}
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()

    background.require("loading", announce())
    application.begin(background)
    if sweep is not None:
        background.keep_running("sweeper", partial(sweep, application))
    try:
        tracing.start()
        monitor.start()
        if monitor.address is not None:
            application.metrics_address = monitor.address
            background.keep_running("monitor", monitor.look)
            if on_metrics is not None:
                on_metrics(monitor.address)
        status = await application.run()
    except topology.TopologyError as error:
        sys.stderr.write(f"{error}\n")
        status = topology.EXIT_STATUS
    finally:
        await background.stop()
        await tracing.stop()
        monitor.stop()
        if sink is not None:
            await sink.close()
    if application.loading and leave is not None:
        leave(status)
    return status


async def _sweep(application: Application, *, sink: AuditSink) -> None:
    """Create the tables, then run the sweeper of the log beside the audit stage."""
    from infra.stores import sweeper  # noqa: PLC0415 - only recorders need the database

    await application.ready.wait()
    await sweeper.run(
        application.adapters.wire, sink.engine, application.settings, telemetry=application.telemetry
    )

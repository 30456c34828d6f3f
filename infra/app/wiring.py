"""Composition root: ports bound to handlers, and the start of a process of stages.

Nothing opens before ``run_stages``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from contracts import pipeline
from infra.app.adapters import Adapters
from infra.app.application import Application
from infra.app.background import Background
from infra.app.process_monitor import ProcessMonitor
from infra.app.stage_ports import StagePorts
from infra.app.tracing import Tracing
from infra.nats import topology
from infra.telemetry import logging as telemetry_logging

if TYPE_CHECKING:
    from infra.runner.execution import Handle, Sink
    from infra.settings.settings import Settings
    from infra.stores.audit import AuditSink


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
    """Bind the handlers of some stages to their ports.

    Args:
        settings: this process's settings.
        stages: names of the stages that run; the files of the others need not be usable.
        adapters: the adapters of this process.

    Raises:
        UnderstudyError: samples, prompts, templates, worlds or settings that cannot be used.
    """
    ports = StagePorts(settings, stages, adapters)
    return {
        stage: import_module(f"infra.app.bindings.{stage.replace('-', '_')}").bind(ports) for stage in stages
    }


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

"""`understudy up`, `run`, `demo` and `bench`."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from infra.settings.settings import Settings


def up(
    copies: Annotated[
        list[str] | None, typer.Option("--copies", metavar="STAGE=N", help="Number of processes for a stage.")
    ] = None,
    split: Annotated[bool, typer.Option("--split", help="One process per stage.")] = False,
    json: Json = False,
) -> None:
    """Run the whole pipeline: broker, topology and all stages, until Ctrl-C."""
    wanted = parse_copies(copies or [])
    settings = console.settings()
    from infra.providers import route_checks
    from infra.telemetry import logging

    route_checks.require(settings)
    logging.configure(settings)

    async def work() -> int:
        from infra.app import foreground, start_checks
        from infra.app.process_plan import SupervisorError

        # Once and before anything runs, so that not each process reports the same.
        await asyncio.to_thread(start_checks.check, settings)
        try:
            await foreground.up(
                settings,
                split=split,
                copies=wanted,
                on_ready=console.emit if json else partial(_say_ready, settings=settings),
            )
        except SupervisorError as error:
            console.complain(str(error))
            return error.status
        return console.DONE

    console.run(work())


def run(
    stages: Annotated[list[str], typer.Argument(metavar="STAGE…", help="Stages, such as context-build.")],
    json: Json = False,
) -> None:
    """Run some stages in this process, against a running broker."""
    from infra.host import heartbeat

    # Files with prompts: readable only by their owner.
    os.umask(0o077)
    beats_to = heartbeat.inherited()
    try:
        _run(tuple(dict.fromkeys(stages)), json=json, beats_to=beats_to)
    except Exception as error:
        if beats_to is not None and console.status_of(error) in {console.FAILED, console.USAGE}:
            console.emit({"problem": str(error)})
        raise


def _run(stages: tuple[str, ...], *, json: bool, beats_to: int | None) -> None:
    from contracts import pipeline, roles
    from infra.host import heartbeat
    from infra.settings.settings import stage_names

    names = stage_names(stages)
    settings = console.settings()
    settings.extensions.require()
    if pipeline.EXPENSIVE & set(names) or pipeline.helpers(names):
        from infra.providers import route_checks

        route_checks.require(settings, names)

    async def work() -> int:
        async with heartbeat.beating(beats_to):
            return await live()

    async def live() -> int:
        from infra.app import wiring
        from infra.nats.connection import dial, reach

        url, access = reach(settings, roles.name_of(names))
        # A stage waits without limit for a lost broker; a broker that was never reached is an error.
        await (await dial(url, name="understudy-run", access=access)).close()
        found = settings.model_copy(update={"nats_url": url, "nats": access})
        return await wiring.run_stages(
            found,
            names,
            json_ready=json,
            on_loading=None if beats_to is None else _say_loading,
            on_metrics=None if beats_to is None else _say_metrics,
            leave=_leave,
        )

    console.run(work())


def _say_loading(model: str) -> None:
    console.emit({"loading": model})


def _say_metrics(address: str) -> None:
    console.emit({"metrics": address})


def _leave(status: int) -> NoReturn:
    """Exit now: everything is closed, and a thread that loads a model would delay the exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def demo(
    stay: Annotated[
        bool, typer.Option("--stay", help="Then leave it running, with its console, until Ctrl-C.")
    ] = False,
) -> None:
    """Run a self-checking demonstration in a temporary folder.

    With USE_LOCAL_MODEL=true a small model generates first (extra gguf, no torch); otherwise golden samples answer.
    """
    # By name: infra.lab is above the command line, and not all of it is in the wheel.
    show: Any = import_module("infra.lab.demo")
    console.run(show.play(console.people(), with_model=console.settings().use_local_model, stay=stay))


def bench(context: typer.Context) -> None:
    """Measure the pipeline on this machine."""
    from importlib.util import find_spec

    if find_spec("infra.lab.bench") is None:
        raise console.Usage(
            "benchmarks come with the source tree alone: run `just install-dev` in a checkout, then "
            "`.venv/bin/understudy bench`"
        )
    import_module("infra.lab.bench.cli").app(args=context.args, prog_name="understudy bench")


def parse_copies(texts: list[str]) -> dict[str, int]:
    """Parse all ``STAGE=N`` options.

    Raises:
        Usage: it is not of that form; stage names are checked where they are used.
    """
    copies: dict[str, int] = {}
    for text in texts:
        stage, equals, number = text.partition("=")
        if not equals or not number.isdecimal() or int(number) < 1:
            raise console.Usage(f"--copies {text!r} is not STAGE=N, for instance validate-repair=2")
        copies[stage] = int(number)
    return copies


def _say_ready(ready: dict[str, Any], *, settings: Settings) -> None:
    from urllib.parse import urlsplit

    from infra.app.supervised_broker import moved
    from infra.nats import embedded

    out = console.people()
    url = str(ready["nats_url"])
    out.print(f"[bold green]ready[/] at {url}, {len(ready.get('pids', {}))} processes; Ctrl-C ends it")
    if settings.nats_url is None and settings.broker.port is None and urlsplit(url).port != embedded.PORT:
        out.print(f"[bold yellow]note[/] {moved(embedded.PORT, url)}", soft_wrap=True)
    if ready.get("nats_nkey"):
        out.print(f"key of the operator, for NATS tools: {ready['nats_nkey']}", soft_wrap=True, markup=False)
    if ready.get("http_url"):
        out.print(f"HTTP at {ready['http_url']}", soft_wrap=True)
    if ready.get("metrics_url"):
        out.print(
            f"metrics at {ready['metrics_url']}/metrics, health at /livez and /readyz there", soft_wrap=True
        )
    out.print('try: [bold]understudy request "a forest with three coins" --kind layout --wait[/]')

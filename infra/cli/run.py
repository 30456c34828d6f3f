"""How is the pipeline started?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json


def up(
    copies: Annotated[
        list[str] | None, typer.Option("--copies", metavar="STAGE=N", help="Run a stage N times in all.")
    ] = None,
    split: Annotated[bool, typer.Option("--split", help="One process per stage.")] = False,
    json: Json = False,
) -> None:
    """Run everything: broker, topology and all stages, kept running until Ctrl-C."""
    wanted = parse_copies(copies or [])
    settings = console.settings()
    from infra.providers import routing
    from infra.telemetry import logging

    routing.require(settings)
    logging.configure(settings)

    async def work() -> int:
        from infra import supervisor

        await supervisor.up(
            settings, split=split, copies=wanted, on_ready=console.emit if json else _say_ready
        )
        return console.DONE

    console.run(work())


def run(
    stages: Annotated[list[str], typer.Argument(metavar="STAGE…", help="Stages, as in the table.")],
    json: Json = False,
) -> None:
    """Run some stages in this process, against a broker that is there already."""
    from contracts import pipeline
    from infra.settings import stage_names

    names = stage_names(tuple(dict.fromkeys(stages)))
    settings = console.settings()
    if pipeline.EXPENSIVE & set(names):
        from infra.providers import routing

        routing.require(settings)

    async def work() -> int:
        from infra import wiring
        from infra.nats.connection import broker_url, dial

        url = broker_url(settings)
        # A stage waits for a lost broker for ever; one that was never there is a mistake to tell.
        await (await dial(url, name="understudy-run", access=settings.nats)).close()
        found = settings.model_copy(update={"nats_url": url})
        return await wiring.run_stages(found, names, json_ready=json)

    console.run(work())


def demo() -> None:
    """Show everything once, in a folder of its own, and check what is shown.

    With USE_LOCAL_MODEL=true a real model writes first; otherwise golden samples answer.
    """
    from infra import demo as show

    console.run(show.play(console.people(), with_model=console.settings().use_local_model))


def bench(context: typer.Context) -> None:
    """Measure the pipeline on this machine."""
    from importlib.util import find_spec

    if find_spec("infra.bench.cli") is None:
        raise console.Usage("this build has no benchmarks")
    from importlib import import_module

    import_module("infra.bench.cli").app(args=context.args, prog_name="understudy bench")


def parse_copies(texts: list[str]) -> dict[str, int]:
    """Read ``STAGE=N`` as often as it was given.

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


def _say_ready(ready: dict[str, Any]) -> None:
    out = console.people()
    out.print(
        f"[bold green]ready[/] at {ready['nats_url']}, {len(ready.get('pids', {}))} processes; Ctrl-C ends it"
    )
    out.print('try: [bold]understudy request "a forest with three coins" --kind layout --wait[/]')

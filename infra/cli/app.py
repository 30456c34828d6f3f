"""Commands and their groups.

Every command imports what it needs when it runs, so that ``understudy --help`` is quick.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from infra.cli import (
    audit,
    budgets,
    cache,
    checks,
    cluster,
    config,
    console,
    dead,
    evaluate,
    evaluations,
    experiments,
    models,
    preview,
    prompts,
    purge,
    replay,
    request,
    rerun,
    result,
    review,
    rubrics,
    rules,
    run,
    seed,
    serve,
    stats,
    tail,
    templates,
    tokens,
    validate,
    warm,
    why,
    worlds,
)

app: Final = typer.Typer(
    name="understudy",
    help="A generation pipeline on NATS JetStream: every request ends in exactly one labelled result.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 the request or check failed, 2 wrong usage, 3 cannot reach the broker.",
)

#: The distribution's name, and the one that it had before.
_DISTRIBUTIONS: Final = ("understudy-pipeline", "understudy")


def _version(wanted: bool) -> None:  # noqa: FBT001 - Typer calls it with the option's value
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    for name in _DISTRIBUTIONS:
        try:
            typer.echo(f"understudy {version(name)}")
        except PackageNotFoundError:
            continue
        raise typer.Exit
    raise console.Usage("the version is not known: this is a folder of sources that is not installed")


@app.callback()
def _every(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        return
    from infra.extensions.installed import install

    # Options may name the content kinds of extensions.
    install()


def help_(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND…", help="Command to explain.")
    ] = None,
) -> None:
    """Print the help for all commands or for one."""
    app(args=[*(command or ()), "--help"], prog_name=app.info.name)


_RUN: Final = "Run the pipeline"
_ASK: Final = "Ask and watch"
_DESIGN: Final = "Configure nodes"
_KEEP: Final = "Operate"

app.command("demo", rich_help_panel=_RUN)(run.demo)
app.command("up", rich_help_panel=_RUN)(run.up)
app.command("run", rich_help_panel=_RUN)(run.run)
app.command("serve", rich_help_panel=_RUN)(serve.serve)
app.command("request", rich_help_panel=_ASK)(request.request)
app.command("result", rich_help_panel=_ASK)(result.result)
app.command("wait", rich_help_panel=_ASK)(result.wait)
app.command("warm", rich_help_panel=_ASK)(warm.warm)
app.command("tail", rich_help_panel=_ASK)(tail.tail)
app.command("rerun", rich_help_panel=_ASK)(rerun.rerun)
app.command("compare", rich_help_panel=_ASK)(rerun.compare)
app.command("why", rich_help_panel=_ASK)(why.why)
app.command("cancel", rich_help_panel=_ASK)(why.cancel)
app.command("validate", rich_help_panel=_DESIGN)(validate.validate)
app.command("preview", rich_help_panel=_DESIGN)(preview.preview)
app.add_typer(rules.app, name="rules", rich_help_panel=_DESIGN)
app.add_typer(templates.app, name="templates", rich_help_panel=_DESIGN)
app.add_typer(prompts.app, name="prompts", rich_help_panel=_DESIGN)
app.add_typer(worlds.app, name="worlds", rich_help_panel=_DESIGN)
app.add_typer(rubrics.app, name="rubrics", rich_help_panel=_DESIGN)
app.add_typer(experiments.app, name="experiments", rich_help_panel=_DESIGN)
app.add_typer(review.app, name="review", rich_help_panel=_DESIGN)
app.command("evaluate", rich_help_panel=_DESIGN)(evaluate.evaluate)
app.add_typer(evaluations.app, name="evaluations", rich_help_panel=_DESIGN)
app.command("seed", rich_help_panel=_DESIGN)(seed.seed)
app.add_typer(dead.app, name="dead", rich_help_panel=_KEEP)
app.add_typer(replay.app, name="replay", rich_help_panel=_KEEP)
app.add_typer(budgets.app, name="budgets", rich_help_panel=_KEEP)
app.add_typer(audit.app, name="audit", rich_help_panel=_KEEP)
app.command("stats", rich_help_panel=_KEEP)(stats.stats)
app.command("purge", rich_help_panel=_KEEP)(purge.purge)
app.add_typer(cache.app, name="cache", rich_help_panel=_KEEP)
app.add_typer(checks.samples, name="samples", rich_help_panel=_KEEP)
checks.topology.command("cluster")(cluster.topology_cluster)
app.add_typer(checks.topology, name="topology", rich_help_panel=_KEEP)
app.add_typer(models.app, name="models", rich_help_panel=_KEEP)
app.add_typer(tokens.app, name="tokens", rich_help_panel=_KEEP)
app.command("doctor", rich_help_panel=_KEEP)(checks.doctor)
app.add_typer(config.app, name="config", rich_help_panel=_KEEP)
app.command("help", rich_help_panel=_KEEP)(help_)
app.command(
    "bench",
    rich_help_panel=_KEEP,
    # Its own application parses the options; it is loaded only when the command runs.
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(run.bench)

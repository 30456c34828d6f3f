"""`understudy experiments`: list, check, read, stop and promote."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from infra.app.experiment_desk import ExperimentRow
    from infra.inspect.experiments import ExperimentReading

app = typer.Typer(
    no_args_is_help=True, help="Experiments: split requests over prompts, models or parameters, and compare."
)


class ReadingFormat(StrEnum):
    """How a reading is printed."""

    TEXT = "text"
    JSON = "json"
    PROMPTFOO = "promptfoo"
    JUNIT = "junit"


_Name = Annotated[str, typer.Argument(metavar="NAME", help="The experiment: its file without `.toml`.")]


@app.command("ls")
def ls(json: Json = False) -> None:
    """List all experiments: state, unit, arms and goal."""
    import msgspec

    from infra.app.experiment_desk import list_experiments

    folder = console.settings().experiments_dir
    rows = list_experiments(folder)
    if json:
        console.emit(msgspec.to_builtins(rows))
        return
    from rich.text import Text

    from infra.cli.show import aligned

    cells = [
        (
            Text(each.name, style="bold"),
            _state(each),
            each.unit or "",
            ", ".join(f"{arm.name} {arm.weight}" for arm in each.arms),
            each.goal or "",
            each.says or "",
        )
        for each in rows
        if each.ok
    ]
    if not rows:
        console.note(f"no experiments in {folder}; docs/experiments.md says how to write one")
        return
    console.listed(aligned(("experiment", "state", "unit", "arms and weights", "goal", "says"), cells))
    unusable = [each.name for each in rows if not each.ok]
    if unusable:
        console.note(f"cannot be used: {', '.join(unusable)}; `understudy experiments check` says why")


@app.command("check")
def check(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="PATH", help="A file or a folder; default: the configured folder."),
    ] = None,
    json: Json = False,
) -> None:
    """Check experiments, also that prompts, models and values of every arm exist; exit status 1 if one cannot be used."""
    import msgspec

    from infra.app import experiment_desk, experiment_plans, experiment_trials
    from infra.stores import experiments as store

    settings = console.settings()
    where = path or settings.experiments_dir
    if not where.exists():
        raise console.Usage(
            f"{where} does not exist; give the folder of the experiments, or one of its files"
        )
    found = store.check(where)
    rows: list[ExperimentRow] = []
    for each in found:
        row = experiment_desk.to_row(each)
        problems = experiment_trials.find_problems(settings, each.plan) if each.plan else []
        if problems:
            row = msgspec.structs.replace(row, ok=False, error="; ".join(problems))
        rows.append(row)
    overlaps = experiment_plans.find_overlaps([each.plan for each in found if each.plan])
    if json:
        console.emit(msgspec.to_builtins(rows))
    else:
        _print_checked(rows)
    for each in overlaps:
        console.note(f"warning: {each}")
    console.end(console.DONE if all(each.ok for each in rows) else console.FAILED)


@app.command("show")
def show(
    name: _Name,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="AGE|TIME", help="Only results since then, such as 7d; default: all."
        ),
    ] = None,
    output: Annotated[
        ReadingFormat,
        typer.Option("--format", metavar="text|json|promptfoo|junit", help="How to print the reading."),
    ] = ReadingFormat.TEXT,
    fail_on_regression: Annotated[
        bool,
        typer.Option(
            "--fail-on-regression",
            help="Exit status 1 if an arm is worse than the control, or if the split is broken.",
        ),
    ] = False,
) -> None:
    """Read an experiment: the verdict, then each arm's results with their intervals.

    Every result counts for its arm; stand-ins, failures and cancellations are the arm's failures.
    """
    from infra.app import experiment_desk
    from infra.cli import audit_database
    from infra.stores import experiments as store

    plan = store.find(console.settings().experiments_dir, name)
    now_ms = int(time.time() * 1000)
    since_ms = _moment(since, now_ms)
    found = audit_database.read(
        lambda engine: experiment_desk.read(engine, plan, since_ms=since_ms, now_ms=now_ms)
    )
    _print_reading(found, output)
    wrong = found.verdict == "broken_split" or found.regressed
    console.end(console.FAILED if fail_on_regression and wrong else console.DONE)


@app.command("stop")
def stop(name: _Name, json: Json = False) -> None:
    """Stop an experiment: every request gets the control; running stages follow within a second."""
    _stop(name, None, json=json)


@app.command("promote")
def promote(
    name: _Name,
    arm: Annotated[str, typer.Argument(metavar="ARM", help="The arm that every request gets from now on.")],
    json: Json = False,
) -> None:
    """Stop an experiment and give every request one of its arms; running stages follow within a second."""
    _stop(name, arm, json=json)


def _stop(name: str, promoted: str | None, *, json: bool) -> None:
    import msgspec

    from infra.app import experiment_desk
    from infra.stores import experiments as store

    folder = console.settings().experiments_dir
    plan = store.stop(folder, name, promoted=promoted)
    if json:
        row = experiment_desk.to_row(store.check(folder / f"{name}.toml")[0])
        console.emit(msgspec.to_builtins(row))
        return
    console.people().print(experiment_desk.describe_end(plan), markup=False, soft_wrap=True)


def _moment(since: str | None, now_ms: int) -> int | None:
    from infra.inspect.request_filter import parse_moment

    if since is None:
        return None
    try:
        return parse_moment(since, now_ms)
    except ValueError as error:
        raise console.Usage(f"--since {since!r} {error}") from None


def _state(row: ExperimentRow) -> str:
    if not row.stopped:
        return "running"
    return f"stopped: {row.promoted or row.control} for all"


def _print_checked(rows: list[ExperimentRow]) -> None:
    from rich.text import Text

    from infra.cli.show import aligned

    lines = [
        (
            Text("ok", style="green") if each.ok else Text("wrong", style="bold red"),
            Text(each.name, style="bold"),
            each.file if each.ok else Text(each.error or "", style="red"),
        )
        for each in rows
    ]
    console.listed(aligned(("", "experiment", "file"), lines))


def _print_reading(found: ExperimentReading, output: ReadingFormat) -> None:
    import msgspec

    from infra.inspect import experiment_export

    match output:
        case ReadingFormat.JSON:
            console.emit(msgspec.to_builtins(found))
        case ReadingFormat.PROMPTFOO:
            console.emit(experiment_export.to_promptfoo(found))
        case ReadingFormat.JUNIT:
            console.people().print(experiment_export.to_junit(found), markup=False, soft_wrap=True)
        case ReadingFormat.TEXT:
            from infra.cli.experiment_table import render

            console.listed(render(found))

"""`understudy evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from infra.cli import console
from infra.cli.evaluation_output import Format, ReportFormat, write_report

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.app.evaluation_desk import EvaluationDesk
    from infra.app.evaluation_plan import PlannedRequest
    from infra.inspect.evaluation_comparison import RunComparison
    from infra.stores.evaluation_sets import EvaluationSet
    from infra.stores.evaluations import CaseResult, EvaluationRun, StoredRun

#: Requests without a result at a time: they use the models that real requests wait for.
_AT_ONCE: Final = 4


def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The set: a TOML file with cases.")],
    repeat: Annotated[
        int,
        typer.Option("--repeat", min=1, max=100, help="Run each case N times, each with a seed of its own."),
    ] = 1,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, max=256, help="Requests without a result at a time.")
    ] = _AT_ONCE,
    against: Annotated[
        int | None,
        typer.Option(
            "--against", metavar="RUN", help="Compare with this run; default: the last whole run of the set."
        ),
    ] = None,
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit status 1 if a measure is worse.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check the file alone; exit status 1 if it cannot be used.")
    ] = False,
    output_format: Format = ReportFormat.TEXT,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write the report to this file.")
    ] = None,
) -> None:
    """Run a set of wishes against the current routes, score them, and compare with the last stored run.

    No subscriber, cache or statistic sees the requests, and no cache answers them; their tokens count in the budgets.
    Stand-ins count as failures.
    """
    from infra.app import evaluation_plan
    from infra.stores import evaluation_sets
    from infra.stores.evaluation_sets import EvaluationSetError

    if output is not None and not output.parent.is_dir():
        raise console.Usage(f"--output {output}: {output.parent} is not a folder; make it first")
    settings = console.settings()
    try:
        evaluated = evaluation_sets.read(file)
        planned = evaluation_plan.plan_run(settings, evaluated, repeat=repeat)
    except EvaluationSetError as error:
        if not check:
            raise
        console.complain(str(error))
        raise typer.Exit(console.FAILED) from None
    if check:
        console.people().print(
            f"{file} can be used: {len(evaluated.cases)} cases, {len(planned)} requests",
            soft_wrap=True,
            markup=False,
        )
        return

    async def work() -> int:
        import asyncio

        from infra.app.evaluation_desk import EvaluationDesk, check_running, describe_run
        from infra.stores import evaluations
        from infra.stores.job_database import open_database

        async with console.connect(settings, waits=True) as client:
            await check_running(settings, client)
            async with open_database(settings, needed_by="evaluation runs") as engine:
                baseline = _find_baseline(engine, evaluated, against)
                desk = EvaluationDesk(settings, client, engine)
                begun = await asyncio.to_thread(describe_run, settings, evaluated, repeat=repeat)
                run = evaluations.begin(engine, begun)
                await _run(desk, run, planned, at_once=at_once)
                found = evaluations.find(engine, run.run)
        comparison = _compare(baseline, found)
        write_report(found, comparison, output_format, output)
        return _status(found, comparison, fail_on_regression=fail_on_regression)

    console.run(work())


def _find_baseline(engine: Engine, evaluated: EvaluationSet, against: int | None) -> StoredRun | None:
    from infra.stores import evaluations

    if against is None:
        return evaluations.find_last(engine, evaluated.name)
    found = evaluations.find(engine, against)
    if found.run.name != evaluated.name:
        console.note(f"run {against} is of the set {found.run.name}: only equal cases are compared")
    return found


async def _run(
    desk: EvaluationDesk, run: EvaluationRun, planned: tuple[PlannedRequest, ...], *, at_once: int
) -> None:
    done = 0
    status = console.errors().status(f"run {run.run}: 0 of {len(planned):,} results")

    def count(_: CaseResult) -> None:
        nonlocal done
        done += 1
        status.update(f"run {run.run}: {done:,} of {len(planned):,} results")

    try:
        with status:
            await desk.run(run, planned, at_once=at_once, on_result=count)
    finally:
        if done < len(planned):
            console.note(f"run {run.run} was interrupted: {done:,} of {len(planned):,} results are stored")


def _compare(baseline: StoredRun | None, found: StoredRun) -> RunComparison | None:
    from infra.inspect.evaluation_comparison import compare_runs

    return compare_runs(baseline, found) if baseline is not None and found.results else None


def _status(found: StoredRun, comparison: RunComparison | None, *, fail_on_regression: bool) -> int:
    from infra.stores.evaluations import RunState

    if found.run.state is not RunState.DONE:
        return console.FAILED
    if not any(each.valid for each in found.results):
        console.complain("no result has a model's content, so the run says nothing about the routes")
        return console.FAILED
    regressed = comparison is not None and comparison.regressed
    return console.FAILED if fail_on_regression and regressed else console.DONE

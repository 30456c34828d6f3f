"""`understudy evaluations`: stored runs of `understudy evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import audit_database, console
from infra.cli.console import Json, Limit
from infra.cli.evaluation_output import Format, ReportFormat, write_report

if TYPE_CHECKING:
    from infra.stores.evaluations import StoredRun

app = typer.Typer(
    no_args_is_help=True, help="Stored runs of `understudy evaluate`: list, show, compare, remove."
)

_Run = Annotated[int, typer.Argument(metavar="RUN", help="The run's number.")]


@app.command("ls")
def ls(
    name: Annotated[str | None, typer.Argument(metavar="SET", help="Only runs of this set.")] = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """List stored runs, newest first."""
    from infra.inspect.evaluation_scores import add_up
    from infra.stores import evaluations

    most = limit if json else limit or console.ROWS
    found = audit_database.read(
        lambda engine: evaluations.list_runs(engine, name=name, limit=None if most is None else most + 1)
    )
    some = found[:most]
    if json:
        import msgspec

        rows = [
            {**msgspec.to_builtins(each.run), "totals": msgspec.to_builtins(add_up(each.results, seed=""))}
            for each in some
        ]
        console.emit(rows)
        return
    if not found:
        console.note("no run is stored; `understudy evaluate FILE` makes one")
        return
    from infra.cli.show import aligned

    head = ("run", "set", "at", "state", "results", "valid", "quality", "judge", "p50", "cost")
    console.listed(aligned(head, [_row(each) for each in some]))
    console.left_out(len(found) - len(some), at_least=True)


@app.command("show")
def show(run: _Run, output_format: Format = ReportFormat.TEXT) -> None:
    """Show a run, compared with the last whole run of its set before it."""
    from infra.inspect.evaluation_comparison import compare_runs
    from infra.stores import evaluations

    found = audit_database.read(lambda engine: evaluations.find(engine, run))
    before = audit_database.read(lambda engine: evaluations.find_last(engine, found.run.name, before=run))
    comparison = compare_runs(before, found) if before is not None and found.results else None
    write_report(found, comparison, output_format)


@app.command("compare")
def compare(
    before: Annotated[int, typer.Argument(metavar="A", help="The earlier run's number.")],
    after: Annotated[int, typer.Argument(metavar="B", help="The later run's number.")],
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit status 1 if a measure of B is worse.")
    ] = False,
    output_format: Format = ReportFormat.TEXT,
) -> None:
    """Compare two runs: what of B is worse or better than in A, and about which cases."""
    from infra.inspect.evaluation_comparison import compare_runs
    from infra.stores import evaluations

    first, second = audit_database.read(
        lambda engine: (evaluations.find(engine, before), evaluations.find(engine, after))
    )
    comparison = compare_runs(first, second)
    write_report(second, comparison, output_format)
    console.end(console.FAILED if fail_on_regression and comparison.regressed else console.DONE)


@app.command("rm")
def rm(runs: Annotated[list[int], typer.Argument(metavar="RUN…", help="The runs' numbers.")]) -> None:
    """Remove runs."""
    from infra.stores import evaluations

    audit_database.read(lambda engine: evaluations.remove(engine, runs))
    console.note(f"removed {', '.join(map(str, runs))}")


def _row(each: StoredRun) -> tuple[str, ...]:
    from datetime import datetime

    from infra.inspect.evaluation_math import mean

    valid = [one for one in each.results if one.valid]
    scores = [one.quality for one in valid if one.quality is not None]
    judged = [one.judge_score for one in valid if one.judge_score is not None]
    latencies = sorted(one.latency_ms for one in valid if one.latency_ms is not None)
    costs = [one.cost for one in each.results if one.cost is not None]
    at = datetime.fromtimestamp(each.run.started_ms / 1000).astimezone()
    return (
        str(each.run.run),
        each.run.name,
        f"{at:%Y-%m-%d %H:%M}",
        str(each.run.state),
        f"{len(each.results):,}",
        f"{100 * len(valid) / len(each.results):.0f} %" if each.results else "-",
        f"{mean(scores):.2f}" if scores else "-",
        f"{mean(judged):.2f}" if judged else "-",
        f"{latencies[(len(latencies) - 1) // 2] / 1000:.2f} s" if latencies else "-",
        f"{sum(costs):.4g}" if costs else "-",
    )

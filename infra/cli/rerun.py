"""`understudy rerun` and `understudy compare`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from infra.cli import console, filters
from infra.cli.console import Json

if TYPE_CHECKING:
    from contracts.lineage import StartStage
    from infra.app.rerun_desk import RerunDesk
    from infra.inspect.comparison import Comparison
    from infra.inspect.outcomes import ComparedPair
    from infra.inspect.request_filter import RequestFilter
    from infra.replay.rerun_estimate import RerunEstimate
    from infra.replay.reruns import RerunOptions, RerunPlan
    from infra.settings.settings import Settings

#: Shadows without a result at a time.
_IN_FLIGHT: Final = 4
#: Originals that a line about them names.
_NAMED: Final = 3
#: The stage that the default starts at.
_FIRST: Final = "context-build"


@filters.accept()
def rerun(
    request_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The request to run again; or give filters.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a field, such as params.temperature=0.2, prompt=layout@2 or model=NAME; several are allowed.",
        ),
    ] = None,
    from_stage: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Start at this stage: context-build, structuring or validate-repair; what earlier stages wrote is kept.",
        ),
    ] = _FIRST,
    job: Annotated[
        str | None,
        typer.Option("--job", help="Name of the rerun; the same name continues one that was interrupted."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Most requests, the latest ones.")
    ] = None,
    in_flight: Annotated[
        int, typer.Option("--in-flight", min=1, max=1000, help="Requests without a result at a time.")
    ] = _IN_FLIGHT,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the results and compare them.")
    ] = True,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print how many would run, and tokens and money; publish nothing."),
    ] = False,
    json: Json = False,
    *,
    wanted: RequestFilter,
) -> None:
    """Run past requests again as shadows, and compare: no subscriber, cache or statistic sees the results."""
    from infra.replay.reruns import make_job_name

    if (request_id is None) == wanted.empty:
        raise console.Usage("give one ID, or filters such as --status and --since, not both")
    settings = console.settings()
    name = job or make_job_name(time.time())
    options = _read_options(settings, assignments or [], _start_stage(from_stage), name)

    async def work() -> int:
        from infra.app.rerun_desk import RerunDesk

        async with console.connect(settings, waits=True) as client:
            desk = RerunDesk(settings, client)
            ids = [request_id] if request_id is not None else await desk.select(wanted, limit=limit)
            plan = await desk.plan(ids, options, job=name)
            if dry_run or (json and not plan.items):
                _print_plan(plan, desk.estimate(plan, options), json=json)
                return console.DONE if plan.items else console.FAILED
            if not plan.items:
                print_refused(plan)
                console.complain("nothing was run" if plan.refused else "no requests match")
                return console.FAILED
            if not wait:
                await desk.publish(plan.items)
                _print_published(plan, json=json)
                return console.DONE
            return await _run(desk, plan, desk.estimate(plan, options), in_flight=in_flight, json=json)

    try:
        console.run(work())
    except KeyboardInterrupt:
        console.note(f"interrupted; the same command with --job {name} continues")
        raise typer.Exit(console.FAILED) from None


def compare(
    ids: Annotated[list[str] | None, typer.Argument(metavar="A B", help="Two request ids.")] = None,
    job: Annotated[str | None, typer.Option("--rerun", metavar="JOB", help="All pairs of a rerun.")] = None,
    pairs: Annotated[
        str | None,
        typer.Option("--pairs", metavar="FILE", help="A file with two ids a line; - is standard input."),
    ] = None,
    json: Json = False,
) -> None:
    """Compare two requests field by field, or many pairs: differing fields, validity, quality, tokens, cost, latency."""
    if sum((bool(ids), job is not None, pairs is not None)) != 1:
        raise console.Usage("give two ids, or --rerun JOB, or --pairs FILE")
    if ids and len(ids) != 2:  # noqa: PLR2004 - as the message says
        raise console.Usage(f"two ids are compared, not {len(ids)}")
    listed = _read_pairs(pairs) if pairs is not None else None

    async def work() -> int:
        from infra.app.rerun_desk import RerunDesk
        from infra.inspect.outcomes import ComparedPair

        settings = console.settings()
        async with console.connect(settings) as client:
            desk = RerunDesk(settings, client)
            if ids:
                (found,) = await desk.compare([ComparedPair(a=ids[0], b=ids[1])])
                _print_one(found, json=json)
                return console.DONE
            wanted = await desk.pairs_of(job) if job is not None else listed or ()
            _print_many(await desk.compare(wanted), json=json)
        return console.DONE

    console.run(work())


async def _run(
    desk: RerunDesk, plan: RerunPlan, estimate: RerunEstimate, *, in_flight: int, json: bool
) -> int:
    done = 0
    many = len(plan.items) > 1
    status = console.errors().status(f"0 of {len(plan.items):,} results")

    def count(_: object) -> None:
        nonlocal done
        done += 1
        status.update(f"{done:,} of {len(plan.items):,} results")

    if many:
        from infra.cli.show_comparison import estimate_text

        console.note(f"rerun {plan.job}: {estimate_text(estimate)}")
        print_refused(plan)
    with status:
        await desk.run(plan.items, in_flight=in_flight, on_result=count)
    found = await desk.compare(plan.pairs)
    if not many:
        _print_one(found[0], json=json)
    else:
        _print_many(found, json=json)
        console.note(f"`understudy compare --rerun {plan.job}` shows this again")
    return console.DONE


def _print_plan(plan: RerunPlan, estimate: RerunEstimate, *, json: bool) -> None:
    import msgspec

    from infra.cli.show_comparison import estimate_text

    if json:
        console.emit(
            {
                "job": plan.job,
                "requests": [
                    {"original": each.original, "request_id": each.request_id} for each in plan.items
                ],
                "refused": msgspec.to_builtins(plan.refused),
                "estimate": msgspec.to_builtins(estimate),
            }
        )
        return
    if not plan.items and not plan.refused:
        console.people().print("no requests match")
        return
    console.people().print(f"would run {estimate_text(estimate)}", markup=False, soft_wrap=True)
    print_refused(plan)


def _print_published(plan: RerunPlan, *, json: bool) -> None:
    for each in plan.items:
        if json:
            console.emit({"job": plan.job, "original": each.original, "request_id": each.request_id})
        else:
            console.people().print(f"{each.request_id} repeats {each.original}", soft_wrap=True, markup=False)
    print_refused(plan)
    console.note(f"`understudy compare --rerun {plan.job}` compares the results when they are there")


def print_refused(plan: RerunPlan) -> None:
    """Say what is left out: the originals of each reason together."""
    reasons: dict[str, list[str]] = {}
    for each in plan.refused:
        reasons.setdefault(each.reason, []).append(each.original)
    for reason, originals in list(reasons.items())[: console.ROWS]:
        named = ", ".join(originals[:_NAMED])
        if len(originals) > _NAMED:
            named = f"{len(originals):,} requests ({named}, …)"
        console.note(f"left out: {named}: {reason}")
    if len(reasons) > console.ROWS:
        console.note(f"… {len(reasons) - console.ROWS:,} reasons not shown; --dry-run --json shows all")


def _print_one(found: Comparison, *, json: bool) -> None:
    if json:
        import msgspec

        console.emit(msgspec.to_builtins(found))
        return
    from infra.cli.show_comparison import show_one

    show_one(console.people(), found)


def _print_many(found: list[Comparison], *, json: bool) -> None:
    import msgspec

    from infra.inspect.comparison import summarise

    summary = summarise(found)
    if json:
        console.emit(msgspec.to_builtins(summary) | {"comparisons": msgspec.to_builtins(found)})
        return
    from infra.cli.show_comparison import show_many

    show_many(console.people(), summary)


def _read_options(
    settings: Settings, assignments: list[str], start: StartStage | None, job: str
) -> RerunOptions:
    from contracts.request_edits import EditError
    from infra.app.rerun_desk import read_options
    from infra.providers.names import ModelUnknown
    from infra.replay.reruns import RerunError, check_job

    try:
        check_job(job)
        return read_options(settings, assignments, start)
    except (EditError, ModelUnknown, RerunError) as error:
        raise console.Usage(str(error)) from None


def _start_stage(name: str) -> StartStage | None:
    from contracts.lineage import INPUT_OF

    if name == _FIRST:
        return None
    for stage in INPUT_OF:
        if stage == name:
            return stage
    raise console.Usage(
        f"--from {name!r} is no stage to start at; use one of {', '.join((_FIRST, *INPUT_OF))}"
    )


def _read_pairs(file: str) -> tuple[ComparedPair, ...]:
    import sys

    from infra.inspect.outcomes import ComparedPair

    text = sys.stdin.read() if file == "-" else _read_file(file)
    found: list[ComparedPair] = []
    for number, line in enumerate(text.splitlines(), start=1):
        match line.split():
            case []:
                pass
            case [a, b]:
                found.append(ComparedPair(a=a, b=b))
            case _:
                raise console.Usage(f"{file}, line {number}: {line!r} is not two ids")
    if not found:
        raise console.Usage(f"{file} has no pairs; write two ids a line")
    return tuple(found)


def _read_file(file: str) -> str:
    from pathlib import Path

    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise console.Usage(f"{file} cannot be read: {error}") from None

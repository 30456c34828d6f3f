"""`understudy replay`: past requests and dead letters published again, as jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from infra.cli import console, filters
from infra.cli.console import Json, Limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from contracts.lineage import StartStage
    from infra.app.replay_desk import Proposal, ReplayDesk
    from infra.inspect.request_filter import RequestFilter
    from infra.replay.jobs import JobLimits, ReplayJob
    from infra.replay.plans import ReplayOptions

app = typer.Typer(
    invoke_without_command=True,
    help="Repeat past requests: as a job with a plan, a rate and a budget, which can be paused and undone.",
)

#: Refusals that people see one by one.
_SHOWN: Final = 10
Most = Annotated[int | None, typer.Option("--limit", min=1, help="Most requests; the latest ones.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Make and print the plan as a job that has not begun; publish nothing."),
]
Again = Annotated[bool, typer.Option("--again", help="Also what was replayed before.")]
Rate = Annotated[
    str | None, typer.Option("--rate", metavar="N/s", help="Most requests per second, such as 200/s.")
]
Budget = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="AMOUNT",
        help="Most that the replays may take: 200000tokens, or 5.00 in the unit of the prices; give both for both.",
    ),
]
Patch = Annotated[
    Path | None,
    typer.Option(
        "--patch",
        metavar="FILE",
        help="Edit each request by this JSON Patch; for more than one request it needs a `test` operation.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a field, such as params.temperature=0.2, prompt=layout@2 or model=NAME; several are allowed.",
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="STAGE",
        help="First stage that works, structuring or validate-repair, with what the stages before it had stored.",
    ),
]
Plan = Annotated[
    str | None,
    typer.Option("--plan", metavar="HASH", help="Run only if the plan still is the one with this hash."),
]
JobNumber = Annotated[int, typer.Argument(metavar="JOB", help="The job's number.")]


@app.callback()
@filters.accept()
def replay(
    context: typer.Context,
    wanted: RequestFilter,
    limit: Most = None,
    patch: Patch = None,
    assignments: Set = None,
    from_: From = None,
    rate: Rate = None,
    budget: Budget = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Generate everything anew, also what the result cache has.")
    ] = False,
    again: Again = False,
    every: Annotated[
        bool, typer.Option("--all", help="Every request; required if no filter is given.")
    ] = False,
    plan: Plan = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Publish past requests again, each as a new request with its own id.

    For instance, after an outage: understudy replay --status fail_fallback --since 1h --dry-run
    """
    if context.invoked_subcommand is not None:
        return
    if wanted.empty and not every:
        raise console.Usage(
            "say which requests to repeat, such as --status fail_fallback --since 1h; --all means every one"
        )
    options = parse_options(
        patch=patch, assignments=assignments, from_stage=from_, reuse=not fresh, again=again
    )
    limits = parse_limits(rate, budget)

    async def work(desk: ReplayDesk) -> int:
        from infra.app.replay_source import format_source

        proposal = await desk.propose_requests(
            wanted, options, limit=limit, source=format_source(wanted, limit)
        )
        return await carry_out(desk, proposal, limits, plan=plan, dry_run=dry_run, json=json)

    with_desk(work)


@app.command("ls")
def ls(limit: Limit = None, json: Json = False) -> None:
    """List replay jobs, newest first."""

    async def work(desk: ReplayDesk) -> int:
        from infra.app import replay_json
        from infra.cli import replay_show

        found = await desk.list_jobs(limit=limit if json or limit is not None else console.ROWS)
        if json:
            console.emit([replay_json.job_to_json(each) for each in found])
        elif not found:
            console.people().print("no replay jobs")
        else:
            console.listed(replay_show.job_line(each) for each in found)
        return console.DONE

    with_desk(work, broker=False)


@app.command("show")
def show(job: JobNumber, json: Json = False) -> None:
    """Show a replay job: its plan, its requests, what they took, and what was expected."""

    async def work(desk: ReplayDesk) -> int:
        from infra.app import replay_json
        from infra.cli import replay_show

        found = await desk.inspect(job, items=json)
        if json:
            console.emit(replay_json.view_to_json(found))
        else:
            replay_show.print_view(found)
        return console.DONE

    with_desk(work, broker=False)


@app.command("pause")
def pause(job: JobNumber, json: Json = False) -> None:
    """Pause a job: the process that runs it stops after the batch at hand."""
    _change(job, lambda desk: desk.pause(job), json=json)


@app.command("stop")
def stop(job: JobNumber, json: Json = False) -> None:
    """Stop a job for good; what it has published stays."""
    _change(job, lambda desk: desk.stop(job), json=json)


@app.command("resume")
def resume(job: JobNumber, rate: Rate = None, budget: Budget = None, json: Json = False) -> None:
    """Start a planned job, or continue one that was paused or killed; nothing is published twice.

    --budget gives a job whose budget is used up another one, for all that it spends.
    """
    limits = parse_limits(rate, budget)

    async def work(desk: ReplayDesk) -> int:
        from infra.replay.jobs import JobLimits

        if limits != JobLimits():
            await desk.change_limits(job, limits)
        return await _run(desk, job, None, json=json)

    with_desk(work)


@app.command("undo")
def undo(
    job: JobNumber,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would be undone, and what cannot be; change nothing."),
    ] = False,
    json: Json = False,
) -> None:
    """Undo a job: cancel what runs, remove its cache entries, name the earlier results again; list what cannot be undone."""

    async def work(desk: ReplayDesk) -> int:
        from infra.cli import replay_show

        report = await desk.undo(job, dry_run=dry_run)
        if json:
            console.emit(report)
        else:
            replay_show.print_undo(report)
        return console.DONE

    with_desk(work)


def with_desk(work: Callable[[ReplayDesk], Awaitable[int]], *, broker: bool = True) -> None:
    """Do work with the replay desk and end with its status.

    Args:
        work: what to do; its exit status.
        broker: it needs the broker too, and not only the database.
    """
    settings = console.settings()

    async def run() -> int:
        from infra.app.replay_desk import ReplayDesk
        from infra.nats.multiplexer import RequestMultiplexer
        from infra.stores.job_database import open_database

        async with open_database(settings, needed_by="replay jobs") as engine:
            if not broker:
                return await work(ReplayDesk(settings, RequestMultiplexer(), engine))
            async with console.connect(settings) as client:
                return await work(ReplayDesk(settings, client.wire, engine))

    console.run(run())


def parse_options(
    *,
    patch: Path | None = None,
    assignments: Sequence[str] | None = None,
    from_stage: str | None = None,
    reuse: bool,
    again: bool,
) -> ReplayOptions:
    """How each request is repeated, from the command line.

    Raises:
        Usage: an option cannot be used; the text says why.
    """
    from contracts.lineage import INPUT_OF
    from infra.replay import patching
    from infra.replay.plans import ReplayOptions

    operations = None
    if patch is not None:
        try:
            operations = patching.read(patch.read_bytes())
        except OSError as error:
            raise console.Usage(f"--patch {patch}: {error.strerror}") from None
        except patching.PatchError as error:
            raise console.Usage(str(error)) from None
    start: StartStage | None = None
    for stage in INPUT_OF:
        if stage == from_stage:
            start = stage
    if from_stage is not None and start is None:
        raise console.Usage(
            f"--from {from_stage!r} is no stage that a replay can start at; use one of {', '.join(INPUT_OF)}, or leave it "
            "out to start at the first one"
        )
    options = ReplayOptions(patch=operations, from_stage=start, reuse=reuse, again=again)
    return _with_edits(options, assignments) if assignments else options


def _with_edits(options: ReplayOptions, assignments: Sequence[str]) -> ReplayOptions:
    """The options with what ``--set`` changes.

    Raises:
        Usage: a key or a model is none.
    """
    import msgspec

    from contracts.request_edits import EditError
    from infra.app.rerun_desk import read_options
    from infra.providers.names import ModelUnknown

    try:
        changed = read_options(console.settings(), assignments, options.from_stage)
    except (EditError, ModelUnknown) as error:
        raise console.Usage(f"--set: {error}") from None
    return msgspec.structs.replace(options, edits=changed.edits, provider=changed.provider)


def parse_limits(rate: str | None, budget: list[str] | None) -> JobLimits:
    """Rate and budgets from the command line.

    Raises:
        Usage: a text is none.
    """
    from infra.replay.jobs import JobLimits

    tokens: int | None = None
    money: float | None = None
    for text in budget or ():
        amount = text.removesuffix("tokens").strip()
        value = _amount("--budget", amount, "200000tokens or 5.00")
        if (tokens if amount != text else money) is not None:
            raise console.Usage(f"--budget {text!r}: another budget of this sort is given already")
        if amount != text:
            tokens = int(value)
        else:
            money = value
    per_second = None if rate is None else _amount("--rate", rate.removesuffix("/s"), "200/s")
    return JobLimits(rate=per_second, budget_tokens=tokens, budget_money=money)


def _amount(option: str, text: str, example: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise console.Usage(f"{option} {text!r} is no amount above 0; write for instance {example}")
    return value


async def carry_out(
    desk: ReplayDesk,
    proposal: Proposal,
    limits: JobLimits,
    *,
    plan: str | None,
    dry_run: bool,
    json: bool,
) -> int:
    """Print a plan, and unless it is a dry run start its job; the exit status."""
    from infra.app import replay_json
    from infra.cli import replay_show

    if plan is not None:
        await desk.require_plan(proposal, plan)
    if not proposal.plan.counts["planned"]:
        if json:
            console.emit(replay_json.proposal_to_json(proposal, None))
        else:
            replay_show.print_proposal(proposal, None, shown=_SHOWN)
            console.note("nothing was published")
        return console.FAILED
    job = await desk.create(proposal, limits)
    if dry_run:
        if json:
            console.emit(replay_json.proposal_to_json(proposal, job))
        else:
            replay_show.print_proposal(proposal, job, shown=_SHOWN)
            console.note(f"nothing was published; to start it: understudy replay resume {job.job}")
        return console.DONE
    if not json:
        replay_show.print_proposal(proposal, job, shown=_SHOWN)
    return await _run(desk, job.job, proposal, json=json)


async def _run(desk: ReplayDesk, job: int, proposal: Proposal | None, *, json: bool) -> int:
    from infra.app import replay_json
    from infra.cli import replay_show
    from infra.replay.jobs import JobState

    with replay_show.progress(await desk.count_left(job), shown=not json) as advance:
        report = await desk.run(job, proposal=proposal, on_progress=advance)
    if json:
        console.emit(replay_json.run_to_json(proposal, report))
    else:
        replay_show.print_report(report)
    return console.DONE if report.state is JobState.DONE else console.FAILED


def _change(job: int, change: Callable[[ReplayDesk], Awaitable[ReplayJob]], *, json: bool) -> None:
    async def work(desk: ReplayDesk) -> int:
        from infra.app import replay_json

        found = await change(desk)
        if json:
            console.emit(replay_json.job_to_json(found))
        else:
            console.people().print(f"job {job} is {found.state}")
        return console.DONE

    with_desk(work, broker=False)

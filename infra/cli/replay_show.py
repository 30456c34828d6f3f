"""Replay jobs for people and programs: plans, progress, reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from infra.cli import console

if TYPE_CHECKING:
    from rich.text import Text

    from infra.app.replay_desk import JobView, Proposal
    from infra.replay.estimates import ReplayEstimate
    from infra.replay.jobs import ReplayJob
    from infra.replay.runs import RunReport
    from infra.replay.undo import UndoReport


def print_proposal(proposal: Proposal, job: ReplayJob | None, *, shown: int) -> None:
    """Print a plan: how many, what is refused and why, and what it may cost."""
    out, plan = console.people(), proposal.plan
    counts = plan.counts
    name = "plan" if job is None else f"job {job.job}"
    out.print(f"[bold]{name}[/] ({plan.plan_hash}): {proposal.source}", soft_wrap=True)
    out.print(
        f"  {counts['planned']:,} to publish, of them {counts['cached']:,} that the cache answers; "
        f"{counts['refused']:,} refused, {counts['present']:,} replayed before",
        soft_wrap=True,
    )
    why = Counter(
        f"{each.code or each.state}: {each.reason}" for each in plan.items if each.reason is not None
    )
    for reason, count in why.most_common(shown):
        out.print(f"  {count:,}: {reason}", soft_wrap=True, markup=False)
    if len(why) > shown:
        out.print(f"  … {len(why) - shown:,} more reasons; --json has them all")
    for line in estimate_lines(proposal.estimate, proposal.past_error):
        out.print(f"  {line}", soft_wrap=True)
    if job is not None and job.limits.rate is not None:
        seconds = counts["planned"] / job.limits.rate
        out.print(f"  publishing takes {seconds:,.0f} s at {job.limits.rate:g}/s")


def estimate_lines(estimate: ReplayEstimate, past_error: float | None) -> list[str]:
    """What a replay may cost, in sentences."""
    lines: list[str] = []
    if estimate.sample:
        band = estimate.tokens
        lines.append(
            f"expected {band.likely:,.0f} tokens, between {band.low:,.0f} and {band.high:,.0f} (10th to 90th percentile of "
            f"{estimate.sample:,} recorded requests, with a margin of 10 %)"
        )
    if estimate.money is not None:
        cost = estimate.money
        lines.append(f"expected cost {cost.likely:,.4g}, between {cost.low:,.4g} and {cost.high:,.4g}")
    if estimate.seconds.high:
        one = estimate.seconds
        lines.append(f"one request takes {_duration(one.likely)}, at most {_duration(one.high)} as a rule")
    if estimate.unknown:
        lines.append(
            f"{estimate.unknown:,} of {estimate.generated:,} are of kinds without recorded usage and not part of that"
        )
    if past_error is not None:
        lines.append(f"estimates of earlier jobs were off by {past_error:.0%} on average")
    return lines


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


@contextmanager
def progress(total: int, *, shown: bool) -> Generator[Callable[[int], None]]:
    """A progress bar on standard error; the function advances it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("publishing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console.errors(),
        transient=True,
        disable=not shown,
    )
    with bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


def print_report(report: RunReport) -> None:
    """Print what a run did."""
    rate = report.published / report.seconds if report.seconds else 0.0
    again = f", {report.refused:,} were published before" if report.refused else ""
    note = f": {report.note}" if report.note else ""
    console.people().print(
        f"job {report.job} is {report.state}{note}; published {report.published:,} in {report.seconds:.1f} s "
        f"({rate:,.0f}/s){again}",
        soft_wrap=True,
        markup=False,
    )
    console.note(f"what became of them: understudy replay show {report.job}")


def print_undo(report: UndoReport) -> None:
    """Print what an undo did, and what it could not."""
    from infra.replay.counts import format_count

    out = console.people()
    name = f"job {report.job}, dry run" if report.dry_run else f"job {report.job}"
    out.print(
        f"{name}: {format_count(report.undone, 'replay')} undone, {report.cancelled:,} of them cancelled "
        "before they ended",
        soft_wrap=True,
    )
    out.print(
        f"  {format_count(report.restored, 'earlier result')} published again; "
        f"{format_count(report.uncached, 'cache entry', 'cache entries')} removed, "
        f"{report.put_back:,} of them replaced by what was there before",
        soft_wrap=True,
    )
    if report.cannot:
        out.print("cannot be undone:")
        for each in report.cannot:
            out.print(f"  {each}", soft_wrap=True, markup=False)


def job_line(job: ReplayJob) -> Text:
    """One job in a listing."""
    from rich.text import Text

    from contracts import timestamp

    note = f" ({job.note})" if job.note else ""
    return Text.assemble(
        (f"{job.job:>4} ", "bold"),
        f"{timestamp.format_ms(job.created_ms)} ",
        (f"{job.state}", "green" if job.state == "done" else "yellow"),
        f"{note} {job.plan_hash} {job.source}",
    )


def print_view(view: JobView) -> None:
    """Print one job."""
    out, job, counts = console.people(), view.job, view.counts
    out.print(job_line(job), soft_wrap=True)
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(counts.items()) if count)
    out.print(f"  {states}", soft_wrap=True)
    if job.options.patch is not None:
        out.print(f"  patch: {console.json_text(job.options.patch)}", soft_wrap=True, markup=False)
    if job.options.edits is not None:
        out.print(f"  set: {', '.join(job.options.edits.keys)}", soft_wrap=True, markup=False)
    if job.options.from_stage is not None:
        out.print(f"  starts at {job.options.from_stage}")
    for line in estimate_lines(job.estimate, None):
        out.print(f"  {line}", soft_wrap=True)
    spent = view.spent
    ended = ", ".join(f"{count:,} {status}" for status, count in sorted(spent.statuses.items()))
    out.print(f"  {spent.ended:,} have ended{': ' if ended else ''}{ended}", soft_wrap=True)
    out.print(f"  they took {spent.tokens:,} tokens and {spent.money:g} in money", soft_wrap=True)

"""Replay of dead letters on the command line: a replay job whose output has one line for each letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import subjects
from infra.cli import console, replay_show
from infra.replay.jobs import JobState
from infra.replay.plans import ItemState

if TYPE_CHECKING:
    from rich.text import Text

    from infra.app.replay_desk import ReplayDesk
    from infra.inspect.request_filter import RequestFilter
    from infra.replay.jobs import JobLimits, ReplayJob
    from infra.replay.plans import PlannedItem, ReplayOptions

_OUTCOMES: Final = {
    ItemState.REFUSED: "unreplayable",
    ItemState.CHANGED: "unreplayable",
    ItemState.PRESENT: "already_replayed",
    ItemState.TAKEN: "unreplayable",
    ItemState.PLANNED: "would_publish",
    ItemState.PUBLISHED: "published",
    ItemState.UNDONE: "undone",
}


async def carry_out(
    desk: ReplayDesk,
    wanted: RequestFilter,
    sequences: Sequence[int],
    options: ReplayOptions,
    limits: JobLimits,
    *,
    limit: int | None,
    plan: str | None,
    dry_run: bool,
    json: bool,
) -> int:
    """Plan the replay of letters and, unless it is a dry run, run its job; the exit status."""
    source = "letters" if not sequences else f"letters {', '.join(map(str, sequences[:20]))}"
    proposal = await desk.propose_letters(wanted, options, sequences=sequences, limit=limit, source=source)
    if plan is not None:
        await desk.require_plan(proposal, plan)
    items = proposal.plan.items
    states = {at: (each.state, each.reason) for at, each in enumerate(items)}
    replayed = proposal.plan.counts["planned"]
    job = report = None
    if replayed:
        job = await desk.create(proposal, limits)
        if not dry_run:
            report = await desk.run(job.job, proposal=proposal)
            view = await desk.inspect(job.job)
            states = {each.position: (each.state, each.reason) for each in view.items}
            replayed = view.counts.get(str(ItemState.PUBLISHED), 0)
    for at, each in enumerate(items):
        described = _describe(each, *states[at], started=report is not None)
        if json:
            console.emit(described)
        else:
            console.people().print(_line(described), soft_wrap=True)
    if not json:
        for line in replay_show.estimate_lines(proposal.estimate, proposal.past_error):
            console.note(line)
        if report is not None:
            replay_show.print_report(report)
        _advise(items, job, dry_run=dry_run, replayed=replayed)
    ended = report is None or report.state is JobState.DONE
    if json and report is not None and not ended:
        console.note(
            f"job {report.job} is {report.state}: {report.note or 'understudy replay resume continues it'}"
        )
    return console.DONE if replayed and ended else console.FAILED


def _advise(items: Sequence[PlannedItem], job: ReplayJob | None, *, dry_run: bool, replayed: int) -> None:
    if job is None or not replayed:
        console.note("nothing was replayed")
    elif dry_run:
        console.note(f"job {job.job}, plan {job.plan_hash}; to start it: understudy replay resume {job.job}")
    else:
        console.note(f"job {job.job}; to undo it: understudy replay undo {job.job}")
    lost = [each.origin.letter for each in items if each.state is ItemState.REFUSED]
    if lost:
        console.note(
            f"to correct a request: understudy dead replay {lost[-1]} --patch FILE, with a JSON Patch; or "
            f"understudy dead show {lost[-1]} --json | jq .payload > body.json, edit the file, then "
            "understudy request --kind KIND --file body.json"
        )


def _describe(item: PlannedItem, state: ItemState, reason: str | None, *, started: bool) -> dict[str, Any]:
    outcome = "waiting" if started and state is ItemState.PLANNED else _OUTCOMES[state]
    if outcome == "unreplayable":
        if state is ItemState.TAKEN:
            reason = reason or f"{item.request_id} is the id of another request"
        return {"letter": item.origin.letter, "outcome": outcome, "code": item.code, "reason": reason}
    kind = item.origin.kind
    return {
        "letter": item.origin.letter,
        "request_id": item.request_id,
        "kind": kind,
        "subject": subjects.gen("requested", kind, item.request_id),
        "replay_of": item.origin.replay_of,
        "body": msgspec.Raw(item.body),
        "outcome": outcome,
    }


def _line(described: dict[str, Any]) -> Text:
    from rich import text as rich

    from contracts.printable import printable

    name = f"letter {described['letter']}: "
    match described["outcome"]:
        case "unreplayable":
            return rich.Text.assemble(name, ("cannot be replayed: ", "red"), printable(described["reason"]))
        case "already_replayed":
            after = "; --again makes another"
            return rich.Text.assemble(
                name, ("already replayed", "yellow"), f" as {described['request_id']}{after}"
            )
        case "waiting":
            return rich.Text.assemble(name, ("waits in its job", "yellow"), f" as {described['request_id']}")
        case "would_publish":
            return rich.Text.assemble(
                name,
                f"would publish {printable(bytes(described['body']).decode())} to ",
                (described["subject"], "bold"),
            )
        case _:
            return rich.Text.assemble(
                name,
                ("replayed", "green"),
                " as ",
                (described["request_id"], "bold"),
                f" on {described['subject']}",
            )

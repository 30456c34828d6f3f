"""Terminal views of a request's timeline: its events, attempts, decisions, relatives and contents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from contracts.events import Result
from contracts.printable import printable
from infra.cli import console
from infra.cli.show import aligned, event_style, milliseconds, moment, status_style
from infra.cli.show_helpers import helper_lines
from infra.inspect import record as lines
from infra.inspect.record import gist, named, preview

if TYPE_CHECKING:
    from contracts.events import Decided
    from contracts.usage import Attempt
    from infra.inspect.contents import ContentPart
    from infra.inspect.relatives import Relatives
    from infra.inspect.timeline import Timeline, TimelineStep

#: Characters of a value in a column.
_VALUE: Final = 56
#: What each relation is called.
_RELATIONS: Final = {
    "replay": "replay of it",
    "shadow": "shadow of it",
    "follower": "waited for its result",
    "reuse": "got its content from the cache",
}


def render_timeline(timeline: Timeline, *, follows: str | None = None) -> RenderableType:
    """A request from its publication to its end.

    Args:
        timeline: the request.
        follows: the request whose result it waits for.
    """
    parts: list[RenderableType] = [_head(timeline, follows), _steps(timeline.steps)]
    if timeline.attempts:
        parts += [Text("Attempts", style="bold"), _attempts(timeline.attempts)]
    return Group(*parts)


def decisions(decided: Sequence[Decided]) -> list[Text]:
    """The layer that set each value of a node, one line each."""
    if not decided:
        return []
    rows: list[tuple[Text | str, ...]] = []
    for each in decided:
        by = each.by if each.line is None else f"{each.by}, line {each.line}"
        rule = Text(each.rule or "")
        if each.when:
            rule.append(f"  if {' and '.join(each.when)}", style="dim")
        rows.append((Text(each.field, style="bold"), by, preview(value(each.value).encode(), _VALUE), rule))
    return aligned(("field", "set by", "value", "rule"), rows)


def value(said: Any) -> str:
    """A value of a node in a few words: a list without brackets."""
    if isinstance(said, list | tuple):
        return ", ".join(map(str, cast("list[Any]", said)))
    return said if isinstance(said, str) else msgspec.json.encode(said).decode()


def relatives(found: Relatives) -> list[Text]:
    """The requests that descend from one, one line each."""
    if not found.found:
        return []
    rows: list[tuple[Text | str, ...]] = [
        (
            Text(each.request_id, style="bold"),
            _RELATIONS[each.relation],
            moment(each.requested_at_ms) if each.requested_at_ms else "?",
            Text(lines.ending(each.status, each.origin), style=status_style(each.status)),
        )
        for each in found.found
    ]
    listed = aligned(("related", "how", "when", "status"), rows)
    if found.more:
        listed.append(Text(f"… {found.more:,} newer ones not shown", style="dim"))
    return listed


def contents(parts: Sequence[ContentPart]) -> list[Text]:
    """Texts and documents in full, each below its title."""
    shown: list[Text] = []
    for part in parts:
        text = part.value if isinstance(part.value, str) else console.json_text(part.value, indent=2)
        shown += [Text(part.title, style="bold"), Text(printable(text, keep="\n")), Text()]
    return shown


def _head(timeline: Timeline, follows: str | None) -> Panel:
    text = Text.assemble((lines.ending(timeline.status, timeline.origin), status_style(timeline.status)))
    if timeline.stand_in is not None:
        text.append(
            f": {printable(timeline.stand_in.name)} (SHA-256 {printable(timeline.stand_in.hash[:12])}…)"
        )
    if timeline.reason:
        text.append(f"\nreason: {printable(timeline.reason)}")
    if timeline.error is not None:
        error = timeline.error
        text.append(f"\nerror:  {error.code} in {printable(error.stage)}: {printable(error.message)}")
    if follows is not None:
        text.append(
            f"\nwaiting for the result of {printable(follows)}, a running request for the same content"
        )
    elif timeline.waiting_for is not None:
        text.append(f"\nwaiting for {timeline.waiting_for}")
    if timeline.replay_of is not None:
        text.append(f"\n{printable(_descent(timeline))}")
    if timeline.scene_of is not None:
        text.append(f"\na scene of {printable(timeline.scene_of)}")
    if timeline.revised_by is not None:
        text.append(f"\nreal content came later, by {printable(timeline.revised_by)}", style="green")
    for line in helper_lines(timeline.evaluation, timeline.enhancement):
        text.append("\n").append(line)
    # A plain string would be markup.
    title = Text(printable(f"{timeline.kind or '?'} {timeline.request_id}"))
    return Panel(text, title=title, title_align="left", border_style=status_style(timeline.status))


def _descent(timeline: Timeline) -> str:
    """How a request repeats another one."""
    relation = "a shadow" if timeline.shadow else "a replay"
    start = f", from {timeline.from_stage}" if timeline.from_stage else ""
    edited = f", edited by {timeline.patched_by}" if timeline.patched_by else ""
    return f"{relation} of {timeline.replay_of}{start}{edited}"


def _steps(steps: Sequence[TimelineStep]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim")
    table.add_column("at", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("event", no_wrap=True)
    table.add_column("stage", no_wrap=True)
    tries = any((step.attempt or 1) > 1 for step in steps)
    if tries:
        table.add_column("try", justify="right")
    table.add_column("what", overflow="fold")
    for step in steps:
        what = Text(_what(step))
        if step.note:
            what.append(f"  ({step.note})", style="yellow")
        table.add_row(
            f"+{milliseconds(step.offset_ms)}",
            milliseconds(step.latency_ms),
            Text(printable(step.line.event), style=event_style(step.line)),
            Text(printable(step.line.stage or "")),
            *([str(step.attempt or "")] if tries else []),
            what,
        )
    return table


def _what(step: TimelineStep) -> str:
    body = step.line.body
    # The panel above shows a result's reason.
    return named(body) if isinstance(body, Result) else gist(step.line)


def _attempts(attempts: Sequence[Attempt]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim")
    table.add_column("provider")
    table.add_column("outcome", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for each in attempts:
        outcome = Text(each.code or "ok", style="red" if each.code else "green")
        who, why = (Text(printable(said)) for said in (f"{each.provider}/{each.model}", each.why))
        table.add_row(who, outcome, milliseconds(each.time_ms), why)
    return table

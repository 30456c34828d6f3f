"""Terminal views of results, timelines and dead letters."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from contracts.printable import printable
from contracts.result import Origin, ResultBody, Status
from infra.cli import console
from infra.inspect import record as lines
from infra.inspect.record import gist, named, preview
from infra.inspect.tail_fold import describe

if TYPE_CHECKING:
    from rich.console import Console

    from contracts.events import Result
    from contracts.result import SceneInfo
    from infra.inspect.dead_letters import Letter
    from infra.inspect.letter_listing import LetterGroup
    from infra.inspect.record import LogRecord
    from infra.inspect.tail_fold import Folded
    from infra.stores.rubrics import CheckedRubric
    from infra.stores.worlds import CheckedWorld

_STYLES: Final = {
    "requested": "bold cyan",
    "timer": "dim",
    "context_built": "blue",
    "clamped": "yellow",
    "drafted": "blue",
    "structured": "blue",
    "plotted": "blue",
    "invalid": "yellow",
    "failed": "red",
    "deadline": "magenta",
    "cancelled": "magenta",
    "revised": "bold green",
    "progress": "dim",
    "dead": "bold red",
    "advisory": "bold red",
}
_STATUS_STYLES: Final = {
    Status.SUCCESS: "bold green",
    Status.CACHED: "bold green",
    Status.CACHED_FALLBACK: "bold yellow",
    Status.FAIL_FALLBACK: "bold yellow",
    Status.SKIPPED: "bold yellow",
    Status.PLACEHOLDER: "bold yellow",
}
#: Number of requests from which a percentile of 99 makes sense.
_MANY: Final = 100
#: Maximum number of characters shown of a document.
_SHOWN: Final = 1200


class Columns:
    """Lines of a tail, aligned; the ids' column is as wide as the widest so far.

    Args:
        narrow: leave out stage and kind.
    """

    def __init__(self, *, narrow: bool = False) -> None:
        self._id = 15
        self._narrow = narrow

    def text(self, line: LogRecord, *, note: str = "") -> Text:
        """One line for a terminal.

        Args:
            line: the message.
            note: what is unusual about it.
        """
        self._id = max(self._id, len(line.request_id or ""))
        where = (f"{printable(line.stage or '', most=30):<15}", "dim"), f"  {line.kind or '?':<10}  "
        return Text.assemble(
            (clock(line.time_ns), "dim"),
            "  ",
            (f"{printable(line.event, most=30):<13}", event_style(line)),
            "  ",
            *([] if self._narrow else where),
            (f"{printable(line.request_id or line.subject):<{self._id}}", "bold"),
            "  ",
            (gist(line), "dim" if line.event == "progress" else ""),
            (f"  ({note})" if note else "", "dim"),
        )


def folded(counts: Folded) -> Text:
    """The line that counts messages without a line of their own."""
    return Text.assemble((f"{clock(time.time_ns())}  … {describe(counts)}; --all shows each", "dim"))


def event_style(line: LogRecord) -> str:
    """The colour of an event."""
    if line.fault is not None:
        return "bold red reverse"
    if line.event not in ("result", "shadowed"):
        return _STYLES.get(line.event, "")
    status = getattr(line.body, "status", None)
    return status_style(status) if status is not None else "bold"


def status_style(status: str) -> str:
    """The colour of a status, including ``pending`` and ``running``."""
    try:
        return _STATUS_STYLES.get(Status(status), "bold red")
    except ValueError:
        return "bold cyan"


def clock(time_ns: int) -> str:
    """Local time of day with milliseconds."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds).astimezone():%H:%M:%S}.{rest // 1_000_000:03d}"


def moment(time_ms: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Local date and time, in a form of ``strftime``."""
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime(form)


def milliseconds(value: float | None) -> str:
    """A duration for people."""
    if value is None:
        return ""
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"  # noqa: PLR2004 - one second


def document(value: Any) -> Text:
    """A JSON document, cut to a readable length."""
    text = console.json_text(value, indent=2)
    if len(text) <= _SHOWN:
        return Text(text)
    return Text(text[:_SHOWN] + f"\n… ({len(text):,} characters; --json shows all)", style="dim")


def result(out: Console, found: Result) -> None:
    """A result's status and reason, and its scenes, without its content."""
    out.print(ending(found), soft_wrap=True)
    for each in scenes(found.scenes):
        out.print(each, soft_wrap=True)


def ending(result: ResultBody) -> Text:
    """The label of a result in a few lines."""
    text = Text.assemble((f"{result.kind} {result.request_id}", "bold"), ": ")
    text.append(named(result), style=status_style(result.status))
    if result.stand_in is not None:
        text.append(f": {printable(result.stand_in.name)}")
    if result.reason:
        text.append(f"\nreason: {printable(result.reason)}")
    if result.error is not None:
        error = result.error
        text.append(f"\nerror:  {error.code} in {printable(error.stage)}: {printable(error.message)}")
    if result.origin in (Origin.LIVE, Origin.CACHE, Origin.SCRIPTED):
        by = printable(f"{result.meta.provider}/{result.meta.model}")
        text.append(f"\nby {by}, seed {result.meta.seed}", style="dim")
    return text


def endings_table(endings: Mapping[str, int], took: Sequence[float], seconds: float) -> Table:
    """The number of requests by status, and their latency."""
    table = Table(box=box.SIMPLE, show_header=False)
    for name, number in sorted(endings.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{number:,}")
    table.add_section()
    table.add_row("in all", f"{sum(endings.values()):,} in {seconds:.2f} s")
    if took:
        ordered = sorted(took)
        marks = [("median", 0.5), ("slowest", 1.0)]
        if len(ordered) >= _MANY:
            marks.insert(1, ("99 of 100 within", 0.99))
        for label, share in marks:
            table.add_row(
                label, milliseconds(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000)
            )
    return table


def scenes(found: Sequence[SceneInfo]) -> list[Text]:
    """A plot's scenes with their beats, one line each."""
    if not found:
        return []
    rows: list[tuple[Text | str, ...]] = []
    for each in found:
        branch = "└─" if each is found[-1] else "├─"
        ended = Text(lines.ending(each.status, each.origin), style=status_style(each.status))
        rows.append(
            (Text(f"{branch} {each.request_id}", style="bold"), each.name, ended, (each.reason or ""))
        )
    return aligned(("scene", "beat", "status", "reason"), rows)


def checked_files(what: str, files: Sequence[CheckedRubric | CheckedWorld]) -> list[Text]:
    """Files of a library as lines: whether each can be used, and where it is or why not."""
    lines = [
        (
            Text("ok", style="green") if each.ok else Text("wrong", style="bold red"),
            Text(each.name, style="bold"),
            each.file if each.ok else Text(each.error, style="red"),
        )
        for each in files
    ]
    return aligned(("", what, "file"), lines)


def aligned(head: Sequence[str] | None, rows: Sequence[Sequence[Text | str]]) -> list[Text]:
    """Rows as lines, columns as wide as their widest value, the last one unlimited.

    A table would wrap a long reason in a narrow column.
    """
    cells = [[Text(name, style="dim") for name in head]] if head else []
    cells += [[_cell(value) for value in row] for row in rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    lines: list[Text] = []
    for row in cells:
        for cell, width in zip(row[:-1], widths, strict=False):
            cell.pad_right(width - cell.cell_len)
        lines.append(Text("  ").join(row))
    return lines


def _cell(value: Text | str) -> Text:
    """A value of a column, escaped before its width is measured."""
    if isinstance(value, str):
        return Text(printable(value))
    return value if value.plain.isprintable() else Text(printable(value.plain), style=value.style)


def letter_lines(letters: Sequence[Letter]) -> list[Text]:
    """Dead letters, one a line; those without an id have the place of their message, and a note."""
    noted = any(each.request_id is None for each in letters)
    rows = [
        (
            Text(str(each.sequence), style="bold"),
            moment(each.time_ms, "%d %b %H:%M"),
            each.stage or "?",
            each.kind or "?",
            Text(each.request_id or _place(each) or "?", style="bold" if each.request_id else "dim"),
            Text(each.code or ("advisory" if each.advisory else "?"), style="red"),
            *((_why_nameless(each),) if noted else ()),
            each.reason.replace("\n", " "),
        )
        for each in letters
    ]
    notes = ("note",) if noted else ()
    return aligned(("letter", "when", "stage", "kind", "request", "code", *notes, "reason"), rows)


def _place(letter: Letter) -> str | None:
    return f"{letter.stream} {letter.stream_sequence}" if letter.stream else None


def _why_nameless(letter: Letter) -> str:
    """Why a letter shows no request id; empty where it shows one."""
    if letter.request_id is not None:
        return ""
    if letter.advisory:
        return "advisories name no request"
    return "unreadable letter" if letter.letter is None else "no id in its subject"


def letter_group_lines(groups: Sequence[LetterGroup]) -> list[Text]:
    """Groups of dead letters, one a line."""
    rows = [
        (
            Text(f"{each.letters:,}", style="bold"),
            each.stage or "?",
            Text(each.code or "?", style="red"),
            each.field or "",
            Text(str(each.last), style="bold"),
            each.reason.replace("\n", " "),
        )
        for each in groups
    ]
    return aligned(("letters", "stage", "code", "field", "newest", "its reason"), rows)


def letter_summary(letter: Letter) -> Panel:
    """Reason, origin and time of a dead letter."""
    text = Text(printable(letter.reason))
    found = letter.letter
    facts = {
        "code": letter.code,
        "stage": letter.stage,
        "when": moment(letter.time_ms),
        "subject": found.subject if found else None,
        "stored in": f"{letter.stream} at sequence {letter.stream_sequence}" if letter.stream else None,
        "delivered": f"{found.deliveries} times" if found and found.deliveries > 1 else None,
    }
    for name, value in facts.items():
        if value is not None:
            text.append(f"\n{name:<10}{printable(str(value))}")
    return Panel(text, title=f"letter {letter.sequence}", title_align="left", border_style="red")


def letter(out: Console, letter: Letter) -> None:
    """One dead letter in full."""
    out.print(letter_summary(letter))
    for part in _letter_parts(letter):
        out.print(part, soft_wrap=True)


def _letter_parts(letter: Letter) -> list[Text]:
    found = letter.letter
    if found is None:
        return [document(letter.data)]
    parts: list[Text] = []
    if found.headers:
        parts += aligned(("header", "value"), [(name, value) for name, value in found.headers.items()])
        parts.append(Text())
    parts.append(Text(f"body, {found.size or len(found.body or b''):,} bytes", style="bold"))
    parts.append(payload(found.body) if found.body is not None else document(found.body_ref))
    if found.evidence:
        shown = printable(found.evidence, most=_SHOWN, keep="\n")
        parts += [Text("last output of the provider", style="bold"), Text(shown)]
    return parts


def payload(body: bytes) -> Text:
    """A body as a JSON document, or escaped if it is not JSON."""
    try:
        return document(msgspec.json.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Text(preview(body, _SHOWN))

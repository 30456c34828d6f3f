"""Table of the statistics, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from contracts.printable import printable
from infra.cli.show import moment

if TYPE_CHECKING:
    from infra.inspect.figures import GroupFigures, Percentiles, StageFigures
    from infra.inspect.stats import PipelineStats, WindowStats

#: A window in a sentence.
_WINDOWS: Final = {"5m": "5 minutes", "1h": "hour", "24h": "24 hours"}
_COLUMNS: Final = ("ended", "success", "stand-in", "failed", "p50", "p95", "p99", "tokens", "cost")
#: Groups of one kind that are shown.
_SHOWN: Final = 10
_NONE: Final = "-"
#: Columns of a name at least.
_NAME: Final = 12
#: Breaks names at blanks; it prints nothing.
_WRAPS: Final = Console()
#: A name and its figures; without figures: a heading.
_Row = tuple[str, Sequence[Text | str]]
_HEAD: Final[_Row] = ("", _COLUMNS)


def render(stats: PipelineStats, window: str, *, width: int | None) -> Iterator[Text]:
    """The lines of the table.

    Args:
        stats: the statistics.
        window: the window whose groups are shown.
        width: columns of the terminal; ``None``: names are never broken.
    """
    yield Text(f"Requests that ended before {moment(stats.until_ms)}, from the audit; {_open(stats)}.")
    longest = stats.windows[-1]
    if not longest.total.requests:
        yield Text(f"No request ended in the last {_WINDOWS[longest.window]}.", style="yellow")
        return
    chosen = next(each for each in stats.windows if each.window == window)
    yield from _laid_out([_HEAD, *_rows(stats, chosen)], width)
    yield Text()
    if chosen.total.requests:
        yield from _reasons(chosen)
    else:
        yield Text(
            f"No request ended in the last {_WINDOWS[window]}; --window shows another one.", style="yellow"
        )


def _open(stats: PipelineStats) -> str:
    if not stats.open or stats.open_since_ms is None:
        return "none is open"
    age_s = max(0, stats.until_ms - stats.open_since_ms) / 1000
    return f"{stats.open:,} {'is' if stats.open == 1 else 'are'} open, the oldest for {_seconds(age_s)}"


def _rows(stats: PipelineStats, chosen: WindowStats) -> Iterator[_Row]:
    for each in stats.windows:
        yield f"last {_WINDOWS[each.window]}", _cells(each.total)
    if not chosen.total.requests:
        return
    last = f"last {_WINDOWS[chosen.window]}"
    yield from _group_rows(f"By provider, {last}", chosen.providers, without="(none called)")
    yield from _group_rows(f"By content kind, {last}", chosen.kinds, without="")
    if any(each.name for each in chosen.nodes):
        yield from _group_rows(f"By node, {last}", chosen.nodes, without="(no node)")
    yield f"Work of each stage, {last}", ()
    for stage in chosen.stages:
        if stage.requests or stage.errors:
            yield stage.name, _stage_cells(stage)


def _group_rows(head: str, groups: Sequence[GroupFigures], *, without: str) -> Iterator[_Row]:
    yield head, ()
    for each in groups[:_SHOWN]:
        name = printable(each.name or "") or without
        yield f"{name} {printable(each.model)}" if each.model else name, _cells(each)
    if len(groups) > _SHOWN:
        yield f"… {len(groups) - _SHOWN:,} more; --json shows all", ()


def _laid_out(rows: Sequence[_Row], width: int | None) -> Iterator[Text]:
    """Rows as lines: figures right-aligned, a name that is too long on several lines."""
    figures = [[_text(cell) for cell in cells] for _, cells in rows if cells]
    widths = [max(cell.cell_len for cell in column) for column in zip(*figures, strict=True)]
    taken = sum(widths) + len(widths)
    names = max(Text(name).cell_len for name, cells in rows if cells)
    if width is not None:
        names = min(names, max(width - taken, _NAME))
    for name, cells in rows:
        if not cells:
            more = name.startswith("…")
            yield Text(name, style="dim") if more else Text(f"\n{name}", style="bold")
            continue
        line, *others = Text(name).wrap(_WRAPS, names) or [Text()]
        line.rstrip()
        line.pad_right(names - line.cell_len)
        for cell, wide in zip(map(_text, cells), widths, strict=True):
            line.append(" " * (1 + wide - cell.cell_len))
            line.append_text(cell)
        line.rstrip()
        if cells is _COLUMNS:
            line.stylize("dim")
        yield line
        yield from others


def _text(cell: Text | str) -> Text:
    return Text(cell) if isinstance(cell, str) else cell


def _cells(figures: GroupFigures) -> tuple[Text | str, ...]:
    tokens = (figures.prompt_tokens or 0) + (figures.completion_tokens or 0)
    known = figures.prompt_tokens is not None or figures.completion_tokens is not None
    return (
        f"{figures.requests:,}",
        _rate(figures.success_rate),
        Text(_rate(figures.stand_in_rate), style="yellow" if figures.stand_in_rate else ""),
        Text(_rate(figures.failure_rate), style="red" if figures.failure_rate else ""),
        *_times(figures.latency_ms),
        _count(tokens) if known else _NONE,
        _NONE if figures.cost is None else _amount(figures.cost),
    )


def _stage_cells(stage: StageFigures) -> tuple[Text | str, ...]:
    return (
        f"{stage.requests:,}",
        "",
        "",
        Text(_rate(stage.failure_rate), style="red" if stage.failure_rate else ""),
        *_times(stage.work_ms),
        "",
        "",
    )


def _reasons(chosen: WindowStats) -> Iterator[Text]:
    total = chosen.total
    if total.stand_ins:
        reasons = ", ".join(
            f"{each.code or 'no error'} {each.requests:,} ({_rate(each.rate)})" for each in total.stand_ins
        )
        yield Text.assemble(("Stand-ins by reason: ", "bold"), reasons)
    if total.errors:
        errors = ", ".join(f"{code} {number:,}" for code, number in total.errors.items())
        yield Text.assemble(("Errors: ", "bold"), errors)
    if total.requests > total.answered:
        left = ", ".join(
            f"{number:,} {status}"
            for status, number in total.statuses.items()
            if status in ("cancelled", "rejected")
        )
        yield Text(f"{left}: in no rate and no percentile.", style="dim")


def _times(found: Percentiles | None) -> tuple[str, ...]:
    if found is None:
        return (_NONE, _NONE, _NONE)
    return tuple(_seconds(value / 1000) for value in (found.p50, found.p95, found.p99))


def _seconds(seconds: float) -> str:
    """A duration in at most five characters."""
    if seconds < 0.00995:  # noqa: PLR2004 - rounds to 10 ms
        return f"{seconds * 1000:.1f}ms"
    if seconds < 0.9995:  # noqa: PLR2004 - rounds to 1 s
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:  # noqa: PLR2004 - rounds to 10 s
        return f"{seconds:.1f}s"
    if seconds < 599.5:  # noqa: PLR2004 - 10 minutes
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 36_000 else f"{seconds / 3600:.0f}h"  # noqa: PLR2004 - 10 hours


def _rate(share: float | None) -> str:
    """A percentage that is 0 % or 100 % only if it is exactly that."""
    if share is None:
        return _NONE
    percent = share * 100
    if 0 < percent < 0.1:  # noqa: PLR2004 - less than one decimal shows
        return "<0.1%"
    if 99.9 < percent < 100:  # noqa: PLR2004 - as above
        return ">99.9%"
    return f"{percent:.1f}%" if 0 < percent < 100 else f"{percent:.0f}%"  # noqa: PLR2004 - all of them


def _count(number: int) -> str:
    """A number in at most five characters."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= size:
            value = number / size
            return f"{value:.0f}{unit}" if value >= 99.95 else f"{value:.1f}{unit}"  # noqa: PLR2004 - three digits
    return str(number)


def _amount(cost: float) -> str:
    if cost >= 1_000:  # noqa: PLR2004 - without decimals
        return f"{cost:,.0f}"
    return f"{cost:.2f}" if cost >= 1 or cost == 0 else f"{cost:.2g}"

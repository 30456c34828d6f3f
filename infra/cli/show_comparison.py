"""Terminal views of comparisons, readable in 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from contracts.printable import printable
from infra.cli import console
from infra.cli.show import milliseconds, status_style
from infra.inspect.record import ending, preview

if TYPE_CHECKING:
    from rich.console import Console

    from contracts.policy.pointer_diff import PointerDifference
    from infra.inspect.comparison import Comparison, ComparisonSummary, Measures, Totals
    from infra.replay.estimates import UsageBand
    from infra.replay.rerun_estimate import RerunEstimate

#: Fields, and differences of one pair, that are shown.
_ROWS: Final = 40
#: Rows of the totals for the values of one measure, such as its prompt versions.
_COUNTS: Final = 20
#: Characters of a value before and after its indentation.
_INDENT: Final = 6
_SIGNS: Final = {"add": "+", "remove": "-", "replace": "~", "move": ">"}
_STYLES: Final = {"add": "green", "remove": "red", "replace": "yellow", "move": "cyan"}
_WORDS: Final = {"add": "added", "remove": "removed", "replace": "changed", "move": "moved"}


def show_one(out: Console, found: Comparison) -> None:
    """Two requests side by side, then the differences of their contents."""
    for side, measures in (("A", found.a), ("B", found.b)):
        out.print(Text.assemble((f"{side}  ", "dim"), (measures.request_id, "bold")), soft_wrap=True)
    if found.asked:
        out.print(Text("asked differently", style="bold"))
        _print_differences(out, found.asked)
    out.print(_side_by_side(found.a, found.b))
    if found.equal is None:
        out.print(
            Text(
                "the contents cannot be compared: one of the two has none, or is in the audit alone, without its content",
                style="yellow",
            )
        )
    elif found.equal:
        out.print(Text("the contents are equal", style="green"))
    else:
        out.print(Text(f"the contents differ in {_count(len(found.content), 'place')}", style="bold"))
        _print_differences(out, found.content)


def show_many(out: Console, found: ComparisonSummary) -> None:
    """The totals of many pairs, then the fields that differ."""
    head = (
        f"{_count(found.pairs, 'pair')}; in {found.comparable:,} the model wrote both contents, "
        f"{found.equal:,} of them equal"
    )
    out.print(Text(head, style="bold"))
    if found.asked:
        asked = (f"{pointer} in {_count(count, 'pair')}" for pointer, count in list(found.asked.items())[:5])
        more = ", …" if len(found.asked) > 5 else ""  # noqa: PLR2004 - as above
        out.print(f"asked differently: {printable(', '.join(asked))}{more}", markup=False)
    out.print(_totals(found.a, found.b))
    if not found.fields:
        return
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    several = len({each.kind for each in found.fields}) > 1
    if several:
        table.add_column("kind", no_wrap=True)
    table.add_column("field of the content", overflow="fold", ratio=1)
    for name in ("pairs", "share", "changed", "added", "removed", "moved"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found.fields[:_ROWS]:
        counts = (each.replaced, each.added, each.removed, each.moved)
        table.add_row(
            *((Text(each.kind),) if several else ()),
            Text(printable(each.field or "(the whole)")),
            f"{each.pairs:,}",
            f"{each.share:.0%}",
            *(f"{count:,}" if count else "" for count in counts),
        )
    out.print(table)
    if len(found.fields) > _ROWS:
        console.note(f"… {_count(len(found.fields) - _ROWS, 'field')} not shown; --json shows all")


def estimate_text(found: RerunEstimate) -> str:
    """An estimate in a sentence."""
    if found.unknown == found.requests > 0:
        return f"{_count(found.requests, 'request')}; nothing is known of what they take"
    text = f"{_count(found.requests, 'request')}, about {found.tokens.likely:,.0f} tokens {_band(found.tokens, ',.0f')}"
    if found.money is not None:
        text += f", about {found.money.likely:.4g} in money {_band(found.money, '.4g')}"
    else:
        text += ", of unknown cost"
    if found.unknown:
        text += f"; nothing is known of what {found.unknown:,} of them take"
    if found.with_scenes:
        text += f"; the scenes of {_count(found.with_scenes, 'plot')} come on top"
    return text


def _band(found: UsageBand, form: str) -> str:
    return f"({found.low:{form}} to {found.high:{form}})"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _print_differences(out: Console, found: Sequence[PointerDifference]) -> None:
    for each in found[:_ROWS]:
        for line in _lines(each, max(20, out.width - _INDENT)):
            out.print(line, soft_wrap=True)
    if len(found) > _ROWS:
        console.note(f"… {_count(len(found) - _ROWS, 'difference')} not shown; --json shows all")


def _lines(change: PointerDifference, width: int) -> Iterator[Text]:
    """A difference: its place, then the old and the new value, each cut to one line."""
    place = f"{_SIGNS[change.op]} {printable(change.path or '(the whole)')}"
    said = f"  {_WORDS[change.op]}"
    if change.from_ is not msgspec.UNSET:
        said += f" from {printable(change.from_)}"
    if change.likeness is not msgspec.UNSET:
        said += f", {change.likeness:.0%} alike"
    yield Text.assemble((place, _STYLES[change.op]), (said, "dim"))
    if change.old is not msgspec.UNSET:
        yield Text.assemble(("    - ", "red"), _value(change.old, width))
    if change.value is not msgspec.UNSET:
        yield Text.assemble(("    + ", "green"), _value(change.value, width))


def _value(value: Any, width: int) -> str:
    return preview(msgspec.json.encode(value), width)


def _side_by_side(a: Measures, b: Measures) -> Table:
    table = _table()
    status_a, status_b = (
        Text("no result yet", style="bold cyan")
        if each.status is None
        else Text(ending(each.status, each.origin), style=status_style(each.status))
        for each in (a, b)
    )
    table.add_row("status", status_a, status_b, "")
    _add(table, "valid", a.valid, b.valid, lambda value: "yes" if value else "no")
    _add(table, "became valid by", a.receipt, b.receipt, _plain)
    _add(table, "error", a.error, b.error, _plain)
    _add(table, "quality", a.quality, b.quality, lambda value: f"{value:.3f}")
    _add(table, "rating", a.rating, b.rating, _plain)
    _add(table, "prompt version", a.prompt_version, b.prompt_version, _plain)
    _add(table, "model", a.writer, b.writer, _plain)
    _add(table, "seed", a.seed, b.seed, str, compared=False)
    _add(table, "prompt tokens", a.prompt_tokens, b.prompt_tokens, _number)
    _add(table, "answer tokens", a.completion_tokens, b.completion_tokens, _number)
    _add(table, "cost", a.cost, b.cost, _money)
    _add(table, "latency", a.latency_ms, b.latency_ms, milliseconds)
    return table


def _totals(a: Totals, b: Totals) -> Table:
    table = _table()
    _add(table, "requests", a.requests, b.requests, _number)
    if a.open or b.open:
        _add(table, "without a result", a.open, b.open, _number)
    _add_counts(table, "", a.statuses, b.statuses)
    for prefix, one, other in (
        ("", a.errors, b.errors),
        ("rated ", a.ratings, b.ratings),
        ("prompt ", a.prompt_versions, b.prompt_versions),
        ("by ", a.models, b.models),
    ):
        _add_counts(table, prefix, one, other)
    _add(table, "valid", _share_valid(a), _share_valid(b), _percent, relative=False)
    _add(table, "quality, mean", a.quality, b.quality, lambda value: f"{value:.3f}")
    _add(table, "prompt tokens", a.prompt_tokens, b.prompt_tokens, _number)
    _add(table, "answer tokens", a.completion_tokens, b.completion_tokens, _number)
    _add(table, "cost", a.cost, b.cost, _money)
    _add(table, "latency, median", a.latency_p50_ms, b.latency_p50_ms, milliseconds)
    _add(table, "latency, 95 %", a.latency_p95_ms, b.latency_p95_ms, milliseconds)
    return table


def _add_counts(table: Table, prefix: str, a: Mapping[str, int], b: Mapping[str, int]) -> None:
    """A row for each value that either side has."""
    names = list(dict.fromkeys((*a, *b)))
    for name in names[:_COUNTS]:
        _add(table, f"{prefix}{printable(name)}", a.get(name, 0), b.get(name, 0), _number)
    if len(names) > _COUNTS:
        table.add_row(f"… {len(names) - _COUNTS:,} more; --json shows all", "", "", "")


def _table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    table.add_column("", style="dim", no_wrap=True)
    for name in ("A", "B"):
        table.add_column(name, overflow="fold")
    table.add_column("difference", justify="right", no_wrap=True)
    return table


def _add(
    table: Table,
    name: str,
    a: Any,
    b: Any,
    form: Callable[[Any], str],
    *,
    compared: bool = True,
    relative: bool = True,
) -> None:
    """A row with both values; left out where neither is known.

    Args:
        table: gets the row.
        name: of the values.
        a: value of the first side.
        b: value of the second side.
        form: formats a value.
        compared: show the difference.
        relative: show it also as a share of the first value.
    """
    if a is None and b is None:
        return
    said = ["" if value is None else printable(form(value)) for value in (a, b)]
    table.add_row(name, *map(Text, said), _difference(a, b, form, relative=relative) if compared else "")


def _difference(a: Any, b: Any, form: Callable[[Any], str], *, relative: bool) -> Text:
    if a == b or a is None or b is None:
        return Text("")
    if isinstance(a, bool) or not isinstance(a, int | float):
        return Text("≠", style="yellow")
    by = b - a
    share = f" ({by / a:+.0%})" if relative and a and abs(by / a) < 100 else ""  # noqa: PLR2004 - more says nothing
    return Text(f"{'+' if by > 0 else '-'}{form(abs(by))}{share}", style="yellow")


def _share_valid(found: Totals) -> float | None:
    return found.valid / found.requests if found.requests else None


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _plain(value: Any) -> str:
    return str(value)


def _number(value: int) -> str:
    return f"{value:,}"


def _money(value: float) -> str:
    return f"{value:.4g}"

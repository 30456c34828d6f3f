"""Terminal view of an evaluation run: the verdict, its figures beside the earlier run's, and the cases that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from infra.cli.show import aligned

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.inspect.evaluation_comparison import MeasureComparison, RunComparison
    from infra.inspect.evaluation_scores import RunTotals
    from infra.inspect.experiment_math import Interval
    from infra.stores.evaluations import CaseResult, StoredRun

_STYLES: Final = {"worse": "bold red", "better": "green", "not_enough": "dim"}
#: Cases, reasons and other differences that are listed.
_MOST: Final = 20
_SECOND_MS: Final = 1000


def render(found: StoredRun, totals: RunTotals, comparison: RunComparison | None) -> list[Text]:
    """The lines of a run."""
    lines = [_sentence(found, totals, comparison)]
    if not found.results:
        return lines
    figures = _figures(totals) if comparison is None else _compared_figures(totals, comparison)
    lines += [Text(), *figures, Text()]
    lines += _causes(totals)
    if comparison is None:
        lines += _unmet(found.results)
    else:
        lines += _changes(comparison)
    lines.append(Text(_notes(comparison), style="dim"))
    return lines


def _sentence(found: StoredRun, totals: RunTotals, comparison: RunComparison | None) -> Text:
    run, whole = found.run, found.run.cases * found.run.repeat
    head = f"Run {run.run} of {run.name}: {totals.results:,} results"
    if totals.results < whole:
        head = f"Run {run.run} of {run.name}, not whole: {totals.results:,} of {whole:,} results"
    if comparison is None:
        return Text(f"{head}. It is not compared with an earlier run.", style="bold")
    style = "bold red" if comparison.regressed else "bold green" if comparison.improved else "bold"
    return Text(f"{head}. {comparison.sentence}", style=style)


def _figures(totals: RunTotals) -> list[Text]:
    rows = [
        (label, _interval(getattr(totals, name), show))
        for name, label, show, _ in _ROWS
        if getattr(totals, name) is not None or name in _ALWAYS
    ]
    return aligned(None, rows)


def _compared_figures(totals: RunTotals, comparison: RunComparison) -> list[Text]:
    """Both runs' figures of the results that are compared; of the others, this run's alone."""
    against = {each.name: each for each in comparison.measures}
    rows: list[tuple[Text | str, ...]] = []
    for name, label, show, signed in _ROWS:
        own, each = getattr(totals, name), against.get(name)
        if each is not None:
            rows.append((label, show(each.after), show(each.before), *_verdict(each, signed)))
        elif own is not None or name in _ALWAYS:
            rows.append((label, "-" if own is None else show(own.value), "-", "-", ""))
    runs = (f"run {run.run}" for run in (comparison.after, comparison.before))
    return aligned(("", *runs, "difference", "verdict"), rows)


def _causes(totals: RunTotals) -> list[Text]:
    lines = [
        Text(
            f"{each.results:,} without a model's content: {each.status} {each.code or ''}".rstrip(),
            style="red",
        )
        for each in totals.failures[:_MOST]
    ]
    if totals.repairs:
        repairs = ", ".join(f"{name} {number:,}" for name, number in totals.repairs.items())
        lines.append(Text(f"documents: {repairs}; {totals.reasks:,} re-asks"))
    judged = totals.judged or {"no judge": 0}
    lines.append(
        Text(
            "judge: " + ", ".join(f"{name} {number:,}" if number else name for name, number in judged.items())
        )
    )
    for kind, writers in totals.writers.items():
        prompts = ", ".join(totals.prompt_versions.get(kind, {}))
        lines.append(Text(f"{kind}: {', '.join(writers)}{'; prompt ' if prompts else ''}{prompts}"))
    spent = "unknown" if totals.all_cost is None else _money(totals.all_cost)
    tokens = "unknown" if totals.all_tokens is None else f"{totals.all_tokens:,}"
    lines.append(Text(f"spent: {tokens} tokens, cost {spent}"))
    return lines


def _changes(comparison: RunComparison) -> list[Text]:
    lines: list[Text] = []
    for word, style in (("worse", "red"), ("better", "green")):
        some = [each for each in comparison.cases if getattr(each, word)]
        lines += [
            Text(f"{word}: {each.case} ({each.kind}): {'; '.join(getattr(each, word))}", style=style)
            for each in some[:_MOST]
        ]
        if len(some) > _MOST:
            lines.append(Text(f"… {len(some) - _MOST:,} more cases are {word}; --format json has all"))
    if comparison.left_out:
        named = ", ".join(comparison.left_out[:3])
        more = ", …" if len(comparison.left_out) > 3 else ""  # noqa: PLR2004 - as above
        lines.append(
            Text(
                f"{len(comparison.left_out):,} cases are not compared, being in one run alone or not the same in both: "
                f"{named}{more}",
                style="yellow",
            )
        )
    lines += [Text(f"changed: {each}", style="yellow") for each in comparison.beside[:_MOST]]
    if len(comparison.beside) > _MOST:
        lines.append(Text(f"… {len(comparison.beside) - _MOST:,} more differences; --format json has all"))
    return lines


def _unmet(results: tuple[CaseResult, ...]) -> list[Text]:
    lines: list[Text] = []
    for each in results:
        faults = [f"without {name!r}" for name in each.missing] + [
            f"mentions {name!r}" for name in each.found
        ]
        if faults:
            lines.append(Text(f"{each.case} ({each.kind}): {', '.join(faults)}"))
    more = [Text(f"… {len(lines) - _MOST:,} more; --format json has all")] if len(lines) > _MOST else []
    return lines[:_MOST] + more


def _notes(comparison: RunComparison | None) -> str:
    told = "what is no model's content keeps no facts, and has no quality and no latency"
    if comparison is None:
        return f"intervals 95 %; {told}"
    return (
        f"{comparison.compared:,} cases compared; {told}; runs of an unchanged pipeline are called worse in at most "
        f"{100 * comparison.error:.0f} % of comparisons"
    )


def _verdict(each: MeasureComparison, signed: Callable[[float], str]) -> tuple[str, Text]:
    difference = each.difference
    told = "-" if difference is None else f"{signed(difference.low)} to {signed(difference.high)}"
    return told, Text(each.verdict.replace("_", " "), style=_STYLES.get(each.verdict, ""))


def _interval(found: Interval | None, show: Callable[[float], str]) -> str:
    return "-" if found is None else f"{show(found.value)} ({show(found.low)} to {show(found.high)})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _plain(value: float) -> str:
    return f"{value:.2f}"


def _signed(value: float) -> str:
    return f"{value:+.2f}"


def _seconds(value: float) -> str:
    return f"{value / _SECOND_MS:.2f} s" if abs(value) >= _SECOND_MS else f"{value:.0f} ms"


def _signed_seconds(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{_seconds(abs(value))}"


def _money(value: float) -> str:
    return f"{value:.4g}"


def _signed_money(value: float) -> str:
    return f"{value:+.4g}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _signed_whole(value: float) -> str:
    return f"{value:+,.0f}"


#: Rows that are shown also where no result has the figure.
_ALWAYS: Final = frozenset({"valid", "quality", "p50_ms", "p95_ms", "cost"})
#: Field of the totals, label, and how a value and a difference are written.
_ROWS: Final = (
    ("valid", "valid", _percent, _points),
    ("facts", "facts kept", _percent, _points),
    ("avoid", "avoided terms left out", _percent, _points),
    ("in_time", "in time", _percent, _points),
    ("quality", "quality (0 to 1)", _plain, _signed),
    ("judge", "judge (1 to 5)", _plain, _signed),
    ("p50_ms", "latency p50", _seconds, _signed_seconds),
    ("p95_ms", "latency p95", _seconds, _signed_seconds),
    ("tokens", "tokens", _whole, _signed_whole),
    ("cost", "cost", _money, _signed_money),
)

"""Terminal view of an experiment's reading: the verdict, a column for each arm, and what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from infra.cli.show import aligned

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.inspect.experiment_math import Interval
    from infra.inspect.experiments import ArmReading, ExperimentReading

_VERDICTS: Final = {"broken_split": "bold red", "winner": "bold green"}
_STANDINGS: Final = {"better": "green", "worse": "bold red", "control": "dim"}
#: Reasons of failure that a table shows.
_REASONS: Final = 5


def render(found: ExperimentReading) -> list[Text]:
    """The lines of a reading."""
    lines = [Text(found.sentence, style=_VERDICTS.get(found.verdict, "bold"))]
    rows: list[tuple[Text | str, ...]] = [
        ("weight", *(str(each.weight) for each in found.arms)),
        (f"{found.unit}s", *(f"{each.units:,}" for each in found.arms)),
        ("results", *(f"{each.results:,}" for each in found.arms)),
        ("success", *(_interval(each.success, _percent) for each in found.arms)),
        ("p95", *(_interval(each.p95_ms, _seconds) for each in found.arms)),
        ("cost", *(_interval(each.cost, _money) for each in found.arms)),
        ("tokens", *("unknown" if each.tokens is None else f"{each.tokens:,}" for each in found.arms)),
        ("against control", *(_standing(each) for each in found.arms)),
    ]
    reasons = list(dict.fromkeys((each.status, each.code) for arm in found.arms for each in arm.failures))
    for status, code in reasons[:_REASONS]:
        label = f"{status} {code}" if code else status
        rows.append((label, *(_count(arm, status, code) for arm in found.arms)))
    lines += aligned((f"goal {found.goal}", *(each.name for each in found.arms)), rows)
    if len(reasons) > _REASONS:
        lines.append(Text(f"… {len(reasons) - _REASONS} more reasons of failure; --format json has all"))
    lines.append(Text(_split(found), style="dim"))
    if found.earlier:
        lines.append(
            Text(
                f"{found.earlier:,} results of an earlier version of the split are left out: arms, weights, settings, unit "
                "or requests were others",
                style="yellow",
            )
        )
    if found.cut:
        lines.append(Text("there are more results; these are the latest", style="yellow"))
    return lines


def _split(found: ExperimentReading) -> str:
    p = "too few units to test the split" if found.split.p is None else f"split check p {found.split.p:.3g}"
    return (
        f"{p}; intervals 95 %; an experiment of equal arms names a difference in at most {found.error:.0%} of cases, "
        f"read up to {found.looks} times"
    )


def _interval(found: Interval | None, say: Callable[[float], str]) -> str:
    return "-" if found is None else f"{say(found.value)} ({say(found.low)} to {say(found.high)})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _seconds(value: float) -> str:
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"  # noqa: PLR2004 - ms in a second


def _money(value: float) -> str:
    return f"{value:.4g}"


def _standing(arm: ArmReading) -> Text:
    return Text(arm.standing.replace("_", " "), style=_STANDINGS.get(arm.standing, ""))


def _count(arm: ArmReading, status: str, code: str | None) -> str:
    return f"{sum(each.results for each in arm.failures if (each.status, each.code) == (status, code)):,}"

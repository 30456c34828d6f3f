"""Tables of a bench's steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from infra.lab.bench.outcomes import PROMISED_S, Tally
from infra.lab.bench.trial import LoadStep

#: First columns of a step's row: the names of its pipeline's mode, for instance.
Labels = tuple[str, ...]

#: Endings of requests that the model answered.
_LIVE: Final = frozenset({"success/scripted", "success/live"})
_FIGURES: Final = (
    "step", "asked/s", "taken/s", "refused", "no ack", "in time", "late", "lost", "twice", "live",
    "p50 s", "p99 s", "max s", "ack p50", "ack p99", "ack max", "load",
)  # fmt: skip


def table(heads: Labels, steps: Sequence[tuple[Labels, LoadStep]]) -> str:
    """Steps as two tables: outcomes of the requests, and memory.

    Args:
        heads: of the labels.
        steps: each with its labels.
    """
    rows: list[tuple[str, ...]] = [(*heads, *_FIGURES)]
    for labels, step in steps:
        one = step.tally
        rows.append(
            (
                *labels,
                step.name,
                f"{one.offered_per_s:.0f}",
                f"{one.accepted_per_s:.0f}",
                f"{one.refused_share:.1%}",
                str(one.silent),
                f"{one.in_time_share:.2%}",
                str(one.late),
                str(one.lost),
                str(one.doubled),
                f"{live(one):.0%}",
                *(_figure(value) for value in (one.late_s.p50, one.late_s.p99, one.late_s.max)),
                *(_figure(value, 3) for value in (one.publish_s.p50, one.publish_s.p99, one.publish_s.max)),
                f"{step.load_average[1]:.1f}",
            )
        )
    said = f"p50, p99, max: seconds beyond the deadline; in time: by the deadline plus {PROMISED_S:g} s"
    return f"{columns(rows)}\n{said}\n\n{_memory(heads, steps)}\n"


def live(tally: Tally) -> float:
    """Share of the accepted requests that the model answered."""
    return sum(share for name, share in tally.endings.items() if name in _LIVE)


def line(step: LoadStep) -> str:
    """A step in one line, as progress output."""
    one = step.tally
    return (
        f"{step.name}: {one.accepted} accepted, {one.refused_share:.1%} refused, "
        f"{one.in_time_share:.2%} in time, worst {_figure(one.late_s.max)} s beyond the deadline, "
        f"{one.lost} lost, {one.doubled} doubled"
    )


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text, each column as wide as its widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def _memory(heads: Labels, steps: Sequence[tuple[Labels, LoadStep]]) -> str:
    rows: list[tuple[str, ...]] = [(*heads, "process", "first MiB", "most MiB", "last MiB")]
    sizes = {
        (labels, name): [
            step.memory_mib[name] for other, step in steps if other == labels and name in step.memory_mib
        ]
        for labels, step in steps
        for name in step.memory_mib
    }
    for (labels, name), each in sizes.items():
        figures = (each[0].before, max(one.max for one in each), each[-1].after)
        rows.append((*labels, name, *(f"{one:.0f}" for one in figures)))
    return columns(rows)


def _figure(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

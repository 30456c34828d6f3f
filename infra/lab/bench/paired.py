"""Pairs of pipelines: bursts that go to one after the other, so that what else happens on the machine meets all alike."""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from infra.lab.bench import cpu

if TYPE_CHECKING:
    from infra.app.supervisor import Supervisor
    from infra.lab.bench.load import Load

#: Figures of bursts.
Rows = list[dict[str, float]]

#: Seconds after a burst whose CPU time counts, too: the last spans are sent, and the audit follows.
_SETTLE_S: Final = 2.2
#: Resamples for an interval, and the share of them that it holds.
_RESAMPLES: Final = 10_000
_SHARE: Final = 0.95


def in_turn(modes: Sequence[str], number: int) -> Sequence[str]:
    """The modes in their order, another one first each time."""
    first = number % len(modes)
    return (*modes[first:], *modes[:first])


def values(taken: Iterable[Rows], name: str) -> list[float]:
    """A figure of all rounds of all starts."""
    return [row[name] for rows in taken for row in rows]


def compare(what: str, taken: Sequence[Rows], reference: Sequence[Rows], name: str) -> dict[str, Any]:
    """The median ratio of a figure to that of the reference in the same round, and its interval."""
    ratios = [
        [row[name] / other[name] for row, other in zip(rows, others, strict=True)]
        for rows, others in zip(taken, reference, strict=True)
    ]
    return {
        f"{what}_ratio": round(statistics.median(itertools.chain(*ratios)), 3),
        f"{what}_interval": [round(each, 3) for each in bootstrap(ratios)],
    }


def bootstrap(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The 95 % interval of the median of all values, whose groups differ: the medians of resampled groups of values.

    Source: A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application" (1997), 3.8, hierarchical data.
    """
    dice = random.Random(1)  # noqa: S311 - the same figures give the same interval
    medians: list[float] = []
    for _ in range(_RESAMPLES):
        resampled = (dice.choices(each, k=len(each)) for each in dice.choices(groups, k=len(groups)))
        medians.append(statistics.median(itertools.chain(*resampled)))
    medians.sort()
    beyond = round(_RESAMPLES * (1 - _SHARE) / 2)
    return medians[beyond], medians[-1 - beyond]


class MeasuredPipeline:
    """A running pipeline of one mode.

    Args:
        supervisor: its.
        load: connected to its broker.
    """

    def __init__(self, supervisor: Supervisor, load: Load) -> None:
        self.supervisor = supervisor
        self._load = load

    async def measure(self, name: str, requests: int) -> dict[str, float]:
        """Send a burst.

        Args:
            name: beginning of its requests' ids.
            requests: its size.
        """
        before, own_s = cpu.used_by(self.supervisor.pids), time.process_time()
        taken = await self._load.burst([f"{name}-{number}" for number in range(requests)])
        await asyncio.sleep(_SETTLE_S)
        spent = cpu.per_request_ms(before, cpu.used_by(self.supervisor.pids), requests)
        return {
            "requests_per_s": requests / taken,
            "cpu_ms_per_request": spent["total"],
            "bench_cpu_ms_per_request": (time.process_time() - own_s) * 1000 / requests,
        }


def summarize(row: Mapping[str, float]) -> str:
    """The figures of one burst for people."""
    return f"{row['requests_per_s']:.0f} requests/s, CPU {row['cpu_ms_per_request']:.2f} ms/request"

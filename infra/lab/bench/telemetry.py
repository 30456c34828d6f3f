"""Cost of telemetry: the pipeline with telemetry, scraped and sending traces, beside the same pipeline without.

One pipeline of each mode runs, and bursts go to one after the other: what else happens on the machine meets all modes
alike.  Each burst is compared with the one without telemetry in the same round.  Two pipelines with the same settings
differ by some percent as long as they run, so all are started anew a few times.  Modes:

- ``off``: no metrics, no traces;
- ``on``: metrics and traces with the default settings: a busy process leaves most traces out;
- ``metrics``: metrics alone, as by default;
- ``every trace``: metrics, and all traces.

A process beside them collects the spans and scrapes as often as infra/deploy/prometheus/prometheus.yml does.  It and the
load share the pipeline's cores, so their work lowers the throughput, but it is no part of the pipeline's CPU time.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from infra.lab.bench import cpu
from infra.lab.bench.collector import collecting
from infra.lab.bench.load import Load
from infra.lab.bench.report import columns
from infra.lab.bench.trial import scripted, starting
from infra.telemetry.exporter import OFF

if TYPE_CHECKING:
    from infra.app.supervisor import Supervisor
    from infra.lab.bench.collector import Collected
    from infra.lab.bench.trial import Say
    from infra.settings.settings import Settings

#: Figures of bursts.
_Rows = list[dict[str, float]]

#: Throughput with telemetry on, as a share of that with everything off, that is promised.
PROMISED: Final = 0.95
#: Seconds after a burst whose CPU time counts, too: the last spans are sent, and the audit follows.
_SETTLE_S: Final = 2.2
#: Seconds over which the CPU time of idle pipelines is taken.
_IDLE_S: Final = 10.0
#: Modules that the extra ``otel`` brings.
_EXTRA: Final = ("opentelemetry.sdk", "requests")
_WARM_UP: Final = 500
_REFERENCE: Final = "off"
_DETAILS: Final = ("metrics", "every trace")
#: Resamples for an interval, and the share of them that it holds.
_RESAMPLES: Final = 10_000
_SHARE: Final = 0.95


async def run(*, requests: int, starts: int, rounds: int, detail: bool, say: Say) -> dict[str, Any]:
    """Measure the modes.

    Args:
        requests: size of a burst.
        starts: of each pipeline.
        rounds: bursts for each mode and start; medians are reported.
        detail: also measure metrics alone, and every trace.
        say: called with what is being done.

    Returns:
        ``throughput_ratio`` and ``cpu_ratio`` (on to off), each with its interval, whether the promise is kept, whether
        there were traces (they need the extra ``otel``), and the figures per mode: medians, and ratios to the mode
        without telemetry.

    Raises:
        RuntimeError: nothing was scraped, or no span arrived: nothing was measured.
    """
    traced = _has_extra()
    folders: dict[Path, str] = {}
    idle: dict[str, float] = {}
    async with collecting() as collector:
        modes = _modes(collector.url if traced else None, detail=detail)
        rows: dict[str, list[_Rows]] = {mode: [] for mode in modes}
        for start in range(starts):
            async with AsyncExitStack() as stack:
                pipelines: dict[str, _Pipeline] = {}
                for mode in _in_turn(tuple(modes), start):
                    say(f"start {start + 1} of {starts}: telemetry {mode}")
                    configure = partial(_configure, folders=folders, mode=mode, settings=modes[mode])
                    trial = await stack.enter_async_context(starting(configure))
                    load = await stack.enter_async_context(Load(trial.supervisor.nats_url))
                    pipelines[mode] = _Pipeline(trial.supervisor, load)
                    await load.burst([f"w-{number}" for number in range(_WARM_UP)])
                    if mode != _REFERENCE:
                        collector.scrape(next(reversed(folders)))
                    rows[mode].append([])
                if not idle:
                    say("idle")
                    idle = await _measure_idle(pipelines)
                for number in range(rounds):
                    for mode in _in_turn(tuple(modes), start + number):
                        row = await pipelines[mode].measure(f"b-{number}", requests)
                        rows[mode][-1].append(row)
                        say(f"round {number + 1} of {rounds}: telemetry {mode}: {_summarize(row)}")
        collected = await collector.end()
    counts = {mode: _count(collected, mode, folders) for mode in modes}
    for mode in modes.keys() - {_REFERENCE}:
        for what in ("scrapes",) if mode == "metrics" or not traced else ("scrapes", "span_batches"):
            if not counts[mode][what]:
                raise RuntimeError(f"with telemetry {mode} there were no {what}")
    figures = {
        mode: {
            **{name: round(statistics.median(_values(taken, name)), 3) for name in taken[0][0]},
            "idle_cpu_percent": round(idle[mode], 1),
            **counts[mode],
            **_compare("throughput", taken, rows[_REFERENCE], "requests_per_s"),
            **_compare("cpu", taken, rows[_REFERENCE], "cpu_ms_per_request"),
        }
        for mode, taken in rows.items()
    }
    ratios = {name: found for name, found in figures["on"].items() if name.endswith(("_ratio", "_interval"))}
    return {
        **ratios,
        "passed": ratios["throughput_ratio"] >= PROMISED,
        "requests": requests,
        "traced": traced,
        "modes": figures,
        "rounds": rows,
    }


def _modes(collector_url: str | None, *, detail: bool) -> dict[str, dict[str, Any]]:
    """Settings by mode.

    Args:
        collector_url: of the collector of spans; ``None``: there are no traces.
        detail: all modes.
    """
    on: dict[str, Any] = {"metrics": "127.0.0.1:0"}
    if collector_url is None:
        return {_REFERENCE: {"metrics": OFF}, "on": on}
    every = {"otlp_endpoint": f"{collector_url}{_path('every trace')}", "spans_per_second": 1_000_000}
    modes = {
        _REFERENCE: {"metrics": OFF},
        "on": {**on, "telemetry": {"otlp_endpoint": f"{collector_url}{_path('on')}"}},
        "metrics": on,
        "every trace": {**on, "telemetry": every},
    }
    return {mode: settings for mode, settings in modes.items() if detail or mode not in _DETAILS}


def _path(mode: str) -> str:
    """Where the spans of a mode are posted."""
    return f"/{mode.replace(' ', '-')}"


def _configure(
    data_dir: Path, *, folders: dict[Path, str], mode: str, settings: Mapping[str, Any]
) -> Settings:
    """The settings of a mode's pipeline; notes its folder."""
    folders[data_dir] = mode
    return scripted(data_dir, sync_interval="2m", **settings)


def _in_turn(modes: Sequence[str], number: int) -> Sequence[str]:
    """The modes in their order, another one first each time."""
    first = number % len(modes)
    return (*modes[first:], *modes[:first])


def _count(collected: Collected, mode: str, folders: Mapping[Path, str]) -> dict[str, int]:
    return {
        "scrapes": sum(collected.scrapes.get(str(each), 0) for each, its in folders.items() if its == mode),
        "span_batches": collected.batches.get(_path(mode), 0),
    }


def _values(taken: Iterable[_Rows], name: str) -> list[float]:
    """A figure of all rounds of all starts."""
    return [row[name] for rows in taken for row in rows]


def _compare(what: str, taken: Sequence[_Rows], reference: Sequence[_Rows], name: str) -> dict[str, Any]:
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


def _has_extra() -> bool:
    try:
        return all(find_spec(each) is not None for each in _EXTRA)
    except ModuleNotFoundError:
        return False


class _Pipeline:
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


async def _measure_idle(pipelines: Mapping[str, _Pipeline]) -> dict[str, float]:
    """CPU time of each pipeline's processes while there are no requests, percent of one core."""
    before = {mode: cpu.used_by(each.supervisor.pids) for mode, each in pipelines.items()}
    await asyncio.sleep(_IDLE_S)
    after = {mode: cpu.used_by(each.supervisor.pids) for mode, each in pipelines.items()}
    return {
        mode: sum(after[mode][name] - used for name, used in before[mode].items()) * 100 / _IDLE_S
        for mode in pipelines
    }


def _summarize(row: Mapping[str, float]) -> str:
    return f"{row['requests_per_s']:.0f} requests/s, CPU {row['cpu_ms_per_request']:.2f} ms/request"


def table(figures: Mapping[str, Any]) -> str:
    """The figures of :func:`run` for people."""
    rows = [
        (
            "telemetry",
            "requests/s",
            "ratio",
            "CPU ms/request",
            "ratio",
            "bench's CPU",
            "idle CPU %",
            "scrapes",
            "span batches",
        )
    ]
    for mode, found in figures["modes"].items():
        rows.append(
            (
                mode,
                f"{found['requests_per_s']:.0f}",
                _ratio(found, "throughput"),
                f"{found['cpu_ms_per_request']:.2f}",
                _ratio(found, "cpu"),
                f"{found['bench_cpu_ms_per_request']:.2f}",
                f"{found['idle_cpu_percent']:.1f}",
                str(found["scrapes"]),
                str(found["span_batches"]),
            )
        )
    kept = "kept" if figures["passed"] else "broken"
    traces = "" if figures["traced"] else "without traces: the extra 'otel' is not installed\n"
    return (
        f"{columns(rows)}\n\nthroughput {_ratio(figures, 'throughput')}, CPU {_ratio(figures, 'cpu')} of that without "
        f"telemetry (medians over rounds, 95 % intervals); promised: throughput of at least {PROMISED:g} ({kept})\n"
        f"{traces}"
    )


def _ratio(found: Mapping[str, Any], what: str) -> str:
    low, high = found[f"{what}_interval"]
    return f"{found[f'{what}_ratio']:.3f} ({low:.3f}-{high:.3f})"

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
import statistics
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from infra.lab.bench import cpu, paired
from infra.lab.bench.collector import collecting
from infra.lab.bench.load import Load
from infra.lab.bench.report import columns
from infra.lab.bench.trial import scripted, starting
from infra.telemetry.exporter import OFF

if TYPE_CHECKING:
    from infra.lab.bench.collector import Collected
    from infra.lab.bench.trial import Say
    from infra.settings.settings import Settings

#: Throughput with telemetry on, as a share of that with everything off, that is promised.
PROMISED: Final = 0.95
#: Seconds over which the CPU time of idle pipelines is taken.
_IDLE_S: Final = 10.0
#: Modules that the extra ``otel`` brings.
_EXTRA: Final = ("opentelemetry.sdk", "requests")
_WARM_UP: Final = 500
_REFERENCE: Final = "off"
_DETAILS: Final = ("metrics", "every trace")


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
        rows: dict[str, list[paired.Rows]] = {mode: [] for mode in modes}
        for start in range(starts):
            async with AsyncExitStack() as stack:
                pipelines: dict[str, paired.MeasuredPipeline] = {}
                for mode in paired.in_turn(tuple(modes), start):
                    say(f"start {start + 1} of {starts}: telemetry {mode}")
                    configure = partial(_configure, folders=folders, mode=mode, settings=modes[mode])
                    trial = await stack.enter_async_context(starting(configure))
                    load = await stack.enter_async_context(Load(trial.supervisor.reached))
                    pipelines[mode] = paired.MeasuredPipeline(trial.supervisor, load)
                    await load.burst([f"w-{number}" for number in range(_WARM_UP)])
                    if mode != _REFERENCE:
                        collector.scrape(next(reversed(folders)))
                    rows[mode].append([])
                if not idle:
                    say("idle")
                    idle = await _measure_idle(pipelines)
                for number in range(rounds):
                    for mode in paired.in_turn(tuple(modes), start + number):
                        row = await pipelines[mode].measure(f"b-{number}", requests)
                        rows[mode][-1].append(row)
                        say(f"round {number + 1} of {rounds}: telemetry {mode}: {paired.summarize(row)}")
        collected = await collector.end()
    counts = {mode: _count(collected, mode, folders) for mode in modes}
    for mode in modes.keys() - {_REFERENCE}:
        for what in ("scrapes",) if mode == "metrics" or not traced else ("scrapes", "span_batches"):
            if not counts[mode][what]:
                raise RuntimeError(f"with telemetry {mode} there were no {what}")
    figures = {
        mode: {
            **{name: round(statistics.median(paired.values(taken, name)), 3) for name in taken[0][0]},
            "idle_cpu_percent": round(idle[mode], 1),
            **counts[mode],
            **paired.compare("throughput", taken, rows[_REFERENCE], "requests_per_s"),
            **paired.compare("cpu", taken, rows[_REFERENCE], "cpu_ms_per_request"),
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


def _count(collected: Collected, mode: str, folders: Mapping[Path, str]) -> dict[str, int]:
    return {
        "scrapes": sum(collected.scrapes.get(str(each), 0) for each, its in folders.items() if its == mode),
        "span_batches": collected.batches.get(_path(mode), 0),
    }


def _has_extra() -> bool:
    try:
        return all(find_spec(each) is not None for each in _EXTRA)
    except ModuleNotFoundError:
        return False


async def _measure_idle(pipelines: Mapping[str, paired.MeasuredPipeline]) -> dict[str, float]:
    """CPU time of each pipeline's processes while there are no requests, percent of one core."""
    before = {mode: cpu.used_by(each.supervisor.pids) for mode, each in pipelines.items()}
    await asyncio.sleep(_IDLE_S)
    after = {mode: cpu.used_by(each.supervisor.pids) for mode, each in pipelines.items()}
    return {
        mode: sum(after[mode][name] - used for name, used in before[mode].items()) * 100 / _IDLE_S
        for mode in pipelines
    }


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

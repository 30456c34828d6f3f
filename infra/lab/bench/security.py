"""Cost of security: the pipeline on a broker that asks who connects, beside the same pipeline on an open one.

One pipeline of each mode runs, and bursts go to one after the other, as for :mod:`infra.lab.bench.telemetry`.  The load
connects as a client without a key: on the secured broker its requests and results cross the border of two accounts.
"""

from __future__ import annotations

import statistics
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from infra.lab.bench import paired
from infra.lab.bench.load import Load
from infra.lab.bench.report import columns
from infra.lab.bench.trial import scripted, starting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.lab.bench.trial import Say
    from infra.settings.settings import Settings

#: Throughput on the secured broker, as a share of that on the open one, that is promised.
PROMISED: Final = 0.97
_WARM_UP: Final = 500
_MODES: Final = ("open", "secured")
_REFERENCE: Final = "open"


async def run(*, requests: int, starts: int, rounds: int, say: Say) -> dict[str, Any]:
    """Measure both modes.

    Args:
        requests: size of a burst.
        starts: of each pipeline.
        rounds: bursts for each mode and start; medians are reported.
        say: called with what is being done.

    Returns:
        ``throughput_ratio`` and ``cpu_ratio`` (secured to open), each with its interval, whether the promise is kept,
        and the medians per mode.
    """
    rows: dict[str, list[paired.Rows]] = {mode: [] for mode in _MODES}
    for start in range(starts):
        async with AsyncExitStack() as stack:
            pipelines: dict[str, paired.MeasuredPipeline] = {}
            for mode in paired.in_turn(_MODES, start):
                say(f"start {start + 1} of {starts}: {mode}")
                trial = await stack.enter_async_context(starting(partial(_configure, mode=mode)))
                load = await stack.enter_async_context(Load(trial.supervisor.nats_url))
                pipelines[mode] = paired.MeasuredPipeline(trial.supervisor, load)
                await load.burst([f"w-{number}" for number in range(_WARM_UP)])
                rows[mode].append([])
            for number in range(rounds):
                for mode in paired.in_turn(_MODES, start + number):
                    row = await pipelines[mode].measure(f"b-{number}", requests)
                    rows[mode][-1].append(row)
                    say(f"round {number + 1} of {rounds}: {mode}: {paired.summarize(row)}")
    ratios = {
        **paired.compare("throughput", rows["secured"], rows[_REFERENCE], "requests_per_s"),
        **paired.compare("cpu", rows["secured"], rows[_REFERENCE], "cpu_ms_per_request"),
    }
    return {
        **ratios,
        "passed": ratios["throughput_ratio"] >= PROMISED,
        "requests": requests,
        "modes": {
            mode: {name: round(statistics.median(paired.values(taken, name)), 3) for name in taken[0][0]}
            for mode, taken in rows.items()
        },
        "rounds": rows,
    }


def _configure(data_dir: Path, *, mode: str) -> Settings:
    return scripted(
        data_dir, sync_interval="2m", broker={"sync_interval": "2m", "secured": mode == "secured"}
    )


def table(figures: Mapping[str, Any]) -> str:
    """The figures of :func:`run` for people."""
    rows = [("broker", "requests/s", "CPU ms/request")]
    rows += (
        (mode, f"{found['requests_per_s']:.0f}", f"{found['cpu_ms_per_request']:.2f}")
        for mode, found in figures["modes"].items()
    )
    kept = "kept" if figures["passed"] else "broken"
    low, high = figures["throughput_interval"]
    return (
        f"{columns(rows)}\n\nthroughput {figures['throughput_ratio']:.3f} ({low:.3f} to {high:.3f}), CPU "
        f"{figures['cpu_ratio']:.3f} of that on an open broker (medians over rounds, 95 % interval); promised: "
        f"throughput of at least {PROMISED:g} ({kept})\n"
    )

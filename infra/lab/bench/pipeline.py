"""What does the pipeline cost beside a hand-written loop that does the same durable work?

Both get a broker of their own and two worker processes; rounds alternate; medians are compared.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from infra.host.parent_death import before_exec
from infra.lab.bench.load import Load
from infra.lab.bench.outcomes import percentile
from infra.lab.bench.trial import Say, scripted, starting
from infra.nats import topology
from infra.nats.embedded import Embedded

MODES: Final = ("2m", "always")
_WARM_UP: Final = 300


@asynccontextmanager
async def ours(sync_interval: str) -> AsyncGenerator[str]:
    """The pipeline as `understudy up` runs it; yields the broker's URL."""
    rules = [{"match": {"request_id": "fb-*"}, "do": "refuse"}]
    async with starting(partial(scripted, sync_interval=sync_interval, rules=rules)) as trial:
        yield trial.supervisor.nats_url


@asynccontextmanager
async def theirs(sync_interval: str) -> AsyncGenerator[str]:
    """The hand-written loop; yields the broker's URL."""
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as folder:
        settings = scripted(Path(folder), sync_interval=sync_interval)
        async with Embedded(Path(folder), None, sync_interval=sync_interval) as broker:
            await topology.apply_at(broker.url, settings)
            started = [await _start(broker.url, folder, half) for half in ("model", "rest")]
            try:
                yield broker.url
            finally:
                for process in started:
                    process.send_signal(signal.SIGKILL)
                    await process.wait()


async def _start(url: str, folder: str, half: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.lab.bench.handwritten",
        url,
        f"{folder}/handwritten.db",
        half,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=before_exec(),
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    await process.stdout.readline()
    return process


async def _measure(url: str, *, requests: int, singles: int, fallbacks: int) -> dict[str, Any]:
    async with Load(url) as load:
        await load.burst([f"w-{n}" for n in range(_WARM_UP)])
        single = await load.latencies([f"s-{n}" for n in range(singles)])
        taken = await load.burst([f"b-{n}" for n in range(requests)])
        measured: dict[str, Any] = {
            "requests_per_s": requests / taken,
            "p50_ms": percentile(single, 0.5),
            "p99_ms": percentile(single, 0.99),
        }
        if fallbacks:
            ids = [f"fb-{n}" for n in range(fallbacks)]
            await load.latencies(ids)
            gaps = sorted((load.answered[one] - load.failed[one]) * 1000 for one in ids)
            measured |= {"fallback_p50_ms": percentile(gaps, 0.5), "fallback_p99_ms": percentile(gaps, 0.99)}
        return measured


async def run(*, requests: int, rounds: int, say: Say) -> dict[str, Any]:
    """Measure both in both sync modes.

    Args:
        requests: size of the burst.
        rounds: alternating rounds; medians are reported.
        say: told what is being done.

    Returns:
        ``throughput_ratio`` and ``latency_ratio`` (ours to theirs, the worse of the two modes),
        ``fallback_ms``, and the figures per mode.
    """
    modes: dict[str, Any] = {}
    for mode in MODES:
        rows: dict[str, list[dict[str, Any]]] = {"ours": [], "handwritten": []}
        for number in range(rounds):
            for name, start in (("ours", ours), ("handwritten", theirs)):
                say(f"sync_interval {mode}, round {number + 1} of {rounds}: {name}")
                async with start(mode) as url:
                    fallbacks = 300 if name == "ours" else 0
                    rows[name].append(
                        await _measure(url, requests=requests, singles=300, fallbacks=fallbacks)
                    )
        medians = {
            name: {key: round(statistics.median(row[key] for row in taken), 3) for key in taken[0]}
            for name, taken in rows.items()
        }
        mine, other = medians["ours"], medians["handwritten"]
        modes[mode] = {
            **medians,
            "throughput_ratio": round(mine["requests_per_s"] / other["requests_per_s"], 3),
            "latency_ratio": round(mine["p50_ms"] / other["p50_ms"], 3),
            "rounds": rows,
        }
    return {
        "throughput_ratio": min(mode["throughput_ratio"] for mode in modes.values()),
        "latency_ratio": max(mode["latency_ratio"] for mode in modes.values()),
        "fallback_ms": {
            "p50": max(mode["ours"]["fallback_p50_ms"] for mode in modes.values()),
            "p99": max(mode["ours"]["fallback_p99_ms"] for mode in modes.values()),
        },
        "requests": requests,
        "modes": modes,
    }

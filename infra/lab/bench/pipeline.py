"""Cost of the pipeline compared with a hand-written loop that does the same durable work.

Each gets a broker of its own; rounds alternate; medians are compared.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import pipeline
from infra.host.parent_death import before_exec
from infra.lab.bench import cpu
from infra.lab.bench.load import Load
from infra.lab.bench.outcomes import percentile
from infra.lab.bench.report import columns
from infra.lab.bench.trial import Say, scripted, starting
from infra.nats import topology
from infra.nats.embedded import Embedded

if TYPE_CHECKING:
    from nats.aio.client import Client

MODES: Final = ("2m", "always")
_WARM_UP: Final = 300
#: Seconds that the stages have for what is left when the last result is there.
_QUIET_S: Final = 60.0


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two compared systems, running."""

    #: Of its broker.
    url: str
    #: Process ids by name.
    processes: dict[str, int]


@asynccontextmanager
async def understudy(sync_interval: str) -> AsyncGenerator[Candidate]:
    """The pipeline as `understudy up` runs it."""
    rules = [{"match": {"request_id": "fb-*"}, "do": "refuse"}]
    async with starting(partial(scripted, sync_interval=sync_interval, rules=rules)) as trial:
        running = {each.name: each.pid for each in trial.supervisor.processes if each.pid is not None}
        yield Candidate(url=trial.supervisor.nats_url, processes=running)


@asynccontextmanager
async def handwritten(sync_interval: str) -> AsyncGenerator[Candidate]:
    """The hand-written loop."""
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as folder:
        settings = scripted(Path(folder), sync_interval=sync_interval)
        async with Embedded(Path(folder), None, sync_interval=sync_interval) as broker:
            await topology.apply_at(broker.url, settings)
            started = {half: await _start(broker.url, folder, half) for half in ("model", "rest")}
            running = {"broker": broker.pid, **{half: process.pid for half, process in started.items()}}
            try:
                yield Candidate(url=broker.url, processes=running)
            finally:
                for process in started.values():
                    process.send_signal(signal.SIGKILL)
                    await process.wait()


async def _start(url: str, folder: str, half: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
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


async def _measure(one: Candidate, *, requests: int, singles: int, fallbacks: int) -> dict[str, Any]:
    async with Load(one.url) as load:
        await load.burst([f"w-{n}" for n in range(_WARM_UP)])
        single = await load.latencies([f"s-{n}" for n in range(singles)])
        await wait_quiet(load.connected)
        before = cpu.used_by(one.processes)
        taken = await load.burst([f"b-{n}" for n in range(requests)])
        # The audit may follow later; its work belongs to these requests.
        await wait_quiet(load.connected)
        measured: dict[str, Any] = {
            "requests_per_s": requests / taken,
            "p50_ms": percentile(single, 0.5),
            "p99_ms": percentile(single, 0.99),
            "cpu_ms_per_request": cpu.per_request_ms(before, cpu.used_by(one.processes), requests),
        }
        if fallbacks:
            ids = [f"fb-{n}" for n in range(fallbacks)]
            await load.latencies(ids)
            gaps = sorted((load.answered[one] - load.failed[one]) * 1000 for one in ids)
            measured |= {"fallback_p50_ms": percentile(gaps, 0.5), "fallback_p99_ms": percentile(gaps, 0.99)}
        return measured


async def wait_quiet(client: Client) -> None:
    """Wait until no stage has work.

    Raises:
        TimeoutError: a stage still has work after a minute.
    """
    began = time.monotonic()
    while left := await _waiting(client):
        if time.monotonic() - began > _QUIET_S:
            raise TimeoutError(f"{left} messages are not acknowledged {_QUIET_S:g} s after the last result")
        await asyncio.sleep(0.1)


async def _waiting(client: Client) -> int:
    """Messages that some stage has not acknowledged."""
    found = [await topology.consumer(client, route.stream, route.durable) for route in pipeline.routes()]
    return sum(info["num_pending"] + info["num_ack_pending"] for info in found if info is not None)


async def run(*, requests: int, rounds: int, say: Say) -> dict[str, Any]:
    """Measure both in both sync modes.

    Args:
        requests: size of the burst.
        rounds: alternating rounds; medians are reported.
        say: called with what is being done.

    Returns:
        ``throughput_ratio`` and ``latency_ratio`` (the pipeline's to the hand-written loop's, the worse of the
        two modes), ``fallback_ms``, and the figures per mode; ``cpu_ms_per_request`` is by process, the broker
        included.
    """
    modes: dict[str, Any] = {}
    for mode in MODES:
        rows: dict[str, list[dict[str, Any]]] = {"ours": [], "handwritten": []}
        for number in range(rounds):
            for name, start in (("ours", understudy), ("handwritten", handwritten)):
                say(f"sync_interval {mode}, round {number + 1} of {rounds}: {name}")
                async with start(mode) as one:
                    fallbacks = 300 if name == "ours" else 0
                    rows[name].append(
                        await _measure(one, requests=requests, singles=300, fallbacks=fallbacks)
                    )
        medians = {name: _medians(taken) for name, taken in rows.items()}
        mine, other = medians["ours"], medians["handwritten"]
        modes[mode] = {
            **medians,
            "throughput_ratio": round(mine["requests_per_s"] / other["requests_per_s"], 3),
            "latency_ratio": round(mine["p50_ms"] / other["p50_ms"], 3),
            "cpu_ratio": round(mine["cpu_ms_per_request"]["total"] / other["cpu_ms_per_request"]["total"], 3),
            "rounds": rows,
        }
    return {
        "throughput_ratio": min(mode["throughput_ratio"] for mode in modes.values()),
        "latency_ratio": max(mode["latency_ratio"] for mode in modes.values()),
        "cpu_ratio": max(mode["cpu_ratio"] for mode in modes.values()),
        "fallback_ms": {
            "p50": max(mode["ours"]["fallback_p50_ms"] for mode in modes.values()),
            "p99": max(mode["ours"]["fallback_p99_ms"] for mode in modes.values()),
        },
        "requests": requests,
        "modes": modes,
    }


def _medians(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over the rounds, also of those that are by process."""
    return {
        name: _medians([row[name] for row in rows])
        if isinstance(value, dict)
        else round(statistics.median(row[name] for row in rows), 3)
        for name, value in rows[0].items()
    }


def table(figures: Mapping[str, Any]) -> str:
    """The figures of :func:`run` for people: speed, then CPU time per request by process."""
    speed = [("sync", "", "requests/s", "p50 ms", "p99 ms", "CPU ms/request")]
    spent = [("sync", "", "process", "CPU ms/request")]
    ratios: list[str] = []
    for mode, found in figures["modes"].items():
        for name in ("ours", "handwritten"):
            one, label = found[name], "pipeline" if name == "ours" else "hand-written"
            used: dict[str, float] = one["cpu_ms_per_request"]
            speed.append(
                (
                    mode,
                    label,
                    f"{one['requests_per_s']:.0f}",
                    f"{one['p50_ms']:.2f}",
                    f"{one['p99_ms']:.2f}",
                    f"{used['total']:.2f}",
                )
            )
            spent += [(mode, label, process, f"{ms:.2f}") for process, ms in used.items()]
        ratios.append(
            f"sync_interval {mode}: throughput {found['throughput_ratio']:.2f}, p50 {found['latency_ratio']:.2f}, "
            f"CPU {found['cpu_ratio']:.2f} of the hand-written loop's"
        )
    fallback = figures["fallback_ms"]
    ratios.append(
        f"from a failure to the stand-in: p50 {fallback['p50']:.1f} ms, p99 {fallback['p99']:.1f} ms"
    )
    return "\n".join([columns(speed), "", columns(spent), "", *ratios, ""])

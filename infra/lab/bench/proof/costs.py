"""What the pipeline costs: by the number of stored events, by stage, with two workers of a stage, and to read the log."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from contracts import pipeline
from contracts.errors import Unavailable
from infra.lab.bench import cpu
from infra.lab.bench.load import Load
from infra.lab.bench.outcomes import percentile
from infra.lab.bench.pipeline import wait_quiet
from infra.lab.bench.trial import Say, Trial, scripted, starting
from infra.nats import log as event_log
from infra.nats import topology

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.settings.settings import Settings

#: What the cost of a request at the most stored events may be, of that at the fewest.
COST_LIMIT: Final = 1.10
#: Requests of one burst, of a measurement, and its rounds.
_BURST: Final = 2_000
_MEASURED: Final = 1_000
_ROUNDS: Final = 3
_SINGLES: Final = 200
#: Seconds that the audit may need to follow a long run.
_FOLLOW_S: Final = 900.0
#: Milliseconds of a model call, and calls at once of each worker.
_CALL_MS: Final = 200
_AT_ONCE: Final = 4
_WORKER_REQUESTS: Final = 200
#: Requests that the audit finds when it wakes up.
_BACKLOG: Final = 2_000
_MIB: Final = 1024**2
#: Events that end a stage's part of a request, in order.
_PATH: Final = ("requested", "context_built", "drafted", "structured", "result")
_STAGE_OF_STEP: Final = ("context-build", "freeform-gen", "structuring", "validate-repair")


async def by_stored_events(points: Sequence[int], *, say: Say) -> dict[str, Any]:
    """CPU, memory and latency of a request once so many events are stored.

    Args:
        points: numbers of events in the stream, ascending.
        say: told what is being done.

    Returns:
        a row for each point; ``ratio`` is the cost at the last over that at the first.
    """
    rows: list[dict[str, Any]] = []
    async with (
        starting(partial(scripted, sync_interval="2m")) as trial,
        Load(trial.supervisor.reached) as load,
    ):
        sent = 0
        for point in points:
            while (stored := await _stored(trial.client)) < point:
                size = min(_BURST, max(100, (point - stored) // 8))
                await load.burst([f"f-{number}" for number in range(sent, sent + size)])
                load.answered.clear()
                sent += size
                say(f"{stored} of {point} events stored")
            await _followed(trial)
            rows.append(await _cost(trial, load, f"c{point}", stored))
            say(f"{rows[-1]}")
    return {
        "points": rows,
        "ratio": round(rows[-1]["cpu_ms"]["total"] / rows[0]["cpu_ms"]["total"], 3),
    }


async def _cost(trial: Trial, load: Load, prefix: str, stored: int) -> dict[str, Any]:
    running = {each.name: each.pid for each in trial.supervisor.processes if each.pid is not None}
    rates: list[float] = []
    costs: list[dict[str, float]] = []
    for number in range(_ROUNDS):
        before = cpu.used_by(running)
        took = await load.burst([f"{prefix}-{number}-{one}" for one in range(_MEASURED)])
        await wait_quiet(load.connected)
        costs.append(cpu.per_request_ms(before, cpu.used_by(running), _MEASURED))
        rates.append(_MEASURED / took)
    single = await load.latencies([f"{prefix}-s{one}" for one in range(_SINGLES)])
    load.answered.clear()
    return {
        "events": stored,
        "requests_per_s": round(statistics.median(rates), 1),
        "p50_ms": round(percentile(single, 0.5), 2),
        "p99_ms": round(percentile(single, 0.99), 2),
        "cpu_ms": {
            name: round(statistics.median(each[name] for each in costs), 3) for name in costs[0]
        },
        "memory_mib": {name: round(size / _MIB, 1) for name, size in trial.sampler.sizes().items()},
    }  # fmt: skip


async def by_stage(*, say: Say) -> dict[str, Any]:
    """Milliseconds that each stage adds to a request, one request after another, between the broker's timestamps.

    The model answers at once, so what is left is the pipeline's own.
    """
    say("latency by stage")
    async with (
        starting(partial(scripted, sync_interval="always")) as trial,
        Load(trial.supervisor.reached) as load,
    ):
        await load.burst([f"w-{number}" for number in range(_SINGLES)])
        ids = [f"s-{number}" for number in range(_SINGLES)]
        times: dict[str, dict[str, int]] = {one: {} for one in ids}
        reading = asyncio.create_task(_collect(trial, times))
        await load.latencies(ids)
        await asyncio.sleep(0.5)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await _note(trial, times)
    steps: dict[str, list[float]] = {stage: [] for stage in _STAGE_OF_STEP}
    for found in times.values():
        if set(_PATH) <= set(found):
            for stage, before, after in zip(_STAGE_OF_STEP, _PATH, _PATH[1:], strict=False):
                steps[stage].append((found[after] - found[before]) / 1e6)
    return {
        "requests": len(steps[_STAGE_OF_STEP[0]]),
        "stages": {
            stage: {"p50_ms": round(percentile(sorted(each), 0.5), 2), "p99_ms": round(percentile(sorted(each), 0.99), 2)}
            for stage, each in steps.items()
        },
    }  # fmt: skip


async def _collect(trial: Trial, times: dict[str, dict[str, int]]) -> None:
    # Requests are removed once they have ended: read while they come.
    while True:
        await _note(trial, times)
        await asyncio.sleep(0.2)


async def _note(trial: Trial, times: dict[str, dict[str, int]]) -> None:
    for stream, subjects in ((pipeline.REQUESTS, "gen.requested.>"), (pipeline.EVENTS, "gen.*.*.*")):
        try:
            async for entry in event_log.read(trial.wire, stream, subjects):
                _, event, _, request_id = entry.subject.split(".", 3)
                if request_id in times:
                    times[request_id].setdefault(event, entry.time_ns)
        except Unavailable:
            continue


async def with_two_workers(*, say: Say) -> dict[str, Any]:
    """Requests per second of a model of 200 ms with one and with two workers of its stage, in turn; medians."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for number in range(_ROUNDS):
        for workers, found in rates.items():
            say(f"round {number + 1} of {_ROUNDS}: {workers} workers of freeform-gen")
            async with (
                starting(_slow_model, split=True, copies={"freeform-gen": workers}) as trial,
                Load(trial.supervisor.reached) as load,
            ):
                await load.burst([f"w-{one}" for one in range(_AT_ONCE * workers)])
                took = await load.burst([f"b-{one}" for one in range(_WORKER_REQUESTS)])
                found.append(_WORKER_REQUESTS / took)
    one, two = (statistics.median(rates[workers]) for workers in (1, 2))
    return {
        "call_ms": _CALL_MS,
        "calls_at_once": _AT_ONCE,
        "one_per_s": round(one, 1),
        "two_per_s": round(two, 1),
        "ratio": round(two / one, 3),
    }


def _slow_model(folder: Path) -> Settings:
    rule = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": _CALL_MS}
    return scripted(
        folder,
        sync_interval="always",
        rules=[rule],
        concurrency={"freeform_gen": _AT_ONCE},
        admission={"enabled": False},
    )


async def readers(*, say: Say) -> dict[str, Any]:
    """Events per second of the audit that finds a backlog, and of who reads the whole log."""
    say("audit and log rates")
    async with (
        starting(partial(scripted, sync_interval="always")) as trial,
        Load(trial.supervisor.reached) as load,
    ):
        await load.burst([f"w-{number}" for number in range(200)])
        await wait_quiet(load.connected)
        audit = trial.supervisor.pids["audit"]
        os.kill(audit, signal.SIGSTOP)
        try:
            await load.burst([f"b-{number}" for number in range(_BACKLOG)])
        finally:
            os.kill(audit, signal.SIGCONT)
        waiting = await _audit_waiting(trial.client)
        began = time.monotonic()
        await _followed(trial)
        audited = waiting / (time.monotonic() - began)
        began = time.monotonic()
        count = 0
        async for _ in event_log.read(trial.wire, pipeline.EVENTS, "gen.>"):
            count += 1
        return {
            "audit_events_per_s": round(audited),
            "audit_backlog": waiting,
            "log_events_per_s": round(count / (time.monotonic() - began)),
            "log_events": count,
        }


async def _followed(trial: Trial) -> None:
    """Wait until the audit has read everything.

    Raises:
        TimeoutError: it has not within a quarter of an hour.
    """
    give_up = time.monotonic() + _FOLLOW_S
    while left := await _audit_waiting(trial.client):
        if time.monotonic() > give_up:
            raise TimeoutError(f"the audit is {left} events behind after {_FOLLOW_S:g} s")
        await asyncio.sleep(0.05)


async def _audit_waiting(client: Client) -> int:
    routes = [route for route in pipeline.routes() if route.stage == "audit"]
    found = [await topology.consumer(client, route.stream, route.durable) for route in routes]
    return sum(info["num_pending"] + info["num_ack_pending"] for info in found if info is not None)


async def _stored(client: Client) -> int:
    return (await client.jetstream(timeout=10).stream_info(pipeline.EVENTS)).state.messages

"""What the pipeline costs: by the number of stored events, by stage, with two workers of a stage, and to read the log."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
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
#: Requests of one burst, of a measurement, and its rounds.  A measurement takes some seconds: what the broker does
#: from time to time is a part of the cost, and by chance in a short one or not.
_BURST: Final = 2_000
_MEASURED: Final = 4_000
_ROUNDS: Final = 3
_SINGLES: Final = 200
#: Pairs of bursts: in the pipeline with few stored events, and in that with most.
_PAIRS: Final = 5
#: Of the requests that fill the log: their timers are over soon.
_DEADLINE_MS: Final = 20_000
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


class _Filled:
    """A pipeline whose log gets longer, and who asks it.

    Args:
        trial: the pipeline.
        load: asks it.
    """

    def __init__(self, trial: Trial, load: Load) -> None:
        self.trial = trial
        self.load = load
        self._running = {each.name: each.pid for each in trial.supervisor.processes if each.pid is not None}
        self._sent = 0

    async def fill(self, point: int, say: Say) -> int:
        """Ask until so many events are stored, and wait until they cost nothing any more; how many there are."""
        while (stored := await _stored(self.trial.client)) < point:
            size = min(_BURST, max(100, (point - stored) // 8))
            await self.burst(size)
            say(f"{stored} of {point} events stored")
        await _followed(self.trial)
        await _timers_fired(self.trial)
        return stored

    async def burst(self, size: int) -> float:
        """Ask so many requests at once; the seconds until all are answered."""
        took = await self.load.burst([f"f-{number}" for number in range(self._sent, self._sent + size)])
        self.load.answered.clear()
        self._sent += size
        return took

    async def cost(self) -> tuple[dict[str, float], float]:
        """CPU milliseconds of a request by process, and requests per second."""
        before = cpu.used_by(self._running)
        took = sum([await self.burst(_BURST) for _ in range(_MEASURED // _BURST)])
        await wait_quiet(self.load.connected)
        return cpu.per_request_ms(before, cpu.used_by(self._running), _MEASURED), _MEASURED / took


@asynccontextmanager
async def _filled() -> AsyncGenerator[_Filled]:
    async with (
        starting(partial(scripted, sync_interval="2m")) as trial,
        Load(trial.supervisor.reached, deadline_ms=_DEADLINE_MS) as load,
    ):
        yield _Filled(trial, load)


async def by_stored_events(points: Sequence[int], *, say: Say) -> dict[str, Any]:
    """CPU, memory and latency of a request once so many events are stored.

    Args:
        points: numbers of events in the stream, ascending.
        say: told what is being done.

    Returns:
        a row for each point; ``ratio`` is the cost at the last over that of a pipeline beside it which has as many
        events as the first point: the median of pairs of bursts, one after the other; ``pairs`` has all of them.
    """
    rows: list[dict[str, Any]] = []
    async with _filled() as many:
        for point in points:
            stored = await many.fill(point, say)
            rows.append(await _row(many, stored))
            say(f"{rows[-1]}")
        async with _filled() as few:
            await few.fill(points[0], say)
            pairs = [await _pair(few, many) for _ in range(_PAIRS)]
    say(f"cost of a request in pairs: {pairs}")
    return {"points": rows, "pairs": pairs, "ratio": round(statistics.median(pairs), 3)}


async def _pair(few: _Filled, many: _Filled) -> float:
    """The cost of a request where many events are stored, over that where few are."""
    for each in (few, many):
        await _timers_fired(each.trial)
    (least, _), (most, _) = await few.cost(), await many.cost()
    return round(most["total"] / least["total"], 3)


async def _row(filled: _Filled, stored: int) -> dict[str, Any]:
    measured = [await filled.cost() for _ in range(_ROUNDS)]
    single = await filled.load.latencies([f"s{stored}-{one}" for one in range(_SINGLES)])
    filled.load.answered.clear()
    return {
        "events": stored,
        "requests_per_s": round(statistics.median(rate for _, rate in measured), 1),
        "p50_ms": round(percentile(single, 0.5), 2),
        "p99_ms": round(percentile(single, 0.99), 2),
        "cpu_ms": {
            name: round(statistics.median(each[name] for each, _ in measured), 3) for name in measured[0][0]
        },
        "memory_mib": {
            name: round(size / _MIB, 1) for name, size in filled.trial.sampler.sizes().items()
        },
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


async def _timers_fired(trial: Trial) -> None:
    """Wait until the deadlines of earlier requests are over: what their timers cost is not the cost of the next ones.

    Raises:
        TimeoutError: they are not within a quarter of an hour.
    """
    give_up = time.monotonic() + _FOLLOW_S
    jetstream = trial.client.jetstream(timeout=10)
    while (await jetstream.stream_info(pipeline.EVENTS, subjects_filter="gen.timer.>")).state.subjects:
        if time.monotonic() > give_up:
            raise TimeoutError(f"timers of earlier requests are open after {_FOLLOW_S:g} s")
        await asyncio.sleep(1)


async def _audit_waiting(client: Client) -> int:
    routes = [route for route in pipeline.routes() if route.stage == "audit"]
    found = [await topology.consumer(client, route.stream, route.durable) for route in routes]
    return sum(info["num_pending"] + info["num_ack_pending"] for info in found if info is not None)


async def _stored(client: Client) -> int:
    return (await client.jetstream(timeout=10).stream_info(pipeline.EVENTS)).state.messages

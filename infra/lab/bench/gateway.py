"""Cost of the gateway: requests over HTTP, beside the same requests by NATS clients to the same pipeline.

Bursts alternate, each with the same number of requests in flight, as fast as the pipeline answers them.  In a closed loop
the time in the pipeline follows its throughput, so what a client adds is taken from each request: the time that its client
saw, less the time between the stored request and the stored result, by the broker's clock.  The gateway adds what HTTP
clients see beyond what NATS clients see.  A second part sends at half of that rate, one request after another.

A FastAPI endpoint without a pipeline, under the same uvicorn, is the limit.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from infra.app.pipeline_client import PipelineClient
from infra.host.parent_death import before_exec
from infra.lab.bench import cpu
from infra.lab.bench.http_load import KeptConnection, keeping
from infra.lab.bench.outcomes import percentile
from infra.lab.bench.pipeline import wait_quiet
from infra.lab.bench.report import columns
from infra.lab.bench.trial import scripted, starting

if TYPE_CHECKING:
    from infra.lab.bench.trial import Say, Trial

#: What is promised: milliseconds that the gateway adds at the median and for all but one in a hundred requests, and
#: throughput as a share of that with NATS clients.
PROMISED_P50_MS: Final = 3.0
PROMISED_P99_MS: Final = 15.0
PROMISED_RATIO: Final = 0.9
_KIND: Final = "layout"
#: Of every request; long, so that a loaded machine causes no failures.
_DEADLINE_MS: Final = 600_000
_WARM_UP: Final = 400
#: Share of the pipeline's rate at which the paced part sends.
_PACE: Final = 0.5
_OK: Final = 200
#: Bytes of an answer of the bare endpoint, about those of a result.
_ANSWER_BYTES: Final = 1500

#: Sends one request and waits for its result; a number says whose turn it is.
Ask = Callable[[int, str], Awaitable[None]]


async def run(*, requests: int, in_flight: int, rounds: int, sync_interval: str, say: Say) -> dict[str, Any]:
    """Measure NATS clients, the gateway, and the bare endpoint.

    Args:
        requests: size of a burst.
        in_flight: requests at once.
        rounds: bursts for each, in turn; medians are reported.
        sync_interval: the broker's.
        say: called with what is being done.

    Returns:
        ``throughput_ratio``, ``added_p50_ms`` and ``added_p99_ms`` under full load, the same added times at half the rate,
        whether the promises are kept, and the figures of each.
    """
    configure = partial(
        scripted,
        sync_interval=sync_interval,
        gateway={"port": 0},
        # What a machine under other load answers late must not be refused: it is measured.
        admission={"enabled": False},
    )
    rows: dict[str, list[dict[str, float]]] = {"nats": [], "http": []}
    paced: dict[str, list[dict[str, float]]] = {"nats": [], "http": []}
    async with starting(configure) as trial, _asking(trial, in_flight) as ways:
        for name, ask in ways.items():
            await _burst(ask, [f"w{name}-{number}" for number in range(_WARM_UP)], in_flight)
        for number in range(rounds):
            # Each comes first in turn.
            for name in sorted(ways, reverse=number % 2 == 0):
                say(f"round {number + 1} of {rounds}: {name}")
                ids = [f"{name}{number}-{one}" for one in range(requests)]
                rows[name].append(await _measure(trial, ways[name], ids, in_flight))
        rate = _PACE * statistics.median(row["requests_per_s"] for row in rows["nats"])
        for number in range(rounds):
            for name in sorted(ways, reverse=number % 2 == 0):
                say(f"{rate:.0f} requests per second, round {number + 1} of {rounds}: {name}")
                ids = [f"p{name}{number}-{one}" for one in range(requests // 2)]
                paced[name].append(await _measure_paced(trial, ways[name], ids, rate, in_flight))
    say("bare endpoint")
    bare = await _measure_bare(requests * 2, in_flight, rate)
    ratio = statistics.median(
        http["requests_per_s"] / nats["requests_per_s"]
        for http, nats in zip(rows["http"], rows["nats"], strict=True)
    )
    found = {
        "throughput_ratio": round(ratio, 3),
        "added_p50_ms": _added(rows, "outside_p50_ms"),
        "added_p99_ms": _added(rows, "outside_p99_ms"),
        "paced_per_s": round(rate, 1),
        "paced_added_p50_ms": _added(paced, "p50_ms"),
        "paced_added_p99_ms": _added(paced, "p99_ms"),
    }
    return {
        **found,
        "passed": found["throughput_ratio"] >= PROMISED_RATIO
        and max(found["added_p50_ms"], found["paced_added_p50_ms"]) < PROMISED_P50_MS
        and max(found["added_p99_ms"], found["paced_added_p99_ms"]) < PROMISED_P99_MS,
        "requests": requests,
        "in_flight": in_flight,
        "sync_interval": sync_interval,
        "full": {name: _medians(taken) for name, taken in rows.items()},
        "paced": {name: _medians(taken) for name, taken in paced.items()},
        "bare": bare,
        "rounds": {"full": rows, "paced": paced},
    }


@asynccontextmanager
async def _asking(trial: Trial, in_flight: int) -> AsyncGenerator[dict[str, Ask]]:
    """The two ways to ask, connected."""
    url = trial.supervisor.http_url
    if url is None:
        raise RuntimeError("the gateway has not started")
    with keeping(url, in_flight) as connections:
        async with PipelineClient(trial.supervisor.nats_url) as client:

            async def by_nats(_: int, request_id: str) -> None:
                await client.ask(_KIND, body=_body(request_id), request_id=request_id)

            yield {"nats": by_nats, "http": partial(_post, connections)}


async def _post(connections: Sequence[KeptConnection], number: int, request_id: str) -> None:
    answer = await connections[number].post(
        f"/generate?kind={_KIND}", _body(request_id), {"Idempotency-Key": request_id}
    )
    if answer.status != _OK:
        raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:500]!r}")


def _body(request_id: str) -> bytes:
    return msgspec.json.encode(
        {"prompt": f"a forest with three coins, number {request_id}", "deadline_ms": _DEADLINE_MS}
    )


class _Timed(msgspec.Struct, frozen=True, kw_only=True):
    """One request, milliseconds since the epoch."""

    sent_ms: float
    answered_ms: float

    @property
    def taken_ms(self) -> float:
        return self.answered_ms - self.sent_ms


async def _timed(ask: Ask, number: int, request_id: str) -> _Timed:
    sent = time.time_ns()
    await ask(number, request_id)
    return _Timed(sent_ms=sent / 1e6, answered_ms=time.time_ns() / 1e6)


async def _burst(ask: Ask, ids: Sequence[str], in_flight: int) -> dict[str, _Timed]:
    """Ask as fast as there are answers."""
    left = iter(ids)
    found: dict[str, _Timed] = {}

    async def user(number: int) -> None:
        for request_id in left:
            found[request_id] = await _timed(ask, number, request_id)

    async with asyncio.TaskGroup() as group:
        for number in range(in_flight):
            group.create_task(user(number))
    return found


async def _paced(ask: Ask, ids: Sequence[str], rate: float, in_flight: int) -> dict[str, _Timed]:
    """Ask at even times; a request for which no connection is free waits, and its time counts from when it was due."""
    free: asyncio.Queue[int] = asyncio.Queue()
    for number in range(in_flight):
        free.put_nowait(number)
    found: dict[str, _Timed] = {}
    loop = asyncio.get_running_loop()
    began, began_ns = loop.time(), time.time_ns()

    async def user(number: int, request_id: str, due_ms: float) -> None:
        timed = await _timed(ask, number, request_id)
        found[request_id] = _Timed(sent_ms=min(due_ms, timed.sent_ms), answered_ms=timed.answered_ms)
        free.put_nowait(number)

    async with asyncio.TaskGroup() as group:
        for position, request_id in enumerate(ids):
            await asyncio.sleep(began + position / rate - loop.time())
            number = await free.get()
            group.create_task(user(number, request_id, began_ns / 1e6 + position / rate * 1000))
    return found


async def _measure(trial: Trial, ask: Ask, ids: Sequence[str], in_flight: int) -> dict[str, float]:
    await wait_quiet(trial.client)
    before, own_s, began = cpu.used_by(trial.supervisor.pids), time.process_time(), time.monotonic()
    found = await _burst(ask, ids, in_flight)
    seconds = time.monotonic() - began
    own_ms = (time.process_time() - own_s) * 1000 / len(ids)
    # The audit may follow later; its work belongs to these requests.
    await wait_quiet(trial.client)
    spent = cpu.per_request_ms(before, cpu.used_by(trial.supervisor.pids), len(ids))
    outside = await _outside_ms(trial, found)
    whole = sorted(each.taken_ms for each in found.values())
    return {
        "requests_per_s": len(ids) / seconds,
        "p50_ms": percentile(whole, 0.5),
        "p99_ms": percentile(whole, 0.99),
        "outside_p50_ms": percentile(outside, 0.5),
        "outside_p99_ms": percentile(outside, 0.99),
        "cpu_ms": spent["total"],
        "gateway_cpu_ms": spent["gateway"],
        "client_cpu_ms": own_ms,
    }


async def _outside_ms(trial: Trial, found: Mapping[str, _Timed]) -> list[float]:
    """Milliseconds of each request outside the pipeline, sorted."""
    outcomes = trial.outcomes
    await outcomes.look()
    missing = [one for one in found if len(outcomes.answered.get(one, ())) != 1 or one not in outcomes.asked]
    if missing:
        raise RuntimeError(f"{len(missing)} requests have not exactly one stored result")
    inside = {one: outcomes.answered[one][0].time_ms - outcomes.asked[one] for one in found}
    outcomes.forget()
    return sorted(each.taken_ms - inside[one] for one, each in found.items())


async def _measure_paced(
    trial: Trial, ask: Ask, ids: Sequence[str], rate: float, in_flight: int
) -> dict[str, float]:
    await wait_quiet(trial.client)
    found = await _paced(ask, ids, rate, in_flight)
    await trial.outcomes.look()
    trial.outcomes.forget()
    whole = sorted(each.taken_ms for each in found.values())
    return {"p50_ms": percentile(whole, 0.5), "p99_ms": percentile(whole, 0.99)}


async def _measure_bare(requests: int, in_flight: int, rate: float) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "infra.lab.bench.bare_endpoint",
        str(_ANSWER_BYTES),
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=before_exec(),
    )
    try:
        assert process.stdout is not None  # noqa: S101 - asked for above
        url = (await process.stdout.readline()).decode().strip()
        with keeping(url, in_flight) as connections:
            ask = partial(_post, connections)
            await _burst(ask, [f"w-{number}" for number in range(_WARM_UP)], in_flight)
            before, began = cpu.used_s(process.pid), time.monotonic()
            await _burst(ask, [f"b-{number}" for number in range(requests)], in_flight)
            seconds = time.monotonic() - began
            spent_ms = (cpu.used_s(process.pid) - before) * 1000 / requests
            paced = await _paced(ask, [f"p-{number}" for number in range(requests // 4)], rate, in_flight)
    finally:
        process.kill()
        await process.wait()
    whole = sorted(each.taken_ms for each in paced.values())
    return {
        "requests_per_s": round(requests / seconds, 1),
        "cpu_ms": round(spent_ms, 3),
        "paced_p50_ms": round(percentile(whole, 0.5), 3),
        "paced_p99_ms": round(percentile(whole, 0.99), 3),
    }


def _added(rows: Mapping[str, Sequence[Mapping[str, float]]], name: str) -> float:
    """What HTTP clients see beyond the NATS clients of the same round: the median over the rounds."""
    return round(
        statistics.median(
            http[name] - nats[name] for http, nats in zip(rows["http"], rows["nats"], strict=True)
        ),
        2,
    )


def _medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


def table(figures: Mapping[str, Any]) -> str:
    """The figures of :func:`run` for people."""
    full, paced, bare = figures["full"], figures["paced"], figures["bare"]
    rows: list[tuple[str, ...]] = [
        (
            "clients",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "outside p50",
            "outside p99",
            "CPU ms/request",
            "gateway's",
            "client's",
            "paced p50",
            "paced p99",
        )
    ]
    for name, label in (("nats", "NATS"), ("http", "HTTP")):
        one, slow = full[name], paced[name]
        rows.append(
            (
                label,
                f"{one['requests_per_s']:.0f}",
                *(f"{one[each]:.1f}" for each in ("p50_ms", "p99_ms", "outside_p50_ms", "outside_p99_ms")),
                *(f"{one[each]:.2f}" for each in ("cpu_ms", "gateway_cpu_ms", "client_cpu_ms")),
                f"{slow['p50_ms']:.1f}",
                f"{slow['p99_ms']:.1f}",
            )
        )
    rows.append(
        (
            "bare endpoint",
            f"{bare['requests_per_s']:.0f}",
            *("-",) * 4,
            f"{bare['cpu_ms']:.2f}",
            *("-",) * 2,
            f"{bare['paced_p50_ms']:.1f}",
            f"{bare['paced_p99_ms']:.1f}",
        )
    )
    kept = "kept" if figures["passed"] else "broken"
    return (
        f"{columns(rows)}\n\n{figures['in_flight']} requests at once: throughput {figures['throughput_ratio']:.3f}, "
        f"the gateway adds {figures['added_p50_ms']:.1f} ms (p50) and {figures['added_p99_ms']:.1f} ms (p99)\n"
        f"{figures['paced_per_s']:.0f} requests/s: it adds {figures['paced_added_p50_ms']:.1f} and "
        f"{figures['paced_added_p99_ms']:.1f} ms\n"
        f"promised: throughput of at least {PROMISED_RATIO:g}, added less than {PROMISED_P50_MS:g} and "
        f"{PROMISED_P99_MS:g} ms ({kept})\n"
    )

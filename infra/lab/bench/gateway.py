"""Cost of the gateway: requests over HTTP, beside the same requests by NATS clients to the same pipelines.

Two parts, each in pairs of a burst by NATS clients and one over HTTP.

*Saturated*: a closed loop, with the same number of requests in flight, as fast as the pipeline answers them.  It gives
throughput.  Its latencies are that number divided by the throughput (Little's law), whatever adds to a single request.

*Held*: at a quarter of that rate nothing queues; the model takes so long that as many requests are in flight.  It gives what
the gateway adds to a request.

A FastAPI endpoint without a pipeline, under the same uvicorn, is the limit.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from infra.host.parent_death import before_exec
from infra.lab.bench import cpu
from infra.lab.bench.gateway_load import Ask, TimedRequest, connect, pace, post, saturate
from infra.lab.bench.http_load import keeping
from infra.lab.bench.outcomes import percentile
from infra.lab.bench.paired import bootstrap
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
_WARM_UP: Final = 400
#: Share of the pipeline's rate at which the held part sends.
_PACE: Final = 0.25
#: Connections and places in the held part, for one request that is meant to be in flight: a late answer delays none.
_SPARE: Final = 2
#: Bytes of an answer of the bare endpoint, about those of a result.
_ANSWER_BYTES: Final = 1500

#: Figures of each round, by ``nats`` and ``http``.
_Rounds = dict[str, list[dict[str, float]]]


async def run(*, requests: int, in_flight: int, rounds: int, sync_interval: str, say: Say) -> dict[str, Any]:
    """Measure NATS clients, the gateway, and the bare endpoint.

    Args:
        requests: size of a burst.
        in_flight: requests at once.
        rounds: pairs of bursts in each part; medians are reported.
        sync_interval: the broker's.
        say: called with what is being done.

    Returns:
        ``throughput_ratio`` (saturated), ``added_p50_ms`` and ``added_p99_ms`` (held), each with the 95 % interval of its
        median, which of the promises are ``kept``, what the saturated part's throughput means for its latencies, and the
        figures of each.
    """
    start = partial(_starting, sync_interval)
    async with start() as trial, connect(trial, in_flight) as ways:
        full = await _alternate(trial, ways, "s", rounds, _Saturated(in_flight, requests), say)
    rate = _PACE * statistics.median(row["requests_per_s"] for row in full["nats"])
    held_ms = round(in_flight / rate * 1000)
    rule = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": held_ms}
    places = in_flight * _SPARE
    async with (
        start(rules=[rule], concurrency={"freeform_gen": places}) as trial,
        connect(trial, places) as ways,
    ):
        held = await _alternate(trial, ways, "h", rounds, _Held(in_flight, requests, rate), say)
    say("bare endpoint")
    bare = await _measure_bare(requests * 2, in_flight, rate)
    found = judge(full, held, in_flight)
    return {
        **found,
        "passed": all(found["kept"].values()),
        "requests": requests,
        "in_flight": in_flight,
        "held_per_s": round(rate, 1),
        "held_ms": held_ms,
        "sync_interval": sync_interval,
        "saturated": {name: _medians(taken) for name, taken in full.items()},
        "held": {name: _medians(taken) for name, taken in held.items()},
        "bare": bare,
        "rounds": {"saturated": full, "held": held},
    }


def _starting(sync_interval: str, **more: Any) -> AbstractAsyncContextManager[Trial]:
    return starting(
        partial(
            scripted,
            sync_interval=sync_interval,
            gateway={"port": 0},
            # What a machine under other load answers late must not be refused: it is measured.
            admission={"enabled": False},
            **more,
        )
    )


def judge(full: _Rounds, held: _Rounds, in_flight: int) -> dict[str, Any]:
    """What HTTP clients have of the NATS clients' throughput, and see beyond their latencies; which promises are kept.

    Args:
        full: figures of the saturated rounds.
        held: those of the held rounds.
        in_flight: requests at once.
    """
    ratios = [
        http["requests_per_s"] / nats["requests_per_s"]
        for http, nats in zip(full["http"], full["nats"], strict=True)
    ]
    added = {name: _differences(held, name) for name in ("p50_ms", "p99_ms")}
    found = {
        "throughput_ratio": round(statistics.median(ratios), 3),
        "added_p50_ms": round(statistics.median(added["p50_ms"]), 2),
        "added_p99_ms": round(statistics.median(added["p99_ms"]), 2),
    }
    # Little's law: the difference of what a request takes in a closed loop, from the rates alone.
    follows = [
        1000 * in_flight * (1 / http["requests_per_s"] - 1 / nats["requests_per_s"])
        for http, nats in zip(full["http"], full["nats"], strict=True)
    ]
    return {
        **found,
        "intervals": {
            "throughput_ratio": _interval(ratios, 3),
            "added_p50_ms": _interval(added["p50_ms"], 2),
            "added_p99_ms": _interval(added["p99_ms"], 2),
        },
        "kept": {
            "throughput_ratio": found["throughput_ratio"] >= PROMISED_RATIO,
            "added_p50_ms": found["added_p50_ms"] < PROMISED_P50_MS,
            "added_p99_ms": found["added_p99_ms"] < PROMISED_P99_MS,
        },
        "saturated_added_p50_ms": round(statistics.median(_differences(full, "p50_ms")), 2),
        "saturated_added_p99_ms": round(statistics.median(_differences(full, "p99_ms")), 2),
        "saturated_follows_ms": round(statistics.median(follows), 2),
    }


def _differences(rounds: _Rounds, name: str) -> list[float]:
    """What HTTP clients see beyond the NATS clients of the same round."""
    return [http[name] - nats[name] for http, nats in zip(rounds["http"], rounds["nats"], strict=True)]


def _interval(values: Sequence[float], digits: int) -> list[float]:
    return [round(each, digits) for each in bootstrap([[each] for each in values])]


class _Saturated:
    """A burst as fast as there are answers.

    Args:
        in_flight: requests at once.
        requests: of a burst.
    """

    name = "saturated"
    warm_up = _WARM_UP

    def __init__(self, in_flight: int, requests: int) -> None:
        self.requests = requests
        self._in_flight = in_flight

    async def load(self, ask: Ask, ids: Sequence[str]) -> dict[str, TimedRequest]:
        return await saturate(ask, ids, self._in_flight)


class _Held:
    """A burst at even times, with requests that are held in the pipeline.

    Args:
        in_flight: requests at once, after as many.
        requests: of a burst that find so many in flight.
        rate: requests per second.
    """

    name = "held"

    def __init__(self, in_flight: int, requests: int, rate: float) -> None:
        self.requests = requests + in_flight
        self.warm_up = in_flight * 2
        self._in_flight = in_flight
        self._rate = rate

    async def load(self, ask: Ask, ids: Sequence[str]) -> dict[str, TimedRequest]:
        found = await pace(ask, ids, self._rate, self._in_flight * _SPARE)
        return {each: found[each] for each in ids[self._in_flight :]}


async def _alternate(
    trial: Trial, ways: Mapping[str, Ask], prefix: str, rounds: int, part: _Saturated | _Held, say: Say
) -> _Rounds:
    """Bursts in pairs."""
    rows: _Rounds = {name: [] for name in ways}
    for name, ask in ways.items():
        await part.load(ask, [f"{prefix}w{name}-{number}" for number in range(part.warm_up)])
    for number in range(rounds):
        # Each comes first in turn.
        for name in sorted(ways, reverse=number % 2 == 0):
            say(f"{part.name}, round {number + 1} of {rounds}: {name}")
            ids = [f"{prefix}{name}{number}-{one}" for one in range(part.requests)]
            rows[name].append(await _measure(trial, ways[name], ids, part))
    return rows


async def _measure(trial: Trial, ask: Ask, ids: Sequence[str], part: _Saturated | _Held) -> dict[str, float]:
    await wait_quiet(trial.client)
    before, own_s, began = cpu.used_by(trial.supervisor.pids), time.process_time(), time.monotonic()
    found = await part.load(ask, ids)
    seconds = time.monotonic() - began
    own_ms = (time.process_time() - own_s) * 1000 / len(ids)
    # The audit may follow later; its work belongs to these requests.
    await wait_quiet(trial.client)
    spent = cpu.per_request_ms(before, cpu.used_by(trial.supervisor.pids), len(ids))
    await _require_one_result(trial, ids)
    whole = sorted(each.taken_ms for each in found.values())
    return {
        "requests_per_s": len(ids) / seconds,
        "p50_ms": percentile(whole, 0.5),
        "p99_ms": percentile(whole, 0.99),
        "cpu_ms": spent["total"],
        "gateway_cpu_ms": spent["gateway"],
        "client_cpu_ms": own_ms,
    }


async def _require_one_result(trial: Trial, ids: Sequence[str]) -> None:
    outcomes = trial.outcomes
    await outcomes.look()
    missing = [one for one in ids if len(outcomes.answered.get(one, ())) != 1 or one not in outcomes.asked]
    if missing:
        raise RuntimeError(f"{len(missing)} requests have not exactly one stored result")
    outcomes.forget()


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
            ask = partial(post, connections)
            await saturate(ask, [f"w-{number}" for number in range(_WARM_UP)], in_flight)
            before, began = cpu.used_s(process.pid), time.monotonic()
            await saturate(ask, [f"b-{number}" for number in range(requests)], in_flight)
            seconds = time.monotonic() - began
            spent_ms = (cpu.used_s(process.pid) - before) * 1000 / requests
            paced = await pace(ask, [f"p-{number}" for number in range(requests // 4)], rate, in_flight)
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


def _medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


def table(figures: Mapping[str, Any]) -> str:
    """The figures of :func:`run` for people."""
    in_flight, bare = figures["in_flight"], figures["bare"]
    rows: list[tuple[str, ...]] = [
        ("part", "clients", "requests/s", "p50 ms", "p99 ms", "CPU ms/request", "gateway's", "client's")
    ]
    for part in ("saturated", "held"):
        for name, label in (("nats", "NATS"), ("http", "HTTP")):
            one = figures[part][name]
            rows.append(
                (
                    part,
                    label,
                    f"{one['requests_per_s']:.0f}" if part == "saturated" else f"{figures['held_per_s']:.0f}",
                    *(f"{one[each]:.1f}" for each in ("p50_ms", "p99_ms")),
                    *(f"{one[each]:.2f}" for each in ("cpu_ms", "gateway_cpu_ms", "client_cpu_ms")),
                )
            )
    whole = (f"{bare['requests_per_s']:.0f}", "-", "-", f"{bare['cpu_ms']:.2f}")
    rows.append(("saturated", "bare endpoint", *whole, "-", "-"))
    paced = (f"{bare[each]:.1f}" for each in ("paced_p50_ms", "paced_p99_ms"))
    rows.append(("same rate", "bare endpoint", f"{figures['held_per_s']:.0f}", *paced, "-", "-", "-"))
    rate, held_ms = figures["held_per_s"], figures["held_ms"]
    throughput = (
        f"saturated, {in_flight} in flight: {_verdict(figures, 'throughput_ratio', 3)} of the NATS clients' throughput; "
        f"promised at least {PROMISED_RATIO:g}"
    )
    added = (
        f"held, {in_flight} in flight at {rate:.0f} requests/s, {held_ms} ms in the model: the gateway adds "
        f"{_verdict(figures, 'added_p50_ms', 1)} ms (p50) and {_verdict(figures, 'added_p99_ms', 1)} ms (p99); "
        f"promised less than {PROMISED_P50_MS:g} and {PROMISED_P99_MS:g}"
    )
    queueing = (
        f"saturated latencies, for information: {figures['saturated_added_p50_ms']:+.1f} ms (p50) and "
        f"{figures['saturated_added_p99_ms']:+.1f} ms (p99); with {in_flight} always in flight each takes {in_flight} / "
        f"throughput, and the lower throughput alone makes that {figures['saturated_follows_ms']:+.1f} ms"
    )
    return "\n".join([columns(rows), "", throughput, added, queueing, ""])


def _verdict(figures: Mapping[str, Any], name: str, digits: int) -> str:
    low, high = figures["intervals"][name]
    kept = "kept" if figures["kept"][name] else "broken"
    return f"{figures[name]:.{digits}f} [{low:.{digits}f} to {high:.{digits}f}, {kept}]"

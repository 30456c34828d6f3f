"""Cost of telemetry: the pipeline with telemetry, scraped and sending traces, beside the same pipeline without.

One pipeline of each mode runs, and bursts go to one after the other: what else happens on the machine meets all modes
alike.  Each burst is compared with the one without telemetry in the same round.  Modes:

- ``off``: no metrics, no traces;
- ``metrics``: metrics, as by default, scraped;
- ``on``: also traces to a collector, with the default settings: a busy process leaves most of them out;
- ``every trace``: all of them.

The collector, the scraper, the load and the supervisor, which relays the metrics, are one process beside the pipeline's.
They share its cores, so their work lowers the throughput with telemetry, but it is no part of the pipeline's CPU time.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from infra.app import metrics_relay
from infra.lab.bench import cpu
from infra.lab.bench.load import Load
from infra.lab.bench.report import columns
from infra.lab.bench.trial import scripted, starting
from infra.telemetry.exporter import OFF

if TYPE_CHECKING:
    from infra.app.supervisor import Supervisor
    from infra.lab.bench.trial import Say

#: Throughput with telemetry on, as a share of that with everything off, that is promised.
PROMISED: Final = 0.95
#: Seconds between two scrapes; ten times as often as in infra/deploy/prometheus/prometheus.yml, because a burst takes
#: seconds.
_SCRAPE_S: Final = 1.0
#: Seconds after a burst whose CPU time counts, too: the last spans are sent, and the audit follows.
_SETTLE_S: Final = 1.5
#: Seconds over which the CPU time of idle pipelines is taken.
_IDLE_S: Final = 10.0
_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http"
_WARM_UP: Final = 300
_REFERENCE: Final = "off"


async def run(*, requests: int, rounds: int, say: Say) -> dict[str, Any]:
    """Measure all modes.

    Args:
        requests: size of a burst.
        rounds: bursts for each mode; medians are reported.
        say: called with what is being done.

    Returns:
        ``throughput_ratio`` and ``cpu_ratio`` (on to off), whether the promise is kept, whether there were traces
        (they need the extra ``otel``), and the figures per mode: medians, and ratios to the mode without telemetry.

    Raises:
        RuntimeError: nothing was scraped, or no span arrived: nothing was measured.
    """
    traced = _has_exporter()
    with _collector() as collector:
        modes = _modes(collector.url if traced else None)
        async with AsyncExitStack() as stack:
            pipelines: dict[str, _Pipeline] = {}
            for mode, settings in modes.items():
                say(f"start: telemetry {mode}")
                trial = await stack.enter_async_context(
                    starting(partial(scripted, sync_interval="2m", **settings))
                )
                load = await stack.enter_async_context(Load(trial.supervisor.nats_url))
                path = urlsplit(settings.get("telemetry", {}).get("otlp_endpoint", "")).path
                pipelines[mode] = _Pipeline(trial.supervisor, load, partial(collector.batches.get, path, 0))
                await load.burst([f"w-{number}" for number in range(_WARM_UP)])
            say("idle")
            idle = await _measure_idle(pipelines)
            rows: dict[str, list[dict[str, float]]] = {mode: [] for mode in modes}
            for number in range(rounds):
                # Each mode comes first in turn.
                first = number % len(modes)
                for mode in [*modes, *modes][first : first + len(modes)]:
                    say(f"round {number + 1} of {rounds}: telemetry {mode}")
                    rows[mode].append(await pipelines[mode].measure(f"b-{number}", requests))
    for mode in modes.keys() - {_REFERENCE}:
        for what in ("scrapes",) if mode == "metrics" or not traced else ("scrapes", "span_batches"):
            if not all(row[what] for row in rows[mode]):
                raise RuntimeError(f"a burst with telemetry {mode} had no {what}")
    figures = {
        mode: {
            **{name: round(statistics.median(row[name] for row in taken), 3) for name in taken[0]},
            "idle_cpu_percent": round(idle[mode], 1),
            "throughput_ratio": _compare(taken, rows[_REFERENCE], "requests_per_s"),
            "cpu_ratio": _compare(taken, rows[_REFERENCE], "cpu_ms_per_request"),
        }
        for mode, taken in rows.items()
    }
    ratio = figures["on"]["throughput_ratio"]
    return {
        "throughput_ratio": ratio,
        "cpu_ratio": figures["on"]["cpu_ratio"],
        "passed": ratio >= PROMISED,
        "requests": requests,
        "traced": traced,
        "modes": figures,
        "rounds": rows,
    }


def _modes(collector_url: str | None) -> dict[str, dict[str, Any]]:
    """Settings by mode.

    Args:
        collector_url: of the collector of spans; ``None``: there are no traces.
    """
    on: dict[str, Any] = {"metrics": "127.0.0.1:0"}
    if collector_url is None:
        return {_REFERENCE: {"metrics": OFF}, "on": on}
    every = {"otlp_endpoint": f"{collector_url}/every", "spans_per_second": 1_000_000}
    return {
        _REFERENCE: {"metrics": OFF},
        "metrics": on,
        "on": {**on, "telemetry": {"otlp_endpoint": f"{collector_url}/on"}},
        "every trace": {**on, "telemetry": every},
    }


def _compare(
    taken: Sequence[Mapping[str, float]], reference: Sequence[Mapping[str, float]], name: str
) -> float:
    """The median ratio of a figure to that of the reference in the same round."""
    return round(
        statistics.median(row[name] / other[name] for row, other in zip(taken, reference, strict=True)), 3
    )


def _has_exporter() -> bool:
    try:
        return find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:
        return False


class _Collector:
    """A collector that takes all spans and counts the batches by the path that they are posted to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.batches = Counter[str]()


@contextmanager
def _collector() -> Generator[_Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found.batches[self.path] += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found = _Collector(f"http://127.0.0.1:{server.server_port}")
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Pipeline:
    """A running pipeline of one mode.

    Args:
        supervisor: its.
        load: connected to its broker.
        batches: how many batches of its spans arrived.
    """

    def __init__(self, supervisor: Supervisor, load: Load, batches: Callable[[], int]) -> None:
        self.supervisor = supervisor
        self._load = load
        self._batches = batches

    async def measure(self, name: str, requests: int) -> dict[str, float]:
        """Send a burst.

        Args:
            name: beginning of its requests' ids.
            requests: its size.
        """
        batches, pages = self._batches(), list[str]()
        before, own_s = cpu.used_by(self.supervisor.pids), time.process_time()
        async with asyncio.TaskGroup() as group:
            scraping = group.create_task(_scrape(self.supervisor.metrics_url, pages))
            taken = await self._load.burst([f"{name}-{number}" for number in range(requests)])
            scraping.cancel()
        await asyncio.sleep(_SETTLE_S)
        spent = cpu.per_request_ms(before, cpu.used_by(self.supervisor.pids), requests)
        return {
            "requests_per_s": requests / taken,
            "cpu_ms_per_request": spent["total"],
            "bench_cpu_ms_per_request": (time.process_time() - own_s) * 1000 / requests,
            "scrapes": len(pages),
            "span_batches": self._batches() - batches,
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


async def _scrape(url: str | None, pages: list[str]) -> None:
    """Scrape while the burst runs, and collect the pages that were answered."""
    while url is not None:
        page = await asyncio.to_thread(metrics_relay.fetch, url.removeprefix("http://"))
        if page is not None:
            pages.append(page)
        await asyncio.sleep(_SCRAPE_S)


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
                f"{found['throughput_ratio']:.3f}",
                f"{found['cpu_ms_per_request']:.2f}",
                f"{found['cpu_ratio']:.3f}",
                f"{found['bench_cpu_ms_per_request']:.2f}",
                f"{found['idle_cpu_percent']:.1f}",
                f"{found['scrapes']:g}",
                f"{found['span_batches']:g}",
            )
        )
    kept = "kept" if figures["passed"] else "broken"
    traces = "" if figures["traced"] else "without traces: the extra 'otel' is not installed\n"
    return (
        f"{columns(rows)}\n\nthroughput {figures['throughput_ratio']:.3f}, CPU {figures['cpu_ratio']:.3f} of that "
        f"without telemetry; promised: throughput of at least {PROMISED:g} ({kept})\n{traces}"
    )

"""Cost of telemetry: the pipeline with everything on and scraped, beside the same pipeline with everything off.

A third mode records every trace; with the default settings a busy process leaves most of them out.  Rounds alternate in
one run; medians are compared.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from infra.app import metrics_relay
from infra.lab.bench import cpu
from infra.lab.bench.load import Load
from infra.lab.bench.report import columns
from infra.lab.bench.trial import scripted, starting
from infra.telemetry.exporter import OFF

if TYPE_CHECKING:
    from infra.lab.bench.trial import Say, Trial

#: Throughput with everything on, as a share of that with everything off, that is promised.
PROMISED: Final = 0.95
#: Seconds between two scrapes; ten times as often as in infra/deploy/prometheus/prometheus.yml, because a burst takes
#: seconds.
_SCRAPE_S: Final = 1.0
_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http"
_WARM_UP: Final = 300


async def run(*, requests: int, rounds: int, say: Say) -> dict[str, Any]:
    """Measure both.

    Args:
        requests: size of the burst.
        rounds: alternating rounds; medians are reported.
        say: called with what is being done.

    Returns:
        ``throughput_ratio`` and ``cpu_ratio`` (on to off), whether the promise is kept, whether there were traces
        (they need the extra ``otel``), and the figures per mode.

    Raises:
        RuntimeError: nothing was scraped, or no span arrived: nothing was measured.
    """
    traced = _has_exporter()
    with _collector() as collector:
        on: dict[str, Any] = {"metrics": "127.0.0.1:0"}
        modes: dict[str, dict[str, Any]] = {"off": {"metrics": OFF}, "on": on}
        if traced:
            sends = {"otlp_endpoint": collector.url}
            modes["on"] = {**on, "telemetry": sends}
            modes["every trace"] = {**on, "telemetry": {**sends, "spans_per_second": 1_000_000}}
        rows: dict[str, list[dict[str, float]]] = {mode: [] for mode in modes}
        for number in range(rounds):
            # The first of a round finds the machine as the second of the last one left it.
            for mode in sorted(modes, reverse=bool(number % 2)):
                say(f"round {number + 1} of {rounds}: telemetry {mode}")
                async with starting(partial(scripted, sync_interval="2m", **modes[mode])) as trial:
                    rows[mode].append(await _measure(trial, requests, collector))
    for mode in modes.keys() - {"off"}:
        for what in ("scrapes", "span_batches") if traced else ("scrapes",):
            if not all(row[what] for row in rows[mode]):
                raise RuntimeError(f"a burst with telemetry {mode} had no {what}")
    medians = {
        mode: {name: round(statistics.median(row[name] for row in taken), 3) for name in taken[0]}
        for mode, taken in rows.items()
    }
    with_it, without = medians["on"], medians["off"]
    ratio = round(with_it["requests_per_s"] / without["requests_per_s"], 3)
    return {
        "throughput_ratio": ratio,
        "cpu_ratio": round(with_it["cpu_ms_per_request"] / without["cpu_ms_per_request"], 3),
        "passed": ratio >= PROMISED,
        "requests": requests,
        "traced": traced,
        "modes": medians,
        "rounds": rows,
    }


def _has_exporter() -> bool:
    try:
        return find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:
        return False


class _Collector:
    """A collector that takes all spans and counts the batches."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.batches = 0


@contextmanager
def _collector() -> Generator[_Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found.batches += 1
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


async def _measure(trial: Trial, requests: int, collector: _Collector) -> dict[str, float]:
    supervisor = trial.supervisor
    async with Load(supervisor.nats_url) as load:
        await load.burst([f"w-{number}" for number in range(_WARM_UP)])
        batches, pages = collector.batches, list[str]()
        before = cpu.used_by(supervisor.pids)
        async with asyncio.TaskGroup() as group:
            scraping = group.create_task(_scrape(supervisor.metrics_url, pages))
            taken = await load.burst([f"b-{number}" for number in range(requests)])
            scraping.cancel()
        spent = cpu.per_request_ms(before, cpu.used_by(supervisor.pids), requests)
    return {
        "requests_per_s": requests / taken,
        "cpu_ms_per_request": spent["total"],
        "scrapes": len(pages),
        "span_batches": collector.batches - batches,
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
    rows = [("telemetry", "requests/s", "CPU ms/request", "scrapes", "span batches")]
    for mode, found in figures["modes"].items():
        rows.append(
            (
                mode,
                f"{found['requests_per_s']:.0f}",
                f"{found['cpu_ms_per_request']:.2f}",
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

"""Collector of a bench: a process of its own that takes spans, and scrapes metrics as a Prometheus would.

Run as a program, so that its work is no part of the pipeline's processes nor of the load: the first line of its standard
output is its URL.  Each line of its standard input is the data folder of a pipeline to scrape; at the end of that input
it prints a :class:`Collected` as JSON.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import msgspec

from infra.app import metrics_relay
from infra.host import target_file
from infra.host.parent_death import before_exec

#: Seconds between two scrapes of a pipeline, as in infra/deploy/prometheus/prometheus.yml.
SCRAPE_S: Final = 10.0
#: Seconds until a pipeline that has no list of targets yet is looked at again.
_AGAIN_S: Final = 0.5
_END_S: Final = 10.0


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collector got."""

    #: Batches of spans by the path that they were posted to.
    batches: dict[str, int]
    #: Scrapes of all processes of a pipeline, by its data folder.
    scrapes: dict[str, int]


class Collector:
    """A collector that runs; made by :func:`collecting`."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        #: Where spans are posted.
        self.url = url
        self._process = process

    def scrape(self, folder: Path) -> None:
        """Scrape the pipeline of a data folder from now on."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{folder}\n".encode())

    async def end(self) -> Collected:
        """End its input, and get what it has counted."""
        async with asyncio.timeout(_END_S):
            said, _ = await self._process.communicate(b"")
        return msgspec.json.decode(said, type=Collected)


@asynccontextmanager
async def collecting() -> AsyncGenerator[Collector]:
    """Start a collector; it ends with the block at the latest."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "infra.lab.bench.collector",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=before_exec(),
    )
    try:
        assert process.stdout is not None  # noqa: S101 - asked for above
        yield Collector((await process.stdout.readline()).decode().strip(), process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _open_server(batches: Counter[str]) -> ThreadingHTTPServer:
    """An OTLP/HTTP collector on a free port that counts batches by their path."""

    class Handler(BaseHTTPRequestHandler):
        # Connections stay open, as with a real collector.
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            batches[self.path] += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


def _scrape(folder: Path, scrapes: Counter[str]) -> None:
    """Scrape all targets of a pipeline, again and again."""
    while True:
        began_s = time.monotonic()
        pages: list[str | None] = []
        with suppress(OSError, msgspec.MsgspecError):
            pages = [
                metrics_relay.fetch(address, target.labels.get("__metrics_path__", "/metrics"))
                for target in target_file.read(folder)
                for address in target.targets
            ]
        if pages and None not in pages:
            scrapes[str(folder)] += 1
            time.sleep(max(0.0, began_s + SCRAPE_S - time.monotonic()))
        else:
            time.sleep(_AGAIN_S)


def _main() -> None:
    batches, scrapes = Counter[str](), Counter[str]()
    server = _open_server(batches)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        threading.Thread(target=_scrape, args=(folder, scrapes), daemon=True).start()
    sys.stdout.buffer.write(msgspec.json.encode(Collected(batches=dict(batches), scrapes=dict(scrapes))))


if __name__ == "__main__":
    _main()

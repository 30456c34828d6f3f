"""Exporter: ``/metrics``, ``/livez`` and ``/readyz`` of a process, answered in threads outside the event loop."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest

from infra.telemetry.process_events import ExporterFailed

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from infra.telemetry.dispatch import Telemetry

#: Setting that switches the exporter off.
OFF: Final = "off"
#: The text format that every Prometheus reads.
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
#: Seconds that a client may take for its request.
_PATIENCE_S: Final = 5.0

#: Says why something does not hold; nothing: it holds.
Check = Callable[[], Sequence[str]]
#: Status, content type and body.
Answer = tuple[HTTPStatus, str, bytes]


def always() -> Sequence[str]:
    """No objection."""
    return ()


def health_page(check: Check) -> Answer:
    """200 if a check has no objection, else 503; the body is ``{"ok": …, "problems": […]}``."""
    problems = list(check())
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    return status, "application/json", json.dumps({"ok": not problems, "problems": problems}).encode() + b"\n"


class HttpPages:
    """Answers GET of some paths in threads until it is closed.

    Args:
        address: ``HOST:PORT``; port 0 takes a free one.
        pages: what answers each path.

    Raises:
        OSError: nothing can listen there.
        OverflowError: there is no such port.
    """

    def __init__(self, address: str, pages: Mapping[str, Callable[[], Answer]]) -> None:
        host, _, port = address.rpartition(":")
        self.host = host
        self._server = _Server((host, int(port)), _handler(pages))
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="exporter", kwargs={"poll_interval": 0.1}, daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_port

    @property
    def address(self) -> str:
        """``HOST:PORT`` where a process on this machine reaches it."""
        return f"{'127.0.0.1' if self.host == '0.0.0.0' else self.host}:{self.port}"  # noqa: S104 - compared only

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Exporter(HttpPages):
    """The pages of one process.

    Args:
        address: ``HOST:PORT``; port 0 takes a free one.
        collectors: whose metrics are exported.
        live: objections to ``/livez``.
        ready: objections to ``/readyz``.

    Raises:
        OSError: nothing can listen there.
        OverflowError: there is no such port.
    """

    def __init__(
        self, address: str, collectors: Sequence[Collector], *, live: Check = always, ready: Check = always
    ) -> None:
        registry = CollectorRegistry()
        for each in collectors:
            registry.register(each)
        super().__init__(
            address,
            {
                "/metrics": lambda: (HTTPStatus.OK, TEXT, generate_latest(registry)),
                "/livez": lambda: health_page(live),
                "/readyz": lambda: health_page(lambda: (*live(), *ready())),
            },
        )


def exporter(
    address: str,
    collectors: Sequence[Collector],
    telemetry: Telemetry,
    *,
    live: Check = always,
    ready: Check = always,
) -> Exporter | None:
    """The exporter; ``None`` if nothing can listen there, which is emitted: work goes on without it."""
    try:
        return Exporter(address, collectors, live=live, ready=ready)
    except (OSError, OverflowError) as error:
        telemetry.emit(ExporterFailed(address=address, problem=str(error)))
        return None


class _Server(ThreadingHTTPServer):
    # A client that reads slowly must not delay the end of the process.
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        """Bind without asking for the host's name: a name server may not answer."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Drop a connection that broke; the client sees it itself."""


def _handler(pages: Mapping[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_S

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                status, content, body = HTTPStatus.NOT_FOUND, "text/plain", b"not found\n"
            else:
                status, content, body = page()
            self.send_response(status)
            self.send_header("Content-Type", content)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return "understudy"

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are not logged."""

    return Handler

"""Exporter: ``/metrics``, ``/livez`` and ``/readyz`` of a process, answered in threads outside the event loop."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest

from infra.telemetry.events import DefectFound
from infra.telemetry.process_events import ExporterFailed

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from infra.telemetry.dispatch import Telemetry

#: Setting that switches the exporter off.
OFF: Final = "off"
#: The text format that every Prometheus reads.
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
#: Seconds that a client may take to send its request, and again to read the answer.
_PATIENCE_S: Final = 5.0
#: Bytes of a request; browsers send a few hundred.
_REQUEST_BYTES: Final = 16_384
#: Clients that are answered at once; others are turned away, so that none takes the process its file descriptors.
_CLIENTS: Final = 16

#: Says why something does not hold; nothing: it holds.
Check = Callable[[], Sequence[str]]
#: Status, content type and body.
Answer = tuple[HTTPStatus, str, bytes]
#: Gets what a page raised; called in the page's thread.
OnDefect = Callable[[Exception], object]


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
        on_defect: gets what they raise.

    Raises:
        OSError: nothing can listen there.
        OverflowError: there is no such port.
    """

    def __init__(
        self, address: str, pages: Mapping[str, Callable[[], Answer]], *, on_defect: OnDefect
    ) -> None:
        host, _, port = address.rpartition(":")
        self.host = host
        self._server = _Server((host, int(port)), _handler(pages, on_defect), on_defect)
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="exporter", daemon=True)
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
        self._closing = True
        # Wakes the thread, which waits for a client.
        with suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        """Answer clients; unlike ``serve_forever`` it sleeps until one comes, and takes no turns from the event loop."""
        while not self._closing:
            self._server.handle_request()


class Exporter(HttpPages):
    """The pages of one process.

    Args:
        address: ``HOST:PORT``; port 0 takes a free one.
        collectors: whose metrics are exported.
        live: objections to ``/livez``.
        ready: objections to ``/readyz``.
        on_defect: gets what a collector or a check raises.

    Raises:
        OSError: nothing can listen there.
        OverflowError: there is no such port.
    """

    def __init__(
        self,
        address: str,
        collectors: Sequence[Collector],
        *,
        live: Check = always,
        ready: Check = always,
        on_defect: OnDefect,
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
            on_defect=on_defect,
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
        return Exporter(address, collectors, live=live, ready=ready, on_defect=defect_emitter(telemetry))
    except (OSError, OverflowError) as error:
        telemetry.emit(ExporterFailed(address=address, problem=str(error)))
        return None


def defect_emitter(telemetry: Telemetry) -> OnDefect:
    """Emits a defect of a page in the running loop: subscribers have one thread."""
    loop = asyncio.get_running_loop()

    def emit(error: Exception) -> None:
        # The loop may have ended meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(telemetry.emit, DefectFound(part="the exporter", raised=error))

    return emit


class _Server(ThreadingHTTPServer):
    # A client that reads slowly must not delay the end of the process.
    daemon_threads = True
    block_on_close = False
    # Connections that wait to be accepted; the default of 5 makes a few clients at once wait for a second.
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], on_defect: OnDefect
    ) -> None:
        self._on_defect = on_defect
        self._free = threading.BoundedSemaphore(_CLIENTS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or turn the client away."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one client."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def server_bind(self) -> None:
        """Bind without asking for the host's name: a name server may not answer."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Drop a connection that broke; the client sees it itself."""
        del request, client_address
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self._on_defect(error)


def _read_request(connection: socket.socket) -> bytes:
    """What a client sends up to the empty line, within a time for all of it."""
    until_s, found = time.monotonic() + _PATIENCE_S, b""
    while b"\r\n\r\n" not in found and len(found) < _REQUEST_BYTES:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        piece = connection.recv(_REQUEST_BYTES)
        if not piece:
            break
        found += piece
    connection.settimeout(_PATIENCE_S)
    return found


def _handler(pages: Mapping[str, Callable[[], Answer]], on_defect: OnDefect) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            super().setup()
            self.rfile.close()
            self.rfile = BytesIO(_read_request(self.connection))

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                status, content, body = HTTPStatus.NOT_FOUND, "text/plain", b"not found\n"
            else:
                status, content, body = self._make(page)
            self.send_response(status)
            self.send_header("Content-Type", content)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _make(self, page: Callable[[], Answer]) -> Answer:
            try:
                return page()
            except Exception as error:  # noqa: BLE001 - emitted, and the client gets a status
                on_defect(error)
                return HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"a defect; the log has it\n"

        def version_string(self) -> str:
            return "understudy"

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are not logged."""

    return Handler

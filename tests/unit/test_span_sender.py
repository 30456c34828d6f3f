"""Sender of spans: the variables of OpenTelemetry, and what is tried again."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from contracts.errors import Misconfigured
from infra.telemetry.span_sender import SpanSender

BODY = b"spans" * 100


class ScriptedCollector:
    """A collector that answers with one status after the other, 200 when they are used up."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        #: Headers and body of each request.
        self.seen: list[tuple[dict[str, str], bytes]] = []
        made = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                made.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(made.statuses.pop(0) if made.statuses else 200)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def open_sender(self) -> SpanSender:
        """A sender to it."""
        return SpanSender(endpoint=f"http://127.0.0.1:{self._server.server_port}/v1/traces", timeout=20)

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[ScriptedCollector]:
    made = ScriptedCollector()
    yield made
    made.close()


def test_headers_and_compression_are_those_of_the_environment(
    collector: ScriptedCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=other")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20abc,x-tenant=city")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    assert collector.open_sender().send(BODY)
    ((headers, body),) = collector.seen
    assert (headers["authorization"], headers["x-tenant"]) == ("Bearer abc", "city")
    assert (headers["content-type"], headers["content-encoding"]) == ("application/x-protobuf", "gzip")
    assert gzip.decompress(body) == BODY


@pytest.mark.parametrize(
    ("statuses", "taken", "requests"),
    [([], True, 1), ([503, 429], True, 3), ([400], False, 1), ([401], False, 1)],
)
def test_what_may_pass_is_sent_again(
    collector: ScriptedCollector, *, statuses: list[int], taken: bool, requests: int
) -> None:
    collector.statuses = list(statuses)
    assert collector.open_sender().send(BODY) is taken
    assert [body for _, body in collector.seen] == [BODY] * requests


def test_a_collector_that_is_away_takes_nothing(collector: ScriptedCollector) -> None:
    sender = collector.open_sender()
    collector.close()
    sender.shutdown()
    assert not sender.send(BODY)


def test_credentials_that_nothing_provides_are_refused(
    collector: ScriptedCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "nobody")
    with pytest.raises(Misconfigured, match="'nobody'"):
        collector.open_sender()

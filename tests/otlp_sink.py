"""OTLP/HTTP collector for tests: it decodes what it gets, and can be slow, or refuse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class SeenSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span as the collector got it; ids in hexadecimal digits."""

    name: str
    #: Number of the span kind in the protocol: 3 client, 4 producer, 5 consumer.
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    failed: bool
    attributes: dict[str, Any]
    #: Trace id, span id and attributes of each link.
    links: list[tuple[str, str, dict[str, Any]]]
    resource: dict[str, Any]
    schema_url: str


class OtlpSink:
    """A collector on a free port of this machine.

    Args:
        status: what it answers.
    """

    def __init__(self, *, status: int = 200) -> None:
        self.status = status
        #: Set: it answers; it can be cleared to make it slow.
        self.answers = threading.Event()
        self.answers.set()
        self.bodies: list[bytes] = []
        self.arrived = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.answers.wait()
                with sink.arrived:
                    if self.path == "/v1/traces":
                        sink.bodies.append(body)
                    sink.arrived.notify_all()
                self.send_response(sink.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where spans are posted."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Answer nobody any more."""
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def spans(self) -> list[SeenSpan]:
        """All spans so far."""
        return [span for body in tuple(self.bodies) for span in _decoded(body)]

    def wait_for(self, *names: str, seconds: float = 30) -> list[SeenSpan]:
        """All spans, as soon as there is one of each name.

        Raises:
            AssertionError: one does not come.
        """
        with self.arrived:
            came = self.arrived.wait_for(lambda: set(names) <= {each.name for each in self.spans}, seconds)
        missing = set(names) - {each.name for each in self.spans}
        assert came, f"no span {sorted(missing)} among {sorted({each.name for each in self.spans})}"
        return self.spans


def _decoded(body: bytes) -> Iterator[SeenSpan]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield SeenSpan(
                    name=span.name,
                    kind=span.kind,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    began_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    failed=span.status.code == 2,
                    attributes=_plain(span.attributes),
                    links=[
                        (each.trace_id.hex(), each.span_id.hex(), _plain(each.attributes))
                        for each in span.links
                    ],
                    resource=_plain(of_resource.resource.attributes),
                    schema_url=of_scope.schema_url,
                )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    name = value.WhichOneof("value")
    found = getattr(value, name)
    return [_value(each) for each in found.values] if name == "array_value" else found

"""Sender of encoded spans: the OTLP/HTTP exporter of OpenTelemetry without its encoder.

Endpoint, headers, certificates, compression and retries are the exporter's, with its environment variables.  Its client is
not public: pyproject.toml allows one minor version, and tests/unit/test_spans.py sends through it.  Needs the extra ``otel``.
"""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter


class SpanSender(OTLPSpanExporter):
    """Sends requests that are encoded already."""

    def send(self, request: bytes) -> bool:
        """Send a request within the exporter's time-out; blocks.

        Args:
            request: an ``ExportTraceServiceRequest``.

        Returns:
            whether the collector took it.
        """
        return self._client.export(request).success

"""Encoding of spans: the same message as the SDK's encoder makes of the same spans."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from infra.telemetry import otlp
from infra.telemetry.otlp import RequestEncoder, encode_attributes, encode_head, encode_link, encode_span

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
LINKED = f"00-{'c' * 32}-{'d' * 16}-01"
BEGAN_NS = 1_763_000_000_000_000_000
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
RESOURCE = {"service.name": "understudy", "service.version": "1.2.3", "process.pid": 300}
ATTRIBUTES: dict[str, Any] = {
    "text": "a façade of 10 €",
    "empty": "",
    "long": "x" * 20_000,
    "yes": True,
    "no": False,
    "zero": 0,
    "large": 2**53,
    "negative": -1,
    "smallest": -(2**63),
    "ratio": 0.8,
    "several": ("stop", "length"),
}
KINDS = {
    SpanKind.CLIENT: otlp.CLIENT,
    SpanKind.PRODUCER: otlp.PRODUCER,
    SpanKind.CONSUMER: otlp.CONSUMER,
}


def by_sdk(**span: Any) -> ExportTraceServiceRequest:
    """What the SDK's encoder makes of a span."""
    made = ReadableSpan(
        resource=Resource(RESOURCE, SCHEMA_URL),
        instrumentation_scope=InstrumentationScope("understudy", "1.2.3", SCHEMA_URL),
        **span,
    )
    return encode_spans([made])


def by_us(*spans: bytes) -> ExportTraceServiceRequest:
    """What a collector reads of encoded spans."""
    encoder = RequestEncoder(resource=RESOURCE, scope=("understudy", "1.2.3"), schema_url=SCHEMA_URL)
    return ExportTraceServiceRequest.FromString(encoder.encode(spans))


def context(trace_id: str, span_id: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("remote", [False, True, None])
def test_a_span_is_what_the_sdk_makes_of_it(kind: SpanKind, *, failed: bool, remote: bool | None) -> None:
    expected = by_sdk(
        name="process gen.drafted.layout",
        context=context(TRACE, SPAN),
        parent=None if remote is None else context(TRACE, PARENT, remote=remote),
        kind=kind,
        attributes=ATTRIBUTES,
        links=[Link(context("c" * 32, "d" * 16, remote=True), {"relation": "scene"})],
        status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
        start_time=BEGAN_NS,
        end_time=BEGAN_NS + 1,
    )
    span = encode_span(
        bytes.fromhex(TRACE),
        bytes.fromhex(SPAN),
        parent_id=None if remote is None else bytes.fromhex(PARENT),
        remote=bool(remote),
        head=encode_head("process gen.drafted.layout", KINDS[kind]),
        began_ns=BEGAN_NS,
        ended_ns=BEGAN_NS + 1,
        attributes=encode_attributes(ATTRIBUTES, number=9),
        links=encode_link(LINKED, encode_attributes({"relation": "scene"}, number=4)),
        failed=failed,
    )
    assert by_us(span) == expected


def span(attributes: dict[str, Any], *, ended_ns: int = BEGAN_NS) -> bytes:
    """A span with attributes."""
    return encode_span(
        bytes.fromhex(TRACE),
        bytes.fromhex(SPAN),
        parent_id=None,
        head=encode_head("chat", otlp.CLIENT),
        began_ns=BEGAN_NS,
        ended_ns=ended_ns,
        attributes=encode_attributes(attributes, number=9),
    )


def test_a_request_has_all_its_spans_under_one_resource() -> None:
    (resource,) = by_us(*[span({"number": number}) for number in range(300)]).resource_spans
    (scope,) = resource.scope_spans
    assert [each.attributes[0].value.int_value for each in scope.spans] == list(range(300))


def test_an_attribute_without_a_value_is_left_out() -> None:
    found = by_us(span({"absent": None, "present": "x"})).resource_spans[0].scope_spans[0].spans[0]
    assert [each.key for each in found.attributes] == ["present"]


def test_half_a_surrogate_pair_loses_no_span() -> None:
    found = by_us(span({"model": "m-\ud800"})).resource_spans[0].scope_spans[0].spans[0]
    assert found.attributes[0].value.string_value == "m-?"


def test_a_span_does_not_end_before_it_began() -> None:
    found = by_us(span({}, ended_ns=BEGAN_NS - 1)).resource_spans[0].scope_spans[0].spans[0]
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (BEGAN_NS, BEGAN_NS)

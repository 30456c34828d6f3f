"""Spans as a collector gets them: parents, links, GenAI attributes, no prompt; and a collector that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.outcome import Emit, Fail, Wait
from contracts.result import Meta, Origin
from infra.telemetry import spans
from infra.telemetry.events import MessageEnding
from infra.telemetry.provider_events import ProviderCalled
from infra.telemetry.span_export import QUEUE, SpanExport, TraceSampler
from infra.telemetry.span_sender import SpanSender
from infra.telemetry.trace_context import TRACELINK, read_context, start_linked_trace
from infra.telemetry.trace_events import CallFacts, MessageTraced, SentMessage
from tests.lives import brief, prose, stand_in, success
from tests.otlp_sink import OtlpSink, SeenSpan

TRACE, PARENT, SENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
BEGAN_NS = 1_763_000_000_000_000_000
WISH = "the butler hides a silver key"


def called(after_ms: int, duration_ms: int, **changes: Any) -> CallFacts:
    """A call of freeform-gen."""
    began_ns = BEGAN_NS + after_ms * 1_000_000
    return CallFacts(
        called=ProviderCalled(
            stage="freeform-gen", kind="layout", request_id="r-1", duration_ms=duration_ms, **changes
        ),
        params=msgspec.structs.replace(brief().freeform, temperature=0.8, max_tokens=100),
        output="text",
        began_ns=began_ns,
        ended_ns=began_ns + duration_ms * 1_000_000,
    )


def traced(**changes: Any) -> MessageTraced:
    """A message of freeform-gen, whose draft took two calls."""
    know = brief(prompt=f"Write: {WISH}")
    drafted = ev.Drafted(attempt=1, brief=know, draft=prose(WISH, "openai"))
    calls = (
        called(100, 200, provider="local", model="m-1", code="GEN_TIMEOUT"),
        msgspec.structs.replace(
            called(300, 300, provider="openai", model="m-2", prompt_tokens=12, completion_tokens=34),
            response_model="m-2-0613",
            finish_reason="stop",
        ),
    )
    sent = SentMessage(
        subject="gen.drafted.layout.r-1",
        traceparent=f"00-{TRACE}-{SENT}-01",
        began_ns=BEGAN_NS + 600_000_000,
        ended_ns=BEGAN_NS + 601_000_000,
        refused=False,
    )
    subject = changes.pop("subject", "gen.context_built.layout.r-1")
    headers = changes.pop("headers", {"traceparent": f"00-{TRACE}-{PARENT}-01"})
    return MessageTraced(
        **{
            "stage": "freeform-gen",
            "subject": subject,
            "context": read_context(headers, subject=subject, sequence=7, time_ms=BEGAN_NS // 1_000_000),
            "stream": "EVENTS",
            "seq": 7,
            "deliveries": 2,
            "began_ns": BEGAN_NS,
            "ended_ns": BEGAN_NS + 700_000_000,
            "ending": MessageEnding.EMITTED,
            "event": ev.ContextBuilt(attempt=1, brief=know),
            "outcome": Emit(events=(drafted,)),
            "calls": calls,
            "sent": (sent,),
            **changes,
        }
    )


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    opened = OtlpSink()
    yield opened
    opened.close()


def exporting(sink: OtlpSink, **changes: Any) -> SpanExport:
    sender = SpanSender(endpoint=f"{sink.url}/v1/traces", timeout=5)
    builder = spans.SpanBuilder(version="1.2.3", attributes={"understudy.stages": "freeform-gen"})
    return SpanExport(
        **{
            "sampler": TraceSampler(ratio=1.0, spans_per_second=1_000),
            "build": builder.build,
            "send": lambda each: sender.send(builder.encode(each)),
            "find": lambda _: {},
            "on_dropped": lambda _: None,
            "on_defect": _fail,
            **changes,
        }
    )


def collected(sink: OtlpSink, *events: MessageTraced, **changes: Any) -> list[SeenSpan]:
    """What the collector gets for events."""
    export = exporting(sink, **changes)
    export.start()
    for event in events:
        if export.keeps(event.context):
            export(event)
    export.stop(20)
    return sink.spans


def test_work_is_a_consumer_span_under_the_span_that_published_the_message(sink: OtlpSink) -> None:
    work = collected(sink, traced())[0]
    assert (work.name, work.kind) == ("process gen.context_built.layout", 5)
    assert (work.trace_id, work.parent_id) == (TRACE, PARENT)
    assert (work.began_ns, work.ended_ns) == (BEGAN_NS, BEGAN_NS + 700_000_000)
    assert work.attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "gen.context_built.layout",
        "messaging.consumer.group.name": "freeform-gen",
        "messaging.message.id": "EVENTS:7",
        "understudy.request_id": "r-1",
        "understudy.kind": "layout",
        "understudy.stage": "freeform-gen",
        "understudy.ending": "emitted",
        "understudy.deliveries": 2,
    }
    assert (work.resource["service.name"], work.resource["service.version"]) == ("understudy", "1.2.3")
    assert work.schema_url == spans.SCHEMA_URL


def test_each_message_is_a_producer_span_with_the_id_in_its_header(sink: OtlpSink) -> None:
    work, *_, sent = collected(sink, traced())
    assert (sent.name, sent.kind) == ("send gen.drafted.layout", 4)
    assert (sent.trace_id, sent.span_id, sent.parent_id) == (TRACE, SENT, work.span_id)
    assert sent.ended_ns - sent.began_ns == 1_000_000


def test_each_provider_call_is_a_client_span_with_genai_attributes(sink: OtlpSink) -> None:
    work, lost, won, _ = collected(sink, traced())
    assert (lost.name, lost.kind, lost.parent_id, lost.failed) == ("chat m-1", 3, work.span_id, True)
    assert (lost.attributes["gen_ai.provider.name"], lost.attributes["error.type"]) == (
        "local",
        "GEN_TIMEOUT",
    )
    assert "gen_ai.response.model" not in lost.attributes
    assert (won.name, won.failed) == ("chat m-2", False)
    assert won.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m-2",
        "gen_ai.response.model": "m-2-0613",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.output.type": "text",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.seed": 7,
        "gen_ai.request.temperature": 0.8,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 34,
        "understudy.request_id": "r-1",
    }
    assert (lost.began_ns, lost.ended_ns) == (BEGAN_NS + 100_000_000, BEGAN_NS + 300_000_000)
    assert (won.began_ns, won.ended_ns) == (BEGAN_NS + 300_000_000, BEGAN_NS + 600_000_000)


def test_no_text_of_prompt_draft_or_error_is_sent(sink: OtlpSink) -> None:
    failed = Fail(code=ErrorCode.GEN_EMPTY_OUTPUT, message=WISH, evidence=WISH)
    result = success("r-1", reason=WISH, content={"text": WISH})
    events = (
        traced(),
        traced(outcome=failed, ending=MessageEnding.FAILED),
        traced(outcome=Emit(events=(result,)), subject="gen.structured.layout.r-1", event=None),
    )
    found = collected(sink, *events)
    assert {"GEN_EMPTY_OUTPUT"} <= {each.attributes.get("error.type") for each in found}
    for word in WISH.split():
        if len(word) > 3:
            assert not any(word.encode() in body for body in sink.bodies), word


def test_a_failed_stage_is_an_error_with_its_code(sink: OtlpSink) -> None:
    failed = Fail(code=ErrorCode.GEN_TIMEOUT, message="no answer")
    work = collected(sink, traced(outcome=failed, ending=MessageEnding.FAILED, sent=()))[0]
    assert (work.failed, work.attributes["error.type"]) == (True, "GEN_TIMEOUT")


def test_the_span_of_a_result_has_its_status_origin_and_code(sink: OtlpSink) -> None:
    result = stand_in("r-1", ErrorCode.GEN_TIMEOUT)
    event = traced(
        stage="fallback", subject="gen.failed.layout.r-1", event=None, outcome=Emit(events=(result,))
    )
    work = collected(sink, event)[0]
    found = [work.attributes.get(name) for name in ("understudy.status", "understudy.origin", "error.type")]
    assert found == ["fail_fallback", "golden_sample", "GEN_TIMEOUT"]
    assert not work.failed


def test_a_request_without_headers_has_the_same_trace_in_every_stage(sink: OtlpSink) -> None:
    asked: dict[str, Any] = {
        "subject": "gen.requested.layout.r-1",
        "headers": None,
        "event": None,
        "outcome": Emit(),
        "calls": (),
        "sent": (),
    }
    one, other = collected(sink, traced(stage="fallback", **asked), traced(stage="context-build", **asked))
    assert one.trace_id == other.trace_id
    assert (one.parent_id, other.parent_id) == ("", "")
    context = read_context(None, subject=asked["subject"], sequence=7, time_ms=BEGAN_NS // 1_000_000)
    assert context.traceparent.split("-")[1] == one.trace_id


def test_a_scene_has_a_trace_of_its_own_that_links_to_its_plot(sink: OtlpSink) -> None:
    headers = start_linked_trace({"traceparent": f"00-{TRACE}-{PARENT}-01"})
    scene = traced(
        subject="gen.requested.scene.s-1", headers=headers, event=None, outcome=Emit(), calls=(), sent=()
    )
    (work,) = collected(sink, scene)
    assert work.trace_id == headers["traceparent"][3:35] != TRACE
    assert work.parent_id == ""
    assert work.links == [(TRACE, headers[TRACELINK][36:52], {"understudy.relation": "scene"})]


@pytest.mark.parametrize(
    ("event", "relation"),
    [
        (ev.ContextBuilt(attempt=1, brief=brief(replay_of="r-0")), "replay"),
        (
            success(
                "r-1",
                status="cached",
                origin=Origin.CACHE,
                meta=Meta(provider="local", generated_for="r-0"),
            ),
            "cache",
        ),
    ],
)
def test_a_replay_and_a_follower_link_to_the_result_of_the_other_request(
    sink: OtlpSink, event: Any, relation: str
) -> None:
    asked: list[Sequence[str]] = []

    def find(ids: Sequence[str]) -> dict[str, str]:
        asked.append(ids)
        return {"r-0": f"00-{'c' * 32}-{'d' * 16}-01"}

    request = traced(
        subject="gen.requested.layout.r-1", event=None, outcome=Emit(events=(event,)), calls=(), sent=()
    )
    (work,) = collected(sink, request, find=find)
    assert asked == [["r-0"]]
    assert work.links == [("c" * 32, "d" * 16, {"understudy.relation": relation})]


def test_an_untaken_trace_and_a_message_that_was_only_put_off_have_no_spans(sink: OtlpSink) -> None:
    unsampled = traced(headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    parked = traced(
        outcome=Wait(seconds=1, why="its leader works", expected=True), ending=MessageEnding.PUT_OFF, sent=()
    )
    assert collected(sink, unsampled, parked) == []


def test_a_kind_that_does_not_exist_makes_no_new_name(sink: OtlpSink) -> None:
    event = traced(subject="gen.requested.invented.r-1", event=None, outcome=Emit(), calls=(), sent=())
    (work,) = collected(sink, event)
    assert work.name == "process gen.requested.other"
    assert work.attributes["messaging.destination.name"] == "gen.requested.other"


@pytest.mark.parametrize("given", [f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01"])
def test_an_id_of_zeros_is_no_trace(given: str) -> None:
    context = read_context({"traceparent": given}, subject="gen.requested.layout.r-1", sequence=7, time_ms=1)
    assert context == read_context(None, subject="gen.requested.layout.r-1", sequence=7, time_ms=1)


def test_a_full_queue_drops_and_counts_and_nobody_waits(sink: OtlpSink) -> None:
    sink.answers.clear()
    told: list[int] = []
    export = exporting(sink, sampler=TraceSampler(ratio=1.0, spans_per_second=10**9), on_dropped=told.append)
    export.start()
    event = traced(sent=())
    for _ in range(2 * QUEUE):
        export(event)
    assert 0 < export.dropped <= QUEUE
    sink.answers.set()
    export.stop(60)
    assert sum(told) == export.dropped
    assert len(sink.spans) >= QUEUE


def test_what_a_collector_refuses_is_counted() -> None:
    refusing = OtlpSink(status=400)
    told: list[int] = []
    export = exporting(refusing, on_dropped=told.append)
    export.start()
    export(traced())
    export.stop(20)
    refusing.close()
    assert (export.dropped, told) == (1, [1])


def test_a_defect_is_reported_and_the_next_batch_is_sent(sink: OtlpSink) -> None:
    defects: list[Exception] = []
    sent: list[Sequence[Any]] = []

    def send(batch: Sequence[Any]) -> bool:
        if not defects:
            raise KeyError("defect")
        sent.append(batch)
        return True

    def report(error: Exception) -> None:
        defects.append(error)
        export(traced())

    export = exporting(sink, send=send, on_defect=report)
    export.start()
    export(traced())
    export.stop(20)
    assert [type(each) for each in defects] == [KeyError]
    assert (export.dropped, len(sent)) == (1, 1)


def test_a_stop_waits_no_longer_than_it_is_given() -> None:
    stuck, released = threading.Event(), threading.Event()

    def send(_: Sequence[Any]) -> bool:
        stuck.set()
        return released.wait(60)

    export = SpanExport(
        sampler=TraceSampler(ratio=1.0, spans_per_second=1_000),
        build=lambda facts, _: (facts,),
        send=send,
        find=_nothing,
        on_dropped=lambda _: None,
        on_defect=_fail,
    )
    export.start()
    export(traced())
    assert stuck.wait(30)
    assert _timed(lambda: export.stop(0.2)) < 30
    assert (export.waiting, export.dropped) == (1, 0)
    released.set()


def _fail(error: Exception) -> None:
    raise error


def _nothing(_: Sequence[str]) -> dict[str, str]:
    return {}


def _timed(act: Callable[[], None]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def test_a_call_of_a_helper_task_names_the_task(sink: OtlpSink) -> None:
    call = called(100, 200, provider="judge", model="j-1")
    judging = msgspec.structs.replace(call, called=msgspec.structs.replace(call.called, stage="evaluation"))
    _, plain, judged, *_ = collected(sink, traced(calls=(call, judging)))
    assert "understudy.task" not in plain.attributes
    assert judged.attributes["understudy.task"] == "evaluation"

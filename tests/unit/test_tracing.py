"""What the runner says of traces: their ids in headers, and what spans are made of."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from contracts import events as ev
from contracts.errors import Misconfigured, Unavailable
from contracts.outcome import Cancel, Delegate, Emit, Outcome, Record, Submit
from infra.app.tracing import Tracing
from infra.providers.observed import Observed
from infra.settings.telemetry import TelemetrySettings
from infra.telemetry.dispatch import Telemetry, TelemetryEvent
from infra.telemetry.events import MessageEnding
from infra.telemetry.log_lines import LogLines
from infra.telemetry.process_events import SpanLinksLost
from infra.telemetry.trace_context import TRACELINK
from infra.telemetry.trace_events import MessageTraced
from tests.providers.doubles import Playing
from tests.providers.openai_server import ask, params
from tests.unit.fake_broker import FakeBroker, FakeDelivery, delivered, in_time, sample, take

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def given(flags: str = "01") -> FakeDelivery:
    return delivered(
        sample("structured", ev.Structured), headers={"traceparent": f"00-{TRACE}-{SPAN}-{flags}"}
    )


def traced(broker: FakeBroker) -> list[MessageTraced]:
    return [each for each in broker.emitted if isinstance(each, MessageTraced)]


def context_built() -> FakeDelivery:
    return delivered(in_time(sample("context_built", ev.ContextBuilt)))


async def wait_for(held: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not held():
            await asyncio.sleep(0)


def parents(broker: FakeBroker, name: str) -> list[str]:
    found = [each for each in broker.stored if each.subject.startswith(f"gen.{name}.")]
    return [each.headers["traceparent"] for each in found]


async def test_messages_of_one_outcome_have_spans_of_their_own_in_the_trace_of_their_cause() -> None:
    broker = FakeBroker()
    outcome = Emit(events=(sample("invalid", ev.Invalid), sample("clamped", ev.Clamped)))
    await take(broker.runner("validate-repair", lambda _: outcome), given())
    published = [*parents(broker, "invalid"), *parents(broker, "clamped")]
    assert [each.split("-")[1] for each in published] == [TRACE, TRACE]
    assert len({SPAN, *(each.split("-")[2] for each in published)}) == 3
    (event,) = traced(broker)
    assert [each.traceparent for each in event.sent] == published
    assert event.began_ns <= event.sent[0].began_ns <= event.sent[0].ended_ns <= event.ended_ns


async def test_a_client_that_wants_no_trace_gets_none_in_any_stage() -> None:
    broker = FakeBroker()
    outcome = Emit(events=(sample("invalid", ev.Invalid),))
    await take(broker.runner("validate-repair", lambda _: outcome), given("00"))
    assert parents(broker, "invalid")[0].endswith("-00")


async def test_a_request_that_a_stage_publishes_begins_a_trace_and_names_the_span_that_led_to_it() -> None:
    broker = FakeBroker()
    orders = (
        Submit(kind="scene", request_id="s-1", body=b"{}"),
        Cancel(kind="scene", request_id="s-2", event=ev.Cancelled()),
    )
    await take(broker.runner("context-build", lambda _: Delegate(orders=orders)), given())
    ((scene,), (cancelled,)) = parents(broker, "requested"), parents(broker, "cancelled")
    (event,) = traced(broker)
    asked = next(each for each in broker.stored if each.subject.startswith("gen.requested."))
    assert scene.split("-")[1] != TRACE
    assert asked.headers[TRACELINK] == event.sent[0].traceparent
    assert asked.headers[TRACELINK].split("-")[1] == TRACE
    assert cancelled.split("-")[1] == TRACE


async def test_every_order_has_a_span_of_its_own() -> None:
    broker = FakeBroker()
    orders = tuple(Cancel(kind="scene", request_id=f"s-{each}", event=ev.Cancelled()) for each in range(3))
    await take(broker.runner("context-build", lambda _: Delegate(orders=orders)), given())
    (event,) = traced(broker)
    assert len({each.traceparent for each in event.sent}) == 3
    assert [each.traceparent for each in event.sent] == parents(broker, "cancelled")


async def test_after_an_interrupted_delivery_every_stored_header_names_a_span_that_is_reported() -> None:
    broker = FakeBroker()
    outcome = Emit(events=(sample("invalid", ev.Invalid), sample("clamped", ev.Clamped)))
    broker.answers["clamped"] = [Unavailable("away")] * 100
    runner = broker.runner("validate-repair", lambda _: outcome)
    interrupted = asyncio.create_task(take(runner, given()))
    await wait_for(lambda: len(broker.answers["clamped"]) < 100)
    interrupted.cancel()
    await asyncio.gather(interrupted, return_exceptions=True)
    broker.answers.clear()
    assert [[sent.subject for sent in each.sent] for each in traced(broker)] == [["gen.invalid.plot.r-1"]]

    await take(runner, given())
    first, second = traced(broker)
    stored = [*parents(broker, "invalid"), *parents(broker, "clamped")]
    assert [each.traceparent for each in second.sent] == stored
    assert first.sent[0].traceparent == second.sent[0].traceparent


async def test_calls_of_a_message_that_is_handed_back_are_reported() -> None:
    broker = FakeBroker()
    stuck = asyncio.Event()

    async def handle(_: Any) -> Outcome:
        await Observed(Playing("prose"), broker.telemetry).generate(ask(), params())
        stuck.set()
        await asyncio.Event().wait()
        return Emit()

    work = asyncio.create_task(take(broker.runner("freeform-gen", handle), context_built()))
    await stuck.wait()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    (event,) = traced(broker)
    assert event.ending is MessageEnding.HANDED_BACK
    assert [each.called.provider for each in event.calls] == ["a"]


async def test_audit_has_no_spans() -> None:
    broker = FakeBroker()

    async def add(_: Any) -> None:
        """Store it."""

    runner = broker.runner("audit", lambda _: Record(row=1), SimpleNamespace(add=add))  # type: ignore[arg-type]
    assert (await take(runner, given())).ways == ["ack"]
    assert traced(broker) == []


async def test_nobody_collects_what_nobody_takes() -> None:
    broker = FakeBroker()
    broker.telemetry = Telemetry(LogLines())
    assert not broker.telemetry.takes(MessageTraced, MessageTraced.LEVEL)
    given_ = await take(broker.runner("validate-repair", lambda _: Emit()), given())
    assert given_.ways == ["ack"]


def application(endpoint: str | None) -> Any:
    settings = SimpleNamespace(telemetry=TelemetrySettings(otlp_endpoint=endpoint))
    return SimpleNamespace(settings=settings, stages=("fallback",), telemetry=Telemetry())


@pytest.mark.parametrize(
    ("endpoint", "posted_to"),
    [
        ("http://host:4318", "http://host:4318/v1/traces"),
        ("http://host:4318/", "http://host:4318/v1/traces"),
        ("https://host/otlp/v1/traces", "https://host/otlp/v1/traces"),
    ],
)
def test_an_endpoint_without_a_path_gets_the_usual_one(endpoint: str, posted_to: str) -> None:
    assert Tracing(application(endpoint)).endpoint == posted_to


def test_the_log_has_no_password_of_the_collector() -> None:
    lost = Tracing(application("https://user:secret@host:4318"))._count_lost(1)
    assert "secret" not in str(lost)
    assert "host:4318" in str(lost)


async def test_without_the_extra_the_start_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    monkeypatch.delitem(sys.modules, "infra.telemetry.span_sender", raising=False)
    tracing = Tracing(application("http://host:4318"))
    with pytest.raises(Misconfigured, match=r"\[otel\]"):
        tracing.start()
    await tracing.stop()


async def test_without_a_collector_nothing_is_imported_or_subscribed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    idle = application(None)
    tracing = Tracing(idle)
    tracing.start()
    await tracing.stop()
    assert not idle.telemetry.takes(MessageTraced, MessageTraced.LEVEL)


class Lookup:
    """Answers look-ups of the log with entries, or with an error."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def last_of_each(self, *_: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Unavailable("the log cannot be read"), "the log cannot be read"),
        (TimeoutError(), "the log does not answer within 1 s"),
    ],
)
async def test_a_look_up_that_fails_is_reported_and_costs_only_the_links(
    answer: Exception, problem: str
) -> None:
    emitted: list[TelemetryEvent] = []
    found = application("http://127.0.0.1:9")
    found.telemetry.subscribe(emitted.append)
    found.adapters = SimpleNamespace(lookup=Lookup(answer))
    tracing = Tracing(found)
    tracing._loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(tracing._find, ["r-1", "r-2"]) == {}
    await wait_for(lambda: bool(emitted))
    assert emitted == [SpanLinksLost(requests=2, problem=problem)]


async def test_a_defect_in_a_look_up_is_not_taken_for_a_lost_link() -> None:
    found = application("http://127.0.0.1:9")
    found.adapters = SimpleNamespace(lookup=Lookup([None]))
    tracing = Tracing(found)
    tracing._loop = asyncio.get_running_loop()
    with pytest.raises(AttributeError):
        await asyncio.to_thread(tracing._find, ["r-1"])


async def test_a_result_with_a_forged_context_gives_no_link() -> None:
    context = f"00-{'a' * 32}-{'b' * 16}-01"
    results = [
        SimpleNamespace(subject=f"gen.result.layout.r-{number}", headers=headers)
        for number, headers in enumerate(({"traceparent": context}, {"traceparent": "00-no"}, {}))
    ]
    found = application("http://127.0.0.1:9")
    found.adapters = SimpleNamespace(lookup=Lookup(results))
    tracing = Tracing(found)
    tracing._loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(tracing._find, ["r-0", "r-1", "r-2"]) == {"r-0": context}

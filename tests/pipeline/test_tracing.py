"""Traces of a running pipeline at a local collector: one for each request, whole, linked, and sent before the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from contracts.result import Origin, Status
from infra.app.application import Application
from infra.app.tracing import Tracing
from infra.nats import topology
from tests.otlp_sink import OtlpSink, SeenSpan
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start
from tests.pipeline.replays import letter_about, replay
from tests.pipeline.test_cache import NODE, PLAYER
from tests.pipeline.test_scenes import rules
from tests.pipeline.test_single_flight import process

CLIENT_TRACE, CLIENT_SPAN = "1f7651916cd43dd8448eb211c80319c0", "c7ad6b7169203331"
PROMPT = "zanzibar orchids in the cellar"


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    opened = OtlpSink()
    yield opened
    opened.close()


@asynccontextmanager
async def traced(application: Application) -> AsyncIterator[None]:
    """The application's spans go to the collector of its settings."""
    tracing = Tracing(application)
    tracing.start()
    yield
    await tracing.stop()


async def spans_of(
    sink: OtlpSink, request_id: str, enough: Callable[[list[SeenSpan]], bool]
) -> list[SeenSpan]:
    """A request's spans, in the order of their beginnings."""

    def mine() -> list[SeenSpan]:
        found = [each for each in sink.spans if each.attributes.get("understudy.request_id") == request_id]
        return sorted(found, key=lambda each: each.began_ns)

    def wait() -> bool:
        with sink.arrived:
            return sink.arrived.wait_for(lambda: enough(mine()), PATIENCE_S)

    assert await asyncio.to_thread(wait), [each.name for each in mine()]
    return mine()


def works(found: list[SeenSpan]) -> dict[str, SeenSpan]:
    """Spans of work by stage and event."""
    return {
        f"{each.attributes['understudy.stage']} {each.name}": each
        for each in found
        if each.name.startswith("process ")
    }


def answered(found: list[SeenSpan]) -> bool:
    """Whether the span of a result is there, and that of the stage that armed the deadline."""
    return any("send gen.result" in each.name for each in found) and any(
        "send gen.timer" in each.name for each in found
    )


async def test_one_trace_from_the_client_to_the_result(
    client: Observer, configure: Configure, start: Start, sink: OtlpSink
) -> None:
    async with (
        start(configure(rules=[], TELEMETRY__OTLP_ENDPOINT=sink.url)) as application,
        traced(application),
    ):
        headers = {"traceparent": f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01"}
        await client.publish("gen.requested.layout.t-1", b'{"prompt":"%s"}' % PROMPT.encode(), headers)
        result = await client.result("t-1")
        found = await spans_of(sink, "t-1", answered)

    assert (result.status, result.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    assert {each.trace_id for each in found} == {CLIENT_TRACE}
    by_id = {each.span_id: each for each in found}
    assert len(by_id) == len(found)
    chain = works(found)
    above = {
        "freeform-gen process gen.context_built.layout": "context-build process gen.requested.layout",
        "structuring process gen.drafted.layout": "freeform-gen process gen.context_built.layout",
        "validate-repair process gen.structured.layout": "structuring process gen.drafted.layout",
    }
    for below, stage_above in above.items():
        send = by_id[chain[below].parent_id]
        assert send.name.startswith("send gen."), below
        assert by_id[send.parent_id] == chain[stage_above]
    for intake in ("context-build", "fallback"):
        assert chain[f"{intake} process gen.requested.layout"].parent_id == CLIENT_SPAN
    calls = [each for each in found if each.name.startswith("chat ")]
    assert [by_id[each.parent_id].attributes["understudy.stage"] for each in calls] == [
        "freeform-gen",
        "structuring",
    ]
    assert chain["validate-repair process gen.structured.layout"].attributes["understudy.status"] == "success"
    for word in PROMPT.split():
        if len(word) > 3:
            assert not any(word.encode() in body for body in sink.bodies), word


async def test_scenes_replays_and_cached_answers_have_traces_of_their_own_with_links(
    client: Observer, configure: Configure, start: Start, sink: OtlpSink
) -> None:
    settings = configure(rules=rules(beats=2), TELEMETRY__OTLP_ENDPOINT=sink.url)
    async with start(settings) as application, traced(application):
        await client.ask("p-1", "plot", scenes=True)
        plot = await spans_of(sink, "p-1", answered)
        scene = await spans_of(sink, "p-1-s1", answered)

        same = {"node": NODE, "player_context": PLAYER}
        await client.ask("c-1", "transition", **same)
        await client.ask("c-2", "transition", **same)
        leader = await spans_of(sink, "c-1", answered)
        cached = await spans_of(sink, "c-2", answered)

        again = await replay(client, await letter_about(client, "p-1-s1", "scene"))
        await client.result(again.request_id)
        repeated = await spans_of(sink, again.request_id, answered)

    for found in (plot, scene, leader, cached, repeated):
        assert len({each.trace_id for each in found}) == 1
    asked = {each.span_id: each.name for each in plot}
    intake = works(scene)["context-build process gen.requested.scene"]
    ((trace_id, span_id, said),) = intake.links
    assert (trace_id, asked[span_id], said["understudy.relation"]) == (
        plot[0].trace_id,
        "send gen.requested.scene",
        "scene",
    )
    assert intake.trace_id != trace_id

    (link,) = works(cached)["context-build process gen.requested.transition"].links
    assert (link[0], link[2]) == (leader[0].trace_id, {"understudy.relation": "cache"})
    (link,) = works(repeated)["context-build process gen.requested.scene"].links
    assert (link[0], link[2]) == (scene[0].trace_id, {"understudy.relation": "replay"})
    assert repeated[0].trace_id != scene[0].trace_id, "a replay begins a trace of its own"


async def test_a_stopping_process_sends_its_last_spans(
    client: Observer, configure: Configure, start: Start, sink: OtlpSink
) -> None:
    await topology.apply(client.nc, configure(rules=[], TELEMETRY__OTLP_ENDPOINT=sink.url))
    await client.watch()
    async with process("context-build"):
        await client.publish("gen.requested.layout.s-1", b'{"prompt":"x"}')
        await client.until(lambda: bool(client.events("context_built", "s-1")), what="its context")
    names = [each.name for each in sink.spans]
    assert names == ["process gen.requested.layout", "send gen.context_built.layout"]


async def test_a_dead_collector_stops_no_stage_and_no_end(
    client: Observer, configure: Configure, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A batch takes longer than the end may wait.
    monkeypatch.setattr("infra.app.tracing._SEND_S", 600.0)
    with socket.socket() as silent:
        # It accepts connections and answers nothing.
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        port = silent.getsockname()[1]
        settings = configure(rules=[], TELEMETRY__OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
        async with start(settings) as application:
            tracing = Tracing(application)
            tracing.start()
            for number in range(20):
                assert (await client.ask(f"d-{number}")).status is Status.SUCCESS
            await tracing.stop()
            # It did not wait for the collector.
            assert tracing._export is not None
            assert tracing._export.waiting

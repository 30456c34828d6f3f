"""What every client promises, over NATS and over HTTP: the same results, errors and texts, whichever way it asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from understudy_client import (
    Busy,
    Client,
    IdTaken,
    InvalidRequest,
    NoResult,
    SyncClient,
    Unreachable,
    Unreadable,
)
from understudy_client.http import HttpClient, SyncHttpClient
from understudy_client.models import Layout

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.result import ErrorInfo, Meta, Origin, Status
from infra.app.pipeline_client import PipelineClient
from infra.nats import topology
from infra.settings.settings import Settings
from infra.stores.assets import Assets
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer
from tests.pipeline.gateway.conftest import listening

FOREST: Final = "a forest with three coins"
_LAYOUT: Final = {"scene_name": "Wood", "entities": [{"id": "p", "type": "player", "x": 1, "y": 2}]}
AnyClient = Client | HttpClient


@pytest_asyncio.fixture
async def settings(client: Observer, configure: Configure) -> Settings:
    """A broker with its topology, and nobody who answers."""
    found = configure()
    await topology.apply(client.nc, found)
    await client.watch()
    return found


@pytest_asyncio.fixture(params=["nats", "http"])
async def url(request: pytest.FixtureRequest, settings: Settings) -> AsyncGenerator[str]:
    if request.param == "nats":
        assert isinstance(settings.nats_url, str)
        yield settings.nats_url
        return
    async with listening(settings) as found:
        yield found


def connect(url: str) -> AnyClient:
    return HttpClient.connect(url) if url.startswith("http") else Client.connect(url)


@pytest_asyncio.fixture
async def asker(url: str) -> AsyncGenerator[AnyClient]:
    async with connect(url) as found:
        yield found


def result_of(request_id: str, **fields: Any) -> bytes:
    said: dict[str, Any] = {
        "status": Status.SUCCESS,
        "origin": Origin.LIVE,
        "content": _LAYOUT,
        "content_hash": "00",
        "meta": Meta(provider="test", model="test-1"),
    }
    return msgspec.json.encode(ev.Result(request_id=request_id, kind="layout", **{**said, **fields}))


def without(status: str) -> dict[str, Any]:
    """The fields of a result without content."""
    error = ErrorInfo(code=ErrorCode.GEN_INTERNAL, stage="fallback", message="why not")
    return {
        "status": Status(status),
        "origin": Origin.NONE,
        "content": None,
        "content_hash": None,
        "error": error,
    }


async def answer(client: Observer, request_id: str, **fields: Any) -> None:
    """What a pipeline does as soon as the request is there."""
    await client.until(lambda: bool(client.events("requested", request_id)))
    await client.publish(f"gen.result.layout.{request_id}", result_of(request_id, **fields))


async def test_generate_gives_the_kinds_model_with_the_result_around_it(
    client: Observer, asker: AnyClient
) -> None:
    asking = asyncio.create_task(asker.generate("layout", FOREST, request_id="a", timeout_s=PATIENCE_S))
    await answer(client, "a")
    found = await asking
    assert (found.result.request_id, found.result.status, found.result.origin) == ("a", "success", "live")
    assert isinstance(found.content, Layout)
    assert found.document == _LAYOUT


async def test_a_result_is_found_before_and_after_it_comes(client: Observer, asker: AnyClient) -> None:
    submitted = await asker.submit("layout", FOREST, request_id="a")
    early = await asker.look(submitted)
    waiting = asyncio.create_task(asker.wait(submitted, timeout_s=PATIENCE_S))
    await answer(client, "a", **without("failed"), reason="why not")
    results = [await waiting, await asker.wait("a", timeout_s=PATIENCE_S), await asker.look("a")]
    again = await asker.ask("layout", FOREST, request_id="a", timeout_s=PATIENCE_S)
    assert early is None
    assert [each.reason for each in (*results, again) if each is not None] == ["why not"] * 4
    assert not again.usable
    assert await asker.content(again) is None
    assert await asker.look("nobody") is None


async def test_a_result_that_is_asked_for_before_its_request_comes(
    client: Observer, asker: AnyClient
) -> None:
    waiting = asyncio.create_task(asker.wait("a", timeout_s=PATIENCE_S))
    await asker.submit("layout", FOREST, request_id="a")
    await answer(client, "a")
    assert (await waiting).status == "success"


async def test_no_answer_says_what_to_do(asker: AnyClient) -> None:
    submitted = await asker.submit("layout", FOREST, request_id="a")
    for request in ("nobody", submitted):
        with pytest.raises(NoResult, match=r"within 0\.2 s; `understudy why (a|nobody)`"):
            await asker.wait(request, timeout_s=0.2)
    with pytest.raises(NoResult, match="understudy why a"):
        await asker.generate("layout", FOREST, request_id="a", timeout_s=0.2)


async def test_submitting_twice_stores_once(client: Observer, asker: AnyClient) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    first = await asker.submit("layout", FOREST, request_id="a", traceparent=parent)
    again = await asker.submit("layout", FOREST, request_id="a")
    spaced = await asker.submit("layout", body=b'{ "prompt": "%s" }' % FOREST.encode(), request_id="a")
    assert [each.duplicate for each in (first, again, spaced)] == [False, True, True]
    assert {each.sequence for each in (first, again, spaced)} == {1}
    assert {each.subject for each in (first, again, spaced)} == {"gen.requested.layout.a"}
    assert first.trace_id == again.trace_id == parent.split("-")[1]
    await client.until(lambda: bool(client.events("requested")))
    assert len(client.events("requested")) == 1


async def test_fresh_ids_are_unique_and_sorted_by_time(asker: AnyClient) -> None:
    ids = [(await asker.submit("layout", FOREST)).request_id for _ in range(10)]
    assert len(set(ids)) == 10
    assert ids == sorted(ids)


async def test_an_id_of_another_request_is_taken(client: Observer, asker: AnyClient) -> None:
    """Its content is not given away, whether it has ended or not, and nothing is published."""
    first = await asker.submit("layout", FOREST, request_id="a")
    for _ in range(2):
        for ask in (asker.generate, asker.submit):
            for kind, prompt in (("layout", "a desert"), ("plot", FOREST)):
                with pytest.raises(IdTaken, match=r"a layout request.*\(sequence 1 of REQUESTS\)") as taken:
                    await ask(kind, prompt, request_id="a")
                assert (taken.value.request_id, taken.value.kind) == ("a", "layout")
                assert taken.value.sequence == first.sequence
        await answer(client, "a")
    assert len(client.events("requested")) == 1


async def test_waiting_looking_cancelling_and_listening_heed_the_kind(
    client: Observer, asker: AnyClient
) -> None:
    await asker.submit("layout", FOREST, request_id="a")
    with pytest.raises(IdTaken, match="a layout request, not a scene request"):
        await asker.wait("a", kind="scene", timeout_s=PATIENCE_S)
    with pytest.raises(IdTaken):
        await asker.look("a", kind="scene")
    with pytest.raises(IdTaken):
        await asker.cancel("a", kind="scene")
    with pytest.raises(IdTaken):
        async for _ in asker.progress("a", kind="scene"):
            pass
    assert client.events("cancelled") == []


async def test_what_is_no_id_waits_for_nothing(asker: AnyClient) -> None:
    for wrong in ("*", ">", "a.b", "", "a b", "é"):
        with pytest.raises(InvalidRequest, match="id"):
            await asker.wait(wrong, timeout_s=PATIENCE_S)


async def test_what_no_pipeline_accepts_is_not_published(client: Observer, asker: AnyClient) -> None:
    wrong: list[tuple[str, dict[str, Any], str, str]] = [
        ("castle", {"prompt": FOREST}, "kind", "castle"),
        ("a.b", {"prompt": FOREST}, "kind", "must match"),
        ("layout", {"prompt": FOREST, "request_id": "a b"}, "id", "must match"),
        ("layout", {"body": b"[]"}, "body", "not a JSON object"),
        ("layout", {"prompt": "x" * 300_000}, "body", "bytes"),
    ]
    for kind, fields, field, why in wrong:
        for ask in (asker.submit, asker.ask):
            with pytest.raises(InvalidRequest, match=why) as refused:
                await ask(kind, **fields)
            assert refused.value.field == field
    assert client.events("requested") == []


async def test_a_full_pipeline_is_busy(
    client: Observer, asker: AnyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Over HTTP it is tried again until there is no time left.
    monkeypatch.setattr("understudy_client.http.client.PUBLISH_S", 0.5)
    full = (await client.js.stream_info("REQUESTS")).config
    full.max_msgs = 1
    await client.js.update_stream(full)
    await asker.submit("layout", FOREST)
    with pytest.raises(Busy, match="no more requests for now"):
        await asker.submit("layout", FOREST)


async def test_cancelling_finds_the_kind_in_the_log(client: Observer, asker: AnyClient) -> None:
    await asker.submit("layout", FOREST, request_id="a")
    cancelling = asyncio.create_task(asker.cancel("a", reason="changed my mind"))
    await client.until(lambda: bool(client.events("cancelled", "a")))
    await answer(client, "a", **without("cancelled"), reason="why not")
    cancelled = await cancelling
    assert cancelled is not None
    assert cancelled.subject == "gen.cancelled.layout.a"
    assert client.events("cancelled", "a")[0].json()["reason"] == "changed my mind"
    assert (await asker.wait(cancelled, timeout_s=PATIENCE_S)).status == "cancelled"
    assert await asker.cancel("nobody") is None


async def test_progress_ends_with_the_result(client: Observer, asker: AnyClient) -> None:
    written = msgspec.json.encode(ev.Progress(stage="freeform-gen", attempt=1, index=0, text="Once "))
    submitted = await asker.submit("layout", FOREST, request_id="a")
    heard = asyncio.Event()

    async def listen() -> set[str]:
        texts: set[str] = set()
        async for piece in asker.progress(submitted):
            texts.add(piece.text)
            heard.set()
        return texts

    listening_ = asyncio.create_task(listen())
    async with asyncio.timeout(PATIENCE_S):
        # Text is not stored: only who listens already hears it.
        while not heard.is_set():
            await client.nc.publish("gen.progress.layout.a", written)
            await client.nc.flush()
        await answer(client, "a")
        assert await listening_ == {"Once "}
        assert [piece async for piece in asker.progress("a")] == []


async def test_large_content_is_fetched(client: Observer, settings: Settings, asker: AnyClient) -> None:
    large = {**_LAYOUT, "entities": [{"id": f"p{n}", "type": "player", "x": n, "y": 2} for n in range(50)]}
    async with PipelineClient(settings) as pipeline:
        ref = await Assets(pipeline.wire).put(msgspec.json.encode(large))
        await asker.submit("layout", FOREST, request_id="a")
        await answer(client, "a", content=None, content_ref=ref)
        # What a client over NATS has found, a client over HTTP can read as well.
        found = [await asker.wait("a", timeout_s=PATIENCE_S), await pipeline.wait("a", timeout_s=PATIENCE_S)]
    for each in found:
        assert await asker.document(each) == large
        assert len((await asker.content(each)).entities) == 50


async def test_a_result_of_one_request_under_the_subject_of_another_is_none(
    client: Observer, asker: AnyClient
) -> None:
    await asker.submit("layout", FOREST, request_id="a")
    await client.publish("gen.result.layout.a", result_of("b"))
    with pytest.raises(Unreadable, match="not the result of that request"):
        await asker.wait("a", timeout_s=PATIENCE_S)


async def test_a_thread_without_a_loop_gets_the_same(client: Observer, url: str) -> None:
    def ask() -> tuple[Any, ...]:
        made = SyncHttpClient.connect(url) if url.startswith("http") else SyncClient.connect(url)
        with made as asker:
            submitted = asker.submit("layout", FOREST, request_id="a")
            pieces = list(asker.progress(submitted))
            found = asker.generate("layout", FOREST, request_id="a", timeout_s=PATIENCE_S)
            with pytest.raises(IdTaken):
                asker.look("a", kind="scene")
            return (
                pieces,
                found.result.status,
                found.content.scene_name,
                asker.look("nobody"),
                asker.url == url,
            )

    asking = asyncio.create_task(asyncio.to_thread(ask))
    await answer(client, "a")
    assert await asking == ([], "success", "Wood", None, True)


@pytest.mark.parametrize("nowhere", ["nats://127.0.0.1:9", "http://127.0.0.1:9"])
async def test_without_a_server_nothing_is_left_behind(nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy_client.connection.CONNECT_S", 0.2)
    monkeypatch.setattr("understudy_client.http.transport.CONNECT_S", 0.2)
    lost = connect(nowhere)
    with pytest.raises(Unreachable, match=f"answers at {nowhere}"):
        async with lost:
            pass
    with pytest.raises(Unreachable, match="use it with"):
        await lost.wait("a")

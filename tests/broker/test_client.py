"""The client against a broker: one publish, its own result whenever it came, and a broker that restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from understudy_client import (
    BrokerLost,
    Busy,
    Client,
    IdTaken,
    InvalidRequest,
    NoResult,
    Unavailable,
    Unreachable,
    Unreadable,
)
from understudy_client.connection import flushed
from understudy_client.models import Layout

from contracts import events as ev
from contracts.result import Meta, Origin, Status
from infra.nats import log, ordered, topology
from infra.nats.embedded import Embedded
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings.settings import Settings, load
from infra.stores.assets import Assets

_LAYOUT = {"scene_name": "Wood", "entities": [{"id": "p", "type": "player", "x": 1, "y": 2}]}


@pytest_asyncio.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    """A client of the shared broker, which has its topology."""
    async with Client.connect(nats_url) as found:
        yield found


@pytest_asyncio.fixture
async def wire(client: Client) -> AsyncIterator[RequestMultiplexer]:
    """Calls to the broker over the client's connection."""
    async with _wire(client) as found:
        yield found


@asynccontextmanager
async def _wire(client: Client) -> AsyncIterator[RequestMultiplexer]:
    wire = RequestMultiplexer()
    await wire.open(client.connection)
    yield wire
    await wire.close()


def _result(request_id: str, **fields: Any) -> bytes:
    said: dict[str, Any] = {
        "status": Status.SUCCESS,
        "origin": Origin.LIVE,
        "content": _LAYOUT,
        "content_hash": "00",
        "meta": Meta(provider="test", model="test-1"),
    }
    return msgspec.json.encode(ev.Result(request_id=request_id, kind="layout", **{**said, **fields}))


async def _answer(client: Client, request_id: str) -> None:
    """What a pipeline would do as soon as the request is there."""
    async for entry in ordered.follow(
        client.connection, "REQUESTS", (f"gen.requested.*.{request_id}",), start=1
    ):
        assert entry.subject == f"gen.requested.layout.{request_id}"
        await client.connection.jetstream().publish(f"gen.result.layout.{request_id}", _result(request_id))
        return


async def test_generate_gives_the_kinds_model_with_the_result_around_it(client: Client) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_answer(client, "a"))
        answer = await client.generate("layout", "a forest", request_id="a", timeout_s=20)
    assert (answer.result.status, answer.result.origin) == ("success", "live")
    assert isinstance(answer.content, Layout)
    assert answer.content.scene_name == "Wood"


async def test_an_answer_older_than_the_question_is_found(client: Client) -> None:
    await client.connection.jetstream().publish("gen.result.layout.a", _result("a"))
    assert (await client.wait("a", timeout_s=20)).request_id == "a"


async def test_no_answer_says_what_to_do(client: Client) -> None:
    with pytest.raises(NoResult, match="understudy why a"):
        await client.wait("a", timeout_s=0.2)


async def test_submitting_twice_stores_once(client: Client, wire: RequestMultiplexer) -> None:
    first = await client.submit("layout", "a forest", request_id="a")
    again = await client.submit("layout", "a forest", request_id="a")
    spaced = await client.submit("layout", body=b'{ "prompt": "a forest" }', request_id="a")
    assert [each.duplicate for each in (first, again, spaced)] == [False, True, True]
    assert [each.sequence for each in (first, again, spaced)] == [1, 1, 1]
    assert await log.next_sequence(wire, "REQUESTS") == 2


@pytest.mark.parametrize(("kind", "prompt"), [("layout", "a desert"), ("plot", "a forest")])
async def test_an_id_of_another_request_is_taken(
    client: Client, wire: RequestMultiplexer, kind: str, prompt: str
) -> None:
    """Its content is not given away, whether it has ended or not, and nothing is published."""
    first = await client.submit("layout", "a forest", request_id="a")
    for _ in range(2):
        with pytest.raises(IdTaken, match="a layout request") as taken:
            await client.generate(kind, prompt, request_id="a", timeout_s=20)
        assert (taken.value.request_id, taken.value.kind, taken.value.sequence) == (
            "a",
            "layout",
            first.sequence,
        )
        await client.connection.jetstream().publish("gen.result.layout.a", _result("a"))
    assert await log.next_sequence(wire, "REQUESTS") == 2


async def test_an_id_that_another_client_takes_between_is_taken(client: Client) -> None:
    """Of two that ask at once under one id, one has it."""
    told = await asyncio.gather(
        *(client.submit(kind, "a forest", request_id="a") for kind in ("layout", "plot")),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in told) == ["IdTaken", "Submitted"]


async def test_the_same_request_again_gets_the_same_answer(client: Client) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_answer(client, "a"))
        answers = [
            group.create_task(client.generate("layout", "a forest", request_id="a", timeout_s=20))
            for _ in range(3)
        ]
    assert {each.result().result.request_id for each in answers} == {"a"}


async def test_waiting_looking_cancelling_and_listening_heed_the_kind(
    client: Client, wire: RequestMultiplexer
) -> None:
    await client.submit("layout", "a forest", request_id="a")
    with pytest.raises(IdTaken):
        await client.wait("a", kind="scene", timeout_s=20)
    with pytest.raises(IdTaken):
        await client.look("a", kind="scene")
    with pytest.raises(IdTaken):
        await client.cancel("a", kind="scene")
    with pytest.raises(IdTaken):
        async for _ in client.progress("a", kind="scene"):
            pass
    assert [entry async for entry in log.read(wire, "EVENTS", ">")] == []


async def test_a_result_of_an_earlier_request_is_not_the_answer(client: Client) -> None:
    """The id was freed, but its result was not: nobody will answer it a second time."""
    await client.submit("layout", "a forest", request_id="a")
    ended = _result("a", meta=Meta(provider="test", model="test-1", requested_at_ms=1, input_hash="00"))
    await client.connection.jetstream().publish("gen.result.layout.a", ended)
    await client.connection.jetstream().purge_stream("REQUESTS")
    with pytest.raises(IdTaken) as taken:
        await client.generate("layout", "a desert", request_id="a", timeout_s=20)
    assert (taken.value.kind, taken.value.sequence) == ("layout", None)


async def test_an_id_that_was_freed_can_be_used_at_once(client: Client) -> None:
    """Within the broker's window of message ids, too."""
    await client.submit("layout", "a forest", request_id="a")
    await client.connection.jetstream().purge_stream("REQUESTS")
    again = await client.submit("layout", "a forest", request_id="a")
    assert (again.duplicate, again.sequence) == (False, 2)


async def test_a_request_is_stored_whatever_message_ids_others_use(
    client: Client, wire: RequestMultiplexer
) -> None:
    """A plain client's message id, taken from ours, does not make the broker drop the next one."""
    await client.submit("layout", "a forest", request_id="a")
    (mine,) = [entry async for entry in log.read(wire, "REQUESTS", ">")]
    js = client.connection.jetstream()
    await js.publish(
        "gen.requested.layout.b", b'{"prompt": "x"}', headers={"Nats-Msg-Id": mine.headers["ce-id"]}
    )
    await js.purge_stream("REQUESTS")
    assert (await client.submit("layout", "a forest", request_id="a")).sequence == 3


async def test_what_is_not_stored_is_no_result(client: Client) -> None:
    """Everybody hears a message that the stream then refuses; only the stream's own copy counts."""
    waiting = asyncio.create_task(client.wait("a", timeout_s=1))
    refused = {"Nats-Expected-Last-Sequence": "999"}
    heard = await client.connection.subscribe("gen.result.layout.a")
    async with asyncio.timeout(60):
        while not waiting.done():
            await client.connection.publish("gen.result.layout.a", _result("a"), headers=refused)
            await heard.next_msg()
    with pytest.raises(NoResult):
        await waiting


async def test_a_result_of_one_request_under_the_subject_of_another_is_none(client: Client) -> None:
    await client.connection.jetstream().publish("gen.result.layout.a", _result("b"))
    with pytest.raises(Unreadable, match="not the result of that request"):
        await client.wait("a", timeout_s=20)


@pytest.mark.parametrize("wrong", ["*", ">", "a.b", "", "a b", "é"])
async def test_what_is_no_id_waits_for_nothing(client: Client, wrong: str) -> None:
    await client.connection.jetstream().publish("gen.result.layout.a", _result("a"))
    with pytest.raises(InvalidRequest, match="id"):
        await client.wait(wrong, timeout_s=20)


async def test_two_who_wait_for_one_request_are_both_told_at_once(client: Client) -> None:
    """The second one's end does not make the first one deaf."""
    first = asyncio.create_task(client.wait("a", timeout_s=60))
    second = asyncio.create_task(client.wait("a", timeout_s=0.1))
    with pytest.raises(NoResult):
        await second
    # Its pause between two looks is seconds long by now, unless it hears.
    await client.connection.jetstream().publish("gen.result.layout.a", _result("a"))
    async with asyncio.timeout(4):
        assert (await first).request_id == "a"


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        ("castle", {"prompt": "a forest"}, "no kind 'castle'"),
        ("a.b", {"prompt": "a forest"}, "kind"),
        ("layout", {"prompt": "a forest", "request_id": "a b"}, "id"),
        ("layout", {"body": b"[]"}, "not a JSON object"),
        ("layout", {"body": b"{"}, "not a JSON object"),
        ("layout", {"prompt": "x" * 300_000}, "bytes"),
    ],
)
async def test_what_no_pipeline_accepts_is_not_published(
    client: Client, wire: RequestMultiplexer, kind: str, fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidRequest, match=why):
        await client.submit(kind, **fields)
    assert await log.next_sequence(wire, "REQUESTS") == 1


async def test_streams_that_are_missing_are_not_taken_for_a_wrong_kind(
    bare_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy_client.session.PUBLISH_S", 0.1)
    async with Client.connect(bare_url) as client:
        with pytest.raises(Unavailable, match="topology apply"):
            await client.submit("layout", "a forest")


async def test_fresh_ids_are_unique_and_sorted_by_time(client: Client) -> None:
    ids = [(await client.submit("layout", "a forest")).request_id for _ in range(20)]
    assert len(set(ids)) == 20
    assert ids == sorted(ids)


async def test_a_full_broker_refuses_and_says_so(broker: Embedded, tmp_path: Path) -> None:
    small = load(data_dir=tmp_path, nats_url=None, broker={"requests_max_bytes": 64 * 1024})
    await topology.apply_at(broker.url, small)
    async with Client.connect(broker.url) as client:
        for _ in range(3):
            await client.submit("layout", "x" * 16_000)
        with pytest.raises(Busy, match="no more requests for now"):
            await client.submit("layout", "x" * 16_000)
        async with _wire(client) as wire:
            stored = [entry.sequence async for entry in log.read(wire, "REQUESTS", ">")]
    assert stored == [1, 2, 3]


async def test_cancelling_finds_the_kind_in_the_log(client: Client, wire: RequestMultiplexer) -> None:
    await client.submit("plot", "a heist", request_id="a")
    told = await client.cancel("a", reason="changed my mind")
    assert told is not None
    assert told.subject == "gen.cancelled.plot.a"
    (stored,) = [entry async for entry in log.read(wire, "REQUESTS", "gen.cancelled.>")]
    assert msgspec.json.decode(stored.body)["reason"] == "changed my mind"
    assert await client.cancel("nobody") is None


async def test_progress_ends_with_the_result(client: Client) -> None:
    written = msgspec.json.encode(ev.Progress(stage="freeform-gen", attempt=1, index=0, text="Once "))
    heard = asyncio.Event()

    async def listen() -> set[str]:
        texts: set[str] = set()
        async for piece in client.progress("a"):
            texts.add(piece.text)
            heard.set()
        return texts

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        listening = group.create_task(listen())
        # Text is not stored: only who listens already hears it.
        while not heard.is_set():
            await client.connection.publish("gen.progress.layout.a", written)
            await flushed(client.connection)
        await client.connection.jetstream().publish("gen.result.layout.a", _result("a"))
    assert listening.result() == {"Once "}


async def test_large_content_is_fetched_and_checked(client: Client, wire: RequestMultiplexer) -> None:
    large = {**_LAYOUT, "entities": [{"id": f"p{n}", "type": "player", "x": n, "y": 2} for n in range(50)]}
    ref = await Assets(wire).put(msgspec.json.encode(large))
    await client.connection.jetstream().publish(
        "gen.result.layout.a", _result("a", content=None, content_ref=ref)
    )
    content = await client.content(await client.wait("a", timeout_s=20))
    assert len(content.entities) == 50


async def test_waiting_outlives_a_restart_of_the_broker(broker: Embedded, settings: Settings) -> None:
    await topology.apply_at(broker.url, settings)
    async with Client.connect(broker.url) as client, asyncio.timeout(60):
        await client.submit("layout", "a forest", request_id="a")
        waiting = asyncio.create_task(client.wait("a", timeout_s=50))
        await broker.stop()
        await broker.start()
        # Another connection answers, maybe before the waiting one is back.
        async with Client.connect(broker.url) as other:
            await other.connection.jetstream().publish("gen.result.layout.a", _result("a"))
        result = await waiting
    assert result.status == Status.SUCCESS


async def test_publishing_outlives_a_restart_of_the_broker(broker: Embedded, settings: Settings) -> None:
    await topology.apply_at(broker.url, settings)
    async with Client.connect(broker.url) as client, asyncio.timeout(60):
        await broker.stop()
        publishing = asyncio.create_task(client.submit("layout", "a forest", request_id="a"))
        await broker.start()
        submitted = await publishing
        async with _wire(client) as wire:
            stored = [entry.subject async for entry in log.read(wire, "REQUESTS", ">")]
    assert (submitted.sequence, stored) == (1, ["gen.requested.layout.a"])


async def test_a_broker_that_stays_away_ends_the_wait(broker: Embedded, settings: Settings) -> None:
    """The connection's end is told at once, and closing what is lost raises nothing."""
    await topology.apply_at(broker.url, settings)
    told: list[str] = []
    async with (
        asyncio.timeout(60),
        Client.connect(broker.url, on_lost=told.append, on_back=told.append, lost_s=0.5) as client,
    ):
        await client.submit("layout", "a forest", request_id="a")
        waiting = asyncio.create_task(client.wait("a", timeout_s=600))
        await broker.stop()
        with pytest.raises(BrokerLost, match="the request is safe: `understudy wait a`"):
            await waiting
    assert told == [broker.url]


async def test_a_broker_that_comes_back_is_told(broker: Embedded, settings: Settings) -> None:
    await topology.apply_at(broker.url, settings)
    lost, back = asyncio.Event(), asyncio.Event()
    async with (
        asyncio.timeout(60),
        Client.connect(broker.url, on_lost=lambda _: lost.set(), on_back=lambda _: back.set()),
    ):
        await broker.stop()
        await lost.wait()
        await broker.start()
        await back.wait()
    assert lost.is_set()


async def test_a_client_shows_its_broker_without_a_password(
    broker: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = broker.url.replace("//", "//somebody:s3cret@")
    async with Client.connect(url) as client:
        assert client.url == broker.url
    await broker.stop()
    monkeypatch.setattr("understudy_client.connection.CONNECT_S", 0.2)
    with pytest.raises(Unreachable) as told:
        await client.__aenter__()
    assert broker.url in str(told.value)
    assert "s3cret" not in str(told.value)

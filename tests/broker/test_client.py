"""Does the client publish once, find its answer whenever it came, and outlive the broker?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from contracts import events as ev
from contracts.content.layout import Layout
from contracts.errors import UnderstudyError
from contracts.request import RequestError
from contracts.result import Meta, Origin, Status
from infra.client import Client, NoResult
from infra.nats import log, topology
from infra.nats.embedded import Embedded
from infra.settings import Settings, load
from infra.stores.assets import Assets

_LAYOUT = {"scene_name": "Wood", "entities": [{"id": "p", "type": "player", "x": 1, "y": 2}]}


@pytest_asyncio.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    """A client of the shared broker, which has its topology."""
    async with Client.connect(nats_url) as found:
        yield found


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
    async for entry in log.follow(client.connection, "REQUESTS", (f"gen.requested.*.{request_id}",), start=1):
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


async def test_submitting_twice_stores_once_and_another_body_is_another_message(client: Client) -> None:
    first = await client.submit("layout", "a forest", request_id="a")
    again = await client.submit("layout", "a forest", request_id="a")
    other = await client.submit("layout", "a desert", request_id="a")
    assert (first.duplicate, again.duplicate, other.duplicate) == (False, True, False)
    assert (first.sequence, again.sequence, other.sequence) == (1, 1, 2)


async def test_a_request_that_would_be_refused_is_not_published(client: Client) -> None:
    with pytest.raises(RequestError, match="castle"):
        await client.submit("castle", "a forest")
    with pytest.raises(RequestError, match="colour"):
        await client.submit("layout", "a forest", colour="red")
    assert await log.next_sequence(client.wire, "REQUESTS") == 1


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
        with pytest.raises(UnderstudyError, match="no more requests for now"):
            await client.submit("layout", "x" * 16_000)
        stored = [entry.sequence async for entry in log.read(client.wire, "REQUESTS", ">")]
    assert stored == [1, 2, 3]


async def test_cancelling_finds_the_kind_in_the_log(client: Client) -> None:
    await client.submit("plot", "a heist", request_id="a")
    told = await client.cancel("a", reason="changed my mind")
    assert told is not None
    assert told.subject == "gen.cancelled.plot.a"
    (stored,) = [entry async for entry in log.read(client.wire, "EVENTS", "gen.cancelled.>")]
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

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        listening = group.create_task(listen())
        # Text is not stored: only who listens already hears it.
        while not heard.is_set():
            await client.connection.publish("gen.progress.layout.a", written)
            await client.connection.flush()
        await client.connection.jetstream().publish("gen.result.layout.a", _result("a"))
    assert listening.result() == {"Once "}


async def test_large_content_is_fetched_and_checked(client: Client) -> None:
    large = {**_LAYOUT, "entities": [{"id": f"p{n}", "type": "player", "x": n, "y": 2} for n in range(50)]}
    ref = await Assets(client.wire).put(msgspec.json.encode(large))
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
    assert result.status is Status.SUCCESS


async def test_publishing_outlives_a_restart_of_the_broker(broker: Embedded, settings: Settings) -> None:
    await topology.apply_at(broker.url, settings)
    async with Client.connect(broker.url) as client, asyncio.timeout(60):
        await broker.stop()
        publishing = asyncio.create_task(client.submit("layout", "a forest", request_id="a"))
        await broker.start()
        submitted = await publishing
        stored = [entry.subject async for entry in log.read(client.wire, "REQUESTS", ">")]
    assert (submitted.sequence, stored) == (1, ["gen.requested.layout.a"])

"""The client without asyncio: the same answers, from any thread, and nothing left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import pytest_asyncio
from understudy_client import Client, IdTaken, NoResult, Progress, SyncClient, Unreachable
from understudy_client.connection import flushed

from contracts import events as ev
from contracts.result import Meta, Origin, Status
from infra.nats import ordered

_LAYOUT = {"scene_name": "Wood", "entities": [{"id": "p", "type": "player", "x": 1, "y": 2}]}


@pytest_asyncio.fixture
async def other(nats_url: str) -> AsyncIterator[Client]:
    """A client in the loop of the test, which answers as a pipeline does."""
    async with Client.connect(nats_url) as found:
        yield found


async def _answer(other: Client, request_id: str) -> None:
    async for _ in ordered.follow(other.connection, "REQUESTS", (f"gen.requested.*.{request_id}",), start=1):
        break
    result = ev.Result(
        request_id=request_id,
        kind="layout",
        status=Status.SUCCESS,
        origin=Origin.LIVE,
        content=_LAYOUT,
        content_hash="00",
        meta=Meta(provider="test", model="test-1"),
    )
    await other.connection.jetstream().publish(f"gen.result.layout.{request_id}", msgspec.json.encode(result))


def _threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == "understudy-client"]


async def test_a_thread_without_a_loop_gets_its_answer(nats_url: str, other: Client) -> None:
    def ask() -> tuple[str, str]:
        with SyncClient.connect(nats_url) as client:
            answer = client.generate("layout", "a forest", request_id="a", timeout_s=60)
            return answer.result.status, answer.content.scene_name

    async with asyncio.timeout(90):
        asking = asyncio.create_task(asyncio.to_thread(ask))
        await _answer(other, "a")
        assert await asking == ("success", "Wood")
    assert _threads() == []


def test_several_threads_share_one_client(nats_url: str) -> None:
    with SyncClient.connect(nats_url) as client, ThreadPoolExecutor(8) as pool:
        submitted = list(pool.map(lambda number: client.submit("layout", f"forest {number}"), range(40)))
    assert sorted(each.sequence for each in submitted) == list(range(1, 41))


def test_errors_reach_the_caller(nats_url: str) -> None:
    with SyncClient.connect(nats_url) as client:
        client.submit("layout", "a forest", request_id="a")
        with pytest.raises(IdTaken):
            client.submit("layout", "a desert", request_id="a")
        with pytest.raises(NoResult):
            client.wait("a", timeout_s=0.1)
        assert client.look("a") is None
        assert client.cancel("nobody") is None


async def test_progress_blocks_until_the_result(nats_url: str, other: Client) -> None:
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()

    def listen() -> list[str]:
        texts: list[str] = []
        with SyncClient.connect(nats_url) as client:
            submitted = client.submit("layout", "a forest", request_id="a")
            for piece in client.progress(submitted):
                texts.append(piece.text)
                loop.call_soon_threadsafe(heard.set)
        return texts

    piece = msgspec.json.encode(Progress(stage="freeform-gen", attempt=1, index=0, text="Once "))
    async with asyncio.timeout(90):
        listening = asyncio.create_task(asyncio.to_thread(listen))
        # Text is not stored: only a client that listens already hears it.
        while not heard.is_set():
            await other.connection.publish("gen.progress.layout.a", piece)
            await flushed(other.connection)
        await _answer(other, "a")
        assert set(await listening) == {"Once "}


def test_an_abandoned_progress_is_ended_with_the_client(nats_url: str) -> None:
    with SyncClient.connect(nats_url) as client:
        pieces = client.progress("a")
    with pytest.raises(Unreachable):
        next(pieces)


def test_without_a_broker_nothing_is_left_behind() -> None:
    client = SyncClient.connect("nats://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"no broker answers at nats://127\.0\.0\.1:9"), client:
        pass
    assert _threads() == []
    with pytest.raises(Unreachable, match="use it with `with`"):
        client.look("a")

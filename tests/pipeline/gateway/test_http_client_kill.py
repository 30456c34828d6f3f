"""The client over HTTP while its gateway is killed: one request, one generation, one result."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import msgspec
import pytest_asyncio
from understudy_client.http import HttpClient

from contracts import events as ev
from tests.import_path import IMPORT_PATH
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start
from tests.ports import free_port

#: A piece of a request's text, as a stage publishes it.
TEXT: Final = msgspec.json.encode(ev.Progress(stage="freeform-gen", attempt=1, index=0, text="Once "))


@pytest_asyncio.fixture
async def serve() -> AsyncGenerator[Callable[[int], Awaitable[Process]]]:
    """Starts `understudy serve` as a process, and returns once it listens."""
    started: list[Process] = []

    async def starting(port: int) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "infra.cli", "serve", "--port", str(port), "--json"),
            env=os.environ | {"PYTHONPATH": IMPORT_PATH, "UNDERSTUDY_METRICS": "off"},
            stdout=PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            ready = json.loads(await process.stdout.readline())
        assert ready["http_url"].endswith(f":{port}")
        return process

    yield starting
    for each in started:
        if each.returncode is None:
            each.kill()
            await each.wait()


async def test_a_gateway_that_is_killed_costs_no_result_and_no_second_generation(
    client: Observer, configure: Configure, start: Start, serve: Callable[[int], Awaitable[Process]]
) -> None:
    """Requests wait, one reads progress, one comes while nobody listens; all of them get the one result each."""
    settings = configure(rules=[])
    port = free_port()
    said: list[str] = []
    loud = asyncio.Event()

    async def listen(asker: HttpClient) -> None:
        async for piece in asker.progress("k-0"):
            assert piece.text == "Once "
            loud.set()

    async with start(settings, ()):
        gateway = await serve(port)
        asker = HttpClient.connect(
            f"http://127.0.0.1:{port}",
            on_lost=lambda _: said.append("lost"),
            on_back=lambda _: said.append("back"),
        )
        async with asker, asyncio.timeout(3 * PATIENCE_S):
            asking = [
                asyncio.create_task(
                    asker.generate("layout", f"forest {n}", request_id=f"k-{n}", timeout_s=PATIENCE_S)
                )
                for n in range(5)
            ]
            reading = asyncio.create_task(listen(asker))
            await client.until(lambda: len(client.events("requested")) == 5)
            gateway.kill()
            await gateway.wait()
            late = asyncio.create_task(
                asker.generate("layout", "late", request_id="late", timeout_s=PATIENCE_S)
            )
            await serve(port)
            await client.until(lambda: bool(client.events("requested", "late")))
            # Text is not stored: it is heard as soon as the stream is open again.
            while not loud.is_set():
                await client.nc.publish("gen.progress.layout.k-0", TEXT)
                await asyncio.sleep(0.05)
            async with start(settings):
                answers = await asyncio.gather(*asking, late)
                await reading
                again = await asker.generate("layout", "forest 0", request_id="k-0", timeout_s=PATIENCE_S)
                await client.settled()

    ids = [*(f"k-{n}" for n in range(5)), "late"]
    assert [each.result.request_id for each in answers] == ids
    assert {each.result.status for each in answers} == {"success"}
    assert again == answers[0]
    for each in ids:
        assert [len(client.events(name, each)) for name in ("requested", "drafted", "result")] == [1, 1, 1]
    assert client.letters() == []
    assert (said[0], said[-1]) == ("lost", "back")

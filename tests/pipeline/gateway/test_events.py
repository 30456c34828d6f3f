"""Server-sent events with a real broker and a real server: from the beginning, after a reconnect, until the stop."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest

from contracts import subjects
from infra.gateway.log_position import LETTERS
from infra.gateway.server import serve
from infra.settings.settings import Settings
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start

EVENTS: Final = "/api/v1/events"
OPTIONS: Final = {"GATEWAY__PORT": "0", "METRICS": "off"}


class Frame(msgspec.Struct, frozen=True):
    """One server-sent event as a client reads it; without name and data, only its id moves."""

    event: str
    data: Any
    id: str | None


@asynccontextmanager
async def served(settings: Settings) -> AsyncGenerator[httpx2.AsyncClient]:
    """A gateway that listens, and ends by SIGTERM; an HTTP client of it."""
    ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(settings, on_ready=ready.set_result))
    await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    async with httpx2.AsyncClient(base_url=ready.result()["http_url"], timeout=PATIENCE_S) as http:
        try:
            yield http
        finally:
            signal.raise_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_S):
                assert await serving == 0


async def frames_of(answer: httpx2.Response) -> AsyncIterator[Frame]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif fields:
            data = msgspec.json.decode(fields.get("data", "null"))
            yield Frame(fields.get("event", ""), data, fields.get("id"))
            fields = {}


async def test_a_request_is_streamed_to_its_result_and_not_again(
    client: Observer, configure: Configure, start: Start
) -> None:
    path = "/api/v1/generations/s-1/events"
    async with start(configure(rules=[])), served(configure(**OPTIONS)) as http:
        await client.publish(subjects.gen("requested", "layout", "s-1"))
        async with asyncio.timeout(PATIENCE_S), http.stream("GET", path) as answer:
            frames = [frame async for frame in frames_of(answer)]
        stored = [frame for frame in frames if frame.data and frame.id]
        again = await http.get(path, headers={"Last-Event-ID": str(stored[-1].id)})
        resumed = await http.get(path, headers={"Last-Event-ID": str(stored[1].id)})
        confused = await http.get(path, headers={"Last-Event-ID": "R1"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert stored[0].event == stored[0].data["event"] == "requested"
    assert stored[-1].event == "result"
    assert frames[-1] == Frame("bye", {"reason": "ended"}, None)
    assert again.status_code == 204
    assert resumed.text.count("event: ") == len(stored) - 2 + 1
    assert confused.text.count("event: ") == 1 + len(stored) + 1
    assert "event: reset" in confused.text


async def test_a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice(
    client: Observer, configure: Configure, start: Start
) -> None:
    headers: dict[str, str] = {}
    seen: list[int] = []
    async with start(configure(rules=[]), ()), served(configure(**OPTIONS)) as http:
        for turn in range(4):
            async with asyncio.timeout(PATIENCE_S), http.stream("GET", EVENTS, headers=headers) as answer:
                async for frame in frames_of(answer):
                    if not frame.data:
                        for number in range(5):
                            await client.publish(subjects.gen("requested", "layout", f"r-{turn}-{number}"))
                    else:
                        seen.append(frame.data["seq"])
                    headers = {"Last-Event-ID": str(frame.id)}
                    # In the middle of what there is.
                    if len(seen) == 7 * turn + 4:
                        break
            for number in range(2):
                await client.publish(subjects.gen("requested", "layout", f"q-{turn}-{number}"))
    assert seen == list(range(1, 4 * 7 - 3 + 1))


async def test_all_readers_share_three_consumers_and_a_signal_ends_them_also_those_that_do_not_read(
    client: Observer, configure: Configure, start: Start
) -> None:
    body = msgspec.json.encode({"prompt": "x" * 60_000})
    names: list[str] = []
    all_read = asyncio.Event()

    async def read(http: httpx2.AsyncClient) -> None:
        async with asyncio.timeout(PATIENCE_S), http.stream("GET", EVENTS) as answer:
            async for frame in frames_of(answer):
                names.append(frame.event)
                if len(names) in (1, 201):
                    all_read.set()

    async with start(configure(rules=[]), ()):
        before = await count_consumers(client)
        async with served(configure(**OPTIONS)) as http:
            url = urlsplit(str(http.base_url))
            frozen = [socket.create_connection((url.hostname, url.port or 80)) for _ in range(3)]
            for each in frozen:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                each.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await asyncio.to_thread(each.recv, 16)
            reading = asyncio.create_task(read(http))
            async with asyncio.timeout(PATIENCE_S):
                await all_read.wait()
                all_read.clear()
                for number in range(200):
                    await client.publish(subjects.gen("requested", "layout", f"w-{number}"), body)
                await all_read.wait()
            after = await count_consumers(client)
        await reading
        for each in frozen:
            each.close()
    assert names == ["", *["requested"] * 200, "bye"]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]


async def test_a_signal_ends_500_streams_with_bye_and_another_gateway_continues_them(
    client: Observer, configure: Configure, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = configure(rules=[], **OPTIONS)

    async def read(http: httpx2.AsyncClient, last: str | None) -> str:
        url = urlsplit(str(http.base_url))
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        head = "" if last is None else f"Last-Event-ID: {last}\r\n"
        writer.write(f"GET {EVENTS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n".encode())
        begun = await reader.readuntil(b"\nid: ")
        opened.release()
        text = (begun + await reader.read()).decode()
        writer.close()
        return text

    async def read_all(last: list[str | None], numbers: range) -> list[str]:
        async with served(settings) as http:
            reading = [asyncio.create_task(read(http, each)) for each in last]
            for _ in reading:
                await opened.acquire()
            for number in numbers:
                await client.publish(subjects.gen("requested", "layout", f"v-{number}"))
            await client.until(lambda: len(client.events("requested")) == numbers.stop)
        return await asyncio.gather(*reading)

    opened = asyncio.Semaphore(0)
    async with start(settings, ()), asyncio.timeout(PATIENCE_S * 2):
        first = await read_all([None] * 500, range(5))
        second = await read_all([ids_of(text)[-1] for text in first], range(5, 9))
    for before, after in zip(first, second, strict=True):
        assert before.endswith('data: {"reason":"stop"}\n\n\r\n0\r\n\r\n')
        seen = [int(each) for each in re.findall(r"data: {\"seq\":(\d+)", before + after)]
        assert seen == list(range(1, len(seen) + 1))
    assert "Traceback" not in capsys.readouterr().out


def ids_of(text: str) -> list[str]:
    return re.findall(r"^id: (\S+)$", text, re.MULTILINE)


async def count_consumers(client: Observer) -> list[int]:
    return [len(await client.js.consumers_info(stream)) for stream in LETTERS]


async def test_unknown_parameters_and_filters_of_the_past_are_problems(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=[]), ()), served(configure(**OPTIONS)) as http:
        answers = [
            await http.get(f"{EVENTS}?{query}")
            for query in ("limit=3", "until=1h", "status=pending", "kind=x")
        ]
        missing = await http.get("/api/v1/generations/s-2/events")
    assert [answer.status_code for answer in answers] == [422] * 4
    assert missing.status_code == 404

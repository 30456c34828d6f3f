"""Many streams of events, as `understudy serve` keeps them: 2,000 idle ones, and readers that stop reading."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import pytest

from contracts import subjects
from infra.lab.bench import cpu, sampler
from tests.import_path import IMPORT_PATH
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start
from tests.pipeline.gateway.test_events import EVENTS, count_consumers

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
IDLE: Final = 2000
#: Seconds over which CPU time is taken.
LOOK_S: Final = 20.0
MIB: Final = 1024**2
REQUEST: Final = f"GET {EVENTS} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class Served(msgspec.Struct, frozen=True):
    """A gateway in a process of its own."""

    process: asyncio.subprocess.Process
    host: str
    port: int

    @property
    def open_files(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())


@asynccontextmanager
async def serving() -> AsyncGenerator[Served]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli", "serve", "--port", "0", "--json"),
        env=os.environ | {"PYTHONPATH": IMPORT_PATH},
        stdout=PIPE,
    )
    assert process.stdout is not None
    url = urlsplit(json.loads(await process.stdout.readline())["http_url"])
    try:
        yield Served(process, str(url.hostname), int(url.port or 0))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def open_streams(
    gateway: Served, count: int
) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
        writer.write(REQUEST)
        await reader.readuntil(b"\nid: ")
        opened.append((reader, writer))
    return opened


async def test_2000_idle_streams_cost_little_memory_and_cpu_and_three_consumers(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=[]), ()), serving() as gateway:
        pid = gateway.process.pid
        before = await count_consumers(client)
        await open_streams(gateway, 1)
        empty = sampler.resident(pid)
        streams = await open_streams(gateway, IDLE)
        during = await count_consumers(client)
        began = cpu.used_s(pid)
        await asyncio.sleep(LOOK_S)
        share = (cpu.used_s(pid) - began) / LOOK_S
        grown = sampler.resident(pid) - empty
        loop = asyncio.get_running_loop()
        signalled = loop.time()
        gateway.process.send_signal(signal.SIGTERM)
        endings = await asyncio.gather(*(reader.read() for reader, _ in streams))
        status = await gateway.process.wait()
        stopped_s = loop.time() - signalled

    print(f"{IDLE} idle: {grown / MIB:.1f} MiB, {share:.2%} of a core, stopped in {stopped_s:.2f} s")  # noqa: T201
    assert [new - old for new, old in zip(during, before, strict=True)] == [1, 1, 1]
    assert grown <= 60 * MIB
    assert share < 0.05
    assert status == 0
    assert all(b"event: bye" in each for each in endings)


async def test_readers_that_stop_reading_are_gone_and_hold_no_memory(
    client: Observer, configure: Configure, start: Start
) -> None:
    frozen: list[socket.socket] = []
    body = json.dumps({"prompt": "a forest with three coins " * 30}).encode()
    async with start(configure(rules=[]), ()), serving() as gateway:
        pid = gateway.process.pid
        reading = await open_streams(gateway, 5)
        files = gateway.open_files
        for _ in range(20):
            each = socket.create_connection((gateway.host, gateway.port))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.sendall(REQUEST)
            frozen.append(each)
        counting = [asyncio.create_task(reader.read()) for reader, _ in reading]
        loop = asyncio.get_running_loop()
        began, gone_s, number = loop.time(), None, 0
        sizes: list[int] = []
        while loop.time() - began < 25:
            await asyncio.gather(
                *(
                    client.publish(subjects.gen("requested", "layout", f"f-{number + one}"), body)
                    for one in range(50)
                )
            )
            number += 50
            sizes.append(sampler.resident(pid))
            if gone_s is None and loop.time() - began > 1 and gateway.open_files <= files:
                gone_s = loop.time() - began
            await asyncio.sleep(began + number / 500 - loop.time())
        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            texts = await asyncio.gather(*counting)
    for each in frozen:
        each.close()

    print(f"gone after {gone_s} s, {min(sizes) / MIB:.1f} to {max(sizes) / MIB:.1f} MiB, {number} events")  # noqa: T201
    assert gone_s is not None
    assert gone_s < 15
    assert max(sizes) - sizes[0] < 20 * MIB
    # The stop may come before the last of them, which a reader gets when it connects again.
    assert min(each.count(b"event: requested") for each in texts) > number - 1000
    assert not any(b"event: lagged" in each for each in texts)

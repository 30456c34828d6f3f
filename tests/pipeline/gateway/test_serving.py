"""`understudy serve` as a process: it listens, counts, and stops in order while a request waits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from urllib.parse import urlsplit

import httpx2

from tests.import_path import IMPORT_PATH
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start


async def test_slow_heads_are_cut_and_a_signal_ends_waits_with_their_address_and_exits_0(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    too_large: list[bytes] = []
    async with start(settings, ()):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra.cli",
            "serve",
            "--port",
            "0",
            "--json",
            env=os.environ | {"PYTHONPATH": IMPORT_PATH, "UNDERSTUDY_GATEWAY__HEAD_SECONDS": "0.3"},
            stdout=PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            ready = json.loads(await process.stdout.readline())
        url = urlsplit(ready["http_url"])
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost")
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()
        long = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000
        for head in (long, long + b"\r\n\r\n"):
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            writer.write(head)
            async with asyncio.timeout(PATIENCE_S):
                too_large.append((await reader.read())[:12])
            writer.close()
        async with httpx2.AsyncClient(base_url=ready["http_url"], timeout=PATIENCE_S) as http:
            asking = asyncio.create_task(
                http.post("/generate", json={"prompt": "x"}, headers={"Idempotency-Key": "s-1"})
            )
            await client.until(lambda: bool(client.events("requested", "s-1")))
            metrics = await http.get(f"http://{ready['metrics']}/metrics")
            process.send_signal(signal.SIGTERM)
            ended = await asking
        async with asyncio.timeout(PATIENCE_S):
            status = await process.wait()

    assert too_large == [b"HTTP/1.1 400"] * 2
    assert "understudy_http_waiting 1.0" in metrics.text
    assert (ended.status_code, ended.json()["type"]) == (503, "/problems/stopping")
    assert ended.headers["Understudy-Request-Id"] == "s-1"
    assert status == 0

"""Speed of `understudy tail`: events at a fixed rate, and what the command prints of them, how late.

Run as a program: ``python -m infra.lab.bench.watching [--rate N] [--seconds N]``; one JSON object per output form.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pty
import re
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import envelope, pipeline
from contracts import events as ev
from contracts.result import Meta, Origin, Status
from infra.lab.bench import cpu
from infra.lab.bench.outcomes import percentile
from infra.lab.bench.trial import scripted
from infra.nats import topology
from infra.nats.connection import dial
from infra.nats.embedded import Embedded

if TYPE_CHECKING:
    from nats.aio.client import Client

#: Forms of output: JSON and text into a pipe, and a terminal.
FORMS: Final = ("json", "text", "terminal")
#: Seconds after the last event in which it must be printed.
_PATIENCE_S: Final = 60.0
_JSON_TIME: Final = re.compile(rb'"time":"([^"]+)"')
_COUNTED: Final = re.compile(rb"\xe2\x80\xa6 ([0-9,]+) more of ")
_ESCAPES: Final = re.compile(rb"\x1b\[[0-9;]*m")
_NS: Final = 1_000_000_000


class Watching(msgspec.Struct, frozen=True, kw_only=True):
    """How one form of output kept up."""

    form: str
    events: int
    #: Events that were published per second.
    offered_per_s: float
    #: Events that got a line, and events that a line counts.
    lines: int
    counted: int
    #: Milliseconds from the broker's timestamp to the line, where the line has the time.
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    #: Milliseconds from the last publish to the last line.
    behind_ms: float
    #: Events per second of the command's own CPU time: what one core can do.
    events_per_cpu_s: float


def lives(requests: int) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Yield subject, body and headers of each message of requests that succeed."""
    text = "A forest. Three coins lie between the roots. " * 12
    params = ev.Params(temperature=0.7, top_p=1.0, max_tokens=400, seed=7, timeout_s=30.0)
    brief = ev.Brief(
        request_seq=1,
        requested_at_ms=1,
        deadline_at_ms=60_000,
        input_hash="0" * 64,
        prompt=text,
        prompt_hash="f" * 64,
        prompt_version="layout@1",
        freeform=params,
        structuring=params,
    )
    draft = ev.Draft(text=text, provider="scripted", model="script", finish_reason="stop")
    for number in range(requests):
        ident = f"watched-{number}"
        result = ev.Result(
            request_id=ident,
            kind="layout",
            status=Status.SUCCESS,
            origin=Origin.SCRIPTED,
            reason="a test double",
            content={"concept": text},
            content_hash="c" * 64,
            meta=Meta(provider="scripted", model="script", prompt_version="layout@1"),
        )
        bodies: list[tuple[str, Any]] = [
            ("requested", {"prompt": text[:200], "workspace": "ws"}),
            ("context_built", ev.ContextBuilt(attempt=1, brief=brief)),
            ("drafted", ev.Drafted(attempt=1, brief=brief, draft=draft)),
            ("structured", ev.Structured(attempt=1, brief=brief, draft=draft, document=draft)),
            ("result", result),
        ]
        for name, body in bodies:
            yield f"gen.{name}.layout.{ident}", msgspec.json.encode(body), _headers(name, ident)


def _headers(name: str, request_id: str) -> dict[str, str]:
    row = pipeline.ROW_OF[name]
    return envelope.headers(
        name=name,
        version=1,
        kind="layout",
        request_id=request_id,
        stage=row.published_by[0],
        attempt=1,
        time="2026-01-01T00:00:00Z",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


async def run(form: str, *, rate: float, seconds: float) -> Watching:
    """Measure one form of output on a broker of its own.

    Args:
        form: of :data:`FORMS`.
        rate: events per second.
        seconds: for how long.
    """
    requests = max(1, round(rate * seconds / 5))
    with tempfile.TemporaryDirectory(prefix="understudy-watching-") as folder:
        settings = scripted(Path(folder), sync_interval="2m")
        async with Embedded(Path(folder), None, sync_interval="2m") as broker:
            await topology.apply_at(broker.url, settings)
            client = await dial(broker.url, name="bench")
            try:
                async with _tail(broker.url, form) as (process, output):
                    return await _measure(client, process, output, form, requests=requests, rate=rate)
            finally:
                await client.close()


async def _measure(
    client: Client,
    process: asyncio.subprocess.Process,
    output: asyncio.StreamReader,
    form: str,
    *,
    requests: int,
    rate: float,
) -> Watching:
    messages = list(lives(requests))
    reader = _Reader(output, len(messages))
    reading = asyncio.create_task(reader.read())
    before = cpu.used_s(process.pid)
    began = time.perf_counter()
    for number, (subject, body, headers) in enumerate(messages, start=1):
        await client.publish(subject, body, headers=headers)
        if number % 50 == 0:
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
    await client.flush()
    took = time.perf_counter() - began
    ended = time.time_ns()
    async with asyncio.timeout(_PATIENCE_S):
        await reading
    ordered = sorted(reader.late_ms)
    figures = [round(percentile(ordered, share), 1) if ordered else None for share in (0.5, 0.99, 1.0)]
    return Watching(
        form=form,
        events=len(messages),
        offered_per_s=round(len(messages) / took),
        lines=reader.lines,
        counted=reader.counted,
        p50_ms=figures[0],
        p99_ms=figures[1],
        max_ms=figures[2],
        behind_ms=round((reader.last_ns - ended) / 1e6, 1),
        events_per_cpu_s=round(len(messages) / max(0.01, cpu.used_s(process.pid) - before)),
    )


class _Reader:
    """Reads lines until they account for every event."""

    def __init__(self, output: asyncio.StreamReader, events: int) -> None:
        self._output = output
        self._events = events
        self.lines = self.counted = 0
        self.last_ns = 0
        self.late_ms: list[float] = []

    async def read(self) -> None:
        """Read to the last event."""
        while self.lines + self.counted < self._events:
            line = _ESCAPES.sub(b"", await self._output.readline())
            self.last_ns = time.time_ns()
            counted = _COUNTED.search(line)
            stamp = _JSON_TIME.search(line)
            if counted is not None:
                self.counted += int(counted[1].replace(b",", b""))
            elif stamp is not None:
                at = datetime.fromisoformat(stamp[1].decode()).timestamp()
                self.late_ms.append((self.last_ns - at * _NS) / 1e6)
                self.lines += 1
            elif b"watched-" in line:
                self.lines += 1


@asynccontextmanager
async def _tail(
    url: str, form: str
) -> AsyncGenerator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """The command, once it watches, and its standard output."""
    main, side = pty.openpty() if form == "terminal" else os.pipe()
    flags = ["--json"] if form == "json" else []
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.cli",
        "tail",
        *flags,
        stdout=side,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"UNDERSTUDY_NATS_URL": url, "COLUMNS": "200", "TERM": "xterm"},
    )
    os.close(side)
    output = asyncio.StreamReader(limit=2**20)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(output), os.fdopen(main, "rb", buffering=0)
    )
    assert process.stderr is not None  # noqa: S101 - asked for above
    try:
        await process.stderr.readline()
        yield process, output
    finally:
        process.terminate()
        await process.wait()
        transport.close()


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=5000)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--form", choices=FORMS)
    given = parser.parse_args()
    for form in (given.form,) if given.form else FORMS:
        found = await run(form, rate=given.rate, seconds=given.seconds)
        sys.stdout.write(json.dumps(msgspec.to_builtins(found)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main())

"""Demo support: output, a pipeline of its own, and the totals at the end."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import nats
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from rich.rule import Rule
from rich.text import Text

from contracts import pipeline, subjects
from contracts.errors import UnderstudyError
from infra.app.pipeline_client import PipelineClient
from infra.app.process_plan import BROKER
from infra.app.supervisor import Supervisor
from infra.nats import log
from infra.pictures.text import draw_text
from infra.settings.settings import Settings
from infra.telemetry import logging

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds that an answer may take before it counts as missing.
PATIENCE_S: Final = 30.0
#: Seconds in which starting processes must make progress: use CPU time, or become ready.
_STILL_S: Final = 60.0
#: Lines of a drawing.
_DRAWN: Final = 16
#: Seconds between two checks of them.
_LOOK_S: Final = 0.2


class DemoError(UnderstudyError):
    """The demo cannot go on; the text says why."""


async def ask(url: str, kind: str, ident: str, body: dict[str, Any]) -> Any:
    """Publish a request and wait for its result."""
    nc = await nats.connect(url)
    results = await nc.subscribe(f"gen.result.{kind}.{ident}")
    subject = f"gen.requested.{kind}.{ident}"
    await nc.jetstream().publish(subject, json.dumps(body).encode())
    result = await results.next_msg(timeout=30)
    await nc.close()
    return json.loads(result.data)


class ShowSettings(Settings):
    """Settings without environment and file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the demo's values and the defaults."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


class DemoStage:
    """The demo's output, and its checks so far."""

    def __init__(self, out: Console) -> None:
        self.out = out
        self.failed: list[str] = []
        self.checked = 0
        #: The current step, for the message of a failure.
        self.step = "the beginning"

    def scene(self, title: str) -> None:
        """Begin a part."""
        self.step = title
        self.out.print()
        self.out.print(Rule(Text(title, style="bold"), align="left", style="dim"))

    def say(self, text: str) -> None:
        """Print a text with Rich's markup."""
        self.out.print(text)

    def line(self, text: Text) -> None:
        """Print one line, cut to the terminal's width."""
        self.out.print(text, no_wrap=True, overflow="ellipsis", crop=True)

    def draw(self, kind: str, content: Any) -> None:
        """Draw the beginning of a content as text."""
        plain = not (self.out.encoding or "").lower().startswith("utf")
        width = min(78, self.out.width - 1)
        for text in draw_text(kind, content, width=width, plain=plain, most=_DRAWN):
            self.line(Text(text, style="dim"))

    def claim(self, text: str, holds: object) -> None:
        """Print a check and record its outcome."""
        self.checked += 1
        mark = "[bold green]✓[/]" if holds else "[bold red]✗[/]"
        self.out.print(f"{mark} {text}")
        if not holds:
            self.failed.append(text)


async def books(stage: DemoStage, client: PipelineClient, settings: Settings, title: str) -> None:
    """Check that every request has one result, and one row in the audit."""
    stage.scene(title)
    requests: set[str] = set()
    async for entry in log.read(client.wire, pipeline.REQUESTS, "gen.requested.>"):
        requests.add(subjects.parse(entry.subject).request_id)
    await stored(client, *requests)
    counted: Counter[str] = Counter()
    async for entry in log.read(client.wire, pipeline.EVENTS, "gen.result.>"):
        counted[subjects.parse(entry.subject).request_id] += 1
    stage.claim(
        f"{len(requests)} requests, {counted.total()} results: exactly one each",
        requests == set(counted) and set(counted.values()) == {1},
    )
    rows = await _rows(settings, len(requests))
    stage.claim(
        f"the audit database has one row for each of them: {len(rows)} rows in generation_logs",
        sorted(rows) == sorted(requests),
    )


async def _rows(settings: Settings, wanted: int) -> list[str]:
    """Request ids in ``generation_logs``, once there are enough or time is up."""
    from sqlalchemy import select  # noqa: PLC0415 - beside its use

    from infra.stores import database  # noqa: PLC0415 - as above

    engine = database.engine_of(settings.database)

    def ids() -> list[str]:
        with engine.connect() as connection:
            return list(connection.execute(select(database.GENERATION_LOGS.c.request_id)).scalars())

    try:
        until = time.monotonic() + PATIENCE_S
        while len(rows := await asyncio.to_thread(ids)) < wanted and time.monotonic() < until:  # noqa: ASYNC110 - see below
            await asyncio.sleep(0.05)  # another process writes: there is no event to wait for
    finally:
        engine.dispose()
    return rows


async def stored(client: PipelineClient, *request_ids: str) -> None:
    """Wait until the log has these results: a subscriber gets a message before it is stored."""
    await asyncio.gather(*(client.wait(each, timeout_s=PATIENCE_S) for each in request_ids))


@asynccontextmanager
async def pipeline_of(
    stage: DemoStage, settings: Settings, *, loading: str = ""
) -> AsyncGenerator[PipelineClient, None]:
    """The whole pipeline under these settings, and a client of it.

    Args:
        stage: the output.
        settings: of the pipeline.
        loading: the model that it loads.
    """
    logging.configure(settings)
    began = time.perf_counter()
    stage.step = f"starting broker and stages{f', loading {loading}' if loading else ''}"
    with stage.out.status(stage.step) as status:
        supervisor = Supervisor(settings)
        await _started(supervisor, say=lambda text: status.update(f"{stage.step}: {text}"))
    try:
        names = ", ".join(each.name for each in supervisor.processes if each.name != BROKER)
        seconds = time.perf_counter() - began
        stage.say(f"\n[dim]broker at {supervisor.nats_url}, processes {names}: up in {seconds:.1f} s[/]")
        async with PipelineClient(supervisor.reached) as client:
            yield client
    finally:
        with stage.out.status("stopping"):
            await supervisor.stop()


async def _started(supervisor: Supervisor, *, say: Callable[[str], None]) -> None:
    """Start everything, without a time limit while there is progress.

    On a slow disk and a busy CPU, loading a model takes minutes; only a standstill is an error.

    Raises:
        DemoError: there was no progress for a while; the text names the processes.
        UnderstudyError: as :meth:`infra.app.supervisor.Supervisor.start`.
    """
    starting = asyncio.create_task(supervisor.start())
    began = moved = time.monotonic()
    before: object = None
    try:
        while not (await asyncio.wait((starting,), timeout=_LOOK_S))[0]:
            waited_for = [each.name for each in supervisor.processes if not each.ready]
            done = (waited_for, _processor_time(tuple(supervisor.pids.values())))
            now = time.monotonic()
            if done != before:
                before, moved = done, now
            names = ", ".join(waited_for) or "the broker"
            say(f"{names}, {now - began:.0f} s")
            if now - moved > _STILL_S:
                raise DemoError(f"{names} did nothing for {_STILL_S:.0f} s and is not ready")
        await starting
    finally:
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)


def _processor_time(pids: tuple[int, ...]) -> int | float:
    """CPU time of processes so far, in ticks; where it is unknown, the wall clock."""
    if not Path("/proc/self/stat").exists():
        return time.monotonic()
    used = 0
    for pid in pids:
        with suppress(OSError):
            # After the name, which may contain anything: utime and stime are fields 14 and 15, proc(5).
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
    return used


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

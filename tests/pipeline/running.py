"""How does a test run stages in its own process, against a real broker?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts import pipeline
from infra import settings as settings_module
from infra.nats import log as event_log
from infra.nats import topology
from infra.nats.embedded import Embedded
from infra.nats.log import Entry
from infra.nats.wire import Wire
from infra.settings import Settings
from infra.stores import audit
from infra.wiring import Application

#: Seconds that anything may take here.
PATIENCE_S = 20.0


class Running:
    """A broker, some stages, and a client."""

    def __init__(self, settings: Settings, client: Client, wire: Wire) -> None:
        self.settings = settings
        self.client = client
        self.wire = wire

    @property
    def jetstream(self) -> JetStreamContext:
        return self.client.jetstream(timeout=10)

    async def publish(self, subject: str, body: bytes | dict[str, Any], **headers: str) -> None:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        await self.jetstream.publish(subject, raw, headers=headers or None)

    async def entries(self, stream: str, subject: str) -> list[Entry]:
        return [entry async for entry in event_log.read(self.wire, stream, subject)]

    async def letters(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(one.body) for one in await self.entries(pipeline.DEAD, "dead.>")]

    async def results(self) -> Counter[str]:
        found = await self.entries(pipeline.EVENTS, "gen.result.>")
        return Counter(one.subject.rpartition(".")[2] for one in found)

    async def result(self, request_id: str) -> dict[str, Any]:
        """The request's result, as soon as it is there."""

        async def there() -> dict[str, Any] | None:
            found = await self.entries(pipeline.EVENTS, f"gen.result.*.{request_id}")
            return msgspec.json.decode(found[0].body) if found else None

        return await until(there, f"a result of {request_id}")

    async def settled(self) -> None:
        """Every consumer has acknowledged everything."""

        async def quiet() -> bool:
            for route in pipeline.routes():
                info = await self.jetstream.consumer_info(route.stream, route.durable)
                if info.num_pending or info.num_ack_pending:
                    return False
            return True

        await until(quiet, "all consumers to be idle")


async def until(holds: Callable[[], Awaitable[Any]], what: str, *, timeout_s: float = PATIENCE_S) -> Any:
    """Ask again and again until something is true; what it was."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + timeout_s
    while loop.time() < give_up:
        answer = await holds()
        if answer:
            return answer
        # The next look; the test goes on at once when the answer is there.
        await asyncio.wait_for(asyncio.shield(asyncio.create_task(_turn())), 1)
    raise AssertionError(f"waited {timeout_s:g} s for {what}")


async def _turn() -> None:
    timer = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, timer.set)
    await timer.wait()


@asynccontextmanager
async def running(
    folder: Path,
    *,
    stages: tuple[str, ...] = pipeline.STAGES,
    script: dict[str, Any] | None = None,
    **changed: Any,
) -> AsyncGenerator[Running]:
    """Stages on a broker of their own; with ``script`` the scripted provider writes."""
    if script is not None:
        (folder / "script.json").write_bytes(msgspec.json.encode(script))
        changed |= {
            "use_local_model": True,
            "script": folder / "script.json",
            "narrative": {"providers": dict.fromkeys(settings_module.Providers.model_fields, "scripted")},
        }
    async with Embedded(folder, None, sync_interval="2m") as broker:
        settings = settings_module.load(nats_url=broker.url, data_dir=folder, **changed)
        await topology.apply_at(broker.url, settings)
        sink = await audit.open_sink(settings) if "audit" in stages else None
        application = Application(settings, stages, sink=sink)
        work = asyncio.create_task(application.run())
        client = await nats.connect(broker.url)
        wire = Wire()
        await wire.open(client)
        ready = asyncio.create_task(application.ready.wait())
        await asyncio.wait({ready, work}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        assert ready.done(), work
        try:
            yield Running(settings, client, wire)
        finally:
            application.app.exit()
            status = await asyncio.wait_for(work, PATIENCE_S)
            await wire.close()
            await client.close()
            if sink is not None:
                await sink.close()
        assert status == 0

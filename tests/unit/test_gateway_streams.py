"""Streams of the gateway: their end with their client, with a client that accepts nothing, and with their token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from infra.gateway.access import Principal
from infra.gateway.feed import EventFeed
from infra.gateway.roles import AccessRole
from infra.gateway.sse import ChunkSource, EventStreamResponse
from tests.unit.test_gateway_feed import Client, Hub, everything


async def test_a_generated_stream_ends_with_its_client_and_cuts_one_that_accepts_nothing() -> None:
    ended: list[str] = []

    async def generate(name: str, *, most: int) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(most):
                yield str(number).encode()
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    frozen, leaving = Client(takes=5), Client(takes=10_000)
    await frozen.run(EventStreamResponse(ChunkSource(generate("frozen", most=10_000)), send_s=0.05))
    running = leaving.run(EventStreamResponse(ChunkSource(generate("leaving", most=3))))
    while len(leaving.sent) < 4:
        await asyncio.sleep(0)
    leaving.gone.set()
    await running
    assert frozen.gone.is_set()
    assert ended == ["frozen", "leaving"]
    assert b"".join(each["body"] for each in leaving.sent[1:]) == b"012"


async def test_a_feed_ends_when_its_token_is_no_longer_valid() -> None:
    hub = Hub()
    readers = {name: Principal(role=AccessRole.VIEWER, token_id=name) for name in ("revoked", "valid")} | {
        "local": Principal(role=AccessRole.ADMIN)
    }
    clients = {name: Client(takes=10_000) for name in readers}
    running = [
        clients[name].run(EventStreamResponse(EventFeed(hub, everything(sender=reader))))
        for name, reader in readers.items()
    ]
    while hub.feeds < len(readers):
        await asyncio.sleep(0)

    async def admits(reader: Principal) -> bool:
        return reader is readers["valid"]

    await hub.check_access(admits)
    await running[0]
    assert b'event: bye\ndata: {"reason":"token"}' in clients["revoked"].sent[-2]["body"]
    assert hub.feeds == 2
    for name in ("valid", "local"):
        clients[name].gone.set()
    await asyncio.gather(*running)

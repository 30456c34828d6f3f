"""The gateway under test: its ASGI application in this process, beside a real broker and real stages."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
import msgspec
import pytest
import uvicorn

from infra.gateway.app import create_app
from infra.gateway.gateway import Gateway
from infra.settings.settings import Settings

BASE = "http://localhost"


class Door(msgspec.Struct, frozen=True):
    """A gateway, and an HTTP client of it."""

    gateway: Gateway
    http: httpx2.AsyncClient


Open = Callable[..., AbstractAsyncContextManager[Door]]


@asynccontextmanager
async def door_of(settings: Settings, **options: Any) -> AsyncGenerator[Door]:
    """A gateway over the broker of some settings; the options are those of :class:`Gateway`."""
    async with Gateway(settings, **options) as gateway:
        transport = httpx2.ASGITransport(app=create_app(gateway))
        async with httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=60) as http:
            yield Door(gateway, http)


@asynccontextmanager
async def listening(settings: Settings, *, port: int = 0) -> AsyncGenerator[str]:
    """The URL of a gateway that listens, for clients that need a connection."""
    async with Gateway(settings) as gateway:
        socket_ = socket.create_server(("127.0.0.1", port))
        server = uvicorn.Server(uvicorn.Config(create_app(gateway), lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[socket_]))
        try:
            yield f"http://127.0.0.1:{socket_.getsockname()[1]}"
        finally:
            await gateway.begin_stop()
            gateway.end_waits()
            server.should_exit = True
            await serving


@pytest.fixture
def open_door() -> Open:
    return door_of

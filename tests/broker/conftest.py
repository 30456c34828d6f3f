"""Which brokers do the tests run against?  Real ones, on free ports, gone when the tests end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.client import Client

from infra.nats import topology
from infra.nats.embedded import Embedded
from infra.settings.settings import Settings, load


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedded]:
    async with Embedded(tmp_path_factory.mktemp("broker"), sync_interval="2m") as broker:
        yield broker


@pytest_asyncio.fixture
async def bare_url(_server: Embedded) -> str:
    """A broker without any stream; shared, so leave it running."""
    nc = await connect(_server.url)
    js = nc.jetstream()
    for stream in await js.streams_info():
        assert stream.config.name is not None
        await js.delete_stream(stream.config.name)
    await nc.close()
    return _server.url


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Defaults, with a data folder of the test's own."""
    return load(data_dir=tmp_path / "data", nats_url=None)


@pytest_asyncio.fixture
async def nats_url(bare_url: str, settings: Settings) -> str:
    """A broker with the whole topology and not one message; shared, so leave it running."""
    await topology.apply_at(bare_url, settings)
    return bare_url


@pytest_asyncio.fixture
async def nc(bare_url: str) -> AsyncIterator[Client]:
    """A connection to the shared broker."""
    client = await connect(bare_url)
    yield client
    await client.close()


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Embedded]:
    """A broker of the test's own, to be stopped, killed and started again."""
    async with Embedded(tmp_path / "own", sync_interval="2m") as own:
        yield own


async def connect(url: str) -> Client:
    """A plain nats-py connection that does not outlive its broker."""
    client = Client()
    await client.connect(url, allow_reconnect=False)
    return client

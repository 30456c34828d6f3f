"""Brokers that the tests run against: real ones, on free ports, gone when the tests end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.client import Client
from understudy_client.connection import servers

from infra.nats import topology
from infra.nats.embedded import Embedded
from infra.settings.settings import Settings, load
from tests.broker.servers import BROKERS, CLUSTER, EMBEDDED, URL, URL_VARIABLE, BrokerUnderTest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test with a shared broker on the embedded server, and on a cluster too.

    On the cluster, the delivery guarantees are tested in every run and the rest in a long one; where
    a server is given by URL, it alone is tested.
    """
    if "_server" not in metafunc.fixturenames:
        return
    if URL_VARIABLE in os.environ:
        kinds = [URL]
    elif metafunc.definition.get_closest_marker("delivery"):
        kinds = [EMBEDDED, CLUSTER]
    else:
        kinds = [EMBEDDED, pytest.param(CLUSTER, marks=pytest.mark.long)]
    metafunc.parametrize("_server", kinds, indirect=True)


class _Servers:
    """The brokers of this run, each started when the first test asks for it."""

    def __init__(self, folders: pytest.TempPathFactory, stack: AsyncExitStack) -> None:
        self._folders = folders
        self._stack = stack
        self._started: dict[str, BrokerUnderTest] = {}

    async def get(self, kind: str) -> BrokerUnderTest:
        if kind not in self._started:
            made = BROKERS[kind](self._folders.mktemp(kind))
            self._started[kind] = await self._stack.enter_async_context(made)
        return self._started[kind]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[_Servers]:
    async with AsyncExitStack() as stack:
        yield _Servers(tmp_path_factory, stack)


@pytest_asyncio.fixture(loop_scope="session")
async def _server(
    request: pytest.FixtureRequest, _servers: _Servers, monkeypatch: pytest.MonkeyPatch
) -> BrokerUnderTest:
    broker = await _servers.get(request.param)
    monkeypatch.setenv("UNDERSTUDY_BROKER__REPLICAS", str(broker.replicas))
    return broker


@pytest_asyncio.fixture
async def bare_url(_server: BrokerUnderTest) -> str:
    """A broker without any stream; shared, so leave it running."""
    nc = await connect(_server.url)
    js = nc.jetstream()
    for stream in await js.streams_info():
        assert stream.config.name is not None
        await js.delete_stream(stream.config.name)
    await nc.close()
    return _server.url


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Defaults, with a data folder of the test's own and as many replicas as its broker keeps."""
    if "_server" in request.fixturenames:
        request.getfixturevalue("_server")
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
    await client.connect(servers(url), allow_reconnect=False)
    return client

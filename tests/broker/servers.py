"""Brokers under test: the embedded server, any server by URL, and a cluster of three.

The tests of this folder take a constructor: whatever :data:`BROKERS` makes has to give the same guarantees.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from nats.aio.client import Client

from infra.nats.cluster import NODES, LocalCluster
from infra.nats.embedded import Embedded

#: A server to test against; it has to be empty at the start, and is empty at the end.
URL_VARIABLE: Final = "UNDERSTUDY_TEST_NATS_URL"
#: Seconds until a server of a cluster has what another one has, on a busy machine.
_READY_S: Final = 60.0


class BrokerUnderTest(msgspec.Struct, frozen=True, kw_only=True):
    """Where a broker is reached, and what it can do."""

    url: str
    #: Copies of every message.
    replicas: int = 1


_Read = TypeVar("_Read")
#: Makes a broker with its data in a folder.
Constructor = Callable[[Path], AbstractAsyncContextManager[BrokerUnderTest]]


async def until_read(read: Callable[[], Awaitable[_Read | None]]) -> _Read:
    """What was published just now; the server of a cluster that answers may not have it yet.

    Raises:
        TimeoutError: it does not come.
    """
    async with asyncio.timeout(_READY_S):
        while (found := await read()) is None:
            await asyncio.sleep(0.01)
    return found


@asynccontextmanager
async def embedded(folder: Path) -> AsyncGenerator[BrokerUnderTest]:
    """The server that ``understudy up`` starts."""
    async with Embedded(folder, sync_interval="2m") as broker:
        yield BrokerUnderTest(url=broker.url)


@asynccontextmanager
async def by_url(folder: Path) -> AsyncGenerator[BrokerUnderTest]:
    """The server that :data:`URL_VARIABLE` names; refused if it holds streams, for the tests delete all."""
    del folder
    url = os.environ[URL_VARIABLE]
    client = Client()
    await client.connect(url, allow_reconnect=False)
    held = [stream.config.name for stream in await client.jetstream().streams_info()]
    await client.close()
    if held:
        raise RuntimeError(
            f"{URL_VARIABLE}: the tests delete every stream, and {url} holds {', '.join(map(str, held))}"
        )
    yield BrokerUnderTest(url=url)


@asynccontextmanager
async def clustered(folder: Path) -> AsyncGenerator[BrokerUnderTest]:
    """Three servers of one cluster; every message has three copies."""
    async with LocalCluster(folder, sync_interval="2m") as cluster:
        yield BrokerUnderTest(url=cluster.urls[0], replicas=NODES)


EMBEDDED: Final = "embedded"
CLUSTER: Final = "cluster"
URL: Final = "url"
BROKERS: Final[dict[str, Constructor]] = {EMBEDDED: embedded, CLUSTER: clustered, URL: by_url}

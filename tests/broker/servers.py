"""Brokers under test: the embedded server, any server by URL, and a cluster of three.

The tests of this folder take a constructor: whatever :data:`BROKERS` makes has to give the same guarantees.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.js import errors as js_errors
from nats.js.api import StreamConfig

from infra.host import parent_death
from infra.nats.embedded import Embedded
from infra.nats.server_config import HOST, MAX_PAYLOAD, find_binary
from tests.ports import free_ports

#: A server to test against; it has to be empty at the start, and is empty at the end.
URL_VARIABLE: Final = "UNDERSTUDY_TEST_NATS_URL"
#: Servers of the cluster, and copies of every message in it.
NODES: Final = 3
#: Seconds until a cluster has elected its leaders on a busy machine.
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
    async with Cluster(folder) as cluster:
        yield BrokerUnderTest(url=cluster.urls[0], replicas=NODES)


EMBEDDED: Final = "embedded"
CLUSTER: Final = "cluster"
URL: Final = "url"
BROKERS: Final[dict[str, Constructor]] = {EMBEDDED: embedded, CLUSTER: clustered, URL: by_url}


class Cluster:
    """Three nats-servers on free ports of this machine, with routes between them.

    Args:
        folder: for their stores.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = free_ports(2 * NODES)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def urls(self) -> tuple[str, ...]:
        """One per server."""
        return tuple(f"nats://{HOST}:{port}" for port in self._ports[:NODES])

    @property
    def url(self) -> str:
        """All of them, as the setting ``nats_url`` takes them."""
        return ",".join(self.urls)

    async def __aenter__(self) -> Self:
        for node in range(NODES):
            self.start(node)
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in list(self._processes):
            self.kill(node)

    def start(self, node: int) -> None:
        """Start a server, for the first time or after its end."""
        routes = self._ports[NODES:]
        folder = self._folder / f"node-{node}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "nats-server.conf"
        config.write_text(
            f"""
            host: {HOST}
            port: {self._ports[node]}
            server_name: node-{node}
            max_payload: {MAX_PAYLOAD}
            log_file: "{folder / "nats-server.log"}"
            jetstream {{ store_dir: "{folder}", sync_interval: "2m", max_file_store: 1GB }}
            cluster {{
              name: understudy
              listen: "{HOST}:{routes[node]}"
              routes: [{", ".join(f"nats-route://{HOST}:{port}" for port in routes)}]
            }}
            """,
            encoding="utf-8",
        )
        self._processes[node] = subprocess.Popen(
            [find_binary(), "-c", config],
            # A run of the tests that is killed leaves no server behind.
            preexec_fn=parent_death.before_exec(),  # noqa: PLW1509 - no other thread holds a lock that this needs
        )

    def kill(self, node: int) -> None:
        """End a server without a word."""
        process = self._processes.pop(node)
        process.send_signal(signal.SIGKILL)
        process.wait()

    async def ready(self) -> None:
        """Wait until every server is reached and the cluster places streams.

        Raises:
            TimeoutError: it does not.
        """
        async with asyncio.timeout(_READY_S):
            for url in self.urls:
                await _placed(url)


async def _placed(url: str) -> None:
    """Wait until a stream with three copies can be made through a server."""
    probe = StreamConfig(name="PROBE", subjects=["probe"], num_replicas=NODES)
    while True:
        client = Client()
        try:
            await client.connect(url, allow_reconnect=False, connect_timeout=2)
            js = client.jetstream()
            await js.add_stream(probe)
            await js.delete_stream("PROBE")
        except (OSError, nats_errors.Error, js_errors.Error):
            # Nothing tells when a leader is elected but that it answers.
            await asyncio.sleep(0.1)
        else:
            return
        finally:
            await client.close()

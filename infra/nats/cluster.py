"""Local cluster: three nats-servers on this machine, to try what a cluster does when it loses one.

Each server has a folder of its own (configuration, log, store).  Ports are kept in the folder, so that clients find
the cluster again after a restart.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.js import errors as js_errors
from nats.js.api import StreamConfig

from infra.host import parent_death
from infra.nats.server_config import HOST, BrokerError, find_binary, render_member

if TYPE_CHECKING:
    from types import TracebackType

#: Servers, and copies of every message.
NODES: Final = 3
#: Seconds until a cluster has elected its leaders on a busy machine.
_READY_S: Final = 60.0
_POLL_S: Final = 0.1
#: Seconds after which a server that got SIGTERM gets SIGKILL.
_STOP_S: Final = 10.0
#: Most that one server stores; the cluster is for trying.
_MAX_STORE: Final = 1024**3


class NodePorts(msgspec.Struct, frozen=True, kw_only=True):
    """Where one server listens: for clients, and for the other servers."""

    client: int
    route: int


class LocalCluster:
    """Three nats-servers with routes between them.

    Args:
        folder: for their configurations, logs and stores; kept.
        hosts: address of each server.
        ports: of each server; none: those in the folder, else free ones.
        sync_interval: ``always`` or a Go duration such as ``2m``.
        inside: what a server's command begins with, such as one that enters a network namespace.
    """

    def __init__(
        self,
        folder: Path,
        *,
        hosts: Sequence[str] = (HOST,) * NODES,
        ports: Sequence[NodePorts] | None = None,
        sync_interval: str = "always",
        inside: Sequence[Sequence[str]] = ((),) * NODES,
    ) -> None:
        self._folder = folder.absolute()
        self._hosts = hosts
        self._inside = inside
        self._sync_interval = sync_interval
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ports = tuple(ports) if ports is not None else _remembered_ports(self._folder)
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    @property
    def urls(self) -> tuple[str, ...]:
        """One for each server."""
        return tuple(
            f"nats://{host}:{each.client}" for host, each in zip(self._hosts, self._ports, strict=True)
        )

    @property
    def url(self) -> str:
        """All of them, as ``UNDERSTUDY_NATS_URL`` takes them."""
        return ",".join(self.urls)

    @property
    def pids(self) -> dict[int, int]:
        """Process ids of the servers that run, by number."""
        return {node: each.pid for node, each in self._processes.items() if each.returncode is None}

    def folder_of(self, node: int) -> Path:
        """Where a server keeps its configuration, log and store."""
        return self._folder / name_of(node)

    async def __aenter__(self) -> Self:
        try:
            for node in range(NODES):
                await self.start(node)
            await self.ready()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, node: int) -> None:
        """Start a server, for the first time or after its end.

        Raises:
            BrokerError: there is no nats-server on this machine.
        """
        folder = self.folder_of(node)
        folder.mkdir(mode=0o700, exist_ok=True)
        config = folder / "nats-server.conf"
        config.write_text(
            render_member(
                folder=folder,
                name=name_of(node),
                host=self._hosts[node],
                port=self._ports[node].client,
                routes=tuple(
                    f"{host}:{each.route}" for host, each in zip(self._hosts, self._ports, strict=True)
                ),
                route=f"{self._hosts[node]}:{self._ports[node].route}",
                sync_interval=self._sync_interval,
                max_store=_MAX_STORE,
            ),
            encoding="utf-8",
        )
        self._processes[node] = await asyncio.create_subprocess_exec(
            *self._inside[node],
            find_binary(),
            "-c",
            config,
            stdin=asyncio.subprocess.DEVNULL,
            umask=0o077,
            # Whoever started it may be killed: no server is left behind.
            preexec_fn=parent_death.before_exec(),
            # Ctrl-C in a terminal is for the command that started it.
            process_group=0,
        )

    def signal(self, node: int, number: signal.Signals) -> None:
        """Send a signal to a server that runs."""
        with suppress(ProcessLookupError):
            self._processes[node].send_signal(number)

    async def kill(self, node: int) -> None:
        """End a server at once, as a crash would."""
        self.signal(node, signal.SIGKILL)
        await self._processes[node].wait()

    async def wait(self, node: int) -> int:
        """Wait for a server to end; its exit status, negative for a signal."""
        return await self._processes[node].wait()

    async def stop(self) -> None:
        """Stop all servers: SIGTERM, and SIGKILL for those that it does not end."""
        for node in self.pids:
            # One that is stopped (SIGSTOP) would not hear it.
            self.signal(node, signal.SIGCONT)
            self.signal(node, signal.SIGTERM)
        for node in self.pids:
            try:
                await asyncio.wait_for(self._processes[node].wait(), _STOP_S)
            except TimeoutError:
                await self.kill(node)

    async def ready(self) -> None:
        """Wait until every server is reached and a stream with three copies can be made through it.

        Raises:
            BrokerError: that does not come; the text names the logs.
        """
        try:
            async with asyncio.timeout(_READY_S):
                for url in self.urls:
                    await _until_placed(url)
        except TimeoutError:
            raise BrokerError(
                f"the cluster elected no leader within {_READY_S:g} s; look into "
                f"{self._folder}/{name_of(0)}/nats-server.log and those beside it"
            ) from None


def name_of(node: int) -> str:
    """Name of a server in the cluster, and of its folder."""
    return f"node-{node}"


def _remembered_ports(folder: Path) -> tuple[NodePorts, ...]:
    """Those of the last start in this folder, else free ones, which are kept there."""
    file = folder / "ports.json"
    with suppress(FileNotFoundError):
        return msgspec.json.decode(file.read_bytes(), type=tuple[NodePorts, ...])
    free = _free_ports(2 * NODES)
    found = tuple(NodePorts(client=free[2 * node], route=free[2 * node + 1]) for node in range(NODES))
    file.write_bytes(msgspec.json.encode(found))
    return found


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


async def _until_placed(url: str) -> None:
    """Wait until a stream with three copies can be made through a server."""
    probe = StreamConfig(name="PROBE", subjects=["probe"], num_replicas=NODES)
    while True:
        client = Client()
        try:
            await client.connect(url, allow_reconnect=False, connect_timeout=2, error_cb=_quiet)
            js = client.jetstream()
            await js.add_stream(probe)
            await js.delete_stream("PROBE")
        except (OSError, nats_errors.Error, js_errors.Error):
            # Nothing tells when a leader is elected but that it answers.
            await asyncio.sleep(_POLL_S)
        else:
            return
        finally:
            await client.close()


async def _quiet(_: Exception) -> None:
    """A server that is not up yet is no news: the next try says it."""


async def leader_of(url: str, stream: str) -> int:
    """Number of the server that leads a stream.

    Raises:
        BrokerError: it has no leader within the time of an election.
    """
    client = Client()
    await client.connect(url.split(","), connect_timeout=2, error_cb=_quiet)
    try:
        async with asyncio.timeout(_READY_S):
            while True:
                with suppress(nats_errors.Error, js_errors.Error):
                    info = await client.jetstream().stream_info(stream)
                    if info.cluster is not None and info.cluster.leader:
                        return int(info.cluster.leader.removeprefix("node-"))
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise BrokerError(f"stream {stream} has no leader after {_READY_S:g} s") from None
    finally:
        await client.close()

"""A nats-server with the accounts that `understudy topology secure` writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from contracts import roles
from infra.nats import server_config
from infra.security import keys, secured
from infra.security.server_file import Tls
from infra.settings.settings import NatsAccess

WAIT_S = 60.0
#: Stages that share a process in the default plan of `up`.
GROUPS = (("freeform-gen", "structuring"), ("context-build", "validate-repair"))
CLIENTS = ("alice", "bob")


class SecuredServer:
    """Where it listens, and the folder of its keys."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def access(self, role: str) -> NatsAccess:
        """How a role signs in."""
        return NatsAccess(nkey=keys.file_of(self.folder, role))

    async def connect(self, role: str, refused: list[str] | None = None) -> Client:
        """A plain connection of a role; what the broker refuses goes into the list."""

        async def note(error: Exception) -> None:
            if refused is not None:
                refused.append(str(error))

        return await nats.connect(
            self.url,
            nkeys_seed=str(keys.file_of(self.folder, role)),
            inbox_prefix=roles.inbox_of(role),
            error_cb=note,
            max_reconnect_attempts=0,
        )


@asynccontextmanager
async def secured_server(
    folder: Path, *, clients: Iterable[str] = CLIENTS, tls: Tls | None = None
) -> AsyncGenerator[SecuredServer]:
    """Start one on a free port, without any stream."""
    made = secured.write(folder / "keys", groups=GROUPS, clients=clients, tls=tls)
    async with start_server(folder, made.config) as port:
        yield SecuredServer(f"{'tls' if tls else 'nats'}://127.0.0.1:{port}", made.config.parent)


@asynccontextmanager
async def start_server(folder: Path, accounts: Path) -> AsyncGenerator[int]:
    """Start a server that includes a file with accounts; its port."""
    config = folder / "server.conf"
    config.write_text(
        f"include {accounts.relative_to(folder)}\nhost: 127.0.0.1\nport: -1\n"
        f"jetstream {{ store_dir: '{folder / 'store'}' }}\n"
    )
    process = await asyncio.create_subprocess_exec(
        server_config.find_binary(),
        "-c",
        config,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    log: asyncio.Task[None] | None = None
    try:
        port = await _port(process)
        # A full pipe would stop the server.
        log = asyncio.create_task(_drain(process))
        yield port
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), WAIT_S)
        if log is not None:
            await log


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    port, said = 0, b""
    async with asyncio.timeout(WAIT_S):
        async for line in process.stderr:
            said += line
            if b"Listening for client connections on" in line:
                port = int(line.rpartition(b":")[2])
            if b"Server is ready" in line:
                return port
    pytest.fail(f"the server ended: {said.decode()}")


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.read(65_536):
        pass


def all_roles() -> tuple[roles.BrokerRole, ...]:
    """Every role of the server above."""
    return (*roles.pipeline_roles(GROUPS), roles.client(), *map(roles.client, CLIENTS))

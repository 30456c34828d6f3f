"""Embedded nats-server: its start, its health and its end."""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import secrets
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import msgspec
from nats import errors as nats_errors

from contracts.pipeline import OPERATOR
from infra.host import parent_death
from infra.nats import health, server_config
from infra.nats.connection import NotAllowed, Unreachable, dial, sign_in
from infra.nats.server_config import (
    DISK_SHARE,
    HOST,
    BrokerError,
    compute_max_store,
    find_binary,
    folder_of,
    render_config,
)
from infra.security import secured, server_file
from infra.security.keys import KeyFileError
from infra.settings.settings import NatsAccess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from infra.nats.health import Health

#: The port that clients expect; used where none is set and it is free.
PORT: Final = 4222
#: Seconds between two polls, of the ports file and of the lock.
_POLL_S: Final = 0.02
#: Seconds after which a broker that got SIGTERM gets SIGKILL.
_STOP_S: Final = 10.0
#: Free bytes on the disk from which on a restart lets the server write again.
_ROOM: Final = 8 * 1024 * 1024
#: The server keeps a subject for each message, and its id for two minutes; at Go's default of 100 its garbage
#: doubles that.  271 → 219 bytes per message, 446 → 368 with the id, at the same speed.
_GO_SETTINGS: Final = {"GOGC": "50"}


class BrokerHeld(BrokerError):  # noqa: N818 - names the folder's state
    """Another broker uses this data folder."""


class PortTaken(BrokerError):  # noqa: N818 - names the port's state
    """Another program listens on the port."""


class Embedded:
    """One nats-server, its port and its store.

    Args:
        data_dir: everything is kept below ``<data_dir>/broker``.
        port: preferred port; ``None``: any free one.
        exact: refuse to start on another port than ``port``.  Without it :attr:`instead_of` names the port that was in use.
        sync_interval: ``always`` or a Go duration such as ``2m``.
        groups: stages that one process hosts: everybody signs in as a role, or is a client; ``None``: everybody may do
            everything.
        ready_s: seconds after which a server that does not answer counts as failed.
        patience_s: seconds to wait until another broker on this folder ends.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        exact: bool = False,
        sync_interval: str = "always",
        groups: Sequence[Sequence[str]] | None = None,
        ready_s: float = 120.0,
        patience_s: float = 5.0,
    ) -> None:
        self._folder = folder_of(data_dir)
        self._port = port
        self._exact = exact
        self._sync_interval = sync_interval
        self._groups = groups
        self._ready_s = ready_s
        self._patience_s = patience_s
        self._process: asyncio.subprocess.Process | None = None
        #: Port and path of its HTTP state.
        self._http = (0, "")
        #: Bytes of the disk that the store leaves free.
        self._reserve = 0
        #: The preferred port, where another program has it.
        self.instead_of: int | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The server's process, running or ended."""
        if self._process is None:
            raise BrokerError("the embedded broker was not started")
        return self._process

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def url(self) -> str:
        """Where clients connect; the same after every restart."""
        if self._port is None:
            raise BrokerError("the embedded broker has no port yet: start it first")
        return f"nats://{HOST}:{self._port}"

    @property
    def keys(self) -> Path | None:
        """The folder with the roles' keys; ``None``: the broker asks for none."""
        return None if self._groups is None else self._folder / "keys"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._folder / "nats-server.log"

    async def start(self) -> None:
        """Start the server and return when JetStream answers.

        Raises:
            BrokerHeld: another broker uses the folder.
            PortTaken: the port is in use, and another one is not allowed or clients know it already.
            BrokerError: the server does not answer for another reason.
        """
        if self.running:
            return
        preferred = self._port
        try:
            await self._launch(preferred)
        except PortTaken:
            if self._exact:
                raise
            await self._launch(None)
            self.instead_of = preferred
        # Clients know the port now: a restart must not change it.
        self._exact = True

    async def stop(self) -> None:
        """Stop the server: SIGTERM, and SIGKILL if that does not end it."""
        if not self.running:
            return
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), _STOP_S)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the server at once, as a crash would."""
        self.kill_soon()
        await self.process.wait()

    def kill_soon(self) -> None:
        """Kill the server without waiting for its end."""
        self._signal(signal.SIGKILL)

    async def restart(self) -> None:
        """Stop the server if it runs, and start it on the same data and port."""
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Wait for the process to end; its exit status, negative for a signal."""
        return await self.process.wait()

    async def health(self) -> Health:
        """Ask the server for its health; waits for the answer without a limit.

        Raises:
            OSError: the server is down, or ended before it answered.
        """
        return await health.ask(HOST, self._http[0], self._http[1])

    def room(self, health: Health) -> int:
        """Free bytes on the disk if a restart would let the server store again, else 0.

        Args:
            health: its last answer.

        Raises:
            OSError: the folder does not exist.
        """
        free = shutil.disk_usage(self._folder).free
        # At its limit the store leaves a reserve on purpose: only much more than that is new room.
        needed = _ROOM if health.broken else max(_ROOM, 4 * self._reserve) if health.full else math.inf
        return free if free >= needed else 0

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            self.process.send_signal(number)

    async def _launch(self, port: int | None) -> None:
        program = find_binary()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = await self._lock()
        try:
            for stale in self._folder.glob("*.ports"):
                stale.unlink()
            config = self._folder / "nats-server.conf"
            errors = self._folder / "nats-server.err"
            for file in (config, errors):
                file.touch(mode=0o600)
            path = f"/{secrets.token_hex(16)}"
            accounts = self._secure()
            self._reserve = round(shutil.disk_usage(self._folder).free * (1 - DISK_SHARE))
            config.write_text(
                render_config(
                    folder=self._folder,
                    port=-1 if port is None else port,
                    sync_interval=self._sync_interval,
                    max_store=await asyncio.to_thread(compute_max_store, self._folder),
                    http_path=path,
                    accounts=accounts,
                ),
                encoding="utf-8",
            )
            with errors.open("wb") as output:
                self._process = await asyncio.create_subprocess_exec(
                    program,
                    "-c",
                    config,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # The server inherits the lock, and so holds it exactly as long as it runs.
                    pass_fds=(lock,),
                    # Only the owner may read what it stores.
                    umask=0o077,
                    preexec_fn=parent_death.before_exec(),
                    env={**_GO_SETTINGS, **os.environ},
                    # Ctrl-C in a terminal is for the supervisor: stages end before the broker.
                    process_group=0,
                )
            # The process id is only for the message of BrokerHeld; a full disk has no room for it.
            with suppress(OSError):
                os.ftruncate(lock, 0)
                os.pwrite(lock, str(self._process.pid).encode(), 0)
        finally:
            os.close(lock)
        try:
            async with asyncio.timeout(self._ready_s):
                self._port = await self._wait_until_ready(port, path)
        except TimeoutError:
            await self.kill()
            raise BrokerError(
                f"nats-server did not answer within {self._ready_s:g} s; {self._last_words()}"
            ) from None
        except BaseException:
            await self.stop()
            raise

    def _secure(self) -> str:
        """Make the roles' keys; the part of the configuration about them.

        Raises:
            BrokerError: a key cannot be written, or the store has the streams of two accounts.
        """
        server_config.move_account(
            self._folder, server_file.PIPELINE if self._groups is not None else server_config.OPEN_ACCOUNT
        )
        if self.keys is None:
            return ""
        try:
            return secured.embedded(self.keys, self._groups or ())
        except KeyFileError as error:
            raise BrokerError(str(error)) from error

    async def _lock(self) -> int:
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        loop = asyncio.get_running_loop()
        due = loop.time() + self._patience_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if loop.time() < due:
                    await asyncio.sleep(_POLL_S)
                    continue
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(handle)
                raise BrokerHeld(
                    f"another broker (process {holder}) uses {self._folder}; "
                    "stop it, or choose another folder with UNDERSTUDY_DATA_DIR"
                ) from None
            except OSError:
                os.close(handle)
                raise
            return handle

    async def _wait_until_ready(self, port: int | None, path: str) -> int:
        while True:
            if not self.running:
                if port is not None and _in_use(port):
                    raise PortTaken(
                        f"port {port} on {HOST} is in use by another program; free it, or choose another "
                        "one with UNDERSTUDY_BROKER__PORT"
                    )
                raise BrokerError(
                    f"nats-server ended with status {self.process.returncode}; {self._last_words()}"
                )
            ports = self._read_ports()
            if ports is not None and await self._has_jetstream(ports.nats[0]):
                self._http = (_port(ports.monitoring[0]), path)
                return _port(ports.nats[0])
            await asyncio.sleep(_POLL_S)

    async def _has_jetstream(self, url: str) -> bool:
        access = NatsAccess() if self.keys is None else sign_in(NatsAccess(), self.keys, OPERATOR)
        try:
            nc = await dial(url, name="understudy start", access=access)
        except NotAllowed:
            raise
        except Unreachable:
            return False
        try:
            await nc.request("$JS.API.INFO", timeout=5)
        except (OSError, nats_errors.Error, TimeoutError):
            return False
        else:
            return True
        finally:
            await nc.close()

    def _read_ports(self) -> _Ports | None:
        for file in self._folder.glob(f"*_{self.pid}.ports"):
            try:
                return msgspec.json.decode(file.read_bytes(), type=_Ports)
            except msgspec.MsgspecError:
                # The server is still writing it.
                return None
        return None

    def _last_words(self) -> str:
        lines: list[str] = []
        for file in (self.log, self._folder / "nats-server.err"):
            if file.is_file():
                lines += file.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        text = " / ".join(lines) or "nothing"
        return f"its last output: {text} (log: {self.log})"


class _Ports(msgspec.Struct, frozen=True):
    nats: tuple[str, ...]
    monitoring: tuple[str, ...]


def _port(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise BrokerError(f"nats-server announced {url!r}, which names no port")
    return port


def _in_use(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False

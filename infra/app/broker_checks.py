"""Doctor's checks of the broker: version, topology, consumers, room, and whether a publish is stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nats import errors as nats_errors
from understudy_client.connection import without_password

from contracts import pipeline
from contracts.errors import UnderstudyError
from infra.app.doctor_check import DoctorCheck, Severity, row
from infra.host import parent_death, runtime_file
from infra.nats import buckets, server_config, topology, topology_diff, topology_fields
from infra.nats.connection import Unreachable, broker_url, dial

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.nats.topology_diff import Difference, Topology
    from infra.settings.settings import Settings

#: Message schedules, atomic batches and per-message TTL.
OLDEST_BROKER: Final = (2, 12)
#: Before it, message schedules had bugs that lose timers.
GOOD_BROKER: Final = (2, 14)
#: Shares of a limit from which on a store is about to be full, and is as good as full.
_FILLING: Final = 0.8
_FULL: Final = 0.95
#: Where a publish is tried: nobody reads that key.
_TRIED_IN: Final = pipeline.STRIKES.stream
_TRIED_ON: Final = f"$KV.{pipeline.STRIKES.name}.doctor"
#: Seconds that the try may take.
_PATIENCE_S: Final = 3.0
_APPLY: Final = "run 'understudy topology apply'"


async def examine(settings: Settings) -> tuple[DoctorCheck, ...]:
    """Every check of the broker; one that cannot be reached is a row."""
    try:
        url = broker_url(settings)
        nc = await dial(url, name="understudy doctor", access=settings.nats)
    except Unreachable as error:
        # It says what to do.
        return (row("broker", "error", str(error)),)
    try:
        version = nc.connected_server_version
        rows = [
            row("broker", "ok", without_password(url)),
            broker_version((version.major, version.minor, version.patch)),
            fsync(_sync_interval(settings)),
        ]
        return (*rows, *await _jetstream(nc, settings))
    finally:
        await nc.close()


def broker_version(version: tuple[int, int, int]) -> DoctorCheck:
    """Has the server what the pipeline uses?"""
    text = "nats-server " + ".".join(map(str, version))
    if version < OLDEST_BROKER:
        return row(
            "broker version", "error", f"{text}: no message schedules", "use nats-server 2.14 or later"
        )
    if version < GOOD_BROKER:
        fix = "use nats-server 2.14 or later"
        return row("broker version", "warning", f"{text}: message schedules had bugs", fix)
    return row("broker version", "ok", text)


def fsync(interval: str | None) -> DoctorCheck:
    """When are the embedded broker's writes on disk?"""
    if interval is None:
        return row("fsync", "info", "not an embedded broker: ask its operator for sync_interval")
    if interval == "always":
        return row("fsync", "ok", "sync_interval is always: acknowledged means on disk")
    detail = f"sync_interval is {interval}: a power cut may lose acknowledged messages of that period"
    return row("fsync", "warning", detail, "set UNDERSTUDY_BROKER__SYNC_INTERVAL=always")


def differences(changes: tuple[Difference, ...]) -> tuple[DoctorCheck, ...]:
    """The topology: one row if it is as wanted, else one per difference."""
    fixes = {
        topology_diff.DifferenceSeverity.UNSAFE: f"{_APPLY} --force",
        topology_diff.DifferenceSeverity.OUTSIDE: "",
    }
    rows = [
        row(
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
    rows += [row("topology", "info", str(change)) for change in changes if not change.drift]
    return tuple(rows) or (row("topology", "ok", "as wanted"),)


def streams(actual: Topology) -> tuple[DoctorCheck, ...]:
    """Retention and deduplication window of the streams that are there."""
    rows: list[DoctorCheck] = []
    for name in (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD):
        config = actual.streams.get(name)
        if config is None:
            continue
        kept = f"{topology_fields.show('max_age', config['max_age'])}, {topology_fields.show('max_bytes', config['max_bytes'])}"
        rows.append(row(f"retention {name}", "ok", kept))
        window = config.get("duplicate_window", 0)
        severity: Severity = "ok" if window > 0 else "warning"
        detail = topology_fields.show("duplicate_window", window)
        rows.append(row(f"dedup window {name}", severity, detail, "" if window > 0 else _APPLY))
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
    ack_wait = topology_fields.show("ack_wait", ack_wait_ns)
    detail = f"{pending} waiting, {held} being worked on, {again} redelivered, ack_wait {ack_wait}"
    check = f"consumer {stream}/{stage}"
    last = info.get("delivered", {}).get("last_active")
    if (pending or held) and not asking and not _within(info, last, ack_wait_ns):
        fix = f"start the stage: 'understudy run {stage}'"
        return row(check, "warning", f"{detail}; no stage is fetching", fix)
    if pending and asking and not _within(info, last or info.get("created"), ack_wait_ns):
        paused = topology_fields.PAUSED in topology_diff.read_state(info)
        fix = (
            _APPLY if paused else f"start the stage again: 'understudy run {stage}'; look at the broker's log"
        )
        why = "the consumer is paused" if paused else "although stages poll"
        return row(check, "warning", f"{detail}; nothing is delivered, {why}", fix)
    return row(check, "ok", detail)


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
        return row("storage", "error", detail, fix)
    return row("storage", "warning" if full >= _FILLING else "ok", detail, fix if full >= _FILLING else "")


def fill(name: str, info: Mapping[str, Any]) -> DoctorCheck | None:
    """A stream that refuses what is published, or is about to; ``None``: it has room."""
    config, state = info["config"], info["state"]
    limits = [("bytes", state["bytes"], config.get("max_bytes", -1))]
    if (name, "max_msgs") not in topology_fields.RUN_TIME:
        limits.append(("messages", state["messages"], config.get("max_msgs", -1)))
    for what, has, most in limits:
        if most > 0 and has >= _FULL * most and config.get("discard") == "new":
            fix = {
                pipeline.REQUESTS: "find the consumer that no stage fetches from, or raise UNDERSTUDY_BROKER__REQUESTS_MAX_BYTES",
                pipeline.DEAD: "drop or replay letters ('understudy dead ls'), or raise the stream's limit",
            }.get(name, "raise the stream's limit")
            return row(
                f"room {name}", "warning", f"{has:,} of {most:,} {what}; new messages are refused", fix
            )
    return None


async def _jetstream(nc: Client, settings: Settings) -> tuple[DoctorCheck, ...]:
    wanted = topology.desired_topology(settings)
    names = (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD)
    try:
        actual = await topology.actual(nc, wanted)
        consumers = {key: await topology.consumer(nc, *key) for key in actual.consumers}
        infos = {name: info for name in names if (info := await topology.stream(nc, name)) is not None}
        account = await topology.account(nc)
    except UnderstudyError as error:
        fix = "" if isinstance(error, topology.TopologyError) else "look at the broker's log"
        return (row("jetstream", "error", str(error), fix),)
    ours = _sync_interval(settings) is not None
    rows = [
        *differences(topology.diff(wanted, actual)),
        *streams(actual),
        *(waiting(*key, info) for key, info in consumers.items() if info is not None),
        stored(account, limit=server_config.max_store_of(settings.data_dir) if ours else None),
        *(found for name, info in infos.items() if (found := fill(name, info)) is not None),
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
        return row("publishing", "ok", "the broker stores published messages")
    return row(
        "publishing",
        "error",
        f"the broker stores nothing: {error.get('description')}",
        "make room on the broker's disk, then start it again; its log names the cause",
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
        return [row("log", "ok", "every result answers a request, once")]
    fix = (
        "look at each with 'understudy why ID'; somebody else than the stages can publish: give the broker users "
        "with the permissions of docs/operations.md"
    )
    return [row("log", "error", str(found), fix)]


def _sync_interval(settings: Settings) -> str | None:
    if settings.nats_url is not None:
        return None
    found = runtime_file.read(settings)
    if found is None or not parent_death.alive(found.pid) or "broker" not in found.pids:
        return None
    return server_config.sync_interval_of(settings.data_dir)

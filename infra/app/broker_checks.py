"""Doctor's checks of the broker: version, topology, copies, clock, room, and whether a publish is stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nats import errors as nats_errors
from understudy_client.connection import without_password

from contracts import bucket_table, pipeline
from contracts.errors import UnderstudyError
from infra.app import audit_checks, consumer_checks
from infra.app.doctor_check import DoctorCheck, Severity, row, row_of_error
from infra.host import runtime_file
from infra.nats import buckets, server_config, topology, topology_diff, topology_fields
from infra.nats.clock import BrokerClock
from infra.nats.connection import Unreachable, broker_url, dial
from infra.nats.multiplexer import RequestMultiplexer

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
#: The longest deadline, ns: what is deleted earlier may never be answered, or be forgotten while it runs.
_LONGEST_NS: Final = 86_400 * 10**9
#: Copies of a stream with which one server may be away.
_SAFE_COPIES: Final = 3
#: Seconds that two clocks may differ, and from which on times given to commands are wrong.
_SKEW_S: Final = 1.0
_FAR_S: Final = 60.0
#: Where a publish is tried: nobody reads that key.
_TRIED_IN: Final = bucket_table.STRIKES.stream
_TRIED_ON: Final = f"$KV.{bucket_table.STRIKES.name}.doctor"
#: Seconds that the try may take.
_PATIENCE_S: Final = 3.0
_APPLY: Final = "run 'understudy topology apply'"


async def examine(settings: Settings) -> tuple[DoctorCheck, ...]:
    """Every check of the broker; one that cannot be reached is a row."""
    try:
        url = broker_url(settings)
        nc = await dial(settings, name="understudy doctor")
    except Unreachable as error:
        return (row_of_error("broker", "error", error, otherwise="correct UNDERSTUDY_NATS_URL"),)
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
    rows = [_difference(change) for change in changes if change.drift]
    rows += [row("topology", "info", str(change)) for change in changes if not change.drift]
    return tuple(rows) or (row("topology", "ok", "as wanted"),)


def _difference(change: Difference) -> DoctorCheck:
    missing = change.severity is topology_diff.DifferenceSeverity.CREATE
    severity: Severity = "error" if missing or topology_diff.breaks(change) else "warning"
    match change.severity:
        case topology_diff.DifferenceSeverity.OUTSIDE:
            return row_of_error("topology", severity, change, otherwise="look at the broker's servers")
        case topology_diff.DifferenceSeverity.UNSAFE:
            return row("topology", severity, str(change), f"{_APPLY} --force")
        case _:
            return row("topology", severity, str(change), _APPLY)


def streams(actual: Topology) -> tuple[DoctorCheck, ...]:
    """Retention and deduplication window of the streams that are there."""
    rows: list[DoctorCheck] = []
    for name in (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD):
        config = actual.streams.get(name)
        if config is None:
            continue
        rows.append(_retention(name, config))
        window = config.get("duplicate_window", 0)
        severity: Severity = "ok" if window > 0 else "warning"
        detail = topology_fields.show("duplicate_window", window)
        rows.append(row(f"dedup window {name}", severity, detail, "" if window > 0 else _APPLY))
    return tuple(rows)


def _retention(name: str, config: Mapping[str, Any]) -> DoctorCheck:
    age = int(config["max_age"])
    kept = f"{topology_fields.show('max_age', age)}, {topology_fields.show('max_bytes', config['max_bytes'])}"
    if 0 < age < _LONGEST_NS:
        detail = f"{kept}: a request may wait for its deadline longer than that"
        return row(f"retention {name}", "error", detail, f"{_APPLY} --force")
    return row(f"retention {name}", "ok", kept)


def copies(infos: Mapping[str, Mapping[str, Any]]) -> tuple[DoctorCheck, ...]:
    """Do the streams outlive the loss of a server?  One row where all do, or where there is one server.

    Args:
        infos: state of each stream as the JetStream API gives it.
    """
    rows = [found for name, info in infos.items() if (found := _copies(name, info)) is not None]
    if rows or not infos:
        return tuple(rows)
    numbers = sorted({int(info["config"].get("num_replicas", 1)) for info in infos.values()})
    if numbers[0] == 1:
        return (row("copies", "info", "1 of each stream, on a single server: its disk is the only copy"),)
    return (row("copies", "ok", f"{' or '.join(map(str, numbers))} of each stream, all current"),)


def _copies(name: str, info: Mapping[str, Any]) -> DoctorCheck | None:
    cluster: Mapping[str, Any] = info.get("cluster") or {}
    number = int(info["config"].get("num_replicas", 1))
    peers: list[Mapping[str, Any]] = cluster.get("replicas") or []
    behind = [
        f"{each.get('name', '?')} ({each.get('lag', 0):,} behind)" for each in peers if _is_behind(each)
    ]
    if behind:
        detail = f"{number} copies, of which some are not current: {', '.join(behind)}"
        fix = "wait until they have caught up; look at these servers' disk and network"
        return row(f"copies {name}", "warning", detail, fix)
    if cluster.get("name") and number < _SAFE_COPIES:
        detail = f"{number} in a cluster: while one server is away, nothing is accepted or answered"
        fix = f"set UNDERSTUDY_BROKER__REPLICAS={_SAFE_COPIES}, then {_APPLY}"
        return row(f"copies {name}", "warning", detail, fix)
    return None


def _is_behind(peer: Mapping[str, Any]) -> bool:
    # One that is offline is a difference of the topology.
    return not peer.get("current", True) and not peer.get("offline", False)


async def clock(wire: RequestMultiplexer) -> DoctorCheck:
    """Does this machine's clock agree with the broker's?  Deadlines count by the broker's."""
    there = BrokerClock(wire)
    # A broker that does not say its time leaves it as it is.
    there.offset_s = math.nan
    await there.compare()
    off_s = there.offset_s
    if math.isnan(off_s):
        return row("clock", "info", "not known: the broker does not say its time", _APPLY)
    if abs(off_s) < _SKEW_S:
        return row("clock", "ok", f"within {_SKEW_S:g} s of the broker's")
    detail = f"{abs(off_s):.1f} s {'behind' if off_s > 0 else 'ahead of'} the broker's"
    fix = "synchronise the clocks of both machines, for instance with chrony or systemd-timesyncd"
    return row("clock", "error" if abs(off_s) >= _FAR_S else "warning", detail, fix)


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
    wire = RequestMultiplexer()
    try:
        await wire.open(nc)
        actual = await topology.actual(nc, wanted)
        infos = {name: info for name in names if (info := await topology.stream(nc, name)) is not None}
        consumers = {
            key: info
            for key in actual.consumers
            if key[0] in infos and (info := await topology.consumer(nc, *key)) is not None
        }
        account = await topology.account(nc)
        embedded = _sync_interval(settings) is not None
        return (
            *differences(topology.diff(wanted, actual)),
            *streams(actual),
            *copies(infos),
            *_consumers(settings, consumers),
            *await _backlogs(wire, infos, consumers),
            stored(account, limit=server_config.max_store_of(settings.data_dir) if embedded else None),
            *(found for name, info in infos.items() if (found := fill(name, info)) is not None),
            await clock(wire),
            *([await _publish(nc)] if _TRIED_IN in actual.streams else []),
            *await audit_checks.examine(settings, wire, infos, consumers),
        )
    except UnderstudyError as error:
        return (row_of_error("jetstream", "error", error, otherwise="look at the broker's log"),)
    finally:
        await wire.close()


def _consumers(
    settings: Settings, consumers: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Iterator[DoctorCheck]:
    stuck_s = consumer_checks.stuck_after_s(settings)
    for (stream, stage), info in consumers.items():
        hands = settings.concurrency.of(stage)
        yield consumer_checks.waiting(stream, stage, info, hands=hands, stuck_s=stuck_s)


async def _backlogs(
    wire: RequestMultiplexer,
    infos: Mapping[str, Mapping[str, Any]],
    consumers: Mapping[tuple[str, str], Mapping[str, Any]],
) -> tuple[DoctorCheck, ...]:
    found = [
        await consumer_checks.find_backlog(
            wire, *key, info=info, max_age_ns=int(infos[key[0]]["config"].get("max_age", 0))
        )
        for key, info in consumers.items()
    ]
    return consumer_checks.backlogs(each for each in found if each is not None)


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


def _sync_interval(settings: Settings) -> str | None:
    return server_config.sync_interval_of(settings.data_dir) if runtime_file.runs_broker(settings) else None

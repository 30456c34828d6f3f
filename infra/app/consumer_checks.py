"""Doctor's checks of consumers: who works on their messages, how old these are, and whether ack_wait is long enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import pipeline
from infra.app.doctor_check import DoctorCheck, Severity, row
from infra.nats import log, topology_diff, topology_fields

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.settings.settings import Settings

_APPLY: Final = "run 'understudy topology apply'"
#: Shares of a stream's retention from which on a message is nearly, and as good as, lost before it is worked on.
_AGEING: Final = 0.5
_EXPIRING: Final = 0.9
#: A stage's work ends within twice this many time-outs of its calls: one of each kind, and one for the rest.
_PATIENCE: Final = 2


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest message that a consumer still has to finish."""

    stream: str
    stage: str
    #: Messages that wait or are being worked on.
    messages: int
    #: Seconds since the oldest was stored.
    age_s: float
    #: Seconds after which the stream deletes a message; 0: never.
    max_age_s: float


def stuck_after_s(settings: Settings) -> float:
    """Seconds after which work that has not ended never will: twice the longest calls of one request."""
    defaults = settings.narrative.defaults
    return _PATIENCE * (defaults.freeform.timeout + defaults.structuring.timeout)


def waiting(
    stream: str, stage: str, info: Mapping[str, Any], *, hands: int | None = None, stuck_s: float = 720.0
) -> DoctorCheck:
    """Does anybody work on what a consumer has to deliver?

    Args:
        stream: stream name.
        stage: consumer name.
        info: the consumer's state as the JetStream API gives it.
        hands: messages that one process works on at once; a process with no free hand fetches nothing.
        stuck_s: seconds within which work ends.
    """
    pending, held = int(info.get("num_pending", 0)), int(info.get("num_ack_pending", 0))
    again, asking = int(info.get("num_redelivered", 0)), int(info.get("num_waiting", 0))
    ack_wait_s = info["config"].get("ack_wait", 0) / 1e9
    ack_wait = topology_fields.show("ack_wait", info["config"].get("ack_wait", 0))
    detail = f"{pending} waiting, {held} being worked on, {again} redelivered, ack_wait {ack_wait}"
    check = f"consumer {stream}/{stage}"
    delivered = info.get("delivered", {}).get("last_active")
    idle_s = _since(info, delivered)
    busy = hands is not None and held >= hands
    if (pending or held) and not asking and not idle_s <= (stuck_s if busy else ack_wait_s):
        fix = f"start the stage: 'understudy run {stage}'"
        return row(check, "warning", f"{detail}; no stage is fetching", fix)
    if pending and asking and not _since(info, delivered or info.get("created")) <= ack_wait_s:
        paused = topology_fields.PAUSED in topology_diff.read_state(info)
        fix = (
            _APPLY if paused else f"start the stage again: 'understudy run {stage}'; look at the broker's log"
        )
        why = "the consumer is paused" if paused else "although stages poll"
        return row(check, "warning", f"{detail}; nothing is delivered, {why}", fix)
    acked_s = _since(info, info.get("ack_floor", {}).get("last_active") or info.get("created"))
    if held and stuck_s < idle_s < float("inf") and stuck_s < acked_s < float("inf"):
        passed = topology_fields.show("ack_wait", min(idle_s, acked_s) // 60 * 60e9)
        fix = f"restart the stage '{stage}': its log says what it was working on"
        return row(check, "warning", f"{detail}; stuck, nothing was acknowledged for {passed}", fix)
    return row(check, "ok", detail)


def _since(info: Mapping[str, Any], moment: str | None) -> float:
    """Seconds since a moment by the broker's clock; infinite where one of the two is unknown."""
    now = info.get("ts")
    if now is None or moment is None:
        return float("inf")
    return (datetime.fromisoformat(now) - datetime.fromisoformat(moment)).total_seconds()


async def find_backlog(
    wire: RequestMultiplexer, stream: str, stage: str, *, info: Mapping[str, Any], max_age_ns: int
) -> Backlog | None:
    """The oldest message that a consumer has not finished; ``None``: it has finished all.

    Args:
        wire: an open wire.
        stream: stream name.
        stage: consumer name.
        info: the consumer's state as the JetStream API gives it.
        max_age_ns: the stream's, ns.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.first`.
    """
    messages = int(info.get("num_pending", 0)) + int(info.get("num_ack_pending", 0))
    now = info.get("ts")
    if not messages or now is None:
        return None
    config, start = info["config"], int(info.get("ack_floor", {}).get("stream_seq", 0)) + 1
    filters: Iterable[str] = config.get("filter_subjects") or (config.get("filter_subject") or ">",)
    found = [await log.first(wire, stream, subject, start=start) for subject in filters]
    stored = [entry.time_ns for entry in found if entry is not None]
    if not stored:
        return None
    return Backlog(
        stream=stream,
        stage=stage,
        messages=messages,
        age_s=max(0.0, datetime.fromisoformat(now).timestamp() - min(stored) / 1e9),
        max_age_s=max_age_ns / 1e9,
    )


def backlogs(found: Iterable[Backlog]) -> tuple[DoctorCheck, ...]:
    """Messages that their stream deletes before a stage works on them; one row where there are none."""
    found = list(found)
    rows: list[DoctorCheck] = []
    for each in found:
        share = each.age_s / each.max_age_s if each.max_age_s else 0.0
        if share < _AGEING:
            continue
        severity: Severity = "error" if share >= _EXPIRING else "warning"
        detail = (
            f"the oldest of {each.messages:,} messages is {_long(each.age_s)} old; {each.stream} deletes messages "
            f"after {_long(each.max_age_s)}"
        )
        fix = (
            f"run more of the stage ('understudy run {each.stage}'), or keep messages longer: "
            f"'nats stream edit {each.stream} --max-age'"
        )
        rows.append(row(f"backlog {each.stream}/{each.stage}", severity, detail, fix))
    if rows:
        return tuple(rows)
    oldest = max((each.age_s for each in found), default=0.0)
    said = f"the oldest unfinished message is {_long(oldest)} old" if found else "no message waits"
    return (row("backlog", "ok", said),)


def _long(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def ack_waits(
    p99_ms: Mapping[str, float], infos: Mapping[tuple[str, str], Mapping[str, Any]]
) -> tuple[DoctorCheck, ...]:
    """Stages whose work takes longer than the broker waits for an acknowledgement.

    A heartbeat extends the wait while a stage waits for a model.  Where the stage computes itself, or where messages
    are given out again, the heartbeat does not arrive in time.

    Args:
        p99_ms: 99th percentile of each stage's time for one request, ms.
        infos: state of each consumer, by stream and stage.
    """
    rows: list[DoctorCheck] = []
    shown: list[str] = []
    for (stream, stage), info in infos.items():
        if stage not in p99_ms:
            continue
        wait_ms, again = info["config"].get("ack_wait", 0) / 1e6, int(info.get("num_redelivered", 0))
        took = f"{p99_ms[stage] / 1000:.3g} s"
        shown.append(f"{stage} {took}")
        if p99_ms[stage] <= wait_ms or (stage in pipeline.EXPENSIVE and not again):
            continue
        detail = (
            f"1 of 100 requests takes longer than {took}, and the broker gives a message to another worker after "
            f"{wait_ms / 1000:g} s ({again} redelivered)"
        )
        least = int(p99_ms[stage] / 500) + 1
        longer = f"set UNDERSTUDY_ACK_WAIT={least} and run 'understudy topology apply', or "
        # Its wait is short whatever the setting says.
        fix = f"{'' if pipeline.STAGE_OF[stage].short_leases else longer}run more copies of {stage}"
        rows.append(row(f"ack_wait {stream}/{stage}", "warning", detail, fix))
    if rows:
        return tuple(rows)
    said = ", ".join(dict.fromkeys(shown))
    return (
        row(
            "ack_wait", "ok", f"99 of 100 requests: {said}" if said else "no request of the last day is known"
        ),
    )

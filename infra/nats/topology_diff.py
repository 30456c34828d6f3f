"""How does what the broker has differ from what is wanted, and what may be changed?

Configurations are JSON objects as in the JetStream API: durations in nanoseconds, sizes in bytes.
Whoever set a limit owns it.  The values that ``topology apply`` sets are kept in the stream's
metadata; a limit that differs from them was set by an operator, and stays until ``--force``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from typing import Any, Final

import msgspec

from contracts import pipeline

Config = Mapping[str, Any]

#: Metadata: version of the topology, bytes that the sweeper keeps a stream under where the stream
#: itself has no limit, and the limits that were set.
VERSION_KEY: Final = "understudy.topology"
BUDGET_KEY: Final = "understudy.budget"
LIMITS_KEY: Final = "understudy.limits"

#: Fields of a stream where more is never less safe; value: what stands for "no limit".
LIMITS: Final[Mapping[str, int | None]] = {
    "max_age": 0,
    "max_bytes": -1,
    "max_msgs": -1,
    "max_msgs_per_subject": -1,
    "max_msg_size": -1,
    "duplicate_window": None,
    "num_replicas": None,
}
#: Abilities of a stream; one that is on but not wanted does no harm.
FLAGS: Final = (
    "allow_direct",
    "allow_rollup_hdrs",
    "allow_msg_ttl",
    "allow_msg_schedules",
    "allow_atomic",
)
#: Fields of a stream that change what it promises.
TERMS: Final[Mapping[str, Any]] = {
    "storage": "file",
    "retention": "limits",
    "discard": "old",
    "deny_delete": False,
    "deny_purge": False,
    "sealed": False,
    "mirror": None,
    "sources": None,
    "subject_transform": None,
    "no_ack": False,
    "discard_new_per_subject": False,
    "allow_msg_counter": False,
    "persist_mode": "default",
}
#: Limits that belong to the running pipeline: it admits load with them, so any value is as wanted.
RUN_TIME: Final = frozenset({(pipeline.REQUESTS, "max_msgs")})
#: Limits and terms without which an accepted request may lose its deadline or its place.
VITAL: Final[Mapping[str, frozenset[str]]] = {
    pipeline.REQUESTS: frozenset({"max_age", "max_msgs_per_subject"}),
    pipeline.EVENTS: frozenset({"max_age", "max_bytes", "max_msgs", "max_msgs_per_subject", "max_msg_size"}),
}
_VITAL_TERMS: Final = frozenset(
    {"retention", "discard", "sealed", "mirror", "subject_transform", "no_ack", "persist_mode"}
)
#: Fields of a consumer that the runner builds on, with what the broker leaves out when unset.
CONSUMER: Final[Mapping[str, Any]] = {
    "ack_wait": 0,
    "max_deliver": -1,
    "max_ack_pending": 0,
    "inactive_threshold": 0,
    "headers_only": False,
    "backoff": (),
    "rate_limit_bps": 0,
    "max_batch": 0,
    "max_expires": 0,
    "max_bytes": 0,
    "priority_policy": "none",
    "priority_groups": (),
}
#: The same, where the broker cannot change it in place.
CONSUMER_FIXED: Final[Mapping[str, Any]] = {
    "ack_policy": "explicit",
    "deliver_subject": "",
    "replay_policy": "instant",
    "mem_storage": False,
}


#: Field of a difference that is no setting: the consumer delivers nothing until then.
PAUSED: Final = "paused"
_STATES: Final = frozenset({PAUSED, "leader", "replicas"})


class DifferenceSeverity(StrEnum):
    """What may be done about a difference."""

    #: It is missing.
    CREATE = "create"
    #: It can be changed without losing or forbidding anything.
    UPDATE = "update"
    #: It would lose data or undo what an operator did: only with ``--force``.
    UNSAFE = "unsafe"
    #: The state of the broker's machines: nothing that a configuration changes.
    OUTSIDE = "outside"
    #: An operator's choice that takes nothing away; no drift.
    INFO = "info"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference."""

    severity: DifferenceSeverity
    #: ``stream`` or ``consumer``.
    what: str
    #: Stream name, or ``<stream>/<consumer>``.
    name: str
    #: Configuration field; empty where the whole thing is missing.
    field: str = ""
    actual: Any = None
    wanted: Any = None
    why: str
    #: Set by ``topology apply``.
    applied: bool = False

    @property
    def drift(self) -> bool:
        """Does it keep the broker from being what is wanted?"""
        return self.severity is not DifferenceSeverity.INFO and not self.applied

    def __str__(self) -> str:
        if not self.field or self.field in _STATES:
            return f"{self.what} {self.name}: {self.why}"
        was, wants = show(self.field, self.actual), show(self.field, self.wanted)
        arrow = f"is {was}, wanted {wants}"
        return f"{self.what} {self.name}: {self.field} {arrow} ({self.why})"


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """Streams by name, and consumers by stream and name."""

    streams: Mapping[str, Config]
    consumers: Mapping[tuple[str, str], Config]
    #: What the broker tells beside the configuration, by stream name or ``<stream>/<consumer>``.
    states: Mapping[str, Mapping[str, Any]] = {}


def diff(wanted: Topology, actual: Topology) -> tuple[Difference, ...]:
    """Every difference, streams first; what exists beyond ``wanted`` is nobody's business here."""
    found: list[Difference] = []
    for name, config in wanted.streams.items():
        present = actual.streams.get(name)
        if present is None:
            found.append(
                Difference(severity=DifferenceSeverity.CREATE, what="stream", name=name, why="missing")
            )
        else:
            found += _stream(name, config, present)
            found += _state("stream", name, actual.states.get(name, {}))
    for (stream, consumer), config in wanted.consumers.items():
        name = f"{stream}/{consumer}"
        present = actual.consumers.get((stream, consumer))
        if present is None:
            found.append(
                Difference(severity=DifferenceSeverity.CREATE, what="consumer", name=name, why="missing")
            )
        else:
            found += _consumer(name, config, present)
            found += _state("consumer", name, actual.states.get(name, {}))
    return tuple(found)


def breaks(change: Difference) -> bool:
    """Does the pipeline lose what it has accepted, as long as this difference is there?"""
    vital = VITAL.get(change.name)
    if change.what != "stream" or vital is None:
        return False
    if change.field in _VITAL_TERMS:
        return True
    unlimited = LIMITS.get(change.field)
    return change.field in vital and _size(change.actual, unlimited) < _size(change.wanted, unlimited)


def state(info: Mapping[str, Any]) -> dict[str, Any]:
    """Of a stream's or consumer's info, what is no configuration and keeps it from working."""
    found: dict[str, Any] = {}
    if info.get("paused"):
        found[PAUSED] = info["config"].get("pause_until", "somebody resumes it")
    cluster = info.get("cluster") or {}
    if cluster and not cluster.get("leader"):
        found["leader"] = ""
    behind = [peer.get("name", "?") for peer in cluster.get("replicas") or () if peer.get("offline")]
    if behind:
        found["replicas"] = ", ".join(sorted(behind))
    return found


def _state(what: str, name: str, state: Mapping[str, Any]) -> list[Difference]:
    change = partial(Difference, what=what, name=name)
    found: list[Difference] = []
    if PAUSED in state:
        why = f"paused until {state[PAUSED]}; nothing is delivered"
        found.append(
            change(
                severity=DifferenceSeverity.UPDATE, field=PAUSED, actual=state[PAUSED], wanted=None, why=why
            )
        )
    if "leader" in state:
        why = "no server leads it, so it neither stores nor delivers; see that most of its servers run"
        found.append(
            change(severity=DifferenceSeverity.OUTSIDE, field="leader", actual="", wanted="a server", why=why)
        )
    if "replicas" in state:
        why = f"offline on {state['replicas']}; start these servers"
        found.append(
            change(
                severity=DifferenceSeverity.OUTSIDE,
                field="replicas",
                actual="offline",
                wanted="online",
                why=why,
            )
        )
    return found


def settle(wanted: Config, actual: Config, changes: tuple[Difference, ...], *, force: bool) -> dict[str, Any]:
    """The configuration to send for one stream or consumer: ``actual`` with what may be changed.

    Args:
        wanted: as wanted.
        actual: everything the broker has, fields that we don't know included.
        changes: the differences of this one.
        force: take the unsafe ones and an operator's limits back too.
    """
    merged = dict(actual)
    taken = [change for change in changes if takes(change, force=force) and change.field not in _STATES]
    for change in taken:
        if change.field == "subjects" and change.severity is DifferenceSeverity.UPDATE:
            merged["subjects"] = [*actual.get("subjects", ()), *_missing(wanted, actual)]
            continue
        merged[change.field] = change.wanted
    if any(change.field == "filter_subjects" for change in taken):
        merged.pop("filter_subject", None)
    ours = {**_ours(actual), **{c.field: c.wanted for c in taken if c.field in LIMITS}}
    merged["metadata"] = {
        # What starts with _nats. is the broker's own to write.
        **{k: v for k, v in _metadata(actual).items() if not k.startswith("_nats.")},
        **_wanted_notes(wanted),
        **_noted(ours),
    }
    return merged


def takes(change: Difference, *, force: bool) -> bool:
    """Is this difference removed by ``topology apply``?"""
    match change.severity:
        case DifferenceSeverity.CREATE | DifferenceSeverity.UPDATE:
            return True
        case DifferenceSeverity.UNSAFE | DifferenceSeverity.INFO:
            return force
        case DifferenceSeverity.OUTSIDE:
            return False


def stamp(version: str, limits: Mapping[str, Any], **more: str) -> dict[str, str]:
    """The metadata that says which version of the topology set which limits."""
    return {VERSION_KEY: version, **more, **_noted(limits)}


def _noted(limits: Mapping[str, Any]) -> dict[str, str]:
    return {LIMITS_KEY: json.dumps(dict(sorted(limits.items())))} if limits else {}


def _wanted_notes(wanted: Config) -> dict[str, str]:
    # Limits are noted as they are set: a difference there is a difference of the limit itself.
    return {key: value for key, value in _metadata(wanted).items() if key != LIMITS_KEY}


def show(field: str, value: Any) -> str:
    """A value as a person reads it."""
    if field in LIMITS and value == LIMITS[field] and LIMITS[field] is not None:
        return "unlimited"
    if field in {"max_age", "duplicate_window", "ack_wait", "inactive_threshold"}:
        return _duration(value / 1e9)
    if field == "max_bytes":
        return f"{value:,} bytes"
    if field == "metadata":
        return ", ".join(f"{key} {said or 'unset'}" for key, said in sorted(value.items()))
    if field in {"subjects", "filter_subjects"}:
        return ", ".join(value) or "none"
    return str(value)


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _ours(actual: Config) -> dict[str, int]:
    """The limits that we set last; none where the stream is not ours or the note is unreadable."""
    try:
        return msgspec.json.decode(_metadata(actual).get(LIMITS_KEY, "{}"), type=dict[str, int])
    except msgspec.MsgspecError:
        return {}


def _metadata(config: Config) -> dict[str, str]:
    return dict(config.get("metadata") or {})


def _missing(wanted: Config, actual: Config) -> list[str]:
    present = set(actual.get("subjects", ()))
    return [subject for subject in wanted["subjects"] if subject not in present]


def _stream(name: str, wanted: Config, actual: Config) -> list[Difference]:
    change = partial(Difference, what="stream", name=name)
    found = _subjects(name, wanted, actual)
    ours = _ours(actual)
    for field, unlimited in LIMITS.items():
        had, wants = actual.get(field, unlimited), wanted[field]
        if had != wants and (name, field) not in RUN_TIME:
            mine = field in ours and ours[field] == had
            severity, why = _judge(_size(had, unlimited), _size(wants, unlimited), mine=mine)
            found.append(change(severity=severity, field=field, actual=had, wanted=wants, why=why))
    for field in FLAGS:
        if wanted.get(field, False) and not actual.get(field, False):
            found.append(
                change(
                    severity=DifferenceSeverity.UPDATE,
                    field=field,
                    actual=False,
                    wanted=True,
                    why="it is needed",
                )
            )
    for field, default in TERMS.items():
        had, wants = actual.get(field) or default, wanted.get(field) or default
        if had != wants:
            why = "it changes the stream's guarantees; not changed without --force"
            found.append(
                change(severity=DifferenceSeverity.UNSAFE, field=field, actual=had, wanted=wants, why=why)
            )
    return found + _noting("stream", name, wanted, actual)


def _subjects(name: str, wanted: Config, actual: Config) -> list[Difference]:
    had, wants = list(actual.get("subjects", ())), list(wanted["subjects"])
    change = partial(Difference, what="stream", name=name, field="subjects", actual=had, wanted=wants)
    found: list[Difference] = []
    if _missing(wanted, actual):
        found.append(change(severity=DifferenceSeverity.UPDATE, why="subjects are missing"))
    extra = sorted(set(had) - set(wants))
    if extra:
        why = f"{', '.join(extra)} would no longer be stored; not changed without --force"
        found.append(change(severity=DifferenceSeverity.UNSAFE, why=why))
    return found


def _size(value: Any, unlimited: int | None) -> float:
    if unlimited is not None and value <= 0:
        return math.inf
    return float(value)


def _judge(had: float, wants: float, *, mine: bool) -> tuple[DifferenceSeverity, str]:
    match had < wants, mine:
        case True, True:
            return DifferenceSeverity.UPDATE, "it grows"
        case True, False:
            return DifferenceSeverity.UNSAFE, "an operator's stricter limit; not changed without --force"
        case False, True:
            return DifferenceSeverity.UNSAFE, "it would shrink; not changed without --force"
        case _:
            return DifferenceSeverity.INFO, "an operator's larger limit; not changed"


def _consumer(name: str, wanted: Config, actual: Config) -> list[Difference]:
    change = partial(Difference, what="consumer", name=name)
    found: list[Difference] = []
    single = actual.get("filter_subject")
    had = sorted(actual.get("filter_subjects") or ([single] if single else []))
    wants = sorted(wanted["filter_subjects"])
    if had != wants:
        why = "the stage reads other subjects"
        found.append(
            change(
                severity=DifferenceSeverity.UPDATE, field="filter_subjects", actual=had, wanted=wants, why=why
            )
        )
    for fields, severity, why in (
        (CONSUMER, DifferenceSeverity.UPDATE, "the runner builds on it"),
        (
            CONSUMER_FIXED,
            DifferenceSeverity.UNSAFE,
            "the consumer must be recreated; not changed without --force",
        ),
    ):
        for field, default in fields.items():
            before, after = actual.get(field) or default, wanted.get(field) or default
            if before != after:
                found.append(change(severity=severity, field=field, actual=before, wanted=after, why=why))
    return found + _noting("consumer", name, wanted, actual)


def _noting(what: str, name: str, wanted: Config, actual: Config) -> list[Difference]:
    has, wants = _metadata(actual), _wanted_notes(wanted)
    if all(has.get(key) == value for key, value in wants.items()):
        return []
    return [
        Difference(
            severity=DifferenceSeverity.UPDATE,
            what=what,
            name=name,
            field="metadata",
            actual={key: has.get(key) for key in wants},
            wanted=wants,
            why="another version of the topology made it",
        )
    ]

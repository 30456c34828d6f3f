"""Differences between the topology that the pipeline needs and the one on the broker, each with its severity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from typing import Any, Final

import msgspec

from infra.nats.topology_fields import (
    CONSUMER,
    CONSUMER_FIXED,
    FLAGS,
    LIMITS,
    PAUSED,
    RUN_TIME,
    TERMS,
    VITAL,
    VITAL_TERMS,
    Config,
    metadata,
    missing_subjects,
    notes_to_set,
    read_limits,
    show,
)

#: Fields of differences that are no settings.
STATES: Final = frozenset({PAUSED, "leader", "replicas"})


class DifferenceSeverity(StrEnum):
    """How a difference can be removed."""

    #: The stream or consumer is missing.
    CREATE = "create"
    #: It can be changed without losing or forbidding anything.
    UPDATE = "update"
    #: Removing it would lose data or undo what an operator did: only with ``--force``.
    UNSAFE = "unsafe"
    #: The state of the broker's servers: no configuration changes it.
    OUTSIDE = "outside"
    #: An operator's choice that costs nothing; no drift.
    INFO = "info"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference."""

    severity: DifferenceSeverity
    #: ``stream`` or ``consumer``.
    what: str
    #: Stream name, or ``<stream>/<consumer>``.
    name: str
    #: Configuration field; empty where the stream or consumer is missing.
    field: str = ""
    actual: Any = None
    wanted: Any = None
    why: str
    #: Set by ``topology apply``.
    applied: bool = False

    @property
    def drift(self) -> bool:
        """Whether the broker is not as the pipeline needs it."""
        return self.severity is not DifferenceSeverity.INFO and not self.applied

    def __str__(self) -> str:
        if not self.field or self.field in STATES:
            return f"{self.what} {self.name}: {self.why}"
        is_now, should_be = show(self.field, self.actual), show(self.field, self.wanted)
        return f"{self.what} {self.name}: {self.field} is {is_now}, wanted {should_be} ({self.why})"


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """Streams by name, and consumers by stream and name."""

    streams: Mapping[str, Config]
    consumers: Mapping[tuple[str, str], Config]
    #: State beside the configuration, by stream name or ``<stream>/<consumer>``; from :func:`read_state`.
    states: Mapping[str, Mapping[str, Any]] = {}


def diff(desired: Topology, actual: Topology) -> tuple[Difference, ...]:
    """List every difference, streams first; streams and consumers that only ``actual`` has do not count."""
    found: list[Difference] = []
    for name, config in desired.streams.items():
        present = actual.streams.get(name)
        if present is None:
            found.append(
                Difference(severity=DifferenceSeverity.CREATE, what="stream", name=name, why="missing")
            )
        else:
            found += _stream(name, config, present)
            found += _state("stream", name, actual.states.get(name, {}))
    for (stream, consumer), config in desired.consumers.items():
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
    """Whether the pipeline may lose accepted requests because of this difference."""
    vital = VITAL.get(change.name)
    if change.what != "stream" or vital is None:
        return False
    if change.field in VITAL_TERMS:
        return True
    unlimited = LIMITS.get(change.field)
    return change.field in vital and _size(change.actual, unlimited) < _size(change.wanted, unlimited)


def read_state(info: Mapping[str, Any]) -> dict[str, Any]:
    """Read from a stream's or consumer's info what keeps it from working and is no configuration."""
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
        why = "it has no leader, so it neither stores nor delivers; make sure that most of its servers run"
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


def _stream(name: str, desired: Config, actual: Config) -> list[Difference]:
    change = partial(Difference, what="stream", name=name)
    found = _subjects(name, desired, actual)
    noted = read_limits(actual)
    for field, unlimited in LIMITS.items():
        had, needs = actual.get(field, unlimited), desired[field]
        if had != needs and (name, field) not in RUN_TIME:
            as_noted = field in noted and noted[field] == had
            severity, why = _judge(_size(had, unlimited), _size(needs, unlimited), as_noted=as_noted)
            found.append(change(severity=severity, field=field, actual=had, wanted=needs, why=why))
    for field in FLAGS:
        if desired.get(field, False) and not actual.get(field, False):
            found.append(
                change(
                    severity=DifferenceSeverity.UPDATE,
                    field=field,
                    actual=False,
                    wanted=True,
                    why="the pipeline needs it",
                )
            )
    for field, default in TERMS.items():
        had, needs = actual.get(field) or default, desired.get(field) or default
        if had != needs:
            severity, why = _judge_term(name, field)
            found.append(change(severity=severity, field=field, actual=had, wanted=needs, why=why))
    return found + _noting("stream", name, desired, actual)


def _judge_term(name: str, field: str) -> tuple[DifferenceSeverity, str]:
    if field == "deny_delete" and name.startswith("KV_"):
        # Earlier releases set it, and the broker does not take it back.
        return (
            DifferenceSeverity.INFO,
            "what a purge deletes stays in the broker's files until it rewrites them",
        )
    return DifferenceSeverity.UNSAFE, "it changes the stream's guarantees; not changed without --force"


def _subjects(name: str, desired: Config, actual: Config) -> list[Difference]:
    had, needs = list(actual.get("subjects", ())), list(desired["subjects"])
    change = partial(Difference, what="stream", name=name, field="subjects", actual=had, wanted=needs)
    found: list[Difference] = []
    if missing_subjects(desired, actual):
        found.append(change(severity=DifferenceSeverity.UPDATE, why="subjects are missing"))
    extra = sorted(set(had) - set(needs))
    if extra:
        why = f"{', '.join(extra)} would no longer be stored; not changed without --force"
        found.append(change(severity=DifferenceSeverity.UNSAFE, why=why))
    return found


def _size(value: Any, unlimited: int | None) -> float:
    if unlimited is not None and value <= 0:
        return math.inf
    return float(value)


def _judge(had: float, needs: float, *, as_noted: bool) -> tuple[DifferenceSeverity, str]:
    match had < needs, as_noted:
        case True, True:
            return DifferenceSeverity.UPDATE, "it grows"
        case True, False:
            return DifferenceSeverity.UNSAFE, "an operator's stricter limit; not changed without --force"
        case False, True:
            return DifferenceSeverity.UNSAFE, "it would shrink; not changed without --force"
        case _:
            return DifferenceSeverity.INFO, "an operator's larger limit; not changed"


def _consumer(name: str, desired: Config, actual: Config) -> list[Difference]:
    change = partial(Difference, what="consumer", name=name)
    found: list[Difference] = []
    single = actual.get("filter_subject")
    had = sorted(actual.get("filter_subjects") or ([single] if single else []))
    needs = sorted(desired["filter_subjects"])
    if had != needs:
        why = "the stage reads other subjects"
        found.append(
            change(
                severity=DifferenceSeverity.UPDATE, field="filter_subjects", actual=had, wanted=needs, why=why
            )
        )
    for fields, severity, why in (
        (CONSUMER, DifferenceSeverity.UPDATE, "the runner depends on it"),
        (
            CONSUMER_FIXED,
            DifferenceSeverity.UNSAFE,
            "the consumer must be recreated; not changed without --force",
        ),
    ):
        for field, default in fields.items():
            before, after = actual.get(field) or default, desired.get(field) or default
            if before != after:
                found.append(change(severity=severity, field=field, actual=before, wanted=after, why=why))
    return found + _noting("consumer", name, desired, actual)


def _noting(what: str, name: str, desired: Config, actual: Config) -> list[Difference]:
    has, needs = metadata(actual), notes_to_set(desired)
    if all(has.get(key) == value for key, value in needs.items()):
        return []
    return [
        Difference(
            severity=DifferenceSeverity.UPDATE,
            what=what,
            name=name,
            field="metadata",
            actual={key: has.get(key) for key in needs},
            wanted=needs,
            why="it was set by another version of the topology",
        )
    ]

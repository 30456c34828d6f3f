"""Fields of streams and consumers that the topology sets: how each may change, its note in the metadata, its text.

A configuration is a JSON object as in the JetStream API: durations in nanoseconds, sizes in bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contracts import pipeline

Config = Mapping[str, Any]

#: Metadata: version of the topology; byte budget of a stream that has no limit, for the sweeper; the limits
#: that were set.
VERSION_KEY: Final = "understudy.topology"
BUDGET_KEY: Final = "understudy.budget"
LIMITS_KEY: Final = "understudy.limits"

#: Fields of a stream where more is never less safe; value: the one that means "no limit".
LIMITS: Final[Mapping[str, int | None]] = {
    "max_age": 0,
    "max_bytes": -1,
    "max_msgs": -1,
    "max_msgs_per_subject": -1,
    "max_msg_size": -1,
    "duplicate_window": None,
    "num_replicas": None,
}
#: Features of a stream; one that is on without need does no harm.
FLAGS: Final = (
    "allow_direct",
    "allow_rollup_hdrs",
    "allow_msg_ttl",
    "allow_msg_schedules",
    "allow_atomic",
)
#: Fields of a stream that change its guarantees.
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
#: Limits that the running pipeline changes to admit load: every value is right.
RUN_TIME: Final = frozenset({(pipeline.REQUESTS, "max_msgs")})
#: Limits without which an accepted request may lose its deadline or its result.
VITAL: Final[Mapping[str, frozenset[str]]] = {
    pipeline.REQUESTS: frozenset({"max_age", "max_msgs_per_subject"}),
    pipeline.EVENTS: frozenset({"max_age", "max_bytes", "max_msgs", "max_msgs_per_subject", "max_msg_size"}),
}
#: Guarantees without which it may.
VITAL_TERMS: Final = frozenset(
    {"retention", "discard", "sealed", "mirror", "subject_transform", "no_ack", "persist_mode"}
)
#: Fields of a consumer that the runner depends on, with the value of a field that the broker leaves out.
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
#: The same, for fields that the broker cannot change in place.
CONSUMER_FIXED: Final[Mapping[str, Any]] = {
    "ack_policy": "explicit",
    "deliver_subject": "",
    "replay_policy": "instant",
    "mem_storage": False,
}


#: Field of a difference that is no setting: the time until which the consumer delivers nothing.
PAUSED: Final = "paused"


def stamp(version: str, limits: Mapping[str, Any], **more: str) -> dict[str, str]:
    """Write the metadata: which version of the topology set which limits."""
    return {VERSION_KEY: version, **more, **note_limits(limits)}


def note_limits(limits: Mapping[str, Any]) -> dict[str, str]:
    """Write the metadata entry of some limits."""
    return {LIMITS_KEY: json.dumps(dict(sorted(limits.items())))} if limits else {}


def notes_to_set(desired: Config) -> dict[str, str]:
    """The metadata of a desired configuration, without the limits."""
    # Limits are noted when they are set: a difference there is a difference of the limit itself.
    return {key: value for key, value in metadata(desired).items() if key != LIMITS_KEY}


def read_limits(actual: Config) -> dict[str, int]:
    """Read the limits that were set last; none where the note is missing or unreadable."""
    try:
        return msgspec.json.decode(metadata(actual).get(LIMITS_KEY, "{}"), type=dict[str, int])
    except msgspec.MsgspecError:
        return {}


def metadata(config: Config) -> dict[str, str]:
    """The metadata of a configuration; empty where it has none."""
    return dict(config.get("metadata") or {})


def missing_subjects(desired: Config, actual: Config) -> list[str]:
    """Subjects of the desired stream that the actual one does not keep."""
    present = set(actual.get("subjects", ()))
    return [subject for subject in desired["subjects"] if subject not in present]


def show(field: str, value: Any) -> str:
    """Format a value for people."""
    if field in LIMITS and value == LIMITS[field] and LIMITS[field] is not None:
        return "unlimited"
    if field in {"max_age", "duplicate_window", "ack_wait", "inactive_threshold"}:
        return _duration(value / 1e9)
    if field == "max_bytes":
        return f"{value:,} bytes"
    if field == "metadata":
        return ", ".join(f"{key} {text or 'unset'}" for key, text in sorted(value.items()))
    if field in {"subjects", "filter_subjects"}:
        return ", ".join(value) or "none"
    return str(value)


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"

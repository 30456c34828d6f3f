"""Configurations to send to the broker: what it has, with the differences that may be removed.

A limit belongs to the one who set it.  Limits that ``topology apply`` sets are noted in the stream's metadata; one
that differs from its note was set by an operator, and stays until ``--force``.
"""

from __future__ import annotations

from typing import Any

from infra.nats.topology_diff import STATES, Difference, DifferenceSeverity
from infra.nats.topology_fields import (
    LIMITS,
    Config,
    metadata,
    missing_subjects,
    note_limits,
    notes_to_set,
    read_limits,
)


def merge_config(
    desired: Config, actual: Config, changes: tuple[Difference, ...], *, force: bool
) -> dict[str, Any]:
    """Merge into ``actual``, for one stream or consumer, what may be changed.

    Args:
        desired: as the pipeline needs it.
        actual: everything that the broker has, unknown fields included.
        changes: the differences of this stream or consumer.
        force: also the unsafe ones and an operator's limits.
    """
    merged = dict(actual)
    taken = [change for change in changes if removes(change, force=force) and change.field not in STATES]
    for change in taken:
        if change.field == "subjects" and change.severity is DifferenceSeverity.UPDATE:
            merged["subjects"] = [*actual.get("subjects", ()), *missing_subjects(desired, actual)]
            continue
        merged[change.field] = change.wanted
    if any(change.field == "filter_subjects" for change in taken):
        merged.pop("filter_subject", None)
    limits = {**read_limits(actual), **{c.field: c.wanted for c in taken if c.field in LIMITS}}
    merged["metadata"] = {
        # The broker itself writes what begins with _nats.
        **{k: v for k, v in metadata(actual).items() if not k.startswith("_nats.")},
        **notes_to_set(desired),
        **note_limits(limits),
    }
    return merged


def removes(change: Difference, *, force: bool) -> bool:
    """Whether ``topology apply`` removes this difference."""
    match change.severity:
        case DifferenceSeverity.CREATE | DifferenceSeverity.UPDATE:
            return True
        case DifferenceSeverity.UNSAFE | DifferenceSeverity.INFO:
            return force
        case DifferenceSeverity.OUTSIDE:
            return False

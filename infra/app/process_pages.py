"""Metrics pages of this machine's stages: what they work on now, and their circuit breakers.

``understudy up`` lists its processes in the target file.  Where there is none, as beside stages on other machines,
nothing is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from infra.app import metrics_relay
from infra.host import target_file
from infra.telemetry import metric_table as table

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client.samples import Sample

_STATE: Final = "understudy_provider_circuit_state"
_FAILURES: Final = "understudy_provider_circuit_failures"
#: A process that works on no messages.
_GATEWAY: Final = "gateway"


class ProcessCircuit(msgspec.Struct, frozen=True, kw_only=True):
    """The circuit breaker of a provider in one process."""

    process: str
    provider: str
    model: str
    #: Helper task that it is for; empty: it is for the calls that write content.
    task: str = ""
    #: ``closed``, ``open`` or ``half_open``.
    state: str
    #: Calls in a row that found the provider away.
    failures: int


def fetch_pages(data_dir: Path) -> dict[str, str] | None:
    """The metrics page of each process of a data folder's pipeline; waits for them.

    Returns:
        ``None``: not all of them are known, or not all answer.
    """
    try:
        targets = target_file.read(data_dir)
    except (OSError, msgspec.MsgspecError):
        return None
    addresses = {
        target.labels["process"]: target.targets[0]
        for target in targets
        if target.labels.get("process") not in (None, _GATEWAY) and target.targets
    }
    pages = metrics_relay.fetch_all(addresses)
    return pages if pages and len(pages) == len(addresses) else None


def read_in_hand(pages: Mapping[str, str]) -> dict[tuple[str, str], int]:
    """Messages in work in all processes, by stream and stage."""
    found: Counter[tuple[str, str]] = Counter()
    for page in pages.values():
        for sample in _samples(page, table.IN_HAND.name):
            found[sample.labels["stream"], sample.labels["stage"]] += int(sample.value)
    return dict(found)


def read_circuits(pages: Mapping[str, str]) -> tuple[ProcessCircuit, ...]:
    """The circuit breakers of all processes."""
    found: list[ProcessCircuit] = []
    for process, page in pages.items():
        failures = {_named(sample): int(sample.value) for sample in _samples(page, _FAILURES)}
        found += [
            ProcessCircuit(
                process=process,
                provider=sample.labels["provider"],
                model=sample.labels["model"],
                task=sample.labels.get("task", ""),
                state=sample.labels["state"],
                failures=failures.get(_named(sample), 0),
            )
            for sample in _samples(page, _STATE)
            if sample.value
        ]
    return tuple(found)


def _samples(page: str, name: str) -> Iterator[Sample]:
    lines = [line for line in page.splitlines() if line.startswith(f"{name}{{")]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        yield from family.samples


def _named(sample: Sample) -> tuple[str, str, str]:
    return sample.labels["provider"], sample.labels["model"], sample.labels.get("task", "")

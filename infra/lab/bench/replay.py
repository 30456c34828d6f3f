"""Benchmark of replays: planning letters, publishing them at full speed, and the accuracy of a rate.

No stage runs: the figures are those of planning and publishing alone, on a broker of this process with its own folder.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from contracts import events as ev
from contracts.errors import ErrorCode
from infra.app.replay_desk import ReplayDesk
from infra.inspect.request_filter import RequestFilter
from infra.nats import topology
from infra.nats.atomic import Publication
from infra.nats.connection import dial
from infra.nats.embedded import Embedded
from infra.nats.multiplexer import RequestMultiplexer
from infra.replay.jobs import JobLimits
from infra.replay.plans import ReplayOptions
from infra.settings import settings as settings_module
from infra.stores.job_database import open_database

#: What the figures must keep: seconds to plan 10,000 letters, requests per second, and the share by which a rate may be missed.
PLAN_S: Final = 10.0
PLANNED: Final = 10_000
PER_S: Final = 5_000.0
OFF: Final = 0.05
#: Letters that are published at once.
_AT_ONCE: Final = 500


async def run(
    *, letters: int, rate: float, rated: int, syncs: tuple[str, ...], say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure each mode of the broker's fsync; the figures, and whether they keep the targets.

    Args:
        letters: dead letters, each of another request.
        rate: requests per second of the second job.
        rated: requests of that job, at most ``letters``.
        syncs: the broker's ``sync_interval``: ``always``, or a time.
        say: shows progress.
    """
    found: list[dict[str, Any]] = []
    for sync in syncs:
        with TemporaryDirectory() as folder:
            found.append(await _measure(Path(folder), sync, letters, rate, min(rated, letters)))
        say(_describe(found[-1]))
    return {"modes": found, "passed": all(each["passed"] for each in found)}


async def _measure(folder: Path, sync: str, letters: int, rate: float, rated: int) -> dict[str, Any]:
    async with Embedded(folder / "broker", sync_interval=sync) as broker:
        settings = settings_module.load(
            nats_url=broker.url, database_url=f"sqlite:///{folder}/audit.db", data_dir=folder
        )
        client, wire = await dial(broker.url, name="bench"), RequestMultiplexer()
        await topology.apply(client, settings)
        await wire.open(client)
        for start in range(1, letters + 1, _AT_ONCE):
            some = [_letter(number) for number in range(start, min(start + _AT_ONCE, letters + 1))]
            await asyncio.gather(*(wire.publish(each.subject, each.body) for each in some))
        try:
            async with open_database(settings, needed_by="replay jobs") as engine:
                return {
                    "sync": sync,
                    **await _run_jobs(ReplayDesk(settings, wire, engine), letters, rate, rated),
                }
        finally:
            await wire.close()
            await client.close()


async def _run_jobs(desk: ReplayDesk, letters: int, rate: float, rated: int) -> dict[str, Any]:
    began_s = time.perf_counter()
    proposal = await desk.propose_letters(
        RequestFilter(), ReplayOptions(), sequences=(), limit=None, source="letters"
    )
    job = await desk.create(proposal, JobLimits())
    plan_s = time.perf_counter() - began_s
    full = await desk.run(job.job, proposal=proposal)
    again = await desk.propose_letters(
        RequestFilter(),
        ReplayOptions(again=True),
        sequences=range(1, rated + 1),
        limit=None,
        source="letters again",
    )
    job = await desk.create(again, JobLimits(rate=rate))
    paced = await desk.run(job.job, proposal=again)
    if (full.published, paced.published) != (letters, rated):
        raise RuntimeError(
            f"published {full.published} of {letters} requests, then {paced.published} of {rated}"
        )
    per_s, reached = full.published / full.seconds, paced.published / paced.seconds
    passed = (
        plan_s <= PLAN_S * max(1.0, letters / PLANNED) and per_s >= PER_S and abs(reached / rate - 1) <= OFF
    )
    return {
        "letters": letters,
        "plan_s": round(plan_s, 3),
        "per_s": round(per_s),
        "rate": rate,
        "rated": rated,
        "rate_reached": round(reached, 1),
        "passed": passed,
    }


def _letter(number: int) -> Publication:
    request_id = f"lost-{number}"
    letter = ev.DeadLetter(
        code=ErrorCode.GEN_POISON,
        reason="it ended its worker",
        stage="context-build",
        stream="REQUESTS",
        sequence=number,
        subject=f"gen.requested.layout.{request_id}",
        time_ms=1,
        deliveries=4,
        body=msgspec.json.encode({"prompt": f"a forest with {number} coins"}),
    )
    return Publication(subject=f"dead.context-build.layout.{request_id}", body=msgspec.json.encode(letter))


def _describe(found: dict[str, Any]) -> str:
    return (
        f"sync {found['sync']}: {found['letters']:,} letters planned and stored in {found['plan_s']:.2f} s, published "
        f"at {found['per_s']:,}/s; {found['rated']:,} at {found['rate']:g}/s: {found['rate_reached']:g}/s"
        f"{'' if found['passed'] else ' (a target is missed)'}"
    )

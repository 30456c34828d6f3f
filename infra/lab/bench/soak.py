"""Soak test: every request gets one answer while processes are killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, select

from contracts import pipeline
from infra.app.supervisor import Supervisor
from infra.lab.bench.load import Load
from infra.lab.bench.outcomes import Outcomes
from infra.lab.bench.trial import Say, connected, looking, scripted
from infra.nats import log as event_log
from infra.stores import database
from infra.stores.database import GENERATION_LOGS

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer


class Soaked(msgspec.Struct, frozen=True, kw_only=True):
    """What a soak found."""

    requests: int
    kills: dict[str, int]
    seconds: float
    results: int
    duplicates: int
    missing: int
    log_rows: int
    log_requests: int
    poison: int
    statuses: dict[str, int]

    @property
    def passed(self) -> bool:
        """One result and one row each, nothing poisoned."""
        exact = self.results == self.log_rows == self.log_requests == self.requests
        return exact and not (self.duplicates or self.missing or self.poison)


async def run(
    folder: Path,
    *,
    requests: int,
    kills: int,
    copies: int = 2,
    seed: int = 1,
    sync_interval: str = "always",
    timeout_s: float = 1200,
    say: Say = lambda _: None,
) -> Soaked:
    """Publish a burst and kill processes at random until everything is answered.

    Args:
        folder: for broker and database.
        requests: size of the burst.
        kills: SIGKILLs; every process, the broker included, is a target.
        copies: processes per stage.
        seed: of the choice of targets and moments.
        sync_interval: the broker's.
        timeout_s: seconds after which missing results are given up.
        say: told what is being done.
    """
    dice = random.Random(seed)  # noqa: S311 - a schedule of kills, not a secret
    settings = scripted(folder, sync_interval=sync_interval)
    ids = [f"soak-{number}" for number in range(requests)]
    began = time.monotonic()
    async with (
        Supervisor(settings, split=True, copies=dict.fromkeys(pipeline.STAGES, copies)) as supervisor,
        connected(supervisor.reached) as (_, wire),
    ):
        async with Load(supervisor.reached) as load:
            burst = asyncio.create_task(load.burst(ids))
            killed = await _kill(supervisor, dice, kills, say)
            say(f"{kills} kills done, {len(load.answered)} results heard; waiting for the rest")
            # A result may be published while this client's connection is down: the stream knows.
            found = await _results(Outcomes(wire), ids, timeout_s)
            burst.cancel()
            await asyncio.gather(burst, return_exceptions=True)
        rows, distinct, statuses = await _rows(settings.database, requests)
        poison = await _poison(wire)
    return Soaked(
        requests=requests,
        kills=dict(killed),
        seconds=round(time.monotonic() - began, 1),
        results=sum(found.values()),
        duplicates=sum(count - 1 for count in found.values()),
        missing=len(set(ids) - set(found)),
        log_rows=rows,
        log_requests=distinct,
        poison=poison,
        statuses=statuses,
    )


async def _kill(supervisor: Supervisor, dice: random.Random, kills: int, say: Say) -> Counter[str]:
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        await asyncio.sleep(dice.uniform(0.3, 1.2))
        name = kill_one(supervisor, dice, killed)
        if name is not None:
            say(f"kill {killed.total()} of {kills}: {name}")
    return killed


def kill_one(
    supervisor: Supervisor, dice: random.Random, killed: Counter[str], *, least: int = 1
) -> str | None:
    """SIGKILL a process that is ready, every one once before any is killed twice.

    Args:
        supervisor: starts it again.
        dice: choose it.
        killed: how often each was killed; this one is counted.
        least: processes that must be ready, lest the few that are ready are killed again and again.

    Returns:
        its name; ``None``: too few are ready.
    """
    up = [each for each in supervisor.processes if each.pid is not None and each.ready]
    if len(up) < least:
        return None
    fewest = min(killed[each.name] for each in up)
    target = dice.choice([each for each in up if killed[each.name] == fewest])
    assert target.pid is not None  # noqa: S101 - chosen among those that have one
    try:
        os.kill(target.pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    killed[target.name] += 1
    return target.name


async def _results(outcomes: Outcomes, ids: Sequence[str], timeout_s: float) -> Counter[str]:
    async with looking(outcomes):
        await outcomes.until_answered(ids, timeout_s=timeout_s)
    await outcomes.look()
    return Counter({one: len(results) for one, results in outcomes.answered.items()})


async def _rows(url: str, requests: int) -> tuple[int, int, dict[str, int]]:
    """Audit follows the log: wait until it has caught up, or a minute."""
    engine = database.engine_of(url)
    give_up = time.monotonic() + 60
    try:
        while True:
            rows, distinct, statuses = await asyncio.to_thread(_count, engine)
            if rows >= requests or time.monotonic() > give_up:
                return rows, distinct, statuses
            await asyncio.sleep(0.5)
    finally:
        engine.dispose()


def _count(engine: Any) -> tuple[int, int, dict[str, int]]:
    logs = GENERATION_LOGS.c
    with engine.connect() as connection:
        rows, distinct = connection.execute(
            select(func.count(), func.count(logs.request_id.distinct()))
        ).one()
        by_status = connection.execute(select(logs.status, func.count()).group_by(logs.status)).all()
    return rows, distinct, {row[0]: row[1] for row in by_status}


async def _poison(wire: RequestMultiplexer) -> int:
    letters = [entry async for entry in event_log.read(wire, pipeline.DEAD, "dead.>")]
    return sum(b'"code":"GEN_POISON"' in entry.body for entry in letters)

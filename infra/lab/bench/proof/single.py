"""Campaign on one node: the pipeline of `understudy up --split` with two fallbacks, everything fsynced."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import func, select

from contracts import pipeline
from infra.app.process_plan import BROKER
from infra.app.supervisor import Supervisor
from infra.lab.bench.proof import campaign, machine, verdicts
from infra.lab.bench.proof.faults import ProcessFaults, ServiceClock
from infra.lab.bench.proof.ledger import LabelCheck, Ledger
from infra.lab.bench.proof.verdicts import Aftermath, Campaign
from infra.lab.bench.trial import Say, connected, scripted
from infra.nats import log as event_log
from infra.stores import database, samples
from infra.stores.database import GENERATION_LOGS

if TYPE_CHECKING:
    from infra.lab.bench.proof.campaign import CampaignEvidence, CampaignPlan
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.settings.settings import Settings

#: Bytes of the file system that gets full.
_VOLUME: Final = 768 * 1024**2
#: Seconds that the audit may need to follow.
_AUDIT_S: Final = 180.0


async def run(plan: CampaignPlan, *, full_disk: bool = False, say: Say = lambda _: None) -> Campaign:
    """Run a campaign on one node; the broker syncs every write.

    Args:
        plan: how much of everything.
        full_disk: the data is in a small file system in memory, and the one fault is that it gets full.
        say: told what is being done.

    Raises:
        subprocess.CalledProcessError: ``full_disk``, and this machine does not let us mount one.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="understudy-proof-") as temporary, ExitStack() as stack:
        data_dir = Path(temporary) / "data"
        volume = machine.Volume(data_dir)
        if full_disk:
            stack.enter_context(volume.mounted(_VOLUME))
        time_file = stack.enter_context(_movable_clocks(Path(temporary) / "time"))
        settings = settings_of(data_dir)
        supervisor = Supervisor(settings, split=True, copies={"fallback": 2})
        async with supervisor, connected(supervisor.reached) as (_, wire):
            clock = ServiceClock(supervisor)
            dice = random.Random(plan.seed)  # noqa: S311 - a schedule, no secret
            ledger = Ledger(wire, LabelCheck(samples.load(settings.samples_dir)))
            left_out: list[str] = []
            if full_disk:
                faults = machine.FullDisk(clock, volume, lambda: ledger.newest_ms).plans()
            else:
                more, left_out = machine.MachineFaults(
                    broker_pid=lambda: supervisor.pids.get(BROKER),
                    database=data_dir / "understudy.db",
                    time_file=time_file,
                ).plans()
                faults = [*ProcessFaults(supervisor, clock, dice).plans(), *more]
            evidence = await campaign.load_and_strike(
                plan, url=supervisor.nats_url, wire=wire, ledger=ledger, clock=clock, faults=faults, say=say
            )
            return await conclude(
                plan, evidence, ledger, wire=wire, settings=settings, left_out=left_out, began=began, say=say
            )


async def conclude(
    plan: CampaignPlan,
    evidence: CampaignEvidence,
    ledger: Ledger,
    *,
    wire: RequestMultiplexer,
    settings: Settings,
    left_out: Sequence[str],
    began: float,
    say: Say,
) -> Campaign:
    """Judge a campaign whose requests have ended, once the audit has followed.

    Args:
        plan: of the campaign.
        evidence: of the campaign.
        ledger: what the broker stored.
        wire: reads dead letters.
        settings: of the pipeline.
        left_out: faults that could not be caused here, with the reason.
        began: seconds on the monotonic clock.
        say: told what is being done.
    """
    found = verdicts.judge(evidence, ledger, deadline_ms=plan.deadline_ms)
    say("waiting for the audit")
    after = Aftermath(
        left_out=tuple(left_out),
        rows_wrong=abs(await count_rows(settings.database, len(found)) - len(found)),
        letters=await count_letters(wire),
    )
    return verdicts.summarise(plan, evidence, found, ledger, seconds=time.monotonic() - began, after=after)


def settings_of(data_dir: Path, **more: Any) -> Settings:
    """Settings of a pipeline whose model fails, is late or writes broken JSON for some requests."""
    return scripted(
        data_dir,
        sync_interval="always",
        rules=campaign.RULES,
        gateway={"port": 0},
        **more,
    )


@contextmanager
def _movable_clocks(file: Path) -> Generator[Path | None]:
    """What is started inside has a wall clock that follows a file; ``None``: this machine lacks the library."""
    library = machine.find_faketime()
    if library is None:
        yield None
        return
    machine.write_time(file, "+0")
    with machine.environment(machine.clock_environment(file, library)):
        yield file


async def count_rows(url: str, wanted: int) -> int:
    """Audit rows, once there are as many as wanted or the time is up."""
    engine = database.engine_of(url)
    give_up = time.monotonic() + _AUDIT_S
    try:
        while True:
            rows = await asyncio.to_thread(_count, engine)
            if rows >= wanted or time.monotonic() > give_up:
                return rows
            await asyncio.sleep(1)
    finally:
        engine.dispose()


def _count(engine: database.Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(GENERATION_LOGS)).scalar_one()


class _Letter(msgspec.Struct, frozen=True):
    code: str = "none"


async def count_letters(wire: RequestMultiplexer) -> dict[str, int]:
    """Dead letters by error code."""
    found: Counter[str] = Counter()
    async for entry in event_log.read(wire, pipeline.DEAD, "dead.>"):
        found[msgspec.json.decode(entry.body, type=_Letter).code] += 1
    return dict(found)

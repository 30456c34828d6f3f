"""Storm bench: deadlines that fall due at once, a fallback that dies or freezes, a broker kill.

A storm of deadlines; one of several fallbacks killed or frozen at half time; the broker killed again and again.
Each gets a pipeline of its own.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from infra.app.process_plan import BROKER, Running
from infra.lab.bench import report
from infra.lab.bench.outcomes import Outage
from infra.lab.bench.publisher import PublishPlan
from infra.lab.bench.trial import LoadStep, Say, Trial, scripted, starting

if TYPE_CHECKING:
    from infra.settings.settings import Settings

Sync = Literal["always", "2m"]
Fault = Literal["kill", "freeze"]

#: Milliseconds of a call of the model, beyond the deadline: what answers is the fallback.
_SLOW_MS: Final = 10_000
_NEVER_MS: Final = 3_600_000
#: Seconds between the last request of a storm and the moment at which all are due, and before the first one.
_CALM_S: Final = 3.0
_START_S: Final = 2.0
#: Seconds that a frozen fallback stays so after the last request.
_FROZEN_S: Final = 15.0
#: Seconds between the broker's return and its next end.
_UP_S: Final = (0.4, 1.4)
#: Seconds in which a publish without an answer is tried again, as a client does.
_AGAIN_S: Final = 20.0


class StormPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which storms, and how strong."""

    syncs: tuple[Sync, ...] = ("always", "2m")
    #: Requests that are all due in the same second, and the seconds over which they are asked; 0: no such storm.
    requests: int = 5_000
    over: float = 50.0
    #: What happens to one of so many fallbacks at half time.
    faults: tuple[Fault, ...] = ()
    fallbacks: int = 2
    #: Requests per second meanwhile, and for how long.
    rate: float = 10.0
    seconds: float = 24.0
    #: SIGKILLs of the broker, as soon as it is up again, under so many requests per second.
    broker_kills: int = 0
    broker_rate: float = 60.0
    broker_seconds: float = 20.0
    deadline_ms: int = 2000
    #: Of the moments of the broker's ends.
    seed: int = 1
    patience_s: float = 120.0


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """One storm."""

    sync_interval: Sync
    step: LoadStep
    #: Processes that were killed or frozen.
    hit: tuple[str, ...] = ()
    #: Seconds without a broker, each time; they do not count as lateness.
    outages_s: tuple[float, ...] = ()


class StormReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found."""

    wanted: StormPlan
    storms: tuple[Storm, ...]

    @property
    def passed(self) -> bool:
        """Every accepted request got one result, by its deadline and 2 s."""
        return all(storm.step.tally.passed for storm in self.storms)


async def run(wanted: StormPlan, *, say: Say = lambda _: None) -> StormReport:
    """Let every storm pass over a pipeline of its own.

    Args:
        wanted: which.
        say: told what is being done.
    """
    storms: list[Storm] = []
    for sync in wanted.syncs:
        found = [
            *([await _deadlines(sync, wanted, say)] if wanted.requests else []),
            *[await _fallback(sync, fault, wanted, say) for fault in wanted.faults],
            *([await _broker(sync, wanted, say)] if wanted.broker_kills else []),
        ]
        for storm in found:
            say(f"sync_interval {sync}, {report.line(storm.step)}")
        storms += found
    return StormReport(wanted=wanted, storms=tuple(storms))


def table(found: StormReport) -> str:
    """A run as tables for people."""
    return report.table(("sync",), [((storm.sync_interval,), storm.step) for storm in found.storms])


async def _deadlines(sync: Sync, wanted: StormPlan, say: Say) -> Storm:
    say(f"sync_interval {sync}: {wanted.requests} requests over {wanted.over:g} s, all due at once")
    async with starting(partial(_settings, sync=sync, slow="*", after_ms=_NEVER_MS)) as trial:
        plan = PublishPlan(
            url=trial.supervisor.nats_url,
            prefix="due-",
            requests=wanted.requests,
            rate=wanted.requests / wanted.over,
            due=time.time() + _START_S + wanted.over + _CALM_S,
        )
        return Storm(
            sync_interval=sync, step=await trial.step("deadlines", plan, patience_s=wanted.patience_s)
        )


async def _fallback(sync: Sync, fault: Fault, wanted: StormPlan, say: Say) -> Storm:
    say(f"sync_interval {sync}: {fault} one of {wanted.fallbacks} fallbacks")
    configure = partial(_settings, sync=sync, slow="*", after_ms=wanted.deadline_ms + _SLOW_MS)
    async with starting(configure, copies={"fallback": wanted.fallbacks}) as trial:
        plan = PublishPlan(
            url=trial.supervisor.nats_url,
            prefix="fb-",
            requests=round(wanted.rate * wanted.seconds),
            rate=wanted.rate,
            deadline_ms=wanted.deadline_ms,
        )
        target = _one_fallback(trial.supervisor.processes)
        hit = partial(_kill, trial) if fault == "kill" else partial(_freeze, trial)
        step = await trial.step(
            f"{fault} fallback",
            plan,
            beside=partial(hit, target, wanted.seconds / 2),
            patience_s=wanted.patience_s,
        )
        return Storm(sync_interval=sync, step=step, hit=(target,))


async def _broker(sync: Sync, wanted: StormPlan, say: Say) -> Storm:
    say(f"sync_interval {sync}: up to {wanted.broker_kills} SIGKILLs of the broker")
    outages: list[Outage] = []
    # Every second request is answered by the line, the others by the fallback.
    configure = partial(_settings, sync=sync, slow="*[02468]", after_ms=wanted.deadline_ms + _SLOW_MS)
    async with starting(configure) as trial:
        plan = PublishPlan(
            url=trial.supervisor.nats_url,
            prefix="br-",
            requests=round(wanted.broker_rate * wanted.broker_seconds),
            rate=wanted.broker_rate,
            deadline_ms=wanted.deadline_ms,
            again_s=_AGAIN_S,
        )
        step = await trial.step(
            "broker kills",
            plan,
            beside=partial(_kill_broker, trial, wanted, outages, say),
            patience_s=wanted.patience_s,
        )
    return Storm(
        sync_interval=sync,
        step=step,
        hit=(BROKER,) * len(outages),
        outages_s=tuple(round((end - start) / 1000, 2) for start, end in outages),
    )


def _settings(folder: Path, *, sync: Sync, slow: str, after_ms: int) -> Settings:
    rule = {"match": {"request_id": slow, "stage": "freeform-gen"}, "do": "slow", "after_ms": after_ms}
    return scripted(folder, sync_interval=sync, rules=[rule])


def _one_fallback(processes: Sequence[Running]) -> str:
    """One that does as little else as possible."""
    able = [each for each in processes if "fallback" in each.stages]
    return min(reversed(able), key=lambda each: len(each.stages)).name


def _signal(trial: Trial, name: str, number: signal.Signals) -> None:
    pid = trial.supervisor.pids.get(name)
    if pid is not None:
        os.kill(pid, number)


async def _kill(trial: Trial, target: str, after_s: float) -> Sequence[Outage]:
    await asyncio.sleep(after_s)
    _signal(trial, target, signal.SIGKILL)
    return ()


async def _freeze(trial: Trial, target: str, after_s: float) -> Sequence[Outage]:
    await asyncio.sleep(after_s)
    _signal(trial, target, signal.SIGSTOP)
    await asyncio.sleep(after_s + _FROZEN_S)
    # The supervisor may have replaced it: then this is for a process that is not frozen, and harmless.
    _signal(trial, target, signal.SIGCONT)
    return ()


async def _kill_broker(trial: Trial, wanted: StormPlan, outages: list[Outage], say: Say) -> Sequence[Outage]:
    dice = random.Random(wanted.seed)  # noqa: S311 - moments, no secret
    give_up = time.monotonic() + wanted.broker_seconds
    while len(outages) < wanted.broker_kills and time.monotonic() < give_up:
        await asyncio.sleep(dice.uniform(*_UP_S))
        broker = next(each for each in trial.supervisor.processes if each.name == BROKER)
        if broker.pid is None:
            continue
        os.kill(broker.pid, signal.SIGKILL)
        gone = time.time() * 1000
        await trial.supervisor.until(partial(_returned, broker.restarts))
        outages.append((gone, time.time() * 1000))
        say(f"kill {len(outages)} of the broker: away for {(outages[-1][1] - gone) / 1000:.2f} s")
    return outages


def _returned(restarts: int, processes: Sequence[Running]) -> bool:
    return any(each.name == BROKER and each.restarts > restarts for each in processes)

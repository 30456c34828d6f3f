"""Overload bench: accepted requests are answered in time beyond the capacity.

Each mode gets a pipeline of its own.  The publisher does not wait for answers (open loop): it asks at 1, 2, 4 and
8 times the rate that can be served, then as fast as the broker takes requests.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, assert_never

import msgspec

from infra.lab.bench import report
from infra.lab.bench.publisher import PublishPlan
from infra.lab.bench.trial import LoadStep, Say, Trial, scripted, starting

if TYPE_CHECKING:
    from infra.settings.settings import Settings

Sync = Literal["always", "2m"]
Model = Literal["slow", "none"]

FACTORS: Final = (1.0, 2.0, 4.0, 8.0)
#: Milliseconds of a call of the slow model; how many at once follows from what it shall serve.
_CALL_MS: Final = 400
#: Publishes at once that are "as fast as the broker takes them".
_AT_ONCE: Final = 1_024
#: Requests that warm up, and that tell what a pipeline without a model serves.
_WARM_UP: Final = 100
_BASE: Final = 1_000


class OverloadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a run."""

    syncs: tuple[Sync, ...] = ("always", "2m")
    #: One that serves :attr:`capacity`, and none wanted.
    models: tuple[Model, ...] = ("slow", "none")
    #: Requests per second that the slow model serves.
    capacity: float = 50.0
    #: Request rates, as multiples of the capacity.
    factors: tuple[float, ...] = FACTORS
    #: Of each rate.
    seconds: float = 60.0
    #: Requests as fast as the broker takes them, at the end; 0: none.
    burst: int = 20_000
    deadline_ms: int = 2000
    #: Arrivals at random instead of even ones.
    poisson: bool = False
    #: Seconds beyond the deadline after which results are given up.
    patience_s: float = 120.0


class Mode(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of one pipeline."""

    sync_interval: Sync
    model: Model
    #: Requests per second that can be served: of a slow model by its settings, without one as measured.
    base_per_s: float
    steps: tuple[LoadStep, ...]


class OverloadReport(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a run."""

    wanted: OverloadPlan
    modes: tuple[Mode, ...]

    @property
    def passed(self) -> bool:
        """Every accepted request got one result, by its deadline and 2 s."""
        return all(step.tally.passed for mode in self.modes for step in mode.steps)


async def run(wanted: OverloadPlan, *, say: Say = lambda _: None) -> OverloadReport:
    """Apply each load to a pipeline of each mode.

    Args:
        wanted: modes and loads.
        say: told what is being done.
    """
    modes: list[Mode] = []
    for model in wanted.models:
        for sync in wanted.syncs:
            say(f"sync_interval {sync}, model {model}: the pipeline starts")
            configure = partial(_settings, sync=sync, model=model, capacity=wanted.capacity)
            async with starting(configure) as trial:
                modes.append(await _measure(trial, sync, model, wanted, say))
    return OverloadReport(wanted=wanted, modes=tuple(modes))


async def _measure(trial: Trial, sync: Sync, model: Model, wanted: OverloadPlan, say: Say) -> Mode:
    asking = _Asking(trial, wanted, say)
    await asking.ask("warm-up", None, _WARM_UP, in_flight=8)
    base = wanted.capacity if model == "slow" else await asking.base()
    steps = [
        await asking.ask(f"{factor:g}x", base * factor, round(base * factor * wanted.seconds))
        for factor in wanted.factors
    ]
    if wanted.burst:
        steps.append(await asking.ask("burst", None, wanted.burst))
    return Mode(sync_interval=sync, model=model, base_per_s=round(base, 1), steps=tuple(steps))


def _settings(folder: Path, *, sync: Sync, model: Model, capacity: float) -> Settings:
    match model:
        case "slow":
            # What is served: so many calls at once, each of which takes so long.
            at_once = max(1, round(capacity * _CALL_MS / 1000))
            after_ms = round(at_once / capacity * 1000)
            rule = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": after_ms}
            return scripted(folder, sync_interval=sync, rules=[rule], concurrency={"freeform_gen": at_once})
        case "none":
            return scripted(folder, sync_interval=sync, model=False)
        case _ as never:
            assert_never(never)


class _Asking:
    def __init__(self, trial: Trial, wanted: OverloadPlan, say: Say) -> None:
        self._trial = trial
        self._wanted = wanted
        self._say = say
        self._steps = 0

    async def ask(
        self, name: str, rate: float | None, requests: int, *, in_flight: int = _AT_ONCE
    ) -> LoadStep:
        self._steps += 1
        self._say(f"{name}: {requests} requests" + (f" at {rate:.0f}/s" if rate else ""))
        plan = PublishPlan(
            url=self._trial.supervisor.nats_url,
            prefix=f"s{self._steps}-",
            requests=requests,
            rate=rate,
            poisson=self._wanted.poisson,
            deadline_ms=self._wanted.deadline_ms,
        )
        if rate is None:
            plan = msgspec.structs.replace(plan, in_flight=in_flight)
        step = await self._trial.step(name, plan, patience_s=self._wanted.patience_s)
        self._say(report.line(step))
        return step

    async def base(self) -> float:
        """Capacity: requests per second that are answered under a higher rate."""
        step = await self.ask("base", None, _BASE)
        took = step.tally.requests / step.tally.offered_per_s + step.answered_after_s
        return step.tally.accepted / took


def table(found: OverloadReport) -> str:
    """The tables of a run."""
    return report.table(
        ("sync", "model"),
        [((mode.sync_interval, mode.model), step) for mode in found.modes for step in mode.steps],
    )

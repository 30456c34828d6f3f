"""Readings of experiments: what the results of each arm say, and whether an arm is better than the control.

Every result counts for its arm, whatever became of it (intention to treat): a stand-in, a failure and a cancellation
are the arm's failures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from sqlalchemy import Engine, func, select

from contracts.experiments import Arm, Experiment, ExperimentGoal
from infra.inspect import experiment_math as math
from infra.inspect.experiment_math import Interval, Resampled
from infra.inspect.experiment_results import ArmResults, collect_arms
from infra.stores.database import GENERATION_LOGS, reading

#: Probability that an experiment of equal arms ever names a difference, over all comparisons and looks together.
ERROR: Final = 0.05
#: Looks at a running experiment for which :data:`ERROR` holds.
LOOKS: Final = 5
#: Results that a reading takes, the latest ones.
MOST_RESULTS: Final = 200_000
_PAGE: Final = 5_000

_logs = GENERATION_LOGS.c
_COLUMNS: Final = (
    _logs.experiment_arm,
    _logs.experiment_unit,
    _logs.status,
    _logs.error_code,
    _logs.latency_ms,
    _logs.cost,
    _logs.prompt_tokens,
    _logs.completion_tokens,
)

Verdict = Literal["broken_split", "too_few", "no_difference", "winner"]
#: An arm against the control: by its goal and by its rate of success.
Standing = Literal["control", "better", "worse", "no_difference", "too_few", "not_read"]


class ArmFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Results of an arm that are not the model's content and have the same cause."""

    status: str
    code: str | None
    results: int


class ArmReading(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one arm; intervals are ``None`` without results, and where the split is broken."""

    name: str
    weight: int
    set: tuple[str, ...]
    #: Players, playthroughs or requests with a result.
    units: int
    results: int
    #: Share with the model's content (``success``, ``cached``); all other results are failures.
    success: Interval | None = None
    #: From ``requested`` to the result, of results that were neither cancelled nor rejected.
    p95_ms: Interval | None = None
    #: Money for each result; ``None`` also where the cost of a result is not known.
    cost: Interval | None = None
    failures: tuple[ArmFailure, ...] = ()
    #: Sums over the results; ``None`` if no provider reported them.
    tokens: int | None = None
    spent: float | None = None
    #: The difference from the control of the goal and of the rate of success, as the intervals above.
    goal_difference: Interval | None = None
    success_difference: Interval | None = None
    standing: Standing


class SplitCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the units are split as the weights say."""

    #: ``None``: there are too few units to tell.
    ok: bool | None
    #: Probability of a split at least as uneven; below 0.001 it is broken.
    p: float | None
    #: Units with results of several arms; a working split has none.
    mixed_units: int


class ExperimentReading(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment says."""

    name: str
    says: str | None
    unit: str
    goal: str
    #: Units of each arm before a winner is named.
    minimum: int
    stopped: bool
    promoted: str | None
    #: Version of the split; results of others are left out, and counted in ``earlier``.
    revision: str
    earlier: int
    #: Time of the result, ms since the epoch: not before, and before.
    since_ms: int
    until_ms: int
    #: There are more results; these are the latest.
    cut: bool
    #: Probability of ever naming a difference between equal arms, in this many looks.
    error: float
    looks: int
    split: SplitCheck
    verdict: Verdict
    winner: str | None
    #: The verdict in words, the broken split first.
    sentence: str
    #: In the order of the plan.
    arms: tuple[ArmReading, ...]

    @property
    def regressed(self) -> tuple[str, ...]:
        """Arms that are worse than the control."""
        return tuple(each.name for each in self.arms if each.standing == "worse")


def read_experiment(
    engine: Engine, plan: Experiment, *, since_ms: int = 0, until_ms: int
) -> ExperimentReading:
    """Read what the audit has of an experiment.

    Args:
        engine: the database.
        plan: the experiment.
        since_ms: begin of the window: results that ended then or later.
        until_ms: its end.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    where = (
        _logs.experiment == plan.name,
        _logs.shadow.is_(None),
        _logs.ended_at_ms >= since_ms,
        _logs.ended_at_ms < until_ms,
    )
    current = _logs.experiment_revision == plan.revision
    query = select(*_COLUMNS).where(*where, current).order_by(_logs.ended_at_ms.desc()).limit(MOST_RESULTS)
    with reading(engine) as connection:
        counted = select(func.count()).select_from(GENERATION_LOGS)
        earlier = connection.execute(counted.where(*where, ~current)).scalar_one()
        rows = connection.execution_options(yield_per=_PAGE).execute(query)
        arms = collect_arms(plan, rows)
    return make_reading(plan, arms, since_ms=since_ms, until_ms=until_ms, earlier=earlier)


def make_reading(
    plan: Experiment,
    found: dict[str, ArmResults],
    *,
    since_ms: int = 0,
    until_ms: int = 0,
    earlier: int = 0,
) -> ExperimentReading:
    """What the results say; the same results give the same reading."""
    split = _check_split(plan, found)
    control = plan.control_arm.name
    if split.ok is False:
        arms = tuple(_bare(each, found[each.name], "not_read") for each in plan.arms)
    else:
        arms = _Reader(plan, found).read()
    winner = _find_winner(plan, arms, control)
    verdict = _verdict(split, arms, winner)
    return ExperimentReading(
        name=plan.name,
        says=plan.says,
        unit=plan.unit,
        goal=plan.goal,
        minimum=plan.minimum,
        stopped=plan.stopped,
        promoted=plan.promoted,
        revision=plan.revision,
        earlier=earlier,
        since_ms=since_ms,
        until_ms=until_ms,
        cut=sum(each.results for each in found.values()) >= MOST_RESULTS,
        error=ERROR,
        looks=LOOKS,
        split=split,
        verdict=verdict,
        winner=winner,
        sentence=_say(plan, split, arms, verdict, winner),
        arms=arms,
    )


class _Reader:
    """Figures of the arms, each compared with the control."""

    def __init__(self, plan: Experiment, found: dict[str, ArmResults]) -> None:
        self._plan = plan
        self._found = found
        # Bonferroni: each comparison has its share of the error.
        self._error = ERROR / LOOKS / (len(plan.arms) - 1)
        self._control = plan.control_arm.name
        self._samples = {each.name: self._draw(each.name) for each in plan.arms}

    def read(self) -> tuple[ArmReading, ...]:
        return tuple(self._read(each) for each in self._plan.arms)

    def _draw(self, arm: str) -> Resampled:
        found = self._found[arm]
        if not found.results:
            return Resampled()
        drawn = math.resample(found.units, seed=f"{self._plan.name} {self._plan.revision} {arm}")
        known = found.cost_known and found.spent is not None
        return drawn if known else Resampled(p95_ms=drawn.p95_ms)

    def _read(self, arm: Arm) -> ArmReading:
        found = self._found[arm.name]
        bare = _bare(arm, found, "control" if arm.name == self._control else "too_few")
        if not found.results:
            return bare
        drawn = self._samples[arm.name]
        own = msgspec.structs.replace(
            bare,
            success=math.measure_rate(found.units, ERROR),
            p95_ms=math.enclose(math.percentile_95(found.units), drawn.p95_ms, ERROR)
            if drawn.p95_ms
            else None,
            cost=math.enclose(found.mean_cost, drawn.cost, ERROR) if drawn.cost else None,
        )
        return own if arm.name == self._control else self._compare(own)

    def _compare(self, own: ArmReading) -> ArmReading:
        found, control = self._found[own.name], self._found[self._control]
        if min(len(found.units), len(control.units)) < self._plan.minimum:
            return own
        success = math.compare_rates(
            math.measure_rate(found.units, self._error), math.measure_rate(control.units, self._error)
        )
        goal = success if self._plan.goal is ExperimentGoal.SUCCESS else self._compare_samples(own.name)
        return msgspec.structs.replace(
            own,
            goal_difference=goal,
            success_difference=success,
            standing=_stand(goal, success, more=self._plan.goal is ExperimentGoal.SUCCESS),
        )

    def _compare_samples(self, arm: str) -> Interval | None:
        own, control = self._samples[arm], self._samples[self._control]
        found, against = self._found[arm], self._found[self._control]
        if self._plan.goal is ExperimentGoal.COST:
            value, pairs = found.mean_cost - against.mean_cost, zip(own.cost, control.cost, strict=False)
        elif own.p95_ms and control.p95_ms:
            value = math.percentile_95(found.units) - math.percentile_95(against.units)
            pairs = zip(own.p95_ms, control.p95_ms, strict=False)
        else:
            return None
        differences = [a - b for a, b in pairs]
        return math.enclose(value, differences, self._error) if differences else None


def _bare(arm: Arm, found: ArmResults, standing: Standing) -> ArmReading:
    return ArmReading(
        name=arm.name,
        weight=arm.weight,
        set=arm.set,
        units=len(found.units),
        results=found.results,
        failures=tuple(
            ArmFailure(status=status, code=code, results=number)
            for (status, code), number in found.failures.most_common()
        ),
        tokens=found.tokens,
        spent=found.spent,
        standing=standing,
    )


def _check_split(plan: Experiment, found: dict[str, ArmResults]) -> SplitCheck:
    seen = Counter(unit for each in found.values() for unit in each.units)
    mixed = sum(number > 1 for number in seen.values())
    p = math.check_ratio(
        [len(found[each.name].units) for each in plan.arms], [each.weight for each in plan.arms]
    )
    if mixed:
        return SplitCheck(ok=False, p=p, mixed_units=mixed)
    return SplitCheck(ok=None if p is None else p >= math.BROKEN, p=p, mixed_units=0)


def _stand(goal: Interval | None, success: Interval, *, more: bool) -> Standing:
    """An arm that fails more often is worse, however quick or cheap it is."""
    if success.high < 0:
        return "worse"
    if goal is None:
        return "not_read"
    gained, lost = (goal.low > 0, goal.high < 0) if more else (goal.high < 0, goal.low > 0)
    return "better" if gained else "worse" if lost else "no_difference"


def _find_winner(plan: Experiment, arms: Sequence[ArmReading], control: str) -> str | None:
    better = [each for each in arms if each.standing == "better"]
    if better:
        sign = -1 if plan.goal is ExperimentGoal.SUCCESS else 1
        return min(
            better, key=lambda each: sign * (each.goal_difference.value if each.goal_difference else 0)
        ).name
    others = [each for each in arms if each.name != control]
    return control if others and all(each.standing == "worse" for each in others) else None


def _verdict(split: SplitCheck, arms: Sequence[ArmReading], winner: str | None) -> Verdict:
    if split.ok is False:
        return "broken_split"
    if winner is not None:
        return "winner"
    return "too_few" if any(each.standing == "too_few" for each in arms) else "no_difference"


_GOALS: Final = {
    ExperimentGoal.SUCCESS: "has the model's content more often",
    ExperimentGoal.P95: "has a lower 95th percentile of latency",
    ExperimentGoal.COST: "costs less for each result",
}


def _say(
    plan: Experiment, split: SplitCheck, arms: Sequence[ArmReading], verdict: Verdict, winner: str | None
) -> str:
    control = plan.control_arm.name
    worse = [each.name for each in arms if each.standing == "worse"]
    match verdict:
        case "broken_split":
            return f"The split is broken, so the figures say nothing: {_broken(split, arms)}."
        case "winner" if winner == control:
            return f"{control}, the control, wins: {', '.join(worse)} {'is' if len(worse) == 1 else 'are'} worse."
        case "winner":
            also = f" {', '.join(worse)}: worse than {control}." if worse else ""
            return f"{winner} wins: it {_GOALS[plan.goal]} than {control}, the control.{also}"
        case "too_few":
            few = ", ".join(f"{each.name} {each.units:,}" for each in arms if each.units < plan.minimum)
            return f"Too few {plan.unit}s for a verdict: {few} of {plan.minimum:,}."
        case "no_difference":
            unread = [each.name for each in arms if each.standing == "not_read"]
            if unread:
                return f"No verdict: the {plan.goal} of {', '.join(unread)} or of {control} is not known."
            also = f" {', '.join(worse)}: worse than {control}." if worse else ""
            return f"No arm is better than {control}, the control.{also}"


def _broken(split: SplitCheck, arms: Sequence[ArmReading]) -> str:
    if split.mixed_units:
        return f"{split.mixed_units:,} units have results of several arms"
    weights = ":".join(str(each.weight) for each in arms)
    units = ":".join(f"{each.units:,}" for each in arms)
    return f"units are split {units} where weights say {weights} (p {split.p:.1g}, below {math.BROKEN})"

"""What do the results of an experiment say, and when do they say nothing?"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import starmap
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from contracts.experiments import Experiment
from contracts.policy import experiments as policy
from infra.cli.experiment_table import render
from infra.inspect import experiment_export
from infra.inspect import experiment_math as math
from infra.inspect.experiment_results import ArmResults, collect_arms
from infra.inspect.experiments import (
    ERROR,
    ExperimentReading,
    make_reading,
)

GOOD, BAD = "success", "fail_fallback"


def plan(**fields: Any) -> Experiment:
    given = {"name": "tone", "unit": "request", "minimum": 100, "arms": [{"name": "a"}, {"name": "b"}]}
    return Experiment.model_validate(given | fields)


def rows(arm: str, units: int, *, good: int, latency: float = 100.0, cost: float | None = 0.01) -> list[Any]:
    """Results of units of their own, of which so many succeed."""
    return [
        (arm, f"{arm}{number:05d}", GOOD if number < good else BAD, None, latency + number % 7, cost, 5, 5)
        for number in range(units)
    ]


def reading(one: Experiment, *parts: list[Any]) -> ExperimentReading:
    return make_reading(one, collect_arms(one, [row for part in parts for row in part]))


@pytest.mark.parametrize(
    ("statistic", "degrees", "p"),
    # Critical values of printed tables.
    [(3.841, 1, 0.05), (10.828, 1, 0.001), (5.991, 2, 0.05), (7.815, 3, 0.05), (20.515, 5, 0.001), (0, 4, 1)],
)
def test_the_tail_of_chi_square_is_the_tables(statistic: float, degrees: int, p: float) -> None:
    assert math.chi_square_tail(statistic, degrees) == pytest.approx(p, rel=2e-3)


def test_wilsons_interval_is_the_textbooks() -> None:
    # Newcombe (1998), table I: 81 of 263, 0.2553 to 0.3662; 0 of 20, 0 to 0.1611.
    assert math.wilson(81 / 263, 263, math.z_of(0.05)) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert math.wilson(0, 20, math.z_of(0.05)) == pytest.approx((0, 0.1611), abs=1e-4)


def test_newcombes_difference_is_the_papers() -> None:
    # Newcombe (1998), 56 of 70 against 48 of 80: 0.0524 to 0.3339.
    first, second = (
        math.Interval(value=rate, low=low, high=high)
        for rate, (low, high) in ((56 / 70, math.wilson(0.8, 70, 1.96)), (0.6, math.wilson(0.6, 80, 1.96)))
    )
    found = math.compare_rates(first, second)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_results_of_one_player_do_not_count_as_many() -> None:
    alike = {f"{each:x}": math.UnitResults(results=10, successes=10 * (each % 2)) for each in range(50)}
    apart = {f"{each:x}": math.UnitResults(results=1, successes=each % 2) for each in range(500)}
    wide, narrow = math.measure_rate(alike, 0.05), math.measure_rate(apart, 0.05)
    assert wide.value == narrow.value == 0.5
    # As wide as that of the 50 players.
    assert wide.high - wide.low == pytest.approx(math.wilson(0.5, 50, 1.96)[1] * 2 - 1, rel=0.02)


def test_stand_ins_failures_and_cancellations_are_the_arms_failures() -> None:
    one = plan()
    ends = [GOOD, "cached", BAD, "cached_fallback", "placeholder", "skipped", "failed", "cancelled"]
    found = reading(one, [("a", f"u{number}", each, None, 1, 0.0, 1, 1) for number, each in enumerate(ends)])
    arm = found.arms[0]
    assert arm.success is not None
    assert (arm.results, arm.success.value) == (8, 0.25)
    assert sum(each.results for each in arm.failures) == 6


def test_a_failing_arm_loses() -> None:
    found = reading(plan(), rows("a", 200, good=190), rows("b", 200, good=20))
    assert (found.verdict, found.winner, found.regressed) == ("winner", "a", ("b",))
    assert found.sentence == "a, the control, wins: b is worse."
    better = reading(plan(), rows("a", 200, good=100), rows("b", 200, good=190))
    assert (better.winner, better.arms[1].standing, better.regressed) == ("b", "better", ())


def test_nobody_wins_below_the_minimum() -> None:
    found = reading(plan(), rows("a", 99, good=99), rows("b", 120, good=0))
    assert (found.verdict, found.winner) == ("too_few", None)
    assert found.sentence == "Too few requests for a verdict: a 99 of 100."
    assert reading(plan(), rows("a", 100, good=100), rows("b", 120, good=0)).winner == "a"


@pytest.mark.parametrize("weights", [(1, 1), (9, 1)])
def test_a_broken_splitter_is_caught_and_stops_the_reading(weights: tuple[int, int]) -> None:
    """A splitter that ignores half of the units of one arm."""
    one = plan(arms=[{"name": "a", "weight": weights[0]}, {"name": "b", "weight": weights[1]}])
    whole = reading(one, rows("a", 100 * weights[0], good=90), rows("b", 100 * weights[1], good=90))
    broken = reading(one, rows("a", 100 * weights[0], good=90), rows("b", 50 * weights[1], good=5))
    assert (whole.split.ok, broken.split.ok) == (True, False)
    assert (broken.verdict, broken.winner) == ("broken_split", None)
    assert broken.sentence.startswith("The split is broken, so the figures say nothing: units are split ")
    assert [(each.standing, each.success, each.p95_ms) for each in broken.arms] == [
        ("not_read", None, None)
    ] * 2


def test_a_unit_in_two_arms_is_a_broken_split() -> None:
    found = reading(
        plan(),
        rows("a", 150, good=150),
        rows("b", 150, good=150),
        [("b", "a00001", GOOD, None, 1, 0.0, 1, 1)],
    )
    assert (found.verdict, found.split.mixed_units) == ("broken_split", 1)


def equal(seed: int, arms: int) -> ExperimentReading:
    """An experiment whose arms are equal: players differ, and each has some results."""
    drawn = random.Random(seed)  # noqa: S311 - a simulation
    one = plan(unit="player", arms=[{"name": f"arm{each}"} for each in range(arms)])
    found = {each.name: ArmResults() for each in one.arms}
    for arm in found.values():
        for _ in range(120):
            skill, name = min(1.0, max(0.0, drawn.gauss(0.8, 0.15))), f"{drawn.getrandbits(64):016x}"
            for _ in range(drawn.randint(1, 4)):
                end = GOOD if drawn.random() < skill else BAD
                arm.add(name, end, None, drawn.lognormvariate(7, 0.5), drawn.expovariate(100), 9, 9)
    return make_reading(one, found)


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bootstrap takes most of the time, and rates do without it."""
    monkeypatch.setattr(math, "SAMPLES", 10)


@pytest.mark.parametrize("arms", [2, 4])
@pytest.mark.usefixtures("few_samples")
def test_equal_arms_differ_no_more_often_than_the_stated_error(arms: int) -> None:
    found = list(starmap(equal, ((seed, arms) for seed in range(100))))
    named = [each for each in found if each.verdict == "winner" or each.regressed]
    assert len(named) <= ERROR * len(found)
    assert {each.verdict for each in found} >= {"no_difference"}


def differ(change: Callable[[float], float], **fields: Any) -> ExperimentReading:
    drawn = random.Random(1)  # noqa: S311 - a simulation
    one = plan(**fields)
    parts = [
        [
            (
                arm,
                f"{drawn.getrandbits(64):016x}",
                GOOD,
                None,
                by(drawn.lognormvariate(7, 0.3)),
                by(0.01),
                9,
                9,
            )
            for _ in range(300)
        ]
        for arm, by in (("a", lambda value: value), ("b", change))
    ]
    return reading(one, *parts)


@pytest.mark.parametrize("goal", ["p95", "cost"])
def test_a_quicker_or_cheaper_arm_wins_by_that_goal_alone(goal: str) -> None:
    found = differ(lambda value: value / 2, goal=goal)
    assert (found.winner, found.arms[1].standing) == ("b", "better")
    assert found.arms[1].goal_difference is not None
    assert found.arms[1].goal_difference.high < 0
    assert differ(lambda value: value / 2, goal="success").verdict == "no_difference"
    assert differ(lambda value: value * 2, goal=goal).winner == "a"


def test_an_arm_that_fails_quickly_does_not_win_by_its_latency() -> None:
    found = reading(
        plan(goal="p95"), rows("a", 200, good=190, latency=900), rows("b", 200, good=20, latency=5)
    )
    assert (found.winner, found.regressed) == ("a", ("b",))


def test_a_cost_that_is_not_known_is_no_cost_of_nothing() -> None:
    found = reading(plan(goal="cost"), rows("a", 200, good=190, cost=None), rows("b", 200, good=190))
    assert (found.verdict, found.arms[0].cost, found.winner) == ("no_difference", None, None)
    assert found.sentence == "No verdict: the cost of b or of a is not known."


def test_the_same_results_give_the_same_reading() -> None:
    first, second = (differ(lambda value: value * 1.01, goal="p95") for _ in range(2))
    assert first == second


def test_many_results_are_read_in_bounded_work() -> None:
    found = ArmResults()
    for number in range(20_000):
        found.add(policy.name_unit("x", str(number)), GOOD, None, float(number), 0.1, 1, 1)
    drawn = math.resample(found.units, seed="x")
    assert (len(drawn.p95_ms), len(drawn.cost)) == (math.SAMPLES, math.SAMPLES)
    interval = math.enclose(math.percentile_95(found.units), drawn.p95_ms, 0.05)
    assert interval.low < 18_999 < interval.high
    assert interval.high - interval.low < 2_000


def test_an_arm_that_the_plan_does_not_have_counts_nowhere() -> None:
    found = reading(plan(), rows("c", 10, good=10))
    assert [each.results for each in found.arms] == [0, 0]


def test_the_table_says_verdict_arms_and_reasons() -> None:
    found = reading(plan(), rows("a", 200, good=190), rows("b", 200, good=20))
    text = "\n".join(str(each) for each in render(found))
    assert text.splitlines()[0] == "a, the control, wins: b is worse."
    assert "95.0 % (91.0 % to 97.3 %)" in text
    assert "at most 5% of cases, read up to 5 times" in text
    assert "fail_fallback" in text


def test_promptfoo_and_junit_tell_the_regression() -> None:
    found = reading(plan(), rows("a", 200, good=190), rows("b", 200, good=20))
    made = experiment_export.to_promptfoo(found)["results"]
    assert [each["success"] for each in made["results"]] == [True, False]
    assert made["stats"]["failures"] == 1
    assert [each["metrics"]["testPassCount"] for each in made["prompts"]] == [190, 20]
    assert counts(found) == ("2", "1", "0")
    assert counts(reading(plan())) == ("2", "0", "2")
    broken = reading(plan(), rows("a", 200, good=190), rows("b", 20, good=20))
    assert counts(broken)[1] == "1"
    assert experiment_export.to_promptfoo(broken)["results"]["stats"]["failures"] == 2


def counts(found: ExperimentReading) -> tuple[str | None, ...]:
    suite = ET.fromstring(experiment_export.to_junit(found))  # noqa: S314 - our own text
    return tuple(suite.get(each) for each in ("tests", "failures", "skipped"))

"""Is every accepted request answered once and in time under load?  The reduced forms of three benches."""

from __future__ import annotations

import pytest

from infra.lab.bench import hostile, overload, storm

pytestmark = [pytest.mark.soak, pytest.mark.timeout(120)]


@pytest.mark.parametrize("model", ["slow", "none"])
async def test_more_than_a_slow_model_serves_is_answered_in_time(model: overload.Model) -> None:
    wanted = overload.OverloadPlan(
        syncs=("2m",),
        models=(model,),
        capacity=25,
        factors=(4,) if model == "slow" else (),
        seconds=2,
        burst=500,
    )
    found = await overload.run(wanted)
    assert found.passed, overload.table(found)
    assert all(step.tally.accepted for mode in found.modes for step in mode.steps)


async def test_deadlines_that_are_due_at_once_are_answered_in_time() -> None:
    found = await storm.run(storm.StormPlan(syncs=("2m",), requests=300, over=2))
    assert found.passed, storm.table(found)
    (one,) = found.storms
    assert one.step.tally.endings == {"fail_fallback/golden_sample": 1.0}


async def test_a_killed_fallback_loses_and_doubles_nothing() -> None:
    wanted = storm.StormPlan(syncs=("2m",), requests=0, faults=("kill",), seconds=4, deadline_ms=500)
    found = await storm.run(wanted)
    (one,) = found.storms
    assert (one.step.tally.accepted, one.step.tally.lost, one.step.tally.doubled) == (40, 0, 0)


async def test_innocent_requests_are_in_time_beside_hostile_ones() -> None:
    wanted = hostile.HostilePlan(inputs=("body-deep",), copies=10, innocent=40)
    found = await hostile.run(wanted)
    assert found.passed, hostile.table(found)
    (one,) = found.inputs
    assert one.hostile == {"rejected GEN_INVALID_REQUEST": 10}

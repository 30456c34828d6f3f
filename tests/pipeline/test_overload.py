"""Every accepted request is answered once under load: the reduced forms of three benches.

How late an answer is depends on the machine: `understudy bench overload|storm|hostile` judges it.  Here nothing is
lost, nothing doubled, and nothing so late that something must have waited for ever.
"""

from __future__ import annotations

import pytest

from infra.lab.bench import hostile, overload, storm
from infra.lab.bench.outcomes import Tally

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("own_port")]

#: Seconds beyond the deadline that no machine explains.
_STUCK_S = 30.0


def answered_once(found: Tally) -> None:
    """Assert that each accepted request has one result."""
    assert found.accepted > 0
    assert (found.lost, found.doubled) == (0, 0), found
    assert found.late_s.max is not None
    assert found.late_s.max < _STUCK_S, found


@pytest.mark.parametrize("model", ["slow", "none"])
async def test_more_than_a_slow_model_serves_is_answered(model: overload.Model) -> None:
    wanted = overload.OverloadPlan(
        syncs=("2m",),
        models=(model,),
        capacity=25,
        factors=(4,) if model == "slow" else (),
        seconds=2,
        burst=500,
    )
    found = await overload.run(wanted)
    steps = [step for mode in found.modes for step in mode.steps]
    assert len(steps) == (2 if model == "slow" else 1)
    for step in steps:
        answered_once(step.tally)


async def test_deadlines_that_are_due_at_once_are_answered() -> None:
    found = await storm.run(storm.StormPlan(syncs=("2m",), requests=300, over=2))
    (one,) = found.storms
    answered_once(one.step.tally)
    assert one.step.tally.endings == {"fail_fallback/golden_sample": 1.0}


async def test_a_killed_fallback_loses_and_doubles_nothing() -> None:
    wanted = storm.StormPlan(syncs=("2m",), requests=0, faults=("kill",), seconds=4, deadline_ms=500)
    found = await storm.run(wanted)
    (one,) = found.storms
    answered_once(one.step.tally)
    assert one.step.tally.accepted == 40


async def test_innocent_requests_are_answered_beside_hostile_ones() -> None:
    wanted = hostile.HostilePlan(inputs=("body-deep",), copies=10, innocent=40)
    found = await hostile.run(wanted)
    (one,) = found.inputs
    answered_once(one.step.tally)
    assert (one.lost, one.doubled, one.internal) == (0, 0, 0)
    assert one.hostile == {"rejected GEN_INVALID_REQUEST": 10}

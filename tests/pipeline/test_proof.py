"""Fault campaigns at a small size: the machinery of `understudy bench proof` against a real pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from infra.lab.bench.proof import cluster, single
from infra.lab.bench.proof.campaign import CampaignPlan
from infra.lab.bench.proof.verdicts import Campaign

pytestmark = pytest.mark.long


@pytest.mark.parametrize("run", [single.run, cluster.run], ids=["one node", "three nodes"])
async def test_no_fault_loses_doubles_or_hides_a_result(
    run: Callable[[CampaignPlan], Awaitable[Campaign]],
) -> None:
    found = await run(CampaignPlan(requests=1_500, rate=25, faults=40))
    assert found.passed, found.wrong
    assert found.accepted >= 1_500 - found.refused
    assert found.faults > 0
    assert {"success/scripted", "fail_fallback/golden_sample"} <= set(found.endings)

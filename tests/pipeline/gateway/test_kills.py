"""Every request that the gateway has accepted has one result while everything is killed: `bench gateway-kills`, short."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.lab.bench import gateway_kills

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("own_port"), pytest.mark.timeout(240)]


async def test_accepted_requests_outlive_the_kills(tmp_path: Path) -> None:
    found = await gateway_kills.run(tmp_path, seconds=8, rate=15, users=50, pause_s=(0.8, 1.2))
    assert found.passed, found
    # Every process is killed once before any is killed twice; a slow machine comes to a few of them.
    assert len(found.kills) >= 2
    assert found.asked_otherwise

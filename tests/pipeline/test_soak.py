"""Is every request answered once while everything is killed?  The reduced form of `bench soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.lab.bench import soak


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_thousand_requests_outlive_twenty_kills(tmp_path: Path) -> None:
    found = await soak.run(tmp_path, requests=1000, kills=20, sync_interval="always", timeout_s=200)
    assert found.passed, found
    assert sum(found.kills.values()) == 20
    assert {"broker", "audit", "fallback"} <= {name.partition("#")[0] for name in found.kills}

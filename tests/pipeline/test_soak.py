"""Every request is answered once while everything is killed: `bench soak`, reduced and at full length."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.lab.bench import soak

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("own_port")]


@pytest.mark.parametrize(
    ("requests", "kills"),
    [
        # Every one of the thirteen processes.
        pytest.param(300, 13, marks=pytest.mark.timeout(400)),
        pytest.param(10_000, 24, marks=(pytest.mark.long, pytest.mark.timeout(3600))),
    ],
)
async def test_requests_outlive_the_kills(tmp_path: Path, requests: int, kills: int) -> None:
    found = await soak.run(
        tmp_path, requests=requests, kills=kills, sync_interval="always", timeout_s=300 * requests / 1000
    )
    assert found.passed, found
    assert sum(found.kills.values()) == kills
    assert {"broker", "audit", "fallback"} <= {name.partition("#")[0] for name in found.kills}

"""Does the doctor see a real broker as it is?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from nats.aio.client import Client

from infra import doctor
from infra.settings import Settings


def _by_check(rows: tuple[doctor.Row, ...]) -> Mapping[str, doctor.Row]:
    return {row.check: row for row in rows}


@pytest.fixture
def there(settings: Settings, nats_url: str) -> Settings:
    return settings.model_copy(update={"nats_url": nats_url})


async def test_a_good_broker_has_only_good_rows(there: Settings) -> None:
    rows = _by_check(await doctor.examine(there))
    for check in ("broker", "broker version", "topology", "retention EVENTS", "consumer EVENTS/fallback"):
        assert rows[check].ok, rows[check]
    assert rows["golden samples"].ok, rows["golden samples"]


async def test_drift_and_work_left_lying_are_seen(there: Settings, nc: Client) -> None:
    await nc.jetstream().publish("gen.requested.layout.r1", b"{}")
    await nc.jetstream().delete_consumer("EVENTS", "audit")
    rows = _by_check(await doctor.examine(there))
    assert rows["topology"].detail == "consumer EVENTS/audit: missing"
    assert rows["consumer REQUESTS/context-build"].detail.startswith("1 waiting")
    assert not rows["consumer REQUESTS/context-build"].ok


async def test_no_broker_is_an_error_and_the_rest_is_examined(settings: Settings) -> None:
    rows = _by_check(await doctor.examine(settings))
    assert (rows["broker"].severity, "understudy up" in rows["broker"].fix) == ("error", True)
    assert {"python", "database", "golden samples", "gpu", "disk"} <= set(rows)


async def test_a_broken_sample_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "sample_bad.json").write_text("{}")
    rows = _by_check(await doctor.examine(settings.model_copy(update={"samples_dir": tmp_path})))
    assert "sample_bad.json" in rows["golden samples"].detail
    assert not rows["golden samples"].ok

"""Does the doctor see a real broker as it is?"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from nats.aio.client import Client

from infra.app import doctor
from infra.app.doctor_check import DoctorCheck
from infra.nats import embedded, topology
from infra.nats.embedded import Embedded
from infra.settings.settings import Settings, load
from infra.stores import audit, database
from tests.broker.audit_fixtures import Postgres, postgres
from tests.broker.conftest import connect
from tests.lives import received, records, success

__all__ = ["postgres"]


def _by_check(rows: tuple[DoctorCheck, ...]) -> Mapping[str, DoctorCheck]:
    return {row.check: row for row in rows}


@pytest.fixture
def there(settings: Settings, nats_url: str) -> Settings:
    return settings.model_copy(update={"nats_url": nats_url})


async def test_a_good_broker_has_only_good_rows(there: Settings) -> None:
    rows = _by_check(await doctor.examine(there))
    for check in (
        *("broker", "broker version", "topology", "retention EVENTS", "consumer EVENTS/fallback"),
        *("storage", "publishing"),
    ):
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
    assert (rows["broker"].severity, rows["broker"].fix) == ("error", "")
    assert rows["broker"].detail.count("understudy up") == 1
    assert {"python", "database", "golden samples", "gpu", "disk"} <= set(rows)


async def test_a_broken_sample_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "sample_bad.json").write_text("{}")
    rows = _by_check(await doctor.examine(settings.model_copy(update={"samples_dir": tmp_path})))
    assert "sample_bad.json" in rows["golden samples"].detail
    assert not rows["golden samples"].ok


async def test_a_broker_that_stores_nothing_is_an_error(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "compute_max_store", lambda _folder: 500_000)
    settings = load(data_dir=settings.data_dir, broker={"requests_max_bytes": 64 * 1024})
    async with Embedded(tmp_path / "full", sync_interval="2m") as broker:
        await topology.apply_at(broker.url, settings)
        at = settings.model_copy(update={"nats_url": broker.url})
        assert _by_check(await doctor.examine(at))["publishing"].ok
        nc = await connect(broker.url)
        ack: dict[str, object] = {}
        while "error" not in ack:
            ack = json.loads((await nc.request("dead.x.layout.y", b"x" * 50_000)).data)
        await nc.close()
        row = _by_check(await doctor.examine(at))["publishing"]
    assert (row.severity, "stores nothing: insufficient" in row.detail) == ("error", True)


async def test_forged_results_are_named(there: Settings, nc: Client) -> None:
    engine = database.engine_of(there.database)
    database.migrate(engine)
    sink = audit.AuditSink(engine, batch=10)
    now_ms = round(time.time() * 1000)
    forged = [
        received(success(one, 0), one, sequence=n, at_ms=now_ms - 60_000, headers={})
        for n, one in enumerate(("a", "b"))
    ]
    await asyncio.gather(*(sink.add(record) for record in records(forged)))
    await sink.close()
    row = _by_check(await doctor.examine(there))["log"]
    assert (row.ok, row.severity) == (False, "error")
    assert row.detail.startswith(
        "2 events from a publisher that may not publish them, 2 results without a request: a, b"
    )
    assert "understudy why" in row.fix


async def test_a_damaged_database_says_to_move_it_away(settings: Settings) -> None:
    file = Path(settings.database.removeprefix("sqlite:///"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"not a database, but long enough to be looked at" * 100)
    row = _by_check(await doctor.examine(settings))["database"]
    assert row.fix.startswith(f"the file is damaged: move {file} away")


async def test_a_missing_postgresql_database_says_to_create_it(
    settings: Settings, postgres: Postgres
) -> None:
    url = postgres.create("there").replace("/there?", "/missing?")
    row = _by_check(await doctor.examine(settings.model_copy(update={"database_url": url})))["database"]
    assert 'database "missing" does not exist' in row.detail
    assert "createdb missing" in row.fix

"""State and figures over HTTP without a broker: doctor runs once for all, and what is away is said at once."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from infra.app import doctor
from infra.app.doctor_check import DoctorCheck, row
from infra.gateway.routes import observe
from infra.settings.settings import Settings
from tests.unit.access_fixtures import World, empty, engine, world

__all__ = ["empty", "engine", "world"]

PATH = "/api/v1/doctor"


class Doctor:
    """Checks that end when a test says so."""

    def __init__(self) -> None:
        self.runs = 0
        self.go = threading.Event()

    async def examine(self, settings: Settings) -> tuple[DoctorCheck, ...]:
        del settings
        self.runs += 1
        self.go.wait(30)
        return (row("broker", "error", "it is away", "start it"), row("disk", "ok", "has room"))


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Doctor:
    made = Doctor()
    monkeypatch.setattr(doctor, "examine", made.examine)
    return made


async def test_doctor_runs_once_for_all_who_ask(world: World, checks: Doctor) -> None:
    asking = [asyncio.create_task(world.http.get(PATH)) for _ in range(20)]
    while not checks.runs:
        await asyncio.sleep(0)
    # The loop is free while the checks run.
    assert (await world.http.get("/livez")).status_code == 200
    checks.go.set()
    answers = await asyncio.gather(*asking)
    assert {each.status_code for each in answers} == {200}
    body = answers[0].json()
    assert (body["ok"], [each["fix"] for each in body["checks"]]) == (False, ["start it", ""])
    assert (await world.http.get(PATH)).json() == body
    assert checks.runs == 1


async def test_doctor_that_takes_too_long_is_waited_for_again(
    world: World, checks: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "_PATIENCE_S", 0.01)
    late = await world.http.get(PATH)
    again = await world.http.get(PATH)
    checks.go.set()
    monkeypatch.setattr(observe, "_PATIENCE_S", 30)
    done = await world.http.get(PATH)
    assert [each.status_code for each in (late, again, done)] == [503, 503, 200]
    assert (late.json()["type"], late.headers["Retry-After"]) == ("/problems/took-too-long", "5")
    assert checks.runs == 1


async def test_what_is_away_is_said_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.gateway.gateway._AWAY_S", 0)
    found = {
        path: (await world.http.get(f"/api/v1/{path}")).status_code
        for path in ("board", "topology", "budgets", "cache/stats", "kinds", "samples", "telemetry")
    }
    assert found == {
        "board": 503,
        "topology": 503,
        "budgets": 503,
        "cache/stats": 503,
        "kinds": 200,
        "samples": 200,
        "telemetry": 200,
    }


async def test_without_a_database_the_figures_are_those_of_no_requests(world: World, tmp_path: Path) -> None:
    world.engine.dispose()
    for file in tmp_path.glob("audit.db*"):
        file.unlink()
    answer = await world.http.get("/api/v1/telemetry", params={"window": "24h"})
    assert answer.status_code == 200
    assert answer.json()["windows"][0]["total"]["requests"] == 0
    assert len(answer.json()["series"]) in {96, 97}
    wrong = await world.http.get("/api/v1/telemetry", params={"window": "2h"})
    assert (wrong.status_code, wrong.json()["errors"][0]["parameter"]) == (422, "window")

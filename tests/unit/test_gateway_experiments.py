"""Experiments over HTTP: the same words as the command line, and a row for every change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import insert

from infra.cli.app import app
from infra.inspect import experiment_math
from infra.stores.changes import list_changes
from infra.stores.database import GENERATION_LOGS
from infra.stores.experiments import find
from tests.unit.access_fixtures import World, bearer, empty, engine, world

__all__ = ["empty", "engine", "world"]

PATH = "/api/v1/experiments"
FILE = """\
unit = "request"
minimum = 30
[[arms]]
name = "as-is"
[[arms]]
name = "warm"
set = ["params.temperature=0.9"]
"""


@pytest.fixture
def folder(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "experiments"
    made.mkdir()
    (made / "tone.toml").write_text(FILE, encoding="utf-8")
    (made / "wrong.toml").write_text("unit = 7", encoding="utf-8")
    world.gateway.settings = world.gateway.settings.model_copy(update={"experiments_dir": made})
    monkeypatch.setattr(experiment_math, "SAMPLES", 50)
    monkeypatch.setenv("UNDERSTUDY_EXPERIMENTS_DIR", str(made))
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", str(world.engine.url))
    return made


def log(world: World, folder: Path, **more: str) -> None:
    """Results of sixty requests, thirty of each arm, of which one arm fails."""
    row = {
        "kind": "layout",
        "attempts": 1,
        "stream": "EVENTS",
        "stream_created_ms": 1,
        "origin": "live",
        "experiment": "tone",
        "experiment_revision": find(folder, "tone").revision,
        **more,
    }
    with world.engine.begin() as connection:
        for number in range(60):
            arm = number % 2
            values = {
                "request_id": f"r-{number}",
                "status": ("success", "fail_fallback")[arm],
                "experiment_arm": ("as-is", "warm")[arm],
                "experiment_unit": f"{number:016x}",
                "latency_ms": 100 + number,
                "ended_at_ms": 1_000 + number,
                "sequence": number,
            }
            connection.execute(insert(GENERATION_LOGS), row | values)


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    with pytest.raises(SystemExit) as left:
        app(["experiments", *words], prog_name="understudy")
    assert left.value.code == status
    return capsys.readouterr().out


async def test_http_and_command_line_agree(
    world: World, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log(world, folder)
    token = bearer(world.issue("viewer"))
    over_http = (await world.http.get(f"{PATH}/tone", headers=token)).json()
    printed = json.loads(said(capsys, "show", "tone", "--format", "json"))
    assert over_http.pop("until_ms") <= printed.pop("until_ms")
    assert over_http == printed
    assert (printed["verdict"], printed["winner"]) == ("winner", "as-is")
    listed = (await world.http.get(PATH, headers=token)).json()
    assert listed == json.loads(said(capsys, "ls", "--json"))
    assert [(each["name"], each["ok"]) for each in listed] == [("tone", True), ("wrong", False)]


async def test_a_regression_fails_a_build(
    world: World, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log(world, folder)
    assert said(capsys, "show", "tone").startswith("as-is, the control, wins: warm is worse.")
    said(capsys, "show", "tone", "--fail-on-regression", status=1)
    assert "<failure" in said(capsys, "show", "tone", "--format", "junit", "--fail-on-regression", status=1)
    said(capsys, "show", "tone", "--since", "1d", "--fail-on-regression")


async def test_results_of_another_version_of_the_split_are_left_out_and_counted(
    world: World, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log(world, folder, experiment_revision="another")
    found = (await world.http.get(f"{PATH}/tone", headers=bearer(world.issue("viewer")))).json()
    assert (found["earlier"], found["verdict"]) == (60, "too_few")
    assert "60 results of an earlier version of the split are left out" in said(capsys, "show", "tone")


async def test_a_stop_and_a_promotion_change_the_file_and_leave_a_row(world: World, folder: Path) -> None:
    token = bearer(world.issue("designer"))
    stopped = await world.http.post(f"{PATH}/tone/stop", headers=token)
    promoted = await world.http.post(f"{PATH}/tone/promote", headers=token, json={"arm": "warm"})
    assert (stopped.status_code, stopped.json()["stopped"], stopped.json()["promoted"]) == (200, True, None)
    assert (promoted.status_code, promoted.json()["promoted"]) == (200, "warm")
    assert find(folder, "tone").promoted == "warm"
    assert [(each.action, each.target) for each in list_changes(world.engine, limit=9)] == [
        ("experiments.promote", "tone warm"),
        ("experiments.stop", "tone"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("none/stop", None, 404),
        ("wrong/stop", None, 409),
        ("tone/promote", {"arm": "cold"}, 422),
        ("tone/promote", {}, 422),
    ],
)
async def test_what_cannot_be_ended_is_said_and_changes_nothing(
    world: World, folder: Path, path: str, body: dict[str, str] | None, status: int
) -> None:
    answer = await world.http.post(f"{PATH}/{path}", headers=bearer(world.issue("designer")), json=body)
    assert answer.status_code == status, answer.text
    assert (folder / "tone.toml").read_text(encoding="utf-8") == FILE
    assert list_changes(world.engine, limit=9) == []


async def test_a_viewer_ends_nothing(world: World, folder: Path) -> None:
    answer = await world.http.post(f"{PATH}/tone/stop", headers=bearer(world.issue("viewer")))
    assert answer.status_code == 403
    assert not find(folder, "tone").stopped

"""Reviews over HTTP: blind until scored, within a workspace, and the same words as the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infra.cli.app import app
from infra.stores import samples
from infra.stores.changes import list_changes
from tests.reviewing import SAMPLES, dialogue, record, store
from tests.unit.access_fixtures import World, bearer, empty, engine, world

__all__ = ["empty", "engine", "world"]

PATH = "/api/v1/reviews"


@pytest.fixture
def folder(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "samples"
    made.mkdir()
    shutil.copy(SAMPLES / "sample_dialogue_airlock.json", made)
    world.gateway.settings = world.gateway.settings.model_copy(update={"samples_dir": made})
    monkeypatch.setenv("UNDERSTUDY_SAMPLES_DIR", str(made))
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", str(world.engine.url))
    return made


async def queue(world: World, token: dict[str, str], query: str = "") -> dict[str, Any]:
    answer = await world.http.get(f"{PATH}/queue{query}", headers=token)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def say(world: World, token: dict[str, str], **body: Any) -> httpx2.Response:
    return await world.http.post(PATH, headers=token, json=body)


def printed(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> Any:
    with pytest.raises(SystemExit) as left:
        app(["review", *words, "--json"], prog_name="understudy")
    out = capsys.readouterr().out
    assert left.value.code == status, out
    return json.loads(out)


async def test_no_answer_tells_what_wrote_an_item_before_its_score(world: World) -> None:
    marks: dict[str, Any] = {"provider": "MARK-p", "model": "MARK-m", "prompt_version": "MARK@1"}
    store(
        world.engine,
        [
            record(f"MARK-{n}", at=n, input_hash="a" * 64, content=dialogue(f"t{n}"), **marks, seed=n)
            for n in (1, 2)
        ],
    )
    token = bearer(world.issue("designer"))
    found = await queue(world, token, "?mode=pair")
    item = found["item"]["item"]
    pictures = [
        (await world.http.get(f"{PATH}/items/{item}/picture?side={side}", headers=token)).text
        for side in (0, 1)
    ]
    assert all("<svg" in each and "under review" in each for each in pictures)
    assert "MARK" not in json.dumps(found) + "".join(pictures)
    scored = await say(world, token, item=item, sides=[{"score": 4}, {"score": 4, "tags": ["vivid"]}])
    assert scored.json()["preferred"] == "tie"
    assert {each["model"] for each in scored.json()["sides"]} == {"MARK-m"}
    assert {each["request_id"] for each in scored.json()["sides"]} == {"MARK-1", "MARK-2"}


async def test_http_and_command_line_agree(
    world: World, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    store(world.engine, [record(f"r-{number}", at=number) for number in range(3)])
    token = bearer(world.issue("operator"))
    # The token is called "test".
    assert await queue(world, token) == printed(capsys, "next", "--as", "test")
    item = (await queue(world, token))["item"]["item"]
    done = (await say(world, token, item=item, sides=[{"score": 5, "tags": ["vivid"], "note": "a"}])).json()
    again = printed(capsys, "score", item, "5", "--tag", "vivid", "--note", "a", "--as", "test")
    assert done == again
    for command in ("report", "candidates"):
        assert (await world.http.get(f"{PATH}/{command}", headers=token)).json() == printed(capsys, command)
    promoted = await world.http.post(
        f"{PATH}/promote", headers=token, json={"request_id": "r-2", "name": "night", "dry_run": True}
    )
    assert promoted.status_code == 200
    assert promoted.json() == printed(capsys, "promote", "r-2", "--name", "night", "--dry-run")
    assert len(samples.check(folder)) == 1
    reopened = (await world.http.post(f"{PATH}/undo", headers=token)).json()
    assert (reopened["item"], reopened["revealed"]) == (item, True)
    skipped = (await say(world, token, item=item, skip=True)).json()
    assert skipped == printed(capsys, "skip", item, "--as", "test")
    assert printed(capsys, "undo", "--as", "test")["item"] == item


async def test_a_reviewed_good_result_is_promoted_and_a_bad_one_is_not(world: World, folder: Path) -> None:
    store(world.engine, [record("good", at=1), record("bad", at=2)])
    token = bearer(world.issue("operator"))
    for score in (1, 5):
        found = await queue(world, token)
        await say(world, token, item=found["item"]["item"], sides=[{"score": score}])
    refused = await world.http.post(f"{PATH}/promote", headers=token, json={"request_id": "bad"})
    assert refused.status_code == 409
    assert "its mean score is 1.00" in refused.json()["detail"]
    done = await world.http.post(f"{PATH}/promote", headers=token, json={"request_id": "good"})
    assert done.status_code == 201, done.text
    assert {each.name for each in samples.load(folder).golden_samples()} == {
        "sample_dialogue_airlock.json",
        done.json()["name"],
    }
    # What was refused changed nothing, and has no row.
    assert [(each.action, each.target) for each in list_changes(world.engine, limit=9)] == [
        ("reviews.promote", "good")
    ]


async def test_a_workspace_reviews_and_reads_its_own(world: World) -> None:
    store(world.engine, [record("red", at=2, workspace="red"), record("blue", at=1, workspace="blue")])
    everywhere, blue = bearer(world.issue("admin")), bearer(world.issue("admin", workspace="blue"))
    found = await queue(world, blue)
    assert found["item"]["sides"][0]["content"]["title"] == "blue"
    other = (await queue(world, everywhere, "?workspace=red"))["item"]["item"]
    # The same name, and another workspace.
    assert (await world.http.get(f"{PATH}/items/{other}/picture", headers=blue)).status_code == 404
    assert (await say(world, blue, item=other, sides=[{"score": 1}])).status_code == 404
    assert (await say(world, everywhere, item=other, sides=[{"score": 1}])).status_code == 200
    assert (await world.http.post(f"{PATH}/undo", headers=blue)).status_code == 404
    assert (await world.http.get(f"{PATH}/report", headers=blue)).json()["scores"] == 0
    assert (await world.http.get(f"{PATH}/report", headers=everywhere)).json()["scores"] == 1
    assert (await world.http.get(f"{PATH}/queue?workspace=red", headers=blue)).status_code == 422
    refused = await world.http.post(f"{PATH}/promote", headers=blue, json={"request_id": "red"})
    assert refused.status_code == 403


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("client", "GET", "/report", 403),
        ("viewer", "GET", "/report", 200),
        ("viewer", "GET", "/queue", 403),
        ("viewer", "POST", "/undo", 403),
        ("designer", "POST", "/undo", 404),
        ("designer", "POST", "/promote", 403),
    ],
)
async def test_roles(world: World, role: str, method: str, path: str, status: int) -> None:
    body = {"request_id": "r"} if path == "/promote" else None
    token = bearer(world.issue(role))
    answer = await world.http.request(method, PATH + path, headers=token, json=body)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"item": "none", "sides": [{"score": 4}]}, 404),
        ({"item": "none"}, 422),
        ({"item": "none", "skip": True, "sides": [{"score": 4}]}, 422),
        ({"item": "none", "sides": [{"score": 6}]}, 422),
        ({"item": "none", "sides": [{"score": "4"}]}, 422),
        ({"item": "none", "sides": [{"score": 4, "tags": ["Two words"]}]}, 422),
        ({"item": "none", "sides": [{"score": 4, "tags": [f"t{n}" for n in range(9)]}]}, 422),
        ({"item": "none", "sides": [{"score": 4, "note": "n" * 1001}]}, 422),
        ({"item": "none", "sides": [{"score": 4}] * 3}, 422),
    ],
)
async def test_what_cannot_be_said_is_refused(world: World, body: dict[str, Any], status: int) -> None:
    answer = await say(world, bearer(world.issue("designer")), **body)
    assert answer.status_code == status, answer.text


async def test_another_score_is_a_conflict(world: World) -> None:
    store(world.engine, [record("r-1")])
    token = bearer(world.issue("designer"))
    item = (await queue(world, token))["item"]["item"]
    answers = [await say(world, token, item=item, sides=[{"score": score}]) for score in (4, 4, 5)]
    assert [each.status_code for each in answers] == [200, 200, 409]
    assert answers[0].json() == answers[1].json()


async def test_without_a_token_this_machine_s_user_reviews(
    world: World, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    store(world.engine, [record("r-1")])
    assert await queue(world, {}) == printed(capsys, "next")
    assert (await world.http.get(f"{PATH}/queue?kind=plot")).json()["item"] is None
    assert printed(capsys, "next", "--kind", "plot", status=1)["item"] is None

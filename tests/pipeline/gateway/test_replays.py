"""`/api/v1/replays` with a real broker: plan, run, 409 and 412, undo; jobs that move between processes; the workspace wall."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import httpx2

from infra.replay.jobs import JobLimits, JobState
from infra.stores.changes import list_changes
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start
from tests.pipeline.gateway.conftest import Open
from tests.pipeline.gateway.test_dead_letters import refuse, somebody
from tests.pipeline.gateway.test_events import OPTIONS, served
from tests.pipeline.test_replay_jobs import RULES
from tests.pipeline.test_replay_kill import desk_with_letters, propose, requests, until_published

PATH = "/api/v1/replays"
FAILED = {"filter": {"status": "fail_fallback", "since": "1h"}}
LETTERS = {"of": "letters", "all": True}


async def state_of(http: httpx2.AsyncClient, path: str, *states: str) -> dict[str, Any]:
    """A job, as soon as it is in one of some states."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := (await http.get(path)).json())["state"] not in states:
            await asyncio.sleep(0.05)
    return found


async def fall_back(client: Observer, *numbers: int, **fields: Any) -> None:
    for number in numbers:
        await client.ask(f"orig-{number}", "scene", prompt=f"a forest with {number} coins", **fields)
    await client.settled()


async def test_failed_requests_are_planned_written_again_and_undone(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=RULES)
    async with start(settings), open_door(settings) as door:
        await fall_back(client, 1, 2, 3)
        published = len(client.events("requested"))
        plan = await door.http.post(PATH, json=FAILED | {"dry_run": True})
        planned = plan.json()
        await fall_back(client, 4)
        changed = await door.http.post(PATH, json=FAILED | {"plan_hash": planned["plan_hash"]})
        unknown = await door.http.post(PATH, json=FAILED | {"plan_hash": "0" * 16})
        assert len(client.events("requested")) == published + 1, "nothing is published"

        named = {"ids": ["orig-1", "orig-2", "orig-3"]}
        run = await door.http.post(PATH, json=named | {"plan_hash": planned["plan_hash"]})
        where = run.headers["Location"]
        done = await state_of(door.http, where, "done")
        await client.settled()
        again = await door.http.post(PATH, json=named)
        first = await door.http.get(f"{where}/items", params={"limit": 2})
        rest = await door.http.get(first.links["next"]["url"])
        none = await door.http.get(f"{where}/items", params={"state": "refused"})
        resumed = await door.http.post(f"{where}/resume")
        dry = await door.http.post(f"{where}/undo", json={"dry_run": True})
        kept = (await door.http.get(where)).json()["state"]
        undone = await door.http.post(f"{where}/undo")
        twice = await door.http.post(f"{where}/undo")
        listed = await door.http.get(PATH, params={"limit": 1})
        missing = await door.http.get(f"{PATH}/99")
        engine = door.gateway.database.open()
        changes = {(each.action, each.target) for each in list_changes(engine, limit=9)}
        engine.dispose()

    assert (plan.status_code, planned["counts"]["planned"]) == (200, 3)
    assert {each["replay_of"] for each in planned["items"]} == {"orig-1", "orig-2", "orig-3"}
    assert (changed.status_code, len(changed.json()["differences"])) == (412, 1)
    assert "orig-4: new" in changed.json()["differences"][0]
    assert unknown.status_code == 412
    assert (run.status_code, done["counts"]["published"]) == (202, 3), run.text
    assert (again.status_code, again.json()["plan"]["counts"]) == (409, {"present": 3, "cached": 0})
    items = first.json()["items"] + rest.json()["items"]
    assert [each["replay_of"] for each in items] == ["orig-1", "orig-2", "orig-3"]
    assert {(each["state"], each["outcome"]["status"]) for each in items} == {("published", "success")}
    assert (rest.json()["next"], none.json()["items"]) == (None, [])
    assert (resumed.status_code, "nothing to continue" in resumed.text) == (409, True)
    assert kept == "done"
    report = undone.json()
    assert dry.json() == report | {"dry_run": True}
    assert (report["undone"], report["restored"]) == (3, 3)
    assert any("had received" in each for each in report["cannot"])
    assert (twice.status_code, missing.status_code) == (409, 404)
    assert [each["state"] for each in listed.json()["items"]] == ["undone"]
    assert changes == {
        ("replays.create", planned["plan_hash"]),
        ("replays.undo", where.rpartition("/")[2]),
    }


async def test_a_stopped_gateway_leaves_a_job_that_others_continue(
    client: Observer, configure: Configure
) -> None:
    settings = configure(**OPTIONS, GATEWAY__REPLAYS="1")
    async with desk_with_letters(client, settings, count=40) as (desk, wire):
        async with served(settings) as http:
            run = await http.post(PATH, json=LETTERS | {"rate": 20})
            where = run.headers["Location"]
            await until_published(wire, 3)
            second = await http.post(PATH, json=LETTERS | {"rate": 20, "limit": 2})
            pause = await http.post(f"{where}/pause")
            await state_of(http, where, "paused")
            assert (await http.post(f"{where}/resume", json={"rate": 30})).status_code == 202
            running = (await http.get(where)).json()
            # The server gets SIGTERM here.
        job = (await desk.inspect(int(where.rpartition("/")[2]), items=False)).job
        half = len(await requests(wire))
        report = await desk.run(job.job)
        prompts = await requests(wire)

    assert (second.status_code, second.json()["type"]) == (503, "/problems/busy")
    assert (pause.status_code, running["limits"]["rate"]) == (200, 30)
    assert (job.state, job.note) == (JobState.PAUSED, "the run was interrupted")
    assert 3 <= half < 40
    assert (report.state, half + report.published) == (JobState.DONE, 40)
    assert prompts == {f"rp-{number}-1": f"forest {number}" for number in range(1, 41)}


async def test_the_gateway_continues_a_job_of_the_command_line_and_only_one_process_runs_it(
    client: Observer, configure: Configure, open_door: Open
) -> None:
    settings = configure()
    async with (
        desk_with_letters(client, settings, count=30) as (desk, wire),
        open_door(settings) as door,
    ):
        proposal = await propose(desk)
        job = (await desk.create(proposal, JobLimits(rate=5))).job
        running = asyncio.create_task(desk.run(job, proposal=proposal))
        await until_published(wire, 2)
        here = f"{PATH}/{job}"
        refused = [
            await door.http.post(f"{here}/resume"),
            await door.http.post(f"{here}/undo"),
            await door.http.post(PATH, json=LETTERS),
        ]
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        slow = await door.http.post(f"{here}/resume", json={"rate": 0})
        resumed = await door.http.post(f"{here}/resume", json={"rate": 1000})
        done = await state_of(door.http, here, "done")
        stopped = await door.http.post(f"{here}/stop")
        prompts = await requests(wire)

    assert [each.status_code for each in refused] == [409] * 3
    assert (slow.status_code, slow.json()["errors"][0]["pointer"]) == (422, "/rate")
    assert (resumed.status_code, done["counts"]["published"]) == (202, 30)
    assert stopped.status_code == 409
    assert len(prompts) == 30


async def test_what_cannot_be_meant_is_refused_at_its_field(
    client: Observer, configure: Configure, open_door: Open
) -> None:
    patch = [{"op": "add", "path": "/seed", "value": 7}]
    settings = configure()
    async with desk_with_letters(client, settings, count=2), open_door(settings) as door:
        cases: list[tuple[dict[str, Any], int, str | None]] = [
            ({}, 422, ""),
            ({"filter": {"status": "well"}}, 422, "/filter/status"),
            ({"filter": {"colour": "red"}}, 422, "/filter/colour"),
            ({"of": "letters", "filter": {"origin": "live"}}, 422, "/filter/origin"),
            (LETTERS | {"patch": patch}, 422, "/patch"),
            (LETTERS | {"patch": [{"op": "mend"}]}, 422, "/patch"),
            (LETTERS | {"set": {"colour": "red"}}, 422, "/set"),
            (LETTERS | {"set": {"model": "nobody"}}, 422, "/set"),
            (LETTERS | {"set": {"prompt": "p"}, "from": "structuring"}, 422, "/set"),
            (LETTERS | {"budget": {"tokens": -1}}, 422, "/budget/tokens"),
            ({"of": "letters", "ids": ["one"]}, 422, ""),
            ({"of": "letters", "ids": [99]}, 404, None),
            ({"ids": ["nobody"]}, 404, None),
        ]
        answers = [await door.http.post(PATH, json=body) for body, *_ in cases]
        edited = await door.http.post(
            PATH,
            json={
                "of": "letters",
                "ids": [1],
                "patch": patch,
                "set": {"params.temperature": 0.5, "tags": None},
                "dry_run": True,
            },
        )
        jobs = await door.http.get(PATH)

    for answer, (body, status, pointer) in zip(answers, cases, strict=True):
        errors = answer.json().get("errors", [{}])
        assert (answer.status_code, errors[0].get("pointer")) == (status, pointer), (body, answer.text)
    assert edited.json()["counts"]["planned"] == 1
    assert edited.json()["options"]["edits"]["fields"] == [
        {"path": ["params", "temperature"], "value": 0.5},
        {"path": ["tags"]},
    ]
    assert [each["job"] for each in jobs.json()["items"]] == [edited.json()["job"]]


async def test_a_workspace_replays_its_own_alone(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=RULES)
    async with (
        start(settings),
        open_door(settings) as door,
        open_door(settings, authenticate=somebody(workspace="red")) as red,
    ):
        await fall_back(client, 1, workspace="red")
        await fall_back(client, 2, workspace="blue")
        await refuse(client, "hot-1", workspace="blue")
        await client.settled()
        everything = (await door.http.post(PATH, json=FAILED | {"dry_run": True})).json()
        own = (await red.http.post(PATH, json=FAILED | {"dry_run": True})).json()
        move = [{"op": "test", "path": "/workspace", "value": "red"}]
        move.append({"op": "replace", "path": "/workspace", "value": "blue"})
        refused = [
            await red.http.post(PATH, json=body)
            for body in (
                {"ids": ["orig-2"]},
                {"of": "letters", "ids": [1]},
                FAILED | {"patch": move},
                {"filter": {"workspace": "blue"}},
            )
        ]
        letters = await red.http.post(PATH, json=LETTERS)
        theirs = f"{PATH}/{everything['job']}"
        hidden = [
            await red.http.request(method, f"{theirs}{action}")
            for method, action in (
                ("GET", ""),
                ("GET", "/items"),
                ("GET", "/events"),
                ("POST", "/pause"),
                ("POST", "/resume"),
                ("POST", "/stop"),
                ("POST", "/undo"),
            )
        ]
        run = await red.http.post(f"{PATH}/{own['job']}/resume")
        await state_of(red.http, run.headers["Location"], "done")
        listed = [each["job"] for each in (await red.http.get(PATH)).json()["items"]]

    assert [each["replay_of"] for each in everything["items"]] == ["orig-1", "orig-2"]
    assert [each["replay_of"] for each in own["items"]] == ["orig-1"]
    assert [each.status_code for each in refused] == [404, 404, 403, 422]
    assert (letters.status_code, letters.json()["plan"]["items"]) == (409, [])
    assert [each.status_code for each in hidden] == [404] * 7
    assert (run.status_code, listed) == (202, [own["job"]])

"""`/api/v1/generations` over a real pipeline: list and cursor, content, why, cancel, rerun, and the workspace wall."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from infra.gateway.access import AccessRole, Principal
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.gateway.conftest import Open
from tests.pipeline.test_cache import NODE, PLAYER

ASKED = {"prompt": "a forest with three coins"}
PATH = "/api/v1/generations"


def somebody(**fields: object):
    async def authenticate(request: Request) -> Principal:
        return Principal(**{"role": AccessRole.ADMIN, **fields})

    return authenticate


async def test_a_list_has_filters_and_pages_that_do_not_move(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        for number in range(5):
            await client.ask(f"p-{number}", workspace="red")
        await client.ask("s-1", "scene", workspace="blue")
        await client.settled()
        everything = await door.http.get(PATH)
        first = await door.http.get(PATH, params={"limit": 2, "workspace": "red"})
        await client.ask("p-9", workspace="red")
        await client.settled()
        second = await door.http.get(first.links["next"]["url"])
        third = await door.http.get(
            PATH, params={"limit": 2, "workspace": "red", "cursor": second.json()["next"]}
        )
        scenes = await door.http.get(PATH, params={"kind": "scene", "q": "FOREST", "since": "1h"})
        wrong = await door.http.get(PATH, params={"colour": "red"})
        unknown = await door.http.get(PATH, params={"status": "well"})
        broken = await door.http.get(PATH, params={"cursor": "x"})
        red = [each["request_id"] for page in (first, second, third) for each in page.json()["items"]]

    assert len(everything.json()["items"]) == 6
    assert red == ["p-4", "p-3", "p-2", "p-1", "p-0"]
    assert third.json()["next"] is None
    assert "Link" not in third.headers
    assert [each["request_id"] for each in scenes.json()["items"]] == ["s-1"]
    assert [each.status_code for each in (wrong, unknown, broken)] == [422, 422, 422]
    assert wrong.json()["errors"][0]["parameter"] == "colour"
    assert unknown.json()["errors"][0]["parameter"] == "status"


async def test_content_history_and_rerun_of_a_request(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        result = await client.ask("one")
        await client.settled()
        content = await door.http.get(f"{PATH}/one/content")
        known = await door.http.get(f"{PATH}/one/content", headers={"If-None-Match": content.headers["ETag"]})
        history = await door.http.get(f"{PATH}/one/why")
        change = {"from": "context-build", "set": {"params.temperature": 0.2}, "job": "j1"}
        plan = await door.http.post(f"{PATH}/one/rerun", json=change | {"dry_run": True})
        before = len(client.events("requested"))
        run = await door.http.post(f"{PATH}/one/rerun", json=change)
        shadow = await door.http.get(run.headers["Location"], params={"wait": 30})
        wrong = await door.http.post(f"{PATH}/one/rerun", json={"set": {"colour": "red"}})
        missing = await door.http.post(f"{PATH}/two/rerun")

    assert content.json() == result.content
    assert content.headers["Understudy-Origin"] == "scripted"
    assert known.status_code == 304
    assert history.json()["status"] == "success"
    assert history.json()["events"][0]["event"] == "requested"
    assert (plan.status_code, before) == (200, 1)
    assert run.status_code == 202
    assert run.json()["request_id"] == plan.json()["request_id"]
    assert shadow.json()["result"]["meta"]["replay_of"] == "one"
    assert (wrong.status_code, missing.status_code) == (422, 404)


async def test_cancel_ends_a_request_and_has_no_effect_afterwards(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings, ("fallback",)), open_door(settings) as door:
        asking = asyncio.create_task(
            door.http.post("/generate", json=ASKED, headers={"Idempotency-Key": "c-1"})
        )
        await client.until(lambda: bool(client.events("requested", "c-1")))
        cancelled = await door.http.post(f"{PATH}/c-1/cancel", json={"reason": "changed my mind"})
        again = await door.http.post(f"{PATH}/c-1/cancel")
        as_form = await door.http.post(f"{PATH}/c-1/cancel", data={"reason": "x"})
        missing = await door.http.post(f"{PATH}/c-2/cancel")
        ended = await asking

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")
    assert (as_form.status_code, missing.status_code) == (415, 404)
    assert (ended.status_code, ended.json()["type"]) == (409, "/problems/conflict")
    assert "changed my mind" in ended.json()["detail"]
    assert len(client.events("result", "c-1")) == 1


async def test_what_belongs_to_another_workspace_is_not_found(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    red = somebody(workspace="red")
    async with start(settings), open_door(settings, authenticate=red) as door:
        await client.ask("theirs", workspace="blue")
        await client.ask("nobodys")
        await client.ask("ours", workspace="red")
        made = await door.http.post("/generate", json=ASKED, headers={"Idempotency-Key": "theirs"})
        elsewhere = await door.http.post("/generate", json=ASKED | {"workspace": "blue"})
        await client.settled()
        hidden = [
            (await door.http.request(method, f"{place}/{each}{action}")).status_code
            for each in ("theirs", "nobodys", "unknown")
            for method, place, action in (
                ("GET", "/api/generation-jobs", ""),
                ("GET", PATH, ""),
                ("GET", PATH, "/content"),
                ("GET", PATH, "/why"),
                ("POST", PATH, "/cancel"),
                ("POST", PATH, "/rerun"),
            )
        ]
        own = await door.http.get(f"{PATH}/ours/why")
        listed = await door.http.get(PATH)
        forbidden = await door.http.get(PATH, params={"workspace": "blue"})
        stored = client.events("requested", made.headers["Understudy-Request-Id"])[0].json()

    assert set(hidden) == {404}
    assert own.status_code == 200
    assert made.status_code == 200
    assert made.json()["request_id"].startswith("ik-")
    assert stored == ASKED | {"workspace": "red"}
    assert elsewhere.status_code == 403
    assert {each["request_id"] for each in listed.json()["items"]} == {"ours", made.json()["request_id"]}
    assert forbidden.status_code == 422


async def test_workspaces_share_no_cached_content_so_that_no_id_of_another_is_named(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    shared = {"node": NODE, "player_context": PLAYER}
    red = somebody(workspace="red")
    async with start(settings), open_door(settings, authenticate=red) as door:
        await client.ask("theirs-1", "transition", workspace="blue", **shared)
        own = await door.http.post("/generate", json=ASKED | shared)
        again = await door.http.post("/generate", json=ASKED | shared)
        request_id = own.json()["request_id"]
        await client.settled()
        read = await door.http.get(f"{PATH}/{request_id}")
        history = await door.http.get(f"{PATH}/{request_id}/why")

    assert (own.json()["status"], again.json()["status"]) == ("success", "cached")
    assert again.json()["meta"]["generated_for"] == request_id
    for answer in (own, read, history):
        assert "theirs-1" not in answer.text


async def test_a_role_below_the_route_is_refused(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with (
        start(settings, ()),
        open_door(settings, authenticate=somebody(role=AccessRole.CLIENT)) as door,
    ):
        answers = [await door.http.get(PATH), await door.http.post(f"{PATH}/x/cancel")]
    assert [each.json()["type"] for each in answers] == ["/problems/forbidden"] * 2


async def test_a_request_that_the_log_has_forgotten_comes_from_the_audit(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        result = await client.ask("old")
        await client.settled()
        for stream in ("REQUESTS", "EVENTS"):
            await client.js.purge_stream(stream)
        found = await door.http.get("/api/generation-jobs/old")
        history = await door.http.get(f"{PATH}/old/why")

    assert found.json()["status"] == "success"
    assert found.json()["result"]["content"] == result.content
    assert (history.status_code, history.json()["type"]) == (410, "/problems/gone")


async def test_what_designers_check(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings, ()), open_door(settings) as door:
        good = await door.http.post(
            "/api/validate-generation-config",
            json={
                "generationType": "scene",
                "purpose": "gap_fill",
                "strategy": "once",
                "fallback": {"mode": "golden_sample"},
            },
        )
        bad = await door.http.post("/api/validate-generation-config", json={"generationType": "poem"})
        no_json = await door.http.post(
            "/api/validate-generation-config", content=b"{", headers={"Content-Type": "application/json"}
        )
        context = await door.http.post(
            f"{PATH}/social-context/build",
            json={"social": {"affinity": 80}, "constraints": {"rating": "romantic"}},
        )
        nowhere = await door.http.post(f"{PATH}/social-context/build", json={"world": "nowhere"})

    assert good.json()["ok"] is True, good.text
    assert (bad.status_code, bad.json()["ok"]) == (200, False)
    assert bad.json()["errors"][0]["code"]
    assert no_json.json()["ok"] is False
    assert context.status_code == 200, context.text
    assert context.json()["rating"]["requested"] == "romantic"
    assert context.json()["prompt_lines"]
    assert (nowhere.status_code, nowhere.json()["errors"][0]["pointer"]) == (422, "/world")

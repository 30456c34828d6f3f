"""The workspace wall, with real tokens over a real pipeline: on every route, what is another's does not exist."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
from fastapi.routing import APIRoute

from infra.gateway import gateway as gateway_module
from infra.gateway.access import access_of
from infra.gateway.gateway import Gateway
from infra.gateway.replay_access import open_desk
from infra.gateway.routes import ROUTERS
from infra.gateway.token_desk import issue_token
from infra.stores import access_tokens
from infra.stores.changes import list_changes
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.gateway.conftest import Door, Open
from tests.pipeline.replays import letter_about

ASKED = {"prompt": "a forest with three coins"}
#: Routes about what belongs to no workspace: a model, a file of this machine.
OF_ALL = {"/v1/models/{model:path}", "/api/v1/samples/{name}", "/api/v1/samples/{name}/picture"}
#: Smallest bodies of routes with an id that need one.
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/api/v1/nodes/{node_id}/restore"): {"version": 1},
    ("POST", "/api/v1/nodes/{node_id}/duplicate"): {"id": "copy"},
    ("POST", "/api/v1/graphs/{graph_id}/restore"): {"version": 1},
}
CALL = {
    "model": "understudy/layout",
    "messages": [{"role": "user", "content": "a forest"}],
    "stream": True,
}
#: A graph that is a scenario.
GRAPH: dict[str, Any] = {
    "nodes": [
        {"type": "scene", "id": "a"},
        {"type": "generation", "id": "g", "node": "bridge"},
        {"type": "scene", "id": "b"},
    ],
    "edges": [{"source": "a", "target": "g"}, {"source": "g", "target": "b"}],
}


async def issue(
    gateway: Gateway, role: str, workspace: str | None = None, **more: Any
) -> tuple[str, dict[str, str]]:
    """A new token's id, and the header that sends it."""
    issued = issue_token(name=role, role=role, workspace=workspace, now_ms=gateway.now_ms(), **more)
    await gateway.update(lambda engine: access_tokens.add_token(engine, issued.stored))
    gateway.access.forget()
    return issued.token.token_id, {"Authorization": f"Bearer {issued.token.text}"}


def routes_with_ids() -> list[tuple[str, APIRoute]]:
    return [
        (method, route)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "{" in route.path and access_of(route) is not None
        if route.path not in OF_ALL
        for method in sorted(route.methods or ())
    ]


async def stopped_job(door: Door, sender: dict[str, str]) -> str:
    """The number of a replay job of the sender's workspace, whose events end at once."""
    plan = await door.http.post("/api/v1/replays", json={"ids": ["theirs"], "dry_run": True}, headers=sender)
    job = plan.json()["job"]
    await (await open_desk(door.gateway)).stop(job)
    return str(job)


async def status_of(door: Door, sender: dict[str, str], method: str, path: str, template: str) -> int:
    body = BODIES.get((method, template))
    options = {} if body is None else {"json": body}
    return (await door.http.request(method, path, headers=sender, **options)).status_code


async def test_no_route_shows_or_changes_what_is_another_workspaces(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        _, red = await issue(door.gateway, "admin", "red")
        blue_id, blue = await issue(door.gateway, "admin", "blue")
        await client.ask("theirs", workspace="blue")
        letter = str(await letter_about(client, "theirs", "layout"))
        await client.settled()
        job = await stopped_job(door, blue)
        queue = (await door.http.get("/api/v1/reviews/queue", headers=blue)).json()
        # The id of each resource, by the name of the parameter in paths.
        theirs = {"request_id": "theirs", "job_id": "theirs", "token_id": blue_id, "sequence": letter}
        theirs |= {"node_id": "bridge", "graph_id": "night", "job": job, "item": queue["item"]["item"]}
        new = blue | {"If-None-Match": "*"}
        await door.http.put("/api/v1/nodes/bridge", json={"generationType": "transition"}, headers=new)
        await door.http.put("/api/v1/graphs/night", json=GRAPH, headers=new)
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for method, route in routes_with_ids():
            access = access_of(route)
            assert access is not None
            (name,) = re.findall(r"{([^}:]+)[^}]*}", route.path)
            if not access.everywhere and name not in theirs:
                pytest.fail(f"{route.path}: say in `theirs` which {name} belongs to the workspace blue")
            made = re.sub(r"{[^}]+}", "{}", route.path)
            hidden = await status_of(door, red, method, made.format(theirs.get(name, "7")), route.path)
            unknown = await status_of(door, red, method, made.format("7"), route.path)
            found[method, route.path] = (hidden, unknown)
            assert hidden == (403 if access.everywhere else 404), (method, route.path)
            # An id that does not exist is answered alike.
            assert hidden == unknown, (method, route.path)
        # All of them still work for their owner, so it was the wall that answered.
        seen = [
            await status_of(door, blue, method, re.sub(r"{[^}]+}", theirs[name], route.path), route.path)
            for method, route in routes_with_ids()
            if method == "GET"
            for name in re.findall(r"{([^}:]+)[^}]*}", route.path)
            if name in theirs
        ]
        engine = door.gateway.database.open()
        changes = list_changes(engine, limit=9)
        engine.dispose()

    assert len(found) >= 8
    assert set(seen) == {200}
    # What was refused is no change.
    assert [each.action for each in changes] == ["graphs.save", "nodes.save"]


async def test_fields_of_replays_do_not_reach_through_the_wall(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        _, user = await issue(door.gateway, "designer", "red")
        _, operator = await issue(door.gateway, "operator", "red")
        await client.ask("theirs", workspace="blue")
        await client.ask("ours", workspace="red")
        fields: list[dict[str, Any]] = [
            {"replay_of": "theirs"},
            # It would begin with the draft of the other request.
            {"replay_of": "theirs", "from_stage": "structuring"},
            {"scene_of": "theirs"},
            {"replay_of": "ours", "reuse": True},
        ]
        low = [await door.http.post("/generate", json=ASKED | each, headers=user) for each in fields]
        high = [await door.http.post("/generate", json=ASKED | each, headers=operator) for each in fields[:3]]
        own = await door.http.post("/generate", json=ASKED | fields[3], headers=operator)

    assert [each.status_code for each in low] == [403] * 4, [each.text for each in low]
    assert low[0].json()["errors"][0]["pointer"] == "/replay_of"
    assert [each.status_code for each in high] == [404] * 3
    assert own.status_code == 200


async def test_a_key_is_another_request_in_each_workspace_and_a_change_has_its_row(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        senders = [(await issue(door.gateway, "operator", name)) for name in ("red", "blue")]
        key = {"Idempotency-Key": "order-1"}
        made = [
            await door.http.post("/generate", json=ASKED, headers=sender | key)
            for _, sender in senders
            for _ in range(2)
        ]
        ids = [each.json()["request_id"] for each in made]
        path = f"/api/v1/generations/{ids[0]}/rerun"
        await client.settled()
        dry = await door.http.post(path, json={"dry_run": True}, headers=senders[0][1])
        again = await door.http.post(path, headers=senders[0][1])
        engine = door.gateway.database.open()
        changes = [(each.action, each.target, each.token_id) for each in list_changes(engine, limit=9)]
        engine.dispose()

    assert [each.status_code for each in made] == [200] * 4
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert (dry.status_code, again.status_code) == (200, 202)
    assert changes == [("generations.rerun", ids[0], senders[0][0])]


async def test_a_client_cancels_requests_of_its_workspace_alone(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    # Without a stage that answers, requests stay open.
    async with start(settings, ("fallback",)), open_door(settings) as door:
        _, red = await issue(door.gateway, "client", "red")
        _, unbound = await issue(door.gateway, "client")
        _, operator = await issue(door.gateway, "operator")
        made = await door.http.post("/api/v1/generations", json=ASKED, headers=red)
        request_id = made.json()["job_id"]
        theirs = await door.http.post("/api/v1/generations", json=ASKED, headers=unbound)
        path = made.json()["links"]["cancel"]
        forbidden = await door.http.post(path, headers=unbound)
        hidden = await door.http.post(theirs.json()["links"]["cancel"], headers=red)
        own = await door.http.post(path, json={"reason": "too dear"}, headers=red)
        any_of_them = await door.http.post(theirs.json()["links"]["cancel"], headers=operator)

    assert (forbidden.status_code, hidden.status_code) == (403, 404)
    assert (own.status_code, own.json()["status"]) == (200, "cancelled")
    assert any_of_them.json()["status"] == "cancelled"
    assert [each.json()["reason"] for each in client.events("result", request_id)] == ["cancelled: too dear"]


async def test_a_token_that_is_revoked_elsewhere_or_expires_ends_its_streams(
    client: Observer, configure: Configure, start: Start, open_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "ACCESS_CHECK_S", 0.05)
    settings = configure(rules=[])
    now_s = time.time()
    async with start(settings, ()), open_door(settings, clock=lambda: now_s) as door:
        hub = door.gateway.hub
        revoked_id, revoked = await issue(door.gateway, "viewer")
        _, expiring = await issue(door.gateway, "viewer", expires="1h")
        _, admin = await issue(door.gateway, "admin")
        called_id, caller = await issue(door.gateway, "client")
        reading = [
            asyncio.create_task(door.http.get("/api/v1/events", headers=each)) for each in (revoked, expiring)
        ]
        # No stage runs: these wait.
        calling = [
            asyncio.create_task(door.http.post("/v1/chat/completions", json=CALL, headers=caller | each))
            for each in ({}, {"Understudy-Stream": "raw"})
        ]
        while hub.feeds < len(reading) or len(hub._others) < len(calling):
            await asyncio.sleep(0.01)
        await door.gateway.update(
            lambda engine: access_tokens.revoke_token(engine, called_id, round(now_s * 1000))
        )
        called = [await each for each in calling]
        # As the command line does.
        await door.gateway.update(
            lambda engine: access_tokens.revoke_token(engine, revoked_id, round(now_s * 1000))
        )
        first = await reading[0]
        left = hub.feeds
        now_s += 3601
        second = await reading[1]
        still = await door.http.get("/api/v1/tokens", headers=admin)

    assert [each.text.endswith('event: bye\ndata: {"reason":"token"}\n\n') for each in (first, second)] == [
        True
    ] * 2
    assert (left, still.status_code) == (1, 200)
    assert all('"code":"invalid_api_key"' in each.text for each in called), [each.text for each in called]

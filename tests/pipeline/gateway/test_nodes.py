"""Stored nodes and graphs over a real pipeline: from a draft to the request that uses it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
import yaml
from nats.aio.msg import Msg
from starlette.requests import Request

from infra.gateway.access import AccessRole, Authenticate, Principal
from infra.runner import progress
from infra.settings import shipped
from infra.stores.changes import list_changes
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.gateway.conftest import Door, Open
from tests.pipeline.test_cache import NODE, PLAYER

NODES = "/api/v1/nodes"
GRAPHS = "/api/v1/graphs"
NEW = {"If-None-Match": "*"}
SOUND = {name: value for name, value in NODE.items() if name != "id"}


def somebody(workspace: str | None = None) -> Authenticate:
    async def authenticate(request: Request) -> Principal:
        return Principal(role=AccessRole.DESIGNER, workspace=workspace)

    return authenticate


def matching(answer: httpx2.Response) -> dict[str, str]:
    return {"If-Match": answer.headers["ETag"]}


async def publish(door: Door, name: str, node: dict[str, Any]) -> httpx2.Response:
    made = await door.http.put(f"{NODES}/{name}", json=node, headers=NEW)
    answer = await door.http.post(f"{NODES}/{name}/publish", headers=matching(made))
    assert answer.status_code == 200, answer.text
    return answer


async def test_a_node_is_written_changed_published_and_deleted(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings, ()), open_door(settings, authenticate=somebody()) as door:
        http, path = door.http, f"{NODES}/bridge"
        missing = await http.put(path, json=SOUND)
        made = await http.put(path, json=SOUND | {"duration": {"min": 9, "max": 3}}, headers=NEW)
        twice = await http.put(path, json=SOUND, headers=NEW)
        blind = await http.put(path, json=SOUND)
        refused = await http.post(f"{path}/publish", headers=matching(made))
        fix = made.json()["report"]["errors"][0]
        changed = await http.put(path, json=SOUND, headers=matching(made))
        late = await http.put(path, json=SOUND | {"version": 2}, headers=matching(made))
        same = await http.put(path, json=SOUND, headers=matching(changed))
        published = await http.post(f"{path}/publish", headers=matching(changed))
        restored = await http.post(f"{path}/restore", json={"version": 1}, headers=matching(published))
        history = (await http.get(f"{path}/history")).json()
        first = await http.get(path, params={"version": 1})
        off = await http.post(f"{path}/disable")
        copy = await http.post(f"{path}/duplicate", json={"id": "bridge_2"})
        again = await http.post(f"{path}/duplicate", json={"id": "bridge_2"})
        gone = await http.delete(path, headers=matching(off))
        after = await http.get(path)
        other = await http.put(f"{NODES}/x", json=SOUND | {"id": "y"}, headers=NEW)
        reserved = await http.put(f"{NODES}/health", json=SOUND, headers=NEW)
        large = await http.put(f"{NODES}/x", json={"purpose": "x" * 70_000}, headers=NEW)
        deep = json.loads("[" * 90 + "]" * 90)
        odd = [
            await http.put(f"{NODES}/x", content=body, headers=NEW | {"Content-Type": "application/json"})
            for body in (b"{", b"[]", b"3", b'{"a":1,"a":2}', b'{"id":"\\ud800"}', b"\xff", json.dumps(deep))
        ]
        engine = door.gateway.database.open()
        changes = [each.action for each in reversed(list_changes(engine, limit=99))]
        engine.dispose()

    assert (missing.status_code, "If-None-Match" in missing.json()["detail"]) == (404, True)
    assert (made.status_code, made.headers["Location"]) == (201, path)
    assert (made.json()["status"], made.json()["node"]["id"]) == ("errors", "bridge")
    assert (fix["pointer"], fix["fixes"][0]["title"]) == ("/duration/min", "swap minimum and maximum")
    assert (twice.status_code, blind.status_code) == (412, 428)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-design")
    assert refused.json()["errors"][0]["pointer"] == "/duration/min"
    assert (late.status_code, late.json()["current"]["node"]["id"]) == (412, "bridge")
    assert late.headers["ETag"] == changed.headers["ETag"] == same.headers["ETag"]
    assert (published.json()["published_version"], restored.json()["version"]) == (2, 3)
    assert [(each["action"], each["published"]) for each in history["items"]] == [
        ("restore", False),
        ("save", True),
        ("save", False),
    ]
    assert first.json()["node"] == restored.json()["node"] == made.json()["node"]
    assert off.json()["disabled"] is True
    assert (copy.status_code, copy.json()["node"]["id"], again.status_code) == (201, "bridge_2", 409)
    assert (gone.status_code, after.status_code) == (204, 404)
    assert [other.status_code, reserved.status_code, large.status_code] == [422, 422, 413]
    assert [each.status_code for each in odd] == [422] * 7
    assert changes == [
        *("nodes.save", "nodes.save", "nodes.publish", "nodes.restore", "nodes.disable"),
        *("nodes.duplicate", "nodes.delete"),
    ]


async def test_a_request_names_a_published_node_and_joins_with_the_one_that_it_had(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        http = door.http
        published = await publish(door, "bridge", SOUND)
        asked = {"prompt": "a phone rings", "node": "bridge", "player_context": PLAYER}
        key = {"Idempotency-Key": "first"}
        first = await http.post("/generate", json=asked, headers=key)
        draft = await http.put(
            f"{NODES}/bridge", json=SOUND | {"purpose": "variation"}, headers=matching(published)
        )
        unchanged = await http.post("/generate", json=asked)
        await http.post(f"{NODES}/bridge/publish", headers=matching(draft))
        joined = await http.post("/generate", json=asked, headers=key)
        newer = await http.post("/generate", json=asked)
        await http.post(f"{NODES}/bridge/disable")
        stood_in = await http.post("/generate", json=asked)
        await http.post(f"{NODES}/bridge/enable")
        enabled = await http.post("/generate", json=asked)
        removed = await http.post(f"{NODES}/bridge/invalidate")
        anew = await http.post("/generate", json=asked)
        unknown = await http.post("/generate", json=asked | {"node": "none"})
        elsewhere = await http.post("/generate", json=asked | {"workspace": "red"})
        await client.settled()
        stats = (await http.get(f"{NODES}/bridge/stats")).json()["figures"]
        listed = (await http.get(NODES, params={"stats": "1h"})).json()["items"]
        sent = client.events("requested", "first")[0].json()["node"]

    assert (first.json()["status"], first.json()["kind"]) == ("success", "transition")
    assert sent == {"id": "bridge"} | SOUND
    assert unchanged.json()["status"] == "cached"
    assert joined.json() == first.json()
    assert newer.json()["status"] == "success"
    assert (stood_in.json()["error"]["code"], enabled.json()["status"]) == ("GEN_PROVIDER_DISABLED", "cached")
    assert (removed.json(), anew.json()["status"]) == ({"id": "bridge", "removed": 2}, "success")
    assert [each.status_code for each in (unknown, elsewhere)] == [422, 422]
    assert unknown.json()["errors"][0]["pointer"] == "/node"
    assert (stats["requests"], stats["cache_hits"], stats["answered"]) == (6, 2, 6)
    assert [each["status"] for each in stats["latest"]][::-1] == [
        *("success", "cached", "success", "cached_fallback", "cached", "success"),
    ]
    assert listed[0]["figures"] == stats
    assert listed[0]["status"] in {"ok", "warnings"}


async def test_a_draft_is_previewed_and_tested_without_a_trace_in_cache_and_figures(
    client: Observer, configure: Configure, start: Start, open_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    settings = configure(rules=[{"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 500}])
    somewhere = somebody(workspace="red")
    overheard: list[str] = []

    async def hear(msg: Msg) -> None:
        overheard.append(msg.subject)

    await client.nc.subscribe("gen.progress.>", cb=hear)
    async with start(settings), open_door(settings, authenticate=somewhere) as door:
        http, path = door.http, f"{NODES}/bridge"
        made = await http.put(path, json=SOUND, headers=NEW)
        fields = {"prompt": "a phone rings", "player_context": PLAYER}
        shown = (await http.post(f"{path}/preview", json=fields)).json()
        bare = (await http.post(f"{path}/preview")).json()
        tested = await http.post(f"{path}/test", json=fields)
        written = (await http.get(tested.json()["links"]["events"])).text
        result = (await http.get(tested.headers["Location"], params={"wait": 30})).json()["result"]
        wrong = await http.post(f"{path}/test", json=fields | {"shadow": True})
        twice = await http.post(
            f"{path}/test",
            content=b'{"prompt":"a","prompt":"b"}',
            headers={"Content-Type": "application/json"},
        )
        beyond = await http.post(f"{path}/test", json=fields | {"workspace": "blue"})
        await http.put(path, json=SOUND | {"duration": {"min": 9, "max": 3}}, headers=matching(made))
        broken = await http.post(f"{path}/test", json=fields)
        earlier = await http.post(f"{path}/test", json=fields, params={"version": 1})
        verdict = (await http.post(f"{path}/preview", json=fields)).json()["verdict"]
        await client.settled()
        history = (await http.get(f"/api/v1/generations/{tested.json()['request_id']}/why")).json()
        stats = (await http.get(f"{path}/stats")).json()["figures"]
        removed = (await http.post(f"{path}/invalidate")).json()["removed"]
        results = client.events("result")
        asked = client.events("requested", tested.json()["request_id"])[0].json()

    assert (shown["verdict"], shown["kind"], "a phone rings" in shown["prompt"]) == (
        "model",
        "transition",
        True,
    )
    assert bare["verdict"] == "model"
    assert (tested.status_code, tested.json()["kind"]) == (202, "transition")
    assert (result["status"], result["origin"]) == ("success", "scripted")
    assert history["status"] == "success"
    assert "event: progress\n" in written
    assert overheard == []
    assert asked["workspace"] == "red"
    assert [wrong.status_code, twice.status_code, beyond.status_code, broken.status_code] == [422] * 4
    assert broken.json()["errors"][0]["pointer"] == "/duration/min"
    assert (earlier.status_code, verdict) == (202, "rejected")
    assert (stats["requests"], removed, results) == (0, 0, [])


async def test_the_files_of_the_library_go_in_and_come_out_as_they_are(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings, ()), open_door(settings) as door:
        http = door.http
        templates = [json.loads(each.read_text()) for each in sorted(shipped.TEMPLATES.glob("*.json"))]
        stored = await http.post(f"{NODES}/import", json=templates)
        again = await http.post(f"{NODES}/import", json=templates)
        other = [templates[0], templates[1] | {"version": 9}]
        conflict = await http.post(f"{NODES}/import", json=other)
        replaced = await http.post(f"{NODES}/import", json=other, params={"replace": "true"})
        files = (await http.get(f"{NODES}/export")).json()
        one = await http.get(f"{NODES}/{templates[2]['id']}/export")
        as_yaml = await http.get(f"{NODES}/export", params={"format": "yaml"})
        nameless = await http.post(f"{NODES}/import", json=[{"strategy": "once"}])
        page = (await http.get(NODES, params={"limit": 3})).json()
        following = (await http.get(NODES, params={"limit": 3, "cursor": page["next"]})).json()
        health = (await http.get(f"{NODES}/health")).json()

    assert {each["outcome"] for each in stored.json()["items"]} == {"created"}
    assert {each["outcome"] for each in again.json()["items"]} == {"unchanged"}
    assert (conflict.status_code, templates[1]["id"] in conflict.json()["detail"]) == (409, True)
    assert [each["outcome"] for each in replaced.json()["items"]] == ["unchanged", "changed"]
    wanted = {each["id"]: each for each in [*templates, other[1]]}
    assert {each["id"]: each for each in files} == wanted
    assert one.json() == templates[2]
    assert list(one.json()) == list(templates[2])
    assert one.headers["Content-Disposition"] == f'attachment; filename="{templates[2]["id"]}.json"'
    assert yaml.safe_load(as_yaml.text) == files
    assert nameless.json()["errors"][0]["pointer"] == "/0/id"
    assert [each["id"] for each in page["items"] + following["items"]] == sorted(wanted)[:6]
    assert (health["nodes"], health["statuses"]["errors"]) == (len(templates), 0)
    assert sum(health["statuses"].values()) == len(templates)


async def test_a_scenario_is_drawn_as_a_graph_and_comes_out_as_it_is(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings, ()), open_door(settings) as door:
        http = door.http
        text = (shipped.SCENARIOS / "three_scenes.yaml").read_text()
        header = {"Content-Type": "application/yaml"}
        graph = await http.post(f"{GRAPHS}/import", params={"graph": "night"}, content=text, headers=header)
        scenario = await http.get(f"{GRAPHS}/night/export")
        drawn = await http.get(f"{GRAPHS}/night")
        moved = drawn.json()["graph"]
        moved["nodes"][0]["position"] = {"x": 7, "y": 8}
        saved = await http.put(f"{GRAPHS}/night", json=moved, headers=matching(drawn))
        late = await http.put(f"{GRAPHS}/night", json=moved | {"title": "x"}, headers=matching(drawn))
        undone = await http.post(f"{GRAPHS}/night/restore", json={"version": 1}, headers=matching(saved))
        wrong = await http.put(
            f"{GRAPHS}/other", json={"edges": [{"source": "a", "target": "b"}]}, headers=NEW
        )
        graphs = (await http.get(GRAPHS)).json()["items"]
        no_file = await http.post(f"{GRAPHS}/import", json={"scenes": []})
        bridge = await http.get(f"{NODES}/night_bridge")
        gone = await http.delete(f"{NODES}/night_bridge", headers=matching(bridge))
        lacking = await http.get(f"{GRAPHS}/night")
        no_scenario = await http.get(f"{GRAPHS}/night/export")

    assert graph.status_code == 200, graph.text
    assert scenario.json() == yaml.safe_load(text)
    assert drawn.json()["missing_nodes"] == []
    assert (saved.json()["version"], late.status_code) == (2, 412)
    assert undone.json()["graph"] == drawn.json()["graph"]
    assert (wrong.status_code, no_file.status_code) == (422, 422)
    assert [(each["id"], each["nodes"], each["edges"]) for each in graphs] == [("night", 5, 4)]
    assert (gone.status_code, lacking.json()["missing_nodes"]) == (204, ["night_bridge"])
    assert (no_scenario.status_code, "night_bridge" in no_scenario.json()["detail"]) == (409, True)


async def test_nodes_of_workspaces_meet_nowhere(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    red, blue = somebody(workspace="red"), somebody(workspace="blue")
    async with (
        start(settings),
        open_door(settings, authenticate=red) as ours,
        open_door(settings, authenticate=blue) as theirs,
        open_door(settings) as local,
    ):
        await publish(ours, "bridge", SOUND | {"purpose": "variation"})
        await publish(theirs, "bridge", SOUND)
        await publish(theirs, "secret", SOUND)
        asked = {"prompt": "a phone rings", "node": "bridge", "player_context": PLAYER}
        for door in (ours, theirs):
            await door.http.post("/generate", json=asked)
        hidden = await ours.http.post("/generate", json=asked | {"node": "secret"})
        listed = (await ours.http.get(NODES)).json()["items"]
        named = await ours.http.get(NODES, params={"workspace": "blue"})
        await client.settled()
        figures, removed = await asyncio.gather(
            ours.http.get(f"{NODES}/bridge/stats"), ours.http.post(f"{NODES}/bridge/invalidate")
        )
        kept = await theirs.http.post("/generate", json=asked)
        none = (await local.http.get(NODES)).json()["items"]
        some = (await local.http.get(NODES, params={"workspace": "blue"})).json()["items"]
        told = await local.http.post("/generate", json=asked | {"node": "secret", "workspace": "blue"})

    assert hidden.status_code == 422
    assert [(each["id"], each["workspace"], each["node"]["purpose"]) for each in listed] == [
        ("bridge", "red", "variation")
    ]
    assert named.status_code == 422
    assert (figures.json()["figures"]["requests"], removed.json()["removed"]) == (1, 1)
    assert kept.json()["status"] == "cached"
    assert (none, [each["id"] for each in some], told.status_code) == ([], ["bridge", "secret"], 200)

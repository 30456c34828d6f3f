"""Stored nodes at a gateway without a broker: what needs none works, and what an older database lacks is missing."""

from __future__ import annotations

from typing import Any

import pytest

from infra.app.node_desk import NodeDesk
from infra.authoring.node_health import HealthNode, measure_health
from infra.settings.settings import load
from tests.unit.access_fixtures import World, bearer, empty, engine, world

__all__ = ["empty", "engine", "world"]

NODES = "/api/v1/nodes"
NEW = {"If-None-Match": "*"}
SOUND = {
    "generationType": "dialogue",
    "purpose": "adaptive",
    "strategy": "per_player",
    "fallback": {"mode": "golden_sample"},
}


async def test_a_database_of_an_older_version_has_no_nodes(world: World) -> None:
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE designs")
    head = bearer(world.issue("designer"))
    listed = await world.http.get(NODES, headers=head)
    health = await world.http.get(f"{NODES}/health", headers=head)
    one = await world.http.get(f"{NODES}/x", headers=head)
    asked = await world.http.post("/generate", json={"prompt": "x", "node": "bridge"}, headers=head)
    assert (listed.json(), health.json()["nodes"]) == ({"items": [], "next": None}, 0)
    assert one.status_code == 404
    assert (asked.status_code, asked.json()["errors"][0]["pointer"]) == (422, "/node")


async def test_a_workspace_has_a_bounded_number_of_nodes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.gateway.designs.MOST_DESIGNS", {"node": 2, "graph": 1})
    head = bearer(world.issue("designer")) | NEW
    made = [await world.http.put(f"{NODES}/n{number}", json=SOUND, headers=head) for number in range(3)]
    several = await world.http.post(f"{NODES}/import", json=[SOUND | {"id": "m"}], headers=head)
    copy = await world.http.post(f"{NODES}/n0/duplicate", json={"id": "m"}, headers=head)
    assert [each.status_code for each in made] == [201, 201, 409]
    assert (several.status_code, copy.status_code) == (409, 409)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"prompt": "x", "node": "a b"}, "/node"),
        ({"prompt": "x", "node": "\x00"}, "/node"),
        ({"prompt": "x", "node": "bridge", "workspace": "\x00"}, "/node"),
        ({"prompt": "x", "node": "bridge", "workspace": None}, "/node"),
        ({"prompt": "x", "node": 3}, "/node"),
        ({"prompt": "x", "node": "bridge", "workspace": 3}, "/workspace"),
    ],
)
async def test_a_name_that_names_no_node_is_refused(world: World, body: Any, pointer: str) -> None:
    answer = await world.http.post("/generate", json=body, headers=bearer(world.issue("client")))
    assert answer.status_code == 422
    assert pointer in {each["pointer"] for each in answer.json()["errors"]}


async def test_a_preview_needs_no_broker(world: World) -> None:
    head = bearer(world.issue("designer"))
    await world.http.put(f"{NODES}/talk", json=SOUND, headers=head | NEW)
    shown = await world.http.post(f"{NODES}/talk/preview", json={"prompt": "hello"}, headers=head)
    assert (shown.status_code, shown.json()["kind"]) == (200, "dialogue")
    assert shown.json()["stand_in"]["name"]


def test_health_counts_and_warns_about_what_concerns_several() -> None:
    desk = NodeDesk(load())

    def node(name: str, text: str, **options: Any) -> HealthNode:
        return HealthNode(name=name, judged=desk.judge(text), **options)

    fresh = '{"generationType":"dialogue","strategy":"always","fallback":{"mode":"none"}}'
    shared = '{"generationType":"plot","strategy":"once","fallback":{"mode":"golden_sample"}}'
    bare = '{"generationType":"plot","strategy":"once"}'
    broken = (
        '{"generationType":"plot","strategy":"once","duration":{"min":9,"max":3},"fallback":{"mode":"skip"}}'
    )
    nodes = [
        *(node(f"fresh_{number}", fresh) for number in range(3)),
        node("shared", shared, published=True, changed=True),
        node("bare", bare),
        node("off", fresh, disabled=True, published=True, broken=True),
        node("broken", broken, published=True, broken=True),
    ]
    health = measure_health(nodes)
    assert (health.nodes, health.published, health.changed) == (7, 3, 1)
    assert health.statuses == {"ok": 3, "warnings": 2, "errors": 1, "disabled": 1}
    assert (health.kinds, health.strategies) == ({"dialogue": 4, "plot": 3}, {"always": 4, "once": 3})
    # Half of those in use may generate anew.
    assert {each.code: each.nodes for each in health.warnings} == {
        "HLT002": ("bare",),
        "HLT003": ("fresh_0", "fresh_1", "fresh_2"),
        "HLT004": ("broken",),
    }
    more = measure_health([*nodes, node("fresh_3", fresh)])
    assert next(each.code for each in more.warnings) == "HLT001"
    assert measure_health([]).warnings == ()

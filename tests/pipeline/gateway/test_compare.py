"""`/api/v1/compare` and `/api/v1/reruns` over a real pipeline: two, many, the pairs of a rerun, and the workspace wall."""

from __future__ import annotations

import asyncio

from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start
from tests.pipeline.gateway.conftest import Open
from tests.pipeline.gateway.test_dead_letters import somebody

PATH = "/api/v1/compare"
RERUNS = "/api/v1/reruns"
PAIRS = {"pairs": [{"a": "a", "b": "b"}, {"a": "a", "b": "a"}]}


async def test_two_many_and_a_rerun_are_compared(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        await client.ask("a", prompt="a forest with three coins", seed=1)
        await client.ask("b", prompt="a desert with two wells", seed=1)
        await client.settled()
        two = (await door.http.get(PATH, params={"a": "a", "b": "b"})).json()
        many = (await door.http.post(PATH, json=PAIRS)).json()
        wrong = [
            await door.http.get(PATH, params=each) for each in ({}, {"a": "a"}, {"a": "a", "rerun": "j1"})
        ]
        missing = [
            await door.http.get(PATH, params={"a": "a", "b": "nobody"}),
            await door.http.get(PATH, params={"rerun": "j1"}),
        ]
        order = {"filter": {"kind": "layout"}, "set": {"prompt": "a swamp"}, "job": "j1"}
        dry = await door.http.post(RERUNS, json=order | {"dry_run": True})
        before = len(client.events("requested"))
        refused = [
            await door.http.post(RERUNS, json=each)
            for each in ({"all": True, "set": {"colour": "red"}}, {"set": {}}, {"ids": ["nobody"]})
        ]
        assert len(client.events("requested")) == before, "nothing is published"
        run = await door.http.post(RERUNS, json=order)
        await client.until(lambda: len(client.events("shadowed")) == 2)
        await client.settled()
        async with asyncio.timeout(PATIENCE_S):
            while (await door.http.get(run.headers["Location"])).json().get("b", {}).get("open", 2):
                await asyncio.sleep(0.05)
        pairs = (await door.http.get(run.headers["Location"])).json()

    assert {each["path"] for each in two["asked"]} == {"/prompt"}
    assert (two["equal"], two["a"]["status"], two["b"]["request_id"]) == (False, "success", "b")
    assert two["content"][0]["op"] in {"add", "remove", "replace", "move"}
    assert (many["pairs"], many["equal"], many["comparisons"][0]) == (2, 1, two)
    assert many["fields"][0]["share"] == 0.5
    assert [each.status_code for each in wrong] == [422] * 3
    assert [each.status_code for each in missing] == [404] * 2
    assert (dry.status_code, run.status_code) == (200, 202)
    assert dry.json() == run.json()
    assert {each["original"] for each in run.json()["requests"]} == {"a", "b"}
    assert [each.status_code for each in refused] == [422, 422, 404]
    assert (pairs["pairs"], pairs["b"]["open"], set(pairs["asked"])) == (2, 0, {"/prompt"})


async def test_a_workspace_compares_and_reruns_its_own_alone(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with (
        start(settings),
        open_door(settings) as door,
        open_door(settings, authenticate=somebody(workspace="red")) as red,
    ):
        await client.ask("a", workspace="blue")
        await client.ask("b", workspace="red")
        await client.settled()
        run = await door.http.post(RERUNS, json={"all": True, "job": "all"})
        await client.until(lambda: len(client.events("shadowed")) == 2)
        await client.settled()
        hidden = [
            await red.http.get(PATH, params={"a": "b", "b": "a"}),
            await red.http.post(PATH, json=PAIRS),
            await red.http.get(PATH, params={"rerun": "all"}),
            await red.http.post(RERUNS, json={"ids": ["a"]}),
        ]
        own = await red.http.get(PATH, params={"a": "b", "b": "b"})
        plan = await red.http.post(RERUNS, json={"all": True, "dry_run": True})
        moved = await red.http.post(RERUNS, json={"ids": ["b"], "set": {"workspace": "blue"}})
        one = await red.http.post("/api/v1/generations/b/rerun", json={"set": {"workspace": "blue"}})

    assert run.status_code == 202
    assert [each.status_code for each in hidden] == [404] * 4
    assert (own.status_code, own.json()["equal"]) == (200, True)
    assert [each["original"] for each in plan.json()["requests"]] == ["b"]
    assert [each.status_code for each in (moved, one)] == [403] * 2

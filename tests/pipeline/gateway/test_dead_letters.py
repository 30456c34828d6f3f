"""`/api/v1/dead-letters` over a real pipeline: pages, groups, faults, verdicts, drop, and the workspace wall."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from infra.gateway.access import AccessRole, Principal
from infra.stores.changes import list_changes
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.gateway.conftest import Door, Open
from tests.pipeline.replays import letter_about

PATH = "/api/v1/dead-letters"
HOT = {"prompt": "a forest", "params": {"temperature": 9}}
COOLER = [{"op": "replace", "path": "/params/temperature", "value": 0.5}]


def somebody(**fields: Any):
    async def authenticate(request: Request) -> Principal:
        return Principal(**{"role": AccessRole.ADMIN, **fields})

    return authenticate


async def refuse(client: Observer, request_id: str, **fields: Any) -> None:
    """A request that context-build refuses, and its letter."""
    count = len(client.letters())
    await client.publish(f"gen.requested.layout.{request_id}", msgspec.json.encode(HOT | fields))
    await client.until(lambda: len(client.letters()) > count)


async def pages_of(door: Door, **params: Any) -> list[list[int]]:
    answer = await door.http.get(PATH, params={"limit": 2, **params})
    found = [[each["sequence"] for each in answer.json()["items"]]]
    while "next" in answer.links:
        answer = await door.http.get(answer.links["next"]["url"])
        found.append([each["sequence"] for each in answer.json()["items"]])
    return found


async def test_letters_are_listed_grouped_judged_and_dropped(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        for number in (1, 2, 3):
            await refuse(client, f"hot-{number}")
        await client.ask("fine")
        await letter_about(client, "fine", "layout")
        await client.settled()
        everything = await pages_of(door)
        hot = await pages_of(door, field="/params/temperature")
        one = await pages_of(door, id="hot-2")
        some = await pages_of(door, code="GEN_PROVIDER_UNAVAILABLE", since="1h", text="REFUSED")
        groups = (await door.http.get(f"{PATH}/groups")).json()["items"]
        wrong = [
            await door.http.get(PATH, params=each)
            for each in ({"status": "failed"}, {"colour": "red"}, {"code": "GEN_NONE"}, {"cursor": "x"})
        ]
        shown = (await door.http.get(f"{PATH}/1")).json()
        known = (await door.http.get(f"{PATH}/4")).json()["verdict"]
        before = len(client.events("requested"))
        cooler = await door.http.post(f"{PATH}/1/validate", json={"patch": COOLER})
        colder = await door.http.post(f"{PATH}/1/validate", json={"patch": [COOLER[0] | {"value": -4}]})
        elsewhere = await door.http.post(
            f"{PATH}/1/validate", json={"patch": [{"op": "test", "path": "/seed", "value": 1}]}
        )
        no_patch = await door.http.post(f"{PATH}/1/validate", json={"patch": [{"op": "mend"}]})
        dry = await door.http.post(f"{PATH}/1/drop", json={"dry_run": True})
        dropped = await door.http.post(f"{PATH}/1/drop")
        gone = [
            await door.http.request(method, f"{PATH}/1{action}")
            for method, action in (("GET", ""), ("POST", "/validate"), ("POST", "/drop"))
        ]
        left = await pages_of(door)
        engine = door.gateway.database.open()
        changes = [(each.action, each.target) for each in list_changes(engine, limit=9)]
        engine.dispose()

    assert (everything, hot, one, some) == ([[4, 3], [2, 1]], [[3, 2], [1]], [[2]], [[4]])
    assert [
        (each["stage"], each["code"], each["field"], each["letters"], each["last"]) for each in groups
    ] == [
        ("context-build", "GEN_INVALID_REQUEST", "/params/temperature", 3, 3),
        ("freeform-gen", "GEN_PROVIDER_UNAVAILABLE", None, 1, 4),
    ]
    assert [each.status_code for each in wrong] == [422] * 4
    assert (shown["payload"], shown["letter"]["deliveries"]) == (HOT, 1)
    (fault,) = shown["violations"]
    assert fault["pointer"] == "/params/temperature"
    assert shown["verdict"]["accepted"] is False
    assert shown["verdict"]["violations"] == [fault]
    assert (known["accepted"], known["replay_of"], known["violations"]) == (True, "fine", [])
    assert (cooler.json()["accepted"], cooler.json()["body"]["params"]) == (True, {"temperature": 0.5})
    assert cooler.json()["max_tokens"] > 0
    assert colder.json()["violations"][0]["pointer"] == "/params/temperature"
    assert (elsewhere.status_code, elsewhere.json()["accepted"], elsewhere.json()["body"]) == (
        200,
        False,
        None,
    )
    assert (no_patch.status_code, no_patch.json()["errors"][0]["pointer"]) == (422, "/patch")
    assert len(client.events("requested")) == before
    assert (dry.json()["outcome"], dropped.json()["outcome"]) == ("would_drop", "dropped")
    assert [each.status_code for each in gone] == [404] * 3
    assert left == [[4, 3], [2]]
    assert changes == [("dead-letters.drop", "1")]


async def test_a_workspace_sees_and_edits_its_own_letters_alone(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    red = somebody(workspace="red")
    move = [{"op": "add", "path": "/workspace", "value": "blue"}]
    async with start(settings), open_door(settings, authenticate=red) as door:
        await refuse(client, "hot-1", workspace="blue")
        await refuse(client, "hot-2", workspace="red")
        await client.ask("theirs", workspace="blue")
        await letter_about(client, "theirs", "layout")
        listed = await pages_of(door)
        groups = (await door.http.get(f"{PATH}/groups")).json()["items"]
        forbidden = await door.http.get(PATH, params={"workspace": "blue"})
        hidden = [
            await door.http.request(method, f"{PATH}/{sequence}{action}")
            for sequence in (1, 3, 9)
            for method, action in (("GET", ""), ("POST", "/validate"), ("POST", "/drop"))
        ]
        own = await door.http.get(f"{PATH}/2")
        moved = await door.http.post(f"{PATH}/2/validate", json={"patch": move + COOLER})

    assert listed == [[2]]
    assert [(each["letters"], each["last"]) for each in groups] == [(1, 2)]
    assert forbidden.status_code == 422
    assert {each.status_code for each in hidden} == {404}
    assert (
        len(
            {
                each.json()["detail"].replace(str(number), "N")
                for number, each in zip([1, 1, 1, 3, 3, 3, 9, 9, 9], hidden, strict=True)
            }
        )
        == 1
    )
    assert own.status_code == 200
    assert (moved.status_code, moved.json()["errors"][0]["pointer"]) == (403, "/patch")


async def test_where_no_words_are_kept_only_operators_see_those_of_letters(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[], AUDIT__STORE_PROMPTS="false")
    seen: dict[AccessRole, dict[str, Any]] = {}
    judged: dict[AccessRole, tuple[int, int]] = {}
    async with start(settings):
        await refuse(client, "hot-1", sunflower=1)
        for role in (AccessRole.VIEWER, AccessRole.OPERATOR):
            async with open_door(settings, authenticate=somebody(role=role)) as door:
                paths = (PATH, f"{PATH}/groups", f"{PATH}/1")
                seen[role] = {path: (await door.http.get(path)).json() for path in paths}
                searched = await door.http.get(PATH, params={"text": "sunflower"})
                judged[role] = (
                    (await door.http.post(f"{PATH}/1/validate", json={})).status_code,
                    searched.status_code,
                )
    hidden, shown = seen[AccessRole.VIEWER], seen[AccessRole.OPERATOR]
    assert ["sunflower" in str(each) for each in shown.values()] == [True] * 3
    assert shown[f"{PATH}/1"]["payload"]["prompt"] == "a forest"
    letter = hidden[f"{PATH}/1"]
    assert ("sunflower" in str(letter), "a forest" in str(letter)) == (False, False)
    assert "only operators see" in letter["payload"]
    assert [each["pointer"] for each in letter["violations"]] == ["/params/temperature"]
    assert (letter["letter"]["body"], letter["verdict"]["body"]) == (None, None)
    assert letter["code"] == "GEN_INVALID_REQUEST"
    assert "sunflower" not in str(hidden)
    (group,) = hidden[f"{PATH}/groups"]["items"]
    assert group["field"] == "/params/temperature"
    assert judged == {AccessRole.VIEWER: (403, 403), AccessRole.OPERATOR: (200, 200)}

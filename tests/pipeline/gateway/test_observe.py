"""State and figures over HTTP, of a real pipeline: each route's answer, its schema, and what one workspace sees."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jsonschema
from starlette.requests import Request

from contracts import events as ev
from contracts import pipeline, subjects
from infra.gateway.access import AccessRole, Principal
from infra.gateway.app import create_app
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.gateway.conftest import Door, Open

API = "/api/v1"
#: Routes that show what belongs to all workspaces.
EVERYWHERE = ("cache/stats", "providers", "topology", "doctor", "board")


def moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


class Reader:
    """Reads answers, and checks them against the document."""

    def __init__(self, door: Door) -> None:
        self.http = door.http
        self._document = create_app(door.gateway).openapi()
        #: Paths of the document that were not read yet.
        self.left = {
            path
            for path, each in self._document["paths"].items()
            if "observe" in each.get("get", {}).get("tags", ())
        }

    async def read(self, path: str, template: str = "", **query: Any) -> Any:
        answer = await self.http.get(f"{API}/{path}", params=query)
        assert answer.status_code == 200, answer.text
        place = f"{API}/{template or path}"
        self.left.discard(place)
        said = self._document["paths"][place]["get"]["responses"]["200"]
        schema = said["content"]["application/json"]["schema"]
        validator = jsonschema.Draft202012Validator({**schema, "components": self._document["components"]})
        validator.validate(answer.json())
        return answer.json()

    async def status(self, path: str) -> int:
        return (await self.http.get(f"{API}/{path}")).status_code

    async def run_examples(self) -> int:
        """Read each path with the values that the document shows, one at a time; how many there are."""
        found = 0
        for path in self.left.copy():
            for parameter in self._document["paths"][path]["get"].get("parameters", ()):
                for example in parameter.get("examples", {}).values():
                    found += 1
                    name, value = parameter["name"], example["value"]
                    template = path.removeprefix(f"{API}/")
                    query = {name: value} if parameter["in"] == "query" else {}
                    await self.read(template.replace(f"{{{name}}}", value), template, **query)
        return found

    async def stand_in(self, request_id: str) -> Any:
        return await self.read(f"generations/{request_id}/stand-in", "generations/{request_id}/stand-in")


def bind(door: Door, workspace: str) -> None:
    """From now on everybody is a viewer of one workspace."""

    async def authenticate(_: Request) -> Principal:
        return Principal(role=AccessRole.VIEWER, workspace=workspace)

    door.gateway.authenticate = authenticate


async def test_what_the_pipeline_did_and_has(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(
        rules=[{"match": {"kind": "dialogue"}, "do": "refuse"}], BUDGETS__WORKSPACE_TOKENS="1000000"
    )
    async with start(settings), open_door(settings) as door:
        for number in range(3):
            await client.ask(f"red-{number}", workspace="red")
        await client.ask("blue-1", "scene", workspace="blue")
        stood_in = await client.ask("blue-2", "dialogue", workspace="blue")
        await client.settled()
        reader = Reader(door)
        assert await reader.run_examples() == 8
        await check_figures(reader)
        await check_broker(reader)
        await check_providers(reader)
        await check_catalogue(reader, stood_in)
        assert reader.left == set()
        bind(door, "red")
        await check_wall(reader)


async def check_figures(reader: Reader) -> None:
    stats = await reader.read("telemetry", window="5m")
    total = stats["windows"][0]["total"]
    assert (total["requests"], total["stand_in_rate"], stats["open"]) == (5, 0.2, 0)
    assert {each["name"]: each["requests"] for each in stats["windows"][0]["kinds"]} == {
        "layout": 3,
        "scene": 1,
        "dialogue": 1,
    }
    assert sum(each["total"]["requests"] for each in stats["series"]) == 5
    # A bucket's times list the requests that it counts.
    for bucket in (each for each in stats["series"] if each["total"]["requests"]):
        span = {"since": moment(bucket["since_ms"]), "until": moment(bucket["until_ms"])}
        listed = (await reader.http.get(f"{API}/generations", params=span)).json()["items"]
        assert len(listed) == bucket["total"]["requests"]
    red = await reader.read("telemetry", workspace="red", kind="layout")
    nobody = await reader.read("telemetry", provider="nobody")
    assert [each["windows"][0]["total"]["requests"] for each in (red, nobody)] == [3, 0]


async def check_broker(reader: Reader) -> None:
    assert (await reader.read("cache/stats"))["entries"] == 0
    topology = await reader.read("topology")
    assert [each["name"] for each in topology["streams"]] == ["REQUESTS", "EVENTS", "DEAD"]
    assert topology["streams"][0]["messages"] == 5
    assert topology["differences"] == []
    assert {"cache", "budgets", "assets"} <= {each["name"] for each in topology["buckets"]}
    findings = await reader.read("doctor")
    assert {"broker", "database", "topology"} <= {each["check"] for each in findings["checks"]}
    assert all(each["fix"] for each in findings["checks"] if not each["ok"])
    board = await reader.read("board")
    assert [each["stage"] for each in board["stages"]] == list(pipeline.STAGES)
    assert sum(each["waiting"] + each["ack_pending"] for each in board["stages"]) == 0
    (reason,) = board["last_5m"]["stand_ins"]
    assert (reason["requests"], reason["rate"]) == (1, 0.2)


async def check_providers(reader: Reader) -> None:
    providers = await reader.read("providers")
    (scripted,) = providers["models"]
    assert (scripted["provider"], scripted["last_error"]["request_id"]) == ("scripted", "blue-2")
    assert providers["circuits_known"] is False
    budgets = await reader.read("budgets")
    assert budgets["limits"]["workspace"]["tokens"] == 1_000_000
    assert {each["workspace"] for each in budgets["accounts"]} == {"red", "blue"}


async def check_catalogue(reader: Reader, stood_in: ev.Result) -> None:
    kinds = {each["kind"]: each for each in await reader.read("kinds")}
    assert kinds["layout"]["providers"] == ["scripted"]
    assert kinds["layout"]["schema"]["type"] == "object"
    assert kinds["custom"]["schema"] is None
    assert stood_in.stand_in is not None
    name = stood_in.stand_in.name
    # It is a function of the request: afterwards it says the same.
    assert (await reader.stand_in("blue-2"))["stand_in"]["name"] == name
    (listed,) = [each for each in await reader.read("samples", kind="dialogue") if each["name"] == name]
    assert "content" not in listed
    sample = await reader.read(f"samples/{name}", "samples/{name}")
    assert (sample["content"], sample["hash"]) == (stood_in.content, stood_in.stand_in.hash)
    assert await reader.status("samples/none.json") == 404
    assert await reader.status("generations/none/stand-in") == 404


async def check_wall(reader: Reader) -> None:
    assert (await reader.read("telemetry"))["windows"][0]["total"]["requests"] == 3
    refused = await reader.http.get(f"{API}/telemetry", params={"workspace": "blue"})
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, "workspace")
    assert {each["workspace"] for each in (await reader.read("budgets"))["accounts"]} == {"red"}
    assert {await reader.status(path) for path in EVERYWHERE} == {403}
    assert await reader.status("generations/blue-2/stand-in") == 404


async def test_a_board_shows_what_waits_and_the_stand_in_before_the_deadline(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure()
    async with start(settings, ("fallback",)), open_door(settings) as door:
        reader = Reader(door)
        sequence = await client.publish(
            subjects.gen("requested", "layout", "waits"), b'{"prompt":"a forest","deadline_ms":1500}'
        )
        found = await reader.stand_in("waits")
        await client.handled("REQUESTS", sequence, "fallback")
        lanes = {each["stage"]: each for each in (await reader.read("board"))["stages"]}
        result = await client.result("waits")

    assert (lanes["context-build"]["waiting"], lanes["fallback"]["waiting"]) == (1, 0)
    assert lanes["context-build"]["oldest_age_s"] > 0
    assert lanes["context-build"]["fetching"] == 0
    assert result.stand_in is not None
    assert (found["stand_in"]["name"], found["deadline_ms"]) == (result.stand_in.name, 1500)
    assert found["stand_in"]["content"] == result.content
    assert found["stand_in"]["reason"] == result.reason

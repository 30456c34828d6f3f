"""The OpenAPI document: its examples run, and answers have documented statuses and schemas."""

from __future__ import annotations

from typing import Any

import jsonschema

from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.gateway.conftest import Open
from tests.pipeline.replays import letter_about

NODE = {"generationType": "scene"}


def examples(operation: dict[str, Any]) -> list[Any]:
    """The bodies that a document shows for an operation."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    shown = [each["value"] for each in body.get("examples", {}).values()]
    return [*shown, *([body["example"]] if "example" in body else [])]


async def test_every_example_runs_and_its_answer_is_as_documented(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    seen = 0
    async with start(settings), open_door(settings) as door:
        # What the paths of examples name.
        await client.ask("forest-1")
        await client.ask("forest-2")
        ids = {"sequence": await letter_about(client, "forest-1", "layout")}
        ids |= {"node_id": "bridge", "graph_id": "night"}
        new = {"If-None-Match": "*"}
        for path, body in (("nodes/bridge", NODE), ("graphs/night", {})):
            made = await door.http.put(f"/api/v1/{path}", json=body, headers=new)
            assert made.status_code == 201, made.text
        document = (await door.http.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                for body in examples(operation):
                    state = {"If-Match": "*"} if "If-Match" in str(operation) else {}
                    answer = await door.http.request(method, path.format(**ids), json=body, headers=state)
                    seen += 1
                    assert answer.status_code < 300, answer.text
                    said = operation["responses"][str(answer.status_code)]
                    schema = said["content"]["application/json"]["schema"]
                    jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
    assert seen >= 21

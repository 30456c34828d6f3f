"""OpenAI's API before a running pipeline: answers, labels, stand-ins, and both kinds of streams."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts import subjects
from infra.gateway.openai_api import call_stream
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.gateway.conftest import Open

CHAT = "/v1/chat/completions"
ASKED = {"model": "understudy/layout", "messages": [{"role": "user", "content": "a forest with three coins"}]}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "price": {"type": "integer"}},
    "required": ["name", "price"],
    "additionalProperties": False,
}


def frames_of(text: str) -> list[Any]:
    """The data of a stream's events."""
    lines = [each.removeprefix("data: ") for each in text.splitlines() if each.startswith("data: ")]
    return [each if each == "[DONE]" else json.loads(each) for each in lines]


async def test_a_completion_is_the_checked_document_with_its_labels(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    key = {"Idempotency-Key": "chat-1"}
    async with start(settings), open_door(settings) as door:
        answer = await door.http.post(CHAT, json=ASKED, headers=key)
        again = await door.http.post(CHAT, json=ASKED, headers=key)
        own = await door.http.post(
            CHAT,
            json=ASKED
            | {"response_format": {"type": "json_schema", "json_schema": {"name": "tag", "schema": SCHEMA}}},
        )
        models = (await door.http.get("/v1/models")).json()["data"]

    body = answer.json()
    assert answer.status_code == 200, body
    assert body["id"] == "chatcmpl-chat-1"
    assert body["model"] == "scripted-1"
    assert json.loads(body["choices"][0]["message"]["content"])["scene_name"]
    assert body["understudy"]["request_id"] == answer.headers["x-request-id"] == "chat-1"
    assert body["understudy"]["status"] == answer.headers["Understudy-Status"] == "success"
    assert body["understudy"]["origin"] == "scripted"
    assert again.json() == body
    assert len(client.events("requested", "chat-1")) == 1
    assert isinstance(json.loads(own.json()["choices"][0]["message"]["content"])["price"], int)
    assert {"understudy/layout", "scripted"} <= {each["id"] for each in models}


async def test_a_stand_in_is_named_and_can_be_refused(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[{"do": "refuse"}])
    live = {"Understudy-Require": "live"}
    none = {"understudy": {"fallback": {"mode": "none"}}}
    async with start(settings), open_door(settings) as door:
        answer = await door.http.post(CHAT, json=ASKED)
        refused = await door.http.post(CHAT, json=ASKED, headers=live)
        streamed = await door.http.post(CHAT, json=ASKED | {"stream": True}, headers=live)
        failed = await door.http.post(CHAT, json=ASKED | none)

    body = answer.json()
    assert answer.status_code == 200
    assert body["understudy"]["origin"] == "golden_sample"
    name = body["understudy"]["stand_in"]["name"]
    assert body["model"] == f"understudy/golden_sample:{name}"
    assert answer.headers["Understudy-Stand-In"] == name
    for each in (refused, streamed):
        error = each.json()["error"]
        assert (each.status_code, error["code"], error["type"]) == (503, "not_live", "server_error")
        assert error["understudy"]["origin"] == each.headers["Understudy-Origin"] == "golden_sample"
        assert "content" not in each.json()
    assert (failed.status_code, failed.json()["error"]["code"]) == (502, "GEN_PROVIDER_UNAVAILABLE")


async def test_a_held_stream_is_the_checked_text(
    client: Observer, configure: Configure, start: Start, open_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_stream, "HOLD_S", 0.0)
    monkeypatch.setattr(call_stream, "PING_S", 0.02)
    settings = configure(rules=[{"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 300}])
    more = {"stream": True, "stream_options": {"include_usage": True}}
    async with start(settings), open_door(settings) as door:
        streamed = await door.http.post(CHAT, json=ASKED | more)
        failed = await door.http.post(
            CHAT,
            json=ASKED | {"stream": True, "understudy": {"deadline_ms": 1, "fallback": {"mode": "none"}}},
        )

    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.startswith(": ping\n\n")
    *chunks, usage, done = frames_of(streamed.text)
    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] > 0
    assert len(chunks) > 3
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert json.loads("".join(each["choices"][0]["delta"].get("content", "") for each in chunks))[
        "scene_name"
    ]
    assert {each["understudy"]["status"] for each in chunks} == {"success"}
    (error,) = frames_of(failed.text)
    assert error["error"]["understudy"]["status"] == "failed"


async def test_a_raw_stream_ends_with_an_error_where_a_stand_in_takes_over(
    client: Observer, configure: Configure, start: Start, open_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configure(rules=[])
    raw = {"Understudy-Stream": "raw"}
    async with start(settings), open_door(settings) as door:
        plain = await door.http.post(CHAT, json=ASKED | {"stream": True}, headers=raw)
    settings = configure(rules=[{"do": "refuse"}])
    async with start(settings), open_door(settings) as door:
        failed = await door.http.post(
            CHAT, json=ASKED | {"stream": True}, headers=raw | {"Understudy-Require": "live"}
        )

    *chunks, done = frames_of(plain.text)
    assert done == "[DONE]"
    assert json.loads("".join(each["choices"][0]["delta"].get("content", "") for each in chunks))[
        "scene_name"
    ]
    (error,) = frames_of(failed.text)
    assert error["error"]["code"] == "not_live"


async def test_a_response_and_its_events(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    asked = {
        "model": "understudy/custom",
        "input": "a price tag",
        "text": {"format": {"type": "json_schema", "name": "tag", "schema": SCHEMA}},
    }
    async with start(settings), open_door(settings) as door:
        answer = await door.http.post("/v1/responses", json=asked)
        streamed = await door.http.post("/v1/responses", json=asked | {"stream": True})

    body = answer.json()
    assert answer.status_code == 200, body
    assert (body["object"], body["status"], body["store"]) == ("response", "completed", False)
    assert json.loads(body["output"][0]["content"][0]["text"])["name"]
    assert body["understudy"]["status"] == "success"
    events = frames_of(streamed.text)
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    text = "".join(each["delta"] for each in events if each["type"] == "response.output_text.delta")
    assert text == events[-1]["response"]["output"][0]["content"][0]["text"]
    assert events[-1]["response"]["understudy"]["status"] == "success"


async def test_unchecked_text_is_sent_to_those_alone_who_ask_for_it(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[{"match": {"stage": "structuring"}, "do": "refuse", "after_ms": 800}])
    asked = ASKED | {"stream": True}
    async with start(settings), open_door(settings) as door:

        async def stream(name: str, headers: dict[str, str]) -> str:
            """What a client gets while the model writes half a text and fails."""
            piece = msgspec.json.encode(
                ev.Progress(stage="structuring", attempt=1, index=0, text='{"unchecked')
            )
            answering = asyncio.create_task(
                door.http.post(CHAT, json=asked, headers={"Idempotency-Key": name} | headers)
            )
            while not answering.done():
                await client.nc.publish(subjects.gen("progress", "layout", name), piece)
                await asyncio.wait((answering,), timeout=0.02)
            return (await answering).text

        raw, held = await asyncio.gather(stream("raw-1", {"Understudy-Stream": "raw"}), stream("held-1", {}))

    *chunks, failure = frames_of(raw)
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in chunks) == '{"unchecked'
    assert failure["error"]["code"] == "content_replaced"
    assert failure["error"]["understudy"]["origin"] == "golden_sample"
    assert "[DONE]" not in raw
    assert "unchecked" not in held
    *_, last, done = frames_of(held)
    assert done == "[DONE]"
    assert last["understudy"]["origin"] == "golden_sample"

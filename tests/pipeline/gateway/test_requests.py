"""Requests over HTTP: waiting, 202 and poll, labels, idempotency keys, and every ending's status."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

import pytest

from contracts import subjects
from infra.gateway import submission
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.gateway.conftest import Open

ASKED = {"prompt": "a forest with three coins"}


async def test_a_request_waits_and_gets_its_labelled_result(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        trace = "0af7651916cd43dd8448eb211c80319c"
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        answer = await door.http.post("/generate", json=ASKED, headers=headers)
        result = answer.json()

    assert answer.status_code == 200
    assert result["status"] == answer.headers["Understudy-Status"] == "success"
    assert result["origin"] == answer.headers["Understudy-Origin"] == "scripted"
    assert result["content"]["scene_name"]
    request_id = answer.headers["Understudy-Request-Id"]
    assert request_id == result["request_id"]
    assert unquote(answer.headers["Understudy-Reason"]) == result["reason"]
    assert len(client.events("result", request_id)) == 1
    assert trace in client.events("requested", request_id)[0].headers["traceparent"]


async def test_the_same_key_is_one_request_whoever_asks_again(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    key = {"Idempotency-Key": "order-1"}
    async with start(settings), open_door(settings) as door:
        both = await asyncio.gather(
            door.http.post("/generate", json=ASKED, headers=key),
            door.http.post("/generate", json={"prompt": ASKED["prompt"], "params": {}}, headers=key),
        )
        again = await door.http.post("/api/generate-content", json=ASKED, headers=key)
        other = await door.http.post("/generate", json={"prompt": "a desert"}, headers=key)

    assert [each.status_code for each in (*both, again)] == [200, 200, 200]
    assert {each.json()["request_id"] for each in (*both, again)} == {"order-1"}
    assert len(client.events("requested", "order-1")) == 1
    assert other.status_code == 422
    assert other.json()["type"] == "/problems/id-taken"


async def test_202_then_poll_until_there_is_a_result(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with open_door(settings) as door:
        async with start(settings, ()):
            accepted = await door.http.post(
                "/api/generate-content", json=ASKED, headers={"Prefer": "respond-async"}
            )
            where = accepted.headers["Location"]
            early = await door.http.get(where)
        async with start(settings):
            ended = await door.http.get(where, params={"wait": 30})
            known = await door.http.get(where, headers={"If-None-Match": ended.headers["ETag"]})

    assert accepted.status_code == 202
    assert accepted.headers["Preference-Applied"] == "respond-async"
    assert accepted.json()["links"]["self"] == where
    assert (early.status_code, early.json()["status"]) == (200, "pending")
    assert early.headers["Retry-After"] == "1"
    assert "ETag" not in early.headers
    assert ended.json()["status"] == ended.json()["result"]["status"] == "success"
    assert ended.headers["ETag"] == f'"{ended.json()["result"]["content_hash"]}"'
    assert known.status_code == 304


async def test_created_with_its_result_where_the_client_waits(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings), open_door(settings) as door:
        made = await door.http.post(
            "/api/v1/generations", json={"kind": "scene", **ASKED}, headers={"Prefer": "wait=30"}
        )
    assert made.status_code == 201
    assert made.headers["Location"].endswith(made.json()["request_id"])
    assert made.json()["kind"] == "scene"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"fallback": {"mode": "none"}}, 502, "GEN_PROVIDER_UNAVAILABLE"),
        ({"fallback": {"mode": "skip"}}, 200, None),
        ({}, 200, None),
        ({"world": "nowhere"}, 422, "GEN_INVALID_REQUEST"),
    ],
)
async def test_every_ending_has_its_status(
    client: Observer,
    configure: Configure,
    start: Start,
    open_door: Open,
    fields: dict[str, object],
    status: int,
    code: str | None,
) -> None:
    settings = configure(rules=[{"do": "refuse"}])
    async with start(settings), open_door(settings) as door:
        answer = await door.http.post("/generate", json=ASKED | fields)

    assert answer.status_code == status, answer.text
    body = answer.json()
    if status == 200:
        assert body["status"] in ("skipped", "fail_fallback")
        return
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["code"] == code
    assert body["result"]["error"]["code"] == code
    assert answer.headers["Understudy-Origin"] == "none"


async def test_no_result_in_time_names_where_it_will_be(
    client: Observer, configure: Configure, start: Start, open_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "PROMISED_S", 0.1)
    settings = configure(rules=[])
    async with start(settings, ()), open_door(settings) as door:
        answer = await door.http.post("/generate", json=ASKED | {"deadline_ms": 100})
        request_id = answer.headers["Understudy-Request-Id"]
        stored = await door.http.get(answer.headers["Location"])

    assert answer.status_code == 504
    assert answer.json()["type"] == "/problems/no-result-in-time"
    assert stored.json()["job_id"] == request_id


async def test_an_invalid_request_is_refused_at_the_door_with_the_field(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings, ()), open_door(settings) as door:
        answer = await door.http.post(
            "/generate", json={"prompt": "x", "params": {"temperature": 9}, "colour": "red"}
        )
        stored = await client.js.stream_info("REQUESTS")

    assert answer.status_code == 422
    assert {each["pointer"] for each in answer.json()["errors"]} == {"/params/temperature", "/colour"}
    assert stored.state.messages == 0


async def test_a_stopping_gateway_ends_its_waits_and_takes_no_work(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings, ()), open_door(settings) as door:
        asking = asyncio.create_task(
            door.http.post("/generate", json=ASKED, headers={"Idempotency-Key": "w-1"})
        )
        await client.until(lambda: bool(client.events("requested", "w-1")))
        await door.gateway.begin_stop()
        refused = await door.http.post("/generate", json=ASKED)
        ready = await door.http.get("/readyz")
        alive = await door.http.get("/livez")
        door.gateway.end_waits()
        ended = await asking

    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/stopping")
    assert (ready.status_code, alive.status_code) == (503, 200)
    assert (ended.status_code, ended.json()["type"]) == (503, "/problems/stopping")
    assert ended.headers["Understudy-Request-Id"] == "w-1"


async def test_a_full_pipeline_is_503_and_says_when_to_come_back(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings, ()), open_door(settings) as door:
        full = (await client.js.stream_info("REQUESTS")).config
        full.max_msgs = 1
        await client.js.update_stream(full)
        await client.publish(subjects.gen("requested", "layout", "first"))
        answer = await door.http.post("/generate", json=ASKED)

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy")
    assert answer.headers["Retry-After"] == "1"


async def test_one_more_wait_than_allowed_is_503(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[], GATEWAY__WAITING="1")
    async with start(settings, ()), open_door(settings) as door:
        asking = asyncio.create_task(
            door.http.post("/generate", json=ASKED, headers={"Idempotency-Key": "one"})
        )
        await client.until(lambda: bool(client.events("requested", "one")))
        answer = await door.http.post("/generate", json=ASKED)
        door.gateway.end_waits()
        await asking

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy")
    assert door.gateway.waiting == 0


async def test_an_unknown_request_is_404_whatever_its_id(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with start(settings, ()), open_door(settings) as door:
        answers = [
            await door.http.get(f"/api/generation-jobs/{each}") for each in ("nope", "%2A", "a%20b", "é")
        ]
    assert [each.status_code for each in answers] == [404] * 4


async def test_the_kind_is_that_of_the_template(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    template = {"template_id": "romantic_to_action_transition_v1"}
    async with start(settings), open_door(settings) as door:
        answer = await door.http.post("/generate", json=ASKED | template)
        lost = await door.http.post("/generate", json=ASKED | {"template_id": "romantic"})

    assert (answer.status_code, answer.json()["kind"]) == (200, "transition")
    assert (lost.status_code, lost.json()["errors"][0]["pointer"]) == (422, "/template_id")

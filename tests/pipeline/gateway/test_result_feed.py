"""Results for calls that wait: one consumer for all of them, and none is missed when that ends."""

from __future__ import annotations

import asyncio

import pytest

from infra.gateway import result_feed
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.gateway.conftest import Open

ASKED = {"prompt": "a forest with three coins"}


async def count_consumers(client: Observer) -> int:
    return (await client.js.stream_info("EVENTS")).state.consumer_count


async def test_many_waits_share_one_consumer_which_ends_after_them(
    client: Observer, configure: Configure, start: Start, open_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_feed, "_LINGER_S", 0)
    settings = configure(rules=[])
    async with open_door(settings) as door:
        async with start(settings, ()):
            before = await count_consumers(client)
            asking = [asyncio.create_task(door.http.post("/generate", json=ASKED)) for _ in range(20)]
            await client.until(lambda: len(client.events("requested")) == len(asking))
            subscriptions = len(door.gateway.client.connection._subs)  # pyright: ignore[reportPrivateUsage]
            during = await count_consumers(client)
        async with start(settings):
            answers = await asyncio.gather(*asking)
        ended = not door.gateway.results.reading

    assert {each.status_code for each in answers} == {200}
    assert during == before + 1
    assert subscriptions < len(asking)
    assert ended


async def test_a_wait_goes_on_when_the_consumer_ends(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    async with open_door(settings) as door:
        async with start(settings, ()):
            asking = asyncio.create_task(door.http.post("/generate", json=ASKED))
            await client.until(lambda: len(client.events("requested")) == 1)
            await door.gateway.results.close()
        async with start(settings):
            answer = await asking

    assert (answer.status_code, answer.json()["status"]) == (200, "success")


async def test_a_result_that_is_there_already_is_given_at_once(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    settings = configure(rules=[])
    key = {"Idempotency-Key": "early"}
    async with start(settings):
        await client.ask("early", **ASKED)
    async with open_door(settings) as door:
        # No stage runs: only what is stored can answer.
        answer = await door.http.post("/generate", json=ASKED, headers=key)

    assert (answer.status_code, answer.json()["request_id"]) == (200, "early")

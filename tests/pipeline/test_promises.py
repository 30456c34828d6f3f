"""Does whatever is accepted end in one result, when ids, headers and streams are not what they should be?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from nats.js import errors as js_errors

from contracts import envelope, pipeline
from contracts.errors import ErrorCode
from contracts.result import Status
from tests.pipeline.conftest import FOREST, Configure, Observer, Start

IDS = [f"again-{number}" for number in range(5)]


async def _edit(client: Observer, stream: str, **fields: Any) -> None:
    config = json.loads((await client.nc.request(f"$JS.API.STREAM.INFO.{stream}")).data)["config"]
    body = json.dumps({**config, **fields}).encode()
    answer = json.loads((await client.nc.request(f"$JS.API.STREAM.UPDATE.{stream}", body)).data)
    assert "error" not in answer, answer


async def _results(client: Observer, request_id: str, number: int) -> None:
    await client.until(lambda: len(client.events("result", request_id)) == number, what=f"result {number}")


async def test_ids_that_were_purged_can_be_used_again_at_once(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure()):
        for life in (1, 2, 3):
            await asyncio.gather(*(client.publish(f"gen.requested.layout.{each}") for each in IDS))
            for each in IDS:
                await _results(client, each, life)
            await client.settled()
            for stream in (pipeline.REQUESTS, pipeline.EVENTS):
                await client.js.purge_stream(stream)

    assert client.letters() == []


async def test_a_message_with_the_id_of_a_result_does_not_suppress_it(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure()):
        sequence = (await client.js.stream_info(pipeline.REQUESTS)).state.last_seq + 1
        for stage in ("context-build", "validate-repair", "fallback"):
            ident = envelope.message_id("victim", sequence, stage, "result", 1)
            # As far as a client comes, and as far as nobody but a stage should.
            await client.publish("gen.cancelled.layout.other", b"{}", {envelope.MSG_ID: ident})
            await client.publish("gen.clamped.layout.other", b"{}", {envelope.MSG_ID: ident})
        result = await client.ask("victim")
        await client.settled()

    assert result.status is Status.CACHED_FALLBACK
    assert len(client.events("result", "victim")) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "gen.result.layout.victim"},
        {"Nats-Rollup": "all"},
        {"Nats-TTL": "1s"},
    ],
    ids=["schedule", "roll-up", "ttl"],
)
async def test_what_clients_publish_reaches_no_ability_of_the_broker(
    client: Observer, configure: Configure, start: Start, headers: dict[str, str]
) -> None:
    async with start(configure()):
        for event in ("cancelled", "requested"):
            with pytest.raises(js_errors.APIError):
                await client.publish(f"gen.{event}.layout.victim", FOREST, headers)
        result = await client.ask("victim")

    assert result.status is Status.CACHED_FALLBACK


async def test_a_full_stream_of_dead_letters_keeps_nobody_waiting(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure()):
        await _edit(client, pipeline.DEAD, max_msgs=3)
        for number in range(200):
            await client.publish(f"gen.requested.layout.bad-{number}", b"{")
        good = await client.ask("good-1", deadline_ms=20_000)
        last = await client.result("bad-199")

    assert good.error is not None
    assert good.error.code is ErrorCode.GEN_PROVIDER_DISABLED
    assert last.status is Status.REJECTED
    assert len(client.letters()) == 3


async def test_a_log_that_cannot_be_read_is_not_taken_for_an_unknown_request(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 60_000}
    async with start(configure(rules=[rule])):
        await client.publish("gen.requested.layout.late-1", b'{"prompt": "a forest", "deadline_ms": 3000}')
        await client.until(lambda: bool(client.events("context_built", "late-1")))
        await _edit(client, pipeline.REQUESTS, allow_direct=False)
        await client.until(lambda: bool(client.events("deadline", "late-1")))
        key = (pipeline.EVENTS, "fallback", client.events("deadline", "late-1")[0].sequence)
        await client.until(lambda: key in client.put_off, what="the deadline is put off")
        await _edit(client, pipeline.REQUESTS, allow_direct=True)
        result = await client.result("late-1")

    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_TIMEOUT

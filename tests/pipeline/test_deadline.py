"""Is a request answered in time, and only once, whoever else works on it?"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from nats.js.errors import APIError
from understudy_client.calls import PubAck

from contracts.errors import ErrorCode
from contracts.result import Origin, Status
from infra.nats.multiplexer import RequestMultiplexer
from tests.pipeline.conftest import Configure, Observer, Start


async def test_the_fallback_alone_answers_in_time(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=[]), ("fallback",)):
        result = await client.ask("late-1", deadline_ms=500)
        await client.settled(("fallback",))

    assert (result.status, result.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_TIMEOUT
    (asked,), (answered,) = client.events("requested"), client.events("result")
    assert answered.time_ms - asked.time_ms >= 500


async def test_the_settings_deadline_holds_for_requests_that_name_none(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=[], DEADLINE_MS="300"), ("fallback",)):
        result = await client.ask("late-2")

    assert result.error is not None
    assert result.error.message == "no result within the deadline of 300 ms"


async def test_a_request_from_before_the_fallback_is_answered_when_it_comes(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    async with start(settings, ("context-build",)):
        sequence = await client.publish("gen.requested.layout.late-3", b'{"prompt":"x","deadline_ms":1}')
        await client.handled("REQUESTS", sequence, "context-build")
    async with start(settings, ("fallback",)):
        result = await client.result("late-3")

    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_TIMEOUT


async def test_a_success_that_races_its_deadline_is_one_result(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 300}
    # The first ones cannot make it, the last ones must; in between anybody may win.
    racing, ample = 97, 3
    due_ms = {f"race-{number}": 250 + 8 * number for number in range(racing)}
    due_ms |= {f"ample-{number}": 120_000 for number in range(ample)}
    async with start(configure(rules=[rule], CONCURRENCY__FREEFORM_GEN="128")):
        await asyncio.gather(
            *(
                client.publish(
                    f"gen.requested.layout.{one}",
                    msgspec.json.encode({"prompt": one, "deadline_ms": deadline_ms}),
                )
                for one, deadline_ms in due_ms.items()
            )
        )
        await client.until(
            lambda: len(client.events("deadline")) == racing, what="every early deadline fired"
        )
        results = [await client.result(one) for one in due_ms]
        await client.settled()

    assert len(client.events("result")) == len(due_ms)
    assert {one.status for one in results} == {Status.SUCCESS, Status.FAIL_FALLBACK}
    late = [one for one in results if one.status is Status.FAIL_FALLBACK]
    assert {one.error.code for one in late if one.error is not None} == {ErrorCode.GEN_TIMEOUT}
    assert client.letters() == []


async def test_a_cancel_stops_a_generation_that_is_under_way(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 120_000}
    async with start(configure(rules=[rule])):
        await client.publish("gen.requested.scene.stop-1")
        await client.until(lambda: bool(client.events("context_built", "stop-1")))
        (built,) = client.events("context_built", "stop-1")
        await client.publish("gen.cancelled.scene.stop-1", b"{}")
        result = await client.result("stop-1")
        # Long before the generation would have ended.
        await client.handled("EVENTS", built.sequence, "freeform-gen")
        await client.settled()

    assert result.status is Status.CANCELLED
    assert [one.subject for one in client.events("drafted") + client.events("failed")] == []
    assert len(client.events("result")) == 1


async def test_a_deadline_stops_a_generation_that_is_under_way(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "structuring"}, "do": "slow", "after_ms": 120_000}
    async with start(configure(rules=[rule])):
        result = await client.ask("stop-2", "dialogue", deadline_ms=3000)
        (drafted,) = client.events("drafted", "stop-2")
        await client.handled("EVENTS", drafted.sequence, "structuring")
        await client.settled()

    assert (result.status, result.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert client.events("structured") == []


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(
            {"code": 400, "err_code": 10071, "description": "wrong last sequence: 0"}, id="sequence"
        ),
        pytest.param(
            {"code": 409, "err_code": 10158, "description": "duplicate message id is in process"}, id="id"
        ),
    ],
)
@pytest.mark.parametrize("event", ["result", "timer", "context_built"])
async def test_an_answer_that_is_refused_for_one_that_is_never_stored_is_tried_again(
    client: Observer,
    configure: Configure,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    event: str,
    error: dict[str, object],
) -> None:
    """A cluster refuses so while another publish is under way, which a change of its leader can undo."""
    publish, refused = RequestMultiplexer.publish, list[str]()

    async def refuse_first(wire: RequestMultiplexer, subject: str, *args: Any, **named: Any) -> PubAck:
        if subject.startswith(f"gen.{event}.") and not refused:
            refused.append(subject)
            return msgspec.convert({"stream": "EVENTS", "seq": 0, "error": error}, PubAck)
        return await publish(wire, subject, *args, **named)

    monkeypatch.setattr(RequestMultiplexer, "publish", refuse_first)
    async with start(configure(rules=[]), ("context-build", "fallback")):
        result = await client.ask("refused-1", deadline_ms=300)

    assert refused
    assert result.status is Status.FAIL_FALLBACK
    assert len(client.events("context_built")) == 1


async def test_a_result_that_is_heard_and_not_stored_ends_nothing(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=[]), ("fallback",)):
        await client.publish("gen.requested.layout.heard-1", b'{"prompt":"x","deadline_ms":1000}')
        await client.until(lambda: bool(client.events("timer")), what="the deadline is armed")
        # The broker passes it on to who listens, and refuses to store it.
        with pytest.raises(APIError):
            await client.js.publish(
                "gen.result.layout.heard-1", b"{}", headers={"Nats-Expected-Last-Sequence": "9999999"}
            )
        result = await client.result("heard-1")

    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_TIMEOUT

"""A dead letter and its replay, as the tools make them."""

from __future__ import annotations

import msgspec

from contracts import events as ev
from contracts.errors import ErrorCode
from infra.inspect import dead_letters
from infra.nats.multiplexer import RequestMultiplexer
from infra.replay import letters
from infra.replay.letters import Applied, Replay
from tests.pipeline.conftest import Observer

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def letter_about(client: Observer, request_id: str, kind: str) -> int:
    """A letter of freeform-gen about a request; its sequence in DEAD."""
    letter = ev.DeadLetter(
        code=ErrorCode.GEN_PROVIDER_UNAVAILABLE,
        reason="refused",
        stage="freeform-gen",
        stream="EVENTS",
        sequence=1,
        subject=f"gen.context_built.{kind}.{request_id}",
        time_ms=1,
        deliveries=1,
    )
    subject = f"dead.freeform-gen.{kind}.{request_id}"
    return await client.publish(subject, msgspec.json.encode(letter))


async def replay(client: Observer, letter: int, *, again: bool = False) -> Replay:
    """What `understudy dead replay` does."""
    wire = RequestMultiplexer()
    await wire.open(client.nc)
    planned = await letters.prepare(wire, await dead_letters.get(wire, letter), again=again)
    assert await letters.apply(wire, planned, time="2026-01-01T00:00:00Z", traceparent=TRACE) is (
        Applied.PUBLISHED
    )
    assert await letters.apply(wire, planned, time="2026-01-01T00:00:00Z", traceparent=TRACE) is (
        Applied.ALREADY
    )
    await wire.close()
    return planned

"""A dead letter and its replay, as the tools make them."""

from __future__ import annotations

import msgspec

from contracts import events as ev
from contracts.errors import ErrorCode
from infra.inspect import dead_letters
from infra.nats.multiplexer import RequestMultiplexer
from infra.nats.submissions import Submission
from infra.replay import marks, publishing
from infra.replay.publishing import ReadyReplay
from tests.pipeline.conftest import Observer

TIME = "2026-01-01T00:00:00Z"


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


async def replay(client: Observer, letter: int, *, number: int = 1) -> ReadyReplay:
    """What `understudy dead replay` publishes, twice."""
    wire = RequestMultiplexer()
    await wire.open(client.nc)
    ready = await prepare(wire, letter, number=number)
    assert await publishing.publish(wire, [ready], time=TIME) == [Submission.STORED]
    assert await publishing.publish(wire, [ready], time=TIME) == [Submission.PRESENT]
    await wire.close()
    return ready


async def mark(client: Observer, request_id: str, *, replay_of: str, body: bytes) -> None:
    """The mark that an operator's tool leaves before it publishes."""
    wire = RequestMultiplexer()
    await wire.open(client.nc)
    await marks.leave(wire, [marks.build(request_id, letter=None, replay_of=replay_of, body=body)])
    await wire.close()


async def prepare(wire: RequestMultiplexer, letter: int, *, number: int = 1) -> ReadyReplay:
    """The replay of a letter, by its sequence."""
    return await publishing.prepare(wire, await dead_letters.get(wire, letter), number=number)

"""Publishing of replays: their marks, then their requests, in batches; each id once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from understudy_client.protocol import child_of

from infra.nats import submissions
from infra.replay import marks, origins, plans
from infra.replay.letters import Unreplayable
from infra.replay.plans import ReplayOptions

if TYPE_CHECKING:
    from infra.inspect.dead_letters import Letter
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.nats.submissions import Submission


class ReadyReplay(msgspec.Struct, frozen=True, kw_only=True):
    """A replay, ready to be published."""

    request_id: str
    kind: str
    body: bytes
    #: Sequence of the dead letter; ``None``: it repeats a request without one.
    letter: int | None
    #: ``None`` for a letter that never was the id's request: such a replay revises nothing.
    replay_of: str | None


async def prepare(wire: RequestMultiplexer, letter: Letter, *, number: int = 1) -> ReadyReplay:
    """The replay of one letter, as it is.

    Args:
        wire: an open wire.
        letter: the letter.
        number: which replay of it, from 1.

    Raises:
        Unreplayable: it cannot become a request; the text says why.
        StreamMissing, Unavailable: the broker does not answer.
    """
    (origin,) = await origins.of_letters(wire, [letter])
    if origin.refusal is not None:
        raise Unreplayable(origin.refusal)
    return ReadyReplay(
        request_id=plans.replay_id(origin, number),
        kind=origin.kind,
        body=plans.compose(origin, ReplayOptions()),
        letter=letter.sequence,
        replay_of=origin.replay_of,
    )


async def publish(wire: RequestMultiplexer, replays: Sequence[ReadyReplay], *, time: str) -> list[Submission]:
    """Publish replays; what became of each, in their order.

    Args:
        wire: an open wire.
        replays: what to publish.
        time: RFC 3339 with zone.

    Raises:
        UnderstudyError: the broker refuses for another reason than a used id.
        Unavailable: the broker does not answer.
    """
    # Before the requests: a stage may look for them as soon as those are there.
    await marks.leave(
        wire,
        [
            marks.build(each.request_id, letter=each.letter, replay_of=each.replay_of, body=each.body)
            for each in replays
            if each.replay_of is not None
        ],
    )
    return await submissions.submit_all(
        wire,
        [
            submissions.request(each.kind, each.request_id, each.body, time=time, traceparent=child_of(None))
            for each in replays
        ],
    )

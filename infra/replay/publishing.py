"""Publishing of replays: their marks, then their requests, in batches; each id once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from infra.nats import submissions
from infra.nats.submissions import Submission
from infra.replay import marks, origins, plans, replaced_entries
from infra.replay.letters import Unreplayable
from infra.replay.plans import ReplayOptions

if TYPE_CHECKING:
    from infra.inspect.dead_letters import Letter
    from infra.nats.multiplexer import RequestMultiplexer


#: Bytes of a W3C trace id and a span id.
_TRACE_BYTES: Final = 24


class ReadyReplay(msgspec.Struct, frozen=True, kw_only=True):
    """A replay, ready to be published."""

    request_id: str
    kind: str
    body: bytes
    #: Sequence of the dead letter; ``None``: it repeats a request without one.
    letter: int | None
    #: ``None`` for a letter that never was the id's request: such a replay revises nothing.
    replay_of: str | None
    #: Key of the cache entry that it replaces, if there is one; ``None``: it replaces none.
    cache_key: str | None = None


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
    (origin,) = await origins.read_letters(wire, [letter])
    if origin.refusal is not None:
        raise Unreplayable(origin.refusal)
    return ReadyReplay(
        request_id=plans.make_replay_id(origin, number),
        kind=origin.kind,
        body=plans.compose(origin, ReplayOptions()),
        letter=letter.sequence,
        replay_of=origin.replay_of,
    )


async def publish(wire: RequestMultiplexer, replays: Sequence[ReadyReplay], *, time: str) -> list[Submission]:
    """Publish replays, each after its mark and after what it replaces is kept; what became of each, in their order.

    Args:
        wire: an open wire.
        replays: what to publish.
        time: RFC 3339 with zone.

    Raises:
        UnderstudyError: the broker refuses for another reason than a used id.
        Unavailable: the broker does not answer.
    """
    await replaced_entries.keep(
        wire, {each.request_id: each.cache_key for each in replays if each.cache_key is not None}
    )
    # Before the requests: a stage may look for them as soon as those are there.
    taken = await marks.leave(
        wire,
        [
            marks.build(each.request_id, letter=each.letter, replay_of=each.replay_of, body=each.body)
            for each in replays
            if each.replay_of is not None
        ],
    )
    # One call for all: a trace of its own for each.
    random = os.urandom(_TRACE_BYTES * len(replays)).hex()
    requests = [
        submissions.request(
            each.kind,
            each.request_id,
            each.body,
            time=time,
            traceparent=f"00-{random[at : at + 32]}-{random[at + 32 : at + 48]}-01",
        )
        for each, at in zip(replays, range(0, len(random), 2 * _TRACE_BYTES), strict=True)
        if each.request_id not in taken
    ]
    done = iter(await submissions.submit_all(wire, requests))
    return [Submission.TAKEN if each.request_id in taken else next(done) for each in replays]

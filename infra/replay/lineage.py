"""Is a request that calls itself a replay one, so that its content may go to the first request's subscribers?

Any client can publish a request whose id begins with ``rp-`` and whose ``replay_of`` names somebody else's
request.  So the tool that replays letters leaves a mark where clients cannot write, in a bucket, before it
publishes; it names the letter, the first request and the exact body.  A lineage without such a mark is only
what a request says of itself.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import pipeline
from contracts.errors import UnderstudyError

if TYPE_CHECKING:
    from infra.inspect.dead_letters import Replay
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What the tool says of a replay before it publishes it."""

    #: Sequence of the letter in DEAD.
    letter: int
    #: The request whose subscribers are told.
    replay_of: str
    #: SHA-256 of the replay's body.
    sha256: str


_decode: Final = msgspec.json.Decoder(Mark).decode


def _subject(request_id: str) -> str:
    return f"$KV.{pipeline.REPLAYS.name}.{request_id}"


async def mark(wire: RequestMultiplexer, replay: Replay) -> None:
    """Leave the mark of a replay that is about to be published.

    Raises:
        UnderstudyError: the broker refuses it.
        Unavailable: the broker does not answer.
    """
    if replay.replay_of is None:
        return
    told = Mark(
        letter=replay.letter, replay_of=replay.replay_of, sha256=hashlib.sha256(replay.body).hexdigest()
    )
    ack = await wire.publish(_subject(replay.request_id), msgspec.json.encode(told), {})
    if ack.error is not None:
        raise UnderstudyError(
            f"{replay.request_id} cannot be marked as a replay: {ack.error.description}; "
            "`understudy topology apply` makes the bucket"
        )


class Lineage:
    """The replays that left a mark; implements :class:`contracts.ports.KnownReplays`."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def holds(self, request_id: str, replay_of: str) -> bool:
        """Whether a request is the replay of another one's letter.

        Raises:
            Unavailable: the broker does not answer.
        """
        known = await self._mark(request_id)
        if known is None or known.replay_of != replay_of:
            return False
        owner = await self._lookup.first_request(request_id)
        if owner is None or hashlib.sha256(owner.body).hexdigest() != known.sha256:
            return False
        letter = await self._lookup.at(pipeline.DEAD, known.letter)
        if letter is None:
            return False
        about = letter.subject.rpartition(".")[2]
        if not letter.subject.startswith("dead.") or about == replay_of:
            # What the broker says by itself names a message, and no request.
            return True
        earlier = await self._mark(about)
        return earlier is not None and earlier.replay_of == replay_of

    async def _mark(self, request_id: str) -> Mark | None:
        found = await self._lookup.last(pipeline.REPLAYS.stream, _subject(request_id))
        try:
            return None if found is None else _decode(found.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

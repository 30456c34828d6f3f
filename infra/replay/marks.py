"""Marks of replays: proof that a request repeats another one, so that its content may go to that one's subscribers.

Any client can publish a request whose ``replay_of`` names a request of another client.  So the tool that replays
leaves a mark in a bucket where clients cannot write, before
it publishes; the mark names the letter, if there is one, the first request and the exact body.  Without it, a lineage is only a
claim.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import pipeline
from contracts.errors import Unavailable, UnderstudyError
from infra.nats import submissions
from infra.nats.atomic import Publication

if TYPE_CHECKING:
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The mark of one replay."""

    #: Sequence of the letter in DEAD; ``None``: it repeats a request without one.
    letter: int | None = None
    #: The request whose subscribers get the content.
    replay_of: str
    #: SHA-256 of the replay's body.
    sha256: str


_decode: Final = msgspec.json.Decoder(Mark).decode


def _subject(request_id: str) -> str:
    return f"$KV.{pipeline.REPLAYS.name}.{request_id}"


def build(request_id: str, *, letter: int | None, replay_of: str, body: bytes) -> Publication:
    """The mark of a replay that is about to be published.

    Args:
        request_id: the replay's own id.
        letter: sequence of the dead letter; ``None``: there is none.
        replay_of: the request that it repeats.
        body: what is published, to the byte.
    """
    written = Mark(letter=letter, replay_of=replay_of, sha256=hashlib.sha256(body).hexdigest())
    return Publication(subject=_subject(request_id), body=msgspec.json.encode(written))


async def leave(wire: RequestMultiplexer, marks: Sequence[Publication]) -> None:
    """Leave the marks of replays that are about to be published.

    Raises:
        UnderstudyError: the broker refuses one.
        Unavailable: the broker does not answer.
    """
    try:
        await submissions.publish_all(wire, marks)
    except Unavailable:
        raise
    except UnderstudyError as error:
        raise UnderstudyError(
            f"replays cannot be marked: {error}; `understudy topology apply` makes the bucket"
        ) from None


class ReplayMarks:
    """The replays that left a mark; implements :class:`contracts.ports.KnownReplays`."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def holds(self, request_id: str, replay_of: str) -> bool:
        """Whether an operator started a request, to its last byte, as a replay of another one.

        Raises:
            Unavailable: the broker does not answer.
        """
        known = await self._mark(request_id)
        if known is None or known.replay_of != replay_of:
            return False
        owner = await self._lookup.first_request(request_id)
        if owner is None or hashlib.sha256(owner.body).hexdigest() != known.sha256:
            return False
        if known.letter is None:
            return True
        letter = await self._lookup.at(pipeline.DEAD, known.letter)
        if letter is None:
            return False
        about = letter.subject.rpartition(".")[2]
        if not letter.subject.startswith("dead.") or about == replay_of:
            # An advisory of the broker names a message, and no request.
            return True
        earlier = await self._mark(about)
        return earlier is not None and earlier.replay_of == replay_of

    async def _mark(self, request_id: str) -> Mark | None:
        found = await self._lookup.last(pipeline.REPLAYS.stream, _subject(request_id))
        try:
            return None if found is None else _decode(found.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

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

from contracts import bucket_table, envelope, pipeline
from contracts.errors import Unavailable, UnderstudyError
from infra.nats import log, submissions
from infra.nats.atomic import Publication
from infra.nats.log import StreamMissing
from infra.nats.submissions import Submission

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer

#: Marks in one question to the bucket; the broker takes 1,024.
_ASKED: Final = 256


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The mark of one replay."""

    #: Sequence of the letter in DEAD; ``None``: it repeats a request without one.
    letter: int | None = None
    #: The request whose subscribers get the content.
    replay_of: str
    #: SHA-256 of the replay's body.
    sha256: str


_decode: Final = msgspec.json.Decoder(Mark).decode


def _make_subject(request_id: str) -> str:
    return f"$KV.{bucket_table.REPLAYS.name}.{request_id}"


def build(request_id: str, *, letter: int | None, replay_of: str, body: bytes) -> Publication:
    """The mark of a replay that is about to be published.

    Args:
        request_id: the replay's own id.
        letter: sequence of the dead letter; ``None``: there is none.
        replay_of: the request that it repeats.
        body: what is published, to the byte.
    """
    written = Mark(letter=letter, replay_of=replay_of, sha256=hashlib.sha256(body).hexdigest())
    # A mark of a request that is under way must stay: without it the request loses its subscribers, or is rejected.
    headers = {envelope.EXPECTED_LAST: "0"}
    return Publication(subject=_make_subject(request_id), body=msgspec.json.encode(written), headers=headers)


async def leave(wire: RequestMultiplexer, marks: Sequence[Publication]) -> set[str]:
    """Leave the marks of replays that are about to be published.

    Args:
        wire: an open wire.
        marks: made by :func:`build`.

    Returns:
        the ids that have another body already, and must not be published.

    Raises:
        UnderstudyError: the broker refuses one.
        Unavailable: the broker does not answer.
    """
    try:
        found = await submissions.store_once(wire, marks, lambda ids: _find(wire, ids))
        differing = {
            _find_id(each): each
            for each, state in zip(marks, found, strict=True)
            if state is Submission.TAKEN
        }
        if not differing:
            return set()
        stored, taken = (
            await _find(wire, list(differing)),
            set(await submissions.owners(wire, list(differing))),
        )
        # Left by a run that did not come to publish its request.
        for request_id in differing.keys() - taken:
            headers = {envelope.EXPECTED_LAST: str(stored[request_id].sequence)}
            ack = await wire.publish(differing[request_id].subject, differing[request_id].body, headers)
            if ack.error is not None:
                # Another process marks it now.
                taken.add(request_id)
    except (Unavailable, StreamMissing):
        raise
    except UnderstudyError as error:
        raise UnderstudyError(
            f"replays cannot be marked: {error}; `understudy topology apply` makes the bucket"
        ) from None
    return taken


async def _find(wire: RequestMultiplexer, request_ids: Sequence[str]) -> dict[str, LogEntry]:
    """The marks of some ids, where they have one; at most a batch of them."""
    found: dict[str, LogEntry] = {}
    for start in range(0, len(request_ids), _ASKED):
        asked = [_make_subject(each) for each in request_ids[start : start + _ASKED]]
        for entry in await log.last_of_each(wire, bucket_table.REPLAYS.stream, asked):
            found[entry.subject.rpartition(".")[2]] = entry
    return found


def _find_id(mark: Publication) -> str:
    return mark.subject.rpartition(".")[2]


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
        found = await self._lookup.last(bucket_table.REPLAYS.stream, _make_subject(request_id))
        try:
            return None if found is None else _decode(found.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

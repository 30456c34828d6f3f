"""Replays of dead letters: the planned request, its mark, and its one publish.

A replay is a new request with its own id; the broker refuses the second publish of the same id, so a replay
cannot be applied twice by mistake.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from contracts import envelope, pipeline, request, subjects
from contracts.errors import UnderstudyError
from infra.nats import log
from infra.replay import marks

if TYPE_CHECKING:
    from infra.inspect.dead_letters import Letter
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer


class Unreplayable(UnderstudyError):  # noqa: N818 - names the letter's state
    """A letter that cannot become a request; the text says why."""


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay publishes."""

    letter: int
    request_id: str
    kind: str
    body: bytes
    #: The request that this one repeats; ``None`` for a letter that never was the id's request.
    replay_of: str | None

    @property
    def subject(self) -> str:
        """Where it is published."""
        return subjects.gen("requested", self.kind, self.request_id)


class Applied(StrEnum):
    """How applying a replay ended."""

    PUBLISHED = "published"
    #: The broker has a request of this name already.
    ALREADY = "already_replayed"


def plan(
    letter: Letter,
    cause: LogEntry | None,
    original: LogEntry | None,
    *,
    number: int = 1,
    known: bool = False,
) -> Replay:
    """Decide what a replay of a letter publishes.

    Args:
        letter: the letter.
        cause: the message that an advisory is about, where the log still has it.
        original: the ``requested`` that owns the request's id, where the log still has it.
        number: which replay of this letter it is, from 1.
        known: the letter is about a replay that an operator started.

    Raises:
        Unreplayable: it cannot become a request; the text says why.
    """
    subject = letter.letter.subject if letter.letter else cause.subject if cause else None
    if subject is None:
        raise Unreplayable(
            "the message it is about is no longer in the log" if letter.advisory else letter.reason
        )
    try:
        address = subjects.parse(subject)
    except subjects.SubjectError as error:
        raise Unreplayable(f"{error}; publish it again on a valid subject") from None
    if address.event == "requested":
        body = _own_body(letter, cause)
        kind = address.kind
        # A letter of a second, different `requested` with the same id never was that request.
        owns = original is None or original.sequence == letter.stream_sequence
    elif original is None:
        raise Unreplayable(f"the request {address.request_id} is no longer in the log")
    else:
        body, kind, owns = original.body, subjects.parse(original.subject).kind, True
    return _replay(letter.sequence, number, kind, body, address.request_id if owns else None, known=known)


def replay_id(letter: int, number: int) -> str:
    """The id of a letter's replay; ``number`` counts them from 1."""
    return f"rp-{letter}-{number}"


def _own_body(letter: Letter, cause: LogEntry | None) -> bytes:
    if letter.letter is None:
        return cause.body if cause is not None else b""
    if letter.letter.body is None:
        raise Unreplayable(
            f"its body has {letter.letter.size} bytes; a request has at most {request.MAX_BODY}"
        )
    return letter.letter.body


def _replay(
    sequence: int, number: int, kind: str, body: bytes, request_id: str | None, *, known: bool
) -> Replay:
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreplayable(f"its body is not a JSON object: {error}") from None
    # A replay of a replay repeats the first request: its subscribers get the content.  Anybody may claim to be one.
    earlier = [fields.pop(spelling, None) for spelling in ("replay_of", "replayOf")]
    root = next(filter(None, earlier), None)
    replay_of = root if known and root else request_id
    if replay_of is not None:
        fields["replay_of"] = replay_of
    replayed = msgspec.json.encode(fields)
    try:
        request.read(replayed, kind)
    except request.RequestError as error:
        raise Unreplayable(f"its body is not a request that is accepted today: {error}") from None
    return Replay(
        letter=sequence,
        request_id=replay_id(sequence, number),
        kind=kind,
        body=replayed,
        replay_of=replay_of,
    )


async def prepare(wire: RequestMultiplexer, letter: Letter, *, again: bool = False) -> Replay:
    """Look up what a replay of a letter needs, and plan it.

    Args:
        wire: an open wire.
        letter: the letter.
        again: take the number after the last replay of this letter.

    Raises:
        Unreplayable: it cannot become a request; the text says why.
        StreamMissing, Unavailable: as :func:`infra.nats.log.first`.
    """
    cause: LogEntry | None = None
    if letter.advisory and letter.stream and letter.stream_sequence:
        cause = await log.get(wire, letter.stream, letter.stream_sequence)
    request_id = letter.request_id or (cause.subject.rpartition(".")[2] if cause else None)
    original = await log.owner(wire, request_id) if request_id else None
    number = 1
    if again:
        while await _published(wire, replay_id(letter.sequence, number)):
            number += 1
    return plan(letter, cause, original, number=number)


async def exists(wire: RequestMultiplexer, replay: Replay) -> bool:
    """Whether this replay was published before.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.first`.
    """
    return await _published(wire, replay.request_id)


async def _published(wire: RequestMultiplexer, request_id: str) -> bool:
    return await log.owner(wire, request_id) is not None


async def mark(wire: RequestMultiplexer, replay: Replay) -> None:
    """Leave the mark of a replay that is about to be published; one that repeats no request has none.

    Raises:
        UnderstudyError: the broker refuses it.
        Unavailable: the broker does not answer.
    """
    if replay.replay_of is not None:
        await marks.mark(
            wire, replay.request_id, letter=replay.letter, replay_of=replay.replay_of, body=replay.body
        )


async def apply(wire: RequestMultiplexer, replay: Replay, *, time: str, traceparent: str) -> Applied:
    """Publish a replay, once.

    Args:
        wire: an open wire.
        replay: what to publish.
        time: RFC 3339 with zone.
        traceparent: W3C trace context.

    Raises:
        UnderstudyError: the broker refuses it for another reason than being the second.
        Unavailable: the broker does not answer.
    """
    if await exists(wire, replay):
        return Applied.ALREADY
    # Before the request: a stage may look for it as soon as that is there.
    await mark(wire, replay)
    headers = envelope.headers(
        name="requested",
        version=1,
        kind=replay.kind,
        request_id=replay.request_id,
        stage=pipeline.CLIENT,
        attempt=1,
        time=time,
        traceparent=traceparent,
    )
    headers[envelope.EXPECTED_LAST] = "0"
    headers[envelope.EXPECTED_LAST_SUBJECT] = subjects.any_kind("requested", replay.request_id)
    ack = await wire.publish(replay.subject, replay.body, headers)
    if ack.refused:
        return Applied.ALREADY
    if ack.error is not None:
        raise UnderstudyError(f"the broker refuses {replay.subject}: {ack.error.description}")
    return Applied.PUBLISHED

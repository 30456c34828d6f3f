"""Which messages could no stage use, and how is one tried again?

A letter's name is its sequence in DEAD.  A replay is a new request with its own id; the broker
refuses the second publish of the same id, so a replay cannot be applied twice by mistake.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from contracts import envelope, pipeline, request, subjects
from contracts.errors import ErrorCode, UnderstudyError
from contracts.events import DeadLetter
from infra.inspect import filters, record
from infra.nats import log
from infra.nats.log import LogEntry
from infra.replay import lineage

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer

PREFIX: Final = "rp-"


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One message of DEAD: a stage's dead letter, or the broker's own advisory."""

    #: Its name.
    sequence: int
    #: Broker's timestamp, ms since the epoch.
    time_ms: int
    subject: str
    stage: str | None
    kind: str | None
    request_id: str | None
    code: ErrorCode | None
    reason: str
    #: Said by the broker; the message itself is still in its stream.
    advisory: bool
    #: Where the message stands in the log.
    stream: str | None
    stream_sequence: int | None
    #: ``None`` for an advisory and for what cannot be read.
    letter: DeadLetter | None = None
    data: Any = None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters are meant; everything that is left out matches."""

    sequences: tuple[int, ...] = ()
    #: ``*`` and ``?`` are wildcards.
    request_id: str | None = None
    kind: str | None = None
    stage: str | None = None
    code: str | None = None
    #: First broker timestamp, ms since the epoch.
    since_ms: int | None = None
    #: Last broker timestamp, ms since the epoch.
    until_ms: int | None = None
    #: Part of its reason or its body, in any case.
    text: str | None = None

    @property
    def empty(self) -> bool:
        """Nothing is said: every letter matches."""
        return self == Filter()


class NoLetter(UnderstudyError):  # noqa: N818 - names what is not there
    """No letter has this name."""

    def __init__(self, sequence: int) -> None:
        super().__init__(f"there is no dead letter {sequence}; `understudy dead ls` lists them")


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
    """What became of a replay."""

    PUBLISHED = "published"
    #: The broker has a request of this name already.
    ALREADY = "already_replayed"


def read(entry: LogEntry) -> Letter:
    """Read one message of DEAD; never raises, what cannot be read says so in ``reason``."""
    told = record.of(entry)
    letter = told.body if isinstance(told.body, DeadLetter) else None
    advisory = told.event == record.ADVISORY
    data = cast("dict[str, Any]", told.data) if isinstance(told.data, dict) else {}
    stream_sequence = letter.sequence if letter else data.get("stream_seq")
    return Letter(
        sequence=entry.sequence,
        time_ms=entry.time_ms,
        subject=entry.subject,
        stage=told.stage,
        kind=told.kind,
        request_id=told.request_id,
        code=letter.code if letter else None,
        reason=letter.reason if letter else record.gist(told),
        advisory=advisory,
        stream=letter.stream if letter else data.get("stream") if advisory else None,
        stream_sequence=stream_sequence if isinstance(stream_sequence, int) else None,
        letter=letter,
        data=told.data,
    )


def matches(letter: Letter, wanted: Filter) -> bool:
    """Does the filter mean this letter?"""
    return (
        (not wanted.sequences or letter.sequence in wanted.sequences)
        and filters.has_id(wanted.request_id, letter.request_id)
        and wanted.kind in (None, letter.kind)
        and wanted.stage in (None, letter.stage)
        and wanted.code in (None, letter.code)
        and (wanted.since_ms is None or letter.time_ms >= wanted.since_ms)
        and (wanted.until_ms is None or letter.time_ms <= wanted.until_ms)
        and (wanted.text is None or filters.says([letter.reason, _words(letter)], wanted.text))
    )


def _words(letter: Letter) -> str:
    body = letter.letter.body if letter.letter else None
    return "" if body is None else body.decode("utf-8", "replace")


async def find(wire: RequestMultiplexer, wanted: Filter) -> AsyncIterator[Letter]:
    """Yield the letters that a filter means, oldest first.

    Raises:
        NoLetter: a named letter does not exist.
        StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
    """
    if wanted.sequences:
        for sequence in wanted.sequences:
            letter = await get(wire, sequence)
            if matches(letter, wanted):
                yield letter
        return
    # Advisories name no request.
    one = wanted.request_id if wanted.request_id and not filters.wild(wanted.request_id) else None
    subject = ">" if one is None else subjects.dead(wanted.stage or "*", "*", one)
    async for entry in log.read(wire, pipeline.DEAD, subject, since_ms=wanted.since_ms):
        letter = read(entry)
        if matches(letter, wanted):
            yield letter


async def get(wire: RequestMultiplexer, sequence: int) -> Letter:
    """One letter by its name.

    Raises:
        NoLetter: it does not exist.
        StreamMissing, Unavailable: as :func:`infra.nats.log.get`.
    """
    entry = await log.get(wire, pipeline.DEAD, sequence)
    if entry is None:
        raise NoLetter(sequence)
    return read(entry)


async def drop(wire: RequestMultiplexer, sequence: int) -> None:
    """Delete one letter permanently.

    Raises:
        NoLetter: it does not exist.
        UnderstudyError: the broker refuses.
        Unavailable: the broker does not answer.
    """
    # The broker's refusals of an unknown sequence differ by where it would stand.
    await get(wire, sequence)
    query = msgspec.json.encode({"seq": sequence, "no_erase": True})
    answer = await wire.call(f"$JS.API.STREAM.MSG.DELETE.{pipeline.DEAD}", query)
    said = msgspec.json.decode(answer.data) if answer.data else {}
    if said.get("success"):
        return
    error = said.get("error", {})
    raise UnderstudyError(f"letter {sequence} cannot be dropped: {error.get('description', 'no answer')}")


def plan(letter: Letter, cause: LogEntry | None, original: LogEntry | None, *, number: int = 1) -> Replay:
    """Decide what a replay of a letter publishes.

    Args:
        letter: the letter.
        cause: the message that an advisory is about, where the log still has it.
        original: the ``requested`` that owns the request's id, where the log still has it.
        number: which replay of this letter it is, from 1.

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
        # Somebody else's id: a letter of a second, different `requested` never was that request.
        owns = original is None or original.sequence == letter.stream_sequence
    elif original is None:
        raise Unreplayable(f"the request {address.request_id} is no longer in the log")
    else:
        body, kind, owns = original.body, subjects.parse(original.subject).kind, True
    return _replay(letter.sequence, number, kind, body, address.request_id if owns else None)


def _own_body(letter: Letter, cause: LogEntry | None) -> bytes:
    if letter.letter is None:
        return cause.body if cause is not None else b""
    if letter.letter.body is None:
        raise Unreplayable(
            f"its body has {letter.letter.size} bytes; a request has at most {request.MAX_BODY}"
        )
    return letter.letter.body


def _replay(sequence: int, number: int, kind: str, body: bytes, request_id: str | None) -> Replay:
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreplayable(f"its body is not a JSON object: {error}") from None
    # A replay of a replay still repeats the first request: that one's subscribers want to know.
    earlier = [said.pop(spelling, None) for spelling in ("replay_of", "replayOf")]
    root = next(filter(None, earlier), None)
    replay_of = root if request_id and request_id.startswith(PREFIX) and root else request_id
    if replay_of is not None:
        said["replay_of"] = replay_of
    replayed = msgspec.json.encode(said)
    try:
        request.read(replayed, kind)
    except request.RequestError as error:
        raise Unreplayable(f"its body is not a request that is accepted today: {error}") from None
    return Replay(
        letter=sequence,
        request_id=f"{PREFIX}{sequence}-{number}",
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
    while again and await log.owner(wire, f"{PREFIX}{letter.sequence}-{number}") is not None:
        number += 1
    return plan(letter, cause, original, number=number)


async def exists(wire: RequestMultiplexer, replay: Replay) -> bool:
    """Has this replay been published before?

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.first`.
    """
    return await log.owner(wire, replay.request_id) is not None


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
    await lineage.mark(wire, replay)
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

"""Dead letters: messages that no stage could use, and the broker's advisories; each identified by its sequence in DEAD."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from contracts import pipeline, subjects
from contracts.errors import ErrorCode, UnderstudyError
from contracts.events import DeadLetter
from contracts.kinds import KINDS
from infra.inspect import record
from infra.inspect.message_filter import MessageFilter, contains_text, letter_texts, read_owner, wrote
from infra.nats import log
from infra.nats.log import LogEntry

if TYPE_CHECKING:
    from infra.inspect.record import LogRecord
    from infra.inspect.request_filter import RequestFilter
    from infra.nats.multiplexer import RequestMultiplexer


#: Begin of the subjects of requests.
_REQUESTED: Final = "gen.requested."


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One message of DEAD: a stage's dead letter, or the broker's own advisory."""

    #: Its number in DEAD.
    sequence: int
    #: Broker's timestamp, ms since the epoch.
    time_ms: int
    subject: str
    stage: str | None
    #: ``None``: the message names no kind that there is.
    kind: str | None
    #: As the message's subject has it, valid or not; ``None``: it cannot be read, or the letter is an advisory.
    request_id: str | None
    code: ErrorCode | None
    reason: str
    #: An advisory of the broker; the message itself is still in its stream.
    advisory: bool
    #: The message's place in the log.
    stream: str | None
    stream_sequence: int | None
    #: ``None`` for an advisory and for what cannot be read.
    letter: DeadLetter | None = None
    data: Any = None

    @property
    def answerable(self) -> bool:
        """Whether it is about a request that must have a result."""
        return (
            self.kind is not None
            and self.request_id is not None
            and subjects.REQUEST_ID.fullmatch(self.request_id) is not None
        )


class NoLetter(UnderstudyError):  # noqa: N818 - names what is missing
    """No letter has this number."""

    def __init__(self, sequence: int) -> None:
        super().__init__(f"there is no dead letter {sequence}; `understudy dead ls` lists them")


def read(entry: LogEntry) -> Letter:
    """Read one message of DEAD; never raises: ``reason`` says what cannot be read."""
    found = record.decode(entry)
    letter = found.body if isinstance(found.body, DeadLetter) else None
    advisory = found.event == record.ADVISORY
    data = cast("dict[str, Any]", found.data) if isinstance(found.data, dict) else {}
    stream_sequence = letter.sequence if letter else data.get("stream_seq")
    kind, request_id = found.kind, found.request_id
    if letter is not None and request_id is None:
        kind, request_id = _read_address(letter.subject)
    return Letter(
        sequence=entry.sequence,
        time_ms=entry.time_ms,
        subject=entry.subject,
        stage=found.stage,
        kind=kind,
        request_id=request_id,
        code=letter.code if letter else None,
        reason=letter.reason if letter else record.gist(found),
        advisory=advisory,
        stream=letter.stream if letter else data.get("stream") if advisory else None,
        stream_sequence=stream_sequence if isinstance(stream_sequence, int) else None,
        letter=letter,
        data=found.data,
    )


def _read_address(subject: str) -> tuple[str | None, str | None]:
    """Kind and id of a subject that need not be valid; ``None`` for what it does not have."""
    tokens = subject.split(".")
    if tokens[0] != "gen" or len(tokens) < 4:  # noqa: PLR2004 - gen.<event>.<kind>.<request_id>
        return None, None
    request_id = ".".join(tokens[3:])
    return tokens[2] if tokens[2] in KINDS else None, request_id if request_id.isprintable() else None


class LetterFilter:
    """Filter of dead letters: of the letter itself, and of the message that it is about.

    Status and origin are those of results; no letter has them.

    Args:
        where: the filter.
        find: finds the ``requested`` that owns an id.
    """

    def __init__(self, where: RequestFilter, find: Callable[[str], Awaitable[LogEntry | None]]) -> None:
        self._where = where
        self._requests = MessageFilter(where, find)

    async def passes(self, letter: Letter) -> bool:
        """Whether a letter matches.

        Raises:
            StreamMissing, Unavailable: a request cannot be looked up.
        """
        where = self._where
        if not matches(letter, where):
            return False
        if where.names_no_writer and where.workspace is None and where.node is None:
            return True
        message = _message(letter)
        if message is None and (letter.letter is None or letter.letter.subject.startswith(_REQUESTED)):
            return False
        written = wrote(message, where) if message is not None else where.names_no_writer
        return written and await self._owned(letter, message)

    async def _owned(self, letter: Letter, message: LogRecord | None) -> bool:
        if self._where.workspace is None and self._where.node is None:
            return True
        if message is not None and message.event == "requested":
            # It may be refused just because another request has its id.
            return read_owner(message.data).matches(self._where)
        return letter.request_id is not None and (await self._requests.owner(letter.request_id)).matches(
            self._where
        )


def matches(letter: Letter, where: RequestFilter) -> bool:
    """Whether a letter matches, by id, kind, stage, code, time and text."""
    return (
        where.matches_id(letter.request_id)
        and (not where.kind or letter.kind in where.kind)
        and (not where.stage or letter.stage in where.stage)
        and (not where.code or letter.code in where.code)
        and not where.status
        and not where.origin
        and where.matches_time(letter.time_ms)
        and (where.text is None or contains_text(_texts(letter), where.text))
    )


def _texts(letter: Letter) -> Any:
    return [letter.reason] if letter.letter is None else letter_texts(letter.letter)


def _message(letter: Letter) -> LogRecord | None:
    """The message that a letter is about; ``None``: the letter does not have it."""
    found = letter.letter
    if found is None or found.body is None:
        return None
    return record.decode(
        LogEntry(
            stream=found.stream,
            sequence=found.sequence,
            subject=found.subject,
            time_ns=found.time_ms * 1_000_000,
            headers=found.headers,
            body=found.body,
        )
    )


async def find(
    wire: RequestMultiplexer, wanted: RequestFilter, *, sequences: Sequence[int] = ()
) -> AsyncIterator[Letter]:
    """Yield the letters that match a filter, oldest first.

    Args:
        wire: an open wire.
        wanted: the filter.
        sequences: only these letters; none: all.

    Raises:
        NoLetter: one of ``sequences`` does not exist.
        StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
    """
    chosen = LetterFilter(wanted, partial(log.owner, wire))
    if sequences:
        for sequence in sequences:
            letter = await get(wire, sequence)
            if await chosen.passes(letter):
                yield letter
        return
    async for entry in _read_entries(wire, wanted):
        letter = read(entry)
        if wanted.until_ms is not None and letter.time_ms >= wanted.until_ms:
            return
        if await chosen.passes(letter):
            yield letter


async def _read_entries(wire: RequestMultiplexer, wanted: RequestFilter) -> AsyncIterator[LogEntry]:
    """The messages of DEAD that a filter's id allows, in the order of their sequences."""
    one, since_ms = wanted.one_id, wanted.since_ms
    if one is None:
        async for entry in log.read(wire, pipeline.DEAD, ">", since_ms=since_ms):
            if pipeline.is_foreign(entry.stream, entry.subject):
                continue
            yield entry
        return
    # Advisories have no request id, and a letter about a message without a valid subject has it in its body alone.
    named = log.read(wire, pipeline.DEAD, subjects.dead("*", "*", one), since_ms=since_ms)
    unknown = subjects.dead("*", subjects.UNKNOWN_KIND, "*")
    own = deque([each async for each in named if each.subject.split(".")[2] != subjects.UNKNOWN_KIND])
    async for entry in log.read(wire, pipeline.DEAD, unknown, since_ms=since_ms):
        while own and own[0].sequence < entry.sequence:
            yield own.popleft()
        yield entry
    for entry in own:
        yield entry


async def get(wire: RequestMultiplexer, sequence: int) -> Letter:
    """One letter by its number.

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
    # The broker's refusal of an unknown sequence depends on whether it is in the stream's range.
    await get(wire, sequence)
    query = msgspec.json.encode({"seq": sequence, "no_erase": True})
    answer = await wire.call(f"$JS.API.STREAM.MSG.DELETE.{pipeline.DEAD}", query)
    reply = msgspec.json.decode(answer.data) if answer.data else {}
    if reply.get("success"):
        return
    error = reply.get("error", {})
    raise UnderstudyError(f"letter {sequence} cannot be dropped: {error.get('description', 'no answer')}")

"""Reads of stored messages by direct gets (ADR-31 of NATS), which the stream itself answers, without a consumer.

``ordered`` has an ordered consumer for new messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from understudy_client.log import nanoseconds

from contracts import pipeline, subjects, timestamp
from contracts.errors import Unavailable, UnderstudyError
from contracts.kinds import KINDS
from infra.nats.headers import parse

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from infra.nats.multiplexer import RequestMultiplexer

#: Messages and bytes in one answer of the broker; it takes up to 1024 messages.
_BATCH: Final = 256
_BATCH_BYTES: Final = 8 * 1024**2
#: Status codes of a direct get: there is no message, and the end of several.
_NONE: Final = frozenset({"404", "204"})
#: ``err_code`` of a get by the leader that finds no message.
_NO_MESSAGE: Final = 10037


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One message as a stream keeps it."""

    stream: str
    sequence: int
    subject: str
    #: Broker's timestamp, nanoseconds since the epoch.
    time_ns: int
    headers: dict[str, str]
    body: bytes

    @property
    def time_ms(self) -> int:
        """Broker's timestamp, milliseconds since the epoch."""
        return self.time_ns // 1_000_000


class StreamMissing(UnderstudyError):  # noqa: N818 - names the state of the broker
    """A stream does not exist or does not answer direct gets: the topology is not applied."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"stream {stream} is missing or does not allow direct gets; run `understudy topology apply`"
        )


class _LeaderMessage(msgspec.Struct, frozen=True):
    subject: str
    seq: int
    time: str
    data: bytes = b""
    hdrs: bytes = b""


class _LeaderError(msgspec.Struct, frozen=True):
    err_code: int = 0
    description: str = ""


class _LeaderAnswer(msgspec.Struct, frozen=True):
    message: _LeaderMessage | None = None
    error: _LeaderError | None = None


async def read(
    wire: RequestMultiplexer, stream: str, subject: str, *, start: int = 1, since_ms: int | None = None
) -> AsyncIterator[LogEntry]:
    """Yield the messages that a stream has on a subject now, in order.

    Args:
        wire: an open wire.
        stream: the stream's name.
        subject: wildcards allowed.
        start: first sequence.
        since_ms: first broker timestamp, ms since the epoch; replaces ``start``.

    Raises:
        StreamMissing: the stream does not exist, or does not allow direct gets.
        Unavailable: the broker does not answer.
    """
    query: dict[str, object] = {"batch": _BATCH, "max_bytes": _BATCH_BYTES, "next_by_subj": subject}
    query |= {"seq": max(start, 1)} if since_ms is None else {"start_time": timestamp.format_ms(since_ms)}
    while True:
        found, pending = await _several(wire, stream, query)
        for entry in found:
            yield entry
        if not found or pending == 0:
            return
        query.pop("start_time", None)
        query["seq"] = found[-1].sequence + 1


async def get(wire: RequestMultiplexer, stream: str, sequence: int) -> LogEntry | None:
    """One message by its sequence, ``None`` when the stream does not keep it (any more).

    Raises:
        StreamMissing: the stream does not exist, or does not allow direct gets.
        Unavailable: the broker does not answer.
    """
    return await _one(wire, stream, {"seq": sequence})


async def first(wire: RequestMultiplexer, stream: str, subject: str, *, start: int = 1) -> LogEntry | None:
    """The first message on a subject (wildcards allowed), ``None`` when there is none.

    Raises:
        StreamMissing: the stream does not exist, or does not allow direct gets.
        Unavailable: the broker does not answer.
    """
    return await _one(wire, stream, {"seq": start, "next_by_subj": subject})


async def first_since(wire: RequestMultiplexer, stream: str, since_ms: int) -> LogEntry | None:
    """The first message on any subject that the broker stored at a time or later, ``None`` when there is none.

    Raises:
        StreamMissing: the stream does not exist, or does not allow direct gets.
        Unavailable: the broker does not answer.
    """
    query: dict[str, object] = {"batch": 1, "next_by_subj": ">", "start_time": timestamp.format_ms(since_ms)}
    found, _ = await _several(wire, stream, query)
    return next(iter(found), None)


async def last(wire: RequestMultiplexer, stream: str, subject: str) -> LogEntry | None:
    """The last message on a subject, ``None`` when there is none.

    Raises:
        StreamMissing: the stream does not exist, or does not allow direct gets.
        Unavailable: the broker does not answer.
    """
    return await _one(wire, stream, {"last_by_subj": subject})


async def last_of_each(
    wire: RequestMultiplexer, stream: str, filters: Sequence[str], *, up_to: int | None = None
) -> list[LogEntry]:
    """The last message of every subject that matches one of several filters; the broker refuses more than 1,024.

    Args:
        wire: an open wire.
        stream: the stream's name.
        filters: subjects, wildcards allowed.
        up_to: last sequence to look at; none: all.

    Raises:
        StreamMissing: the stream does not exist, or does not allow direct gets.
        Unavailable: the broker does not answer.
    """
    query: dict[str, object] = {"multi_last": filters, **({} if up_to is None else {"up_to_seq": up_to})}
    entries: list[LogEntry] = []
    while True:
        # They come in the order of their sequences, as many as the broker puts into one answer.
        found, pending = await _several(wire, stream, query)
        entries += found
        if not found or pending == 0:
            return entries
        query["seq"] = found[-1].sequence + 1


async def owner(wire: RequestMultiplexer, request_id: str) -> LogEntry | None:
    """The ``requested`` that owns an id: the lowest sequence, whatever its kind; ``None``: the leader has none either.

    Raises:
        StreamMissing: the stream does not exist, or does not allow direct gets.
        Unavailable: the broker does not answer.
    """
    if not subjects.addressable(request_id):
        return None
    subject = subjects.any_kind("requested", request_id)
    for ask in (first, first_at_leader):
        found = await ask(wire, pipeline.REQUESTS, subject)
        while found is not None and found.subject.split(".")[2] not in KINDS:
            found = await ask(wire, pipeline.REQUESTS, subject, start=found.sequence + 1)
        if found is not None:
            break
    return found


async def first_at_leader(
    wire: RequestMultiplexer, stream: str, subject: str, *, start: int = 1
) -> LogEntry | None:
    """As :func:`first`, answered by the stream's leader alone: it has everything that was stored.

    In a cluster, a server that was away answers direct gets before it has caught up: what it does not have may exist.

    Raises:
        Unavailable: no leader answers.
    """
    query = msgspec.json.encode({"seq": start, "next_by_subj": subject})
    answer = await wire.call(f"$JS.API.STREAM.MSG.GET.{stream}", query)
    if not answer.data:
        raise Unavailable(f"stream {stream} has no leader")
    told = msgspec.json.decode(answer.data, type=_LeaderAnswer)
    if told.message is not None:
        stored = told.message
        return LogEntry(
            stream=stream,
            sequence=stored.seq,
            subject=stored.subject,
            time_ns=nanoseconds(stored.time),
            headers=parse(stored.hdrs) or {},
            body=stored.data,
        )
    if told.error is not None and told.error.err_code == _NO_MESSAGE:
        return None
    raise Unavailable(
        f"the log cannot be read: {told.error.description if told.error else 'no message in the answer'}"
    )


async def of_request(wire: RequestMultiplexer, request_id: str) -> tuple[LogEntry, ...]:
    """Read everything that the log has about one request, dead letters included, by time."""
    found: list[LogEntry] = []
    for stream, subject in (
        (pipeline.REQUESTS, subjects.all_events(request_id)),
        (pipeline.EVENTS, subjects.all_events(request_id)),
        (pipeline.DEAD, subjects.dead("*", "*", request_id)),
    ):
        found += [
            entry
            async for entry in read(wire, stream, subject)
            if not pipeline.is_foreign(stream, entry.subject)
        ]
    return tuple(sorted(found, key=lambda entry: entry.time_ns))


async def next_sequence(wire: RequestMultiplexer, stream: str) -> int:
    """The sequence that the stream's next message will get.

    Raises:
        StreamMissing: the stream does not exist.
        Unavailable: the broker does not answer.
    """
    return (await bounds(wire, stream))[1]


async def bounds(wire: RequestMultiplexer, stream: str) -> tuple[int, int]:
    """The first sequence that a stream still has, and the one that its next message will get.

    Raises:
        StreamMissing: the stream does not exist.
        Unavailable: the broker does not answer.
    """
    answer = await wire.call(f"$JS.API.STREAM.INFO.{stream}")
    info = msgspec.json.decode(answer.data) if answer.data else {}
    if "state" not in info:
        raise StreamMissing(stream)
    return int(info["state"]["first_seq"]), int(info["state"]["last_seq"]) + 1


async def _one(wire: RequestMultiplexer, stream: str, query: dict[str, object]) -> LogEntry | None:
    answer = await wire.call(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(query))
    entry = _entry(answer)
    if entry is None:
        _check_end(answer, stream)
    return entry


async def _several(
    wire: RequestMultiplexer, stream: str, query: dict[str, object]
) -> tuple[list[LogEntry], int]:
    """The messages of one answer, and how many more there are."""
    found: list[LogEntry] = []

    def collect(msg: Msg) -> bool:
        entry = _entry(msg)
        if entry is not None:
            found.append(entry)
        return entry is None

    end = await wire.call(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(query), collect=collect)
    _check_end(end, stream)
    return found, int((end.headers or {}).get("Nats-Num-Pending", "0"))


def _check_end(answer: Msg, stream: str) -> None:
    """Check that an answer that is no entry is an end: any message may have a header ``Status``.

    Raises:
        StreamMissing: no stream answers.
        Unavailable: no leader answers, or the broker refuses.
    """
    headers = answer.headers or {}
    status = headers.get("Status", "none")
    if status == "503":
        raise StreamMissing(stream)
    if status not in _NONE:
        why = headers.get("Description", "")
        raise Unavailable(f"the log cannot be read: status {status} {why}".rstrip())


def _entry(msg: Msg) -> LogEntry | None:
    headers = dict(msg.headers or {})
    if "Nats-Sequence" not in headers:
        return None
    for added in ("Nats-Num-Pending", "Nats-Last-Sequence", "Nats-UpTo-Sequence"):
        headers.pop(added, None)
    return LogEntry(
        stream=headers.pop("Nats-Stream"),
        sequence=int(headers.pop("Nats-Sequence")),
        subject=headers.pop("Nats-Subject"),
        time_ns=nanoseconds(headers.pop("Nats-Time-Stamp")),
        headers=headers,
        body=msg.data,
    )

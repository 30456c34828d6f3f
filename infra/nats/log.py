"""Reads of streams: direct gets for stored messages, an ordered consumer for new ones.

Direct gets (ADR-31 of NATS) are answered by the stream itself, without a consumer.  The ordered consumer is
short-lived, and starts again where it lost its place.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from nats import errors as nats_errors
from nats.js import api
from nats.js import errors as js_errors
from understudy_client.log import nanoseconds

from contracts import pipeline, subjects, timestamp
from contracts.errors import Unavailable, UnderstudyError, error_text
from contracts.kinds import KINDS
from infra.nats.inbox import BoundedInbox

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from infra.nats.multiplexer import RequestMultiplexer

#: Messages and bytes in one answer of the broker; it takes up to 1024 messages.
_BATCH: Final = 256
_BATCH_BYTES: Final = 8 * 1024**2
#: Status codes of a direct get: there is no message, and the end of several.
_NONE: Final = frozenset({"404", "204"})
#: Seconds between two heartbeats of an idle consumer.
_HEARTBEAT_S: Final = 1.0
#: Seconds before a lost consumer is tried again.
_AGAIN_S: Final = 0.5
#: Tries in a row without a consumer, after which that is reported.
_TRIES: Final = 3
#: Messages that are taken from a subscription ahead of their reader.
_AHEAD: Final = 10_000


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


class LogGap(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that a stream deleted before a reader came to them."""

    stream: str
    #: The first of them.
    sequence: int
    #: How many there were, on any subject.
    deleted: int


class StreamMissing(UnderstudyError):  # noqa: N818 - names the state of the broker
    """A stream does not exist or does not answer direct gets: the topology is not applied."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"stream {stream} is missing or does not allow direct gets; run `understudy topology apply`"
        )


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
    """The ``requested`` that owns an id: the lowest sequence, whatever its kind; ``None`` without one.

    Raises:
        StreamMissing: the stream does not exist, or does not allow direct gets.
        Unavailable: the broker does not answer.
    """
    if not subjects.addressable(request_id):
        return None
    subject = subjects.any_kind("requested", request_id)
    found = await first(wire, pipeline.REQUESTS, subject)
    while found is not None and found.subject.split(".")[2] not in KINDS:
        found = await first(wire, pipeline.REQUESTS, subject, start=found.sequence + 1)
    return found


async def of_request(wire: RequestMultiplexer, request_id: str) -> tuple[LogEntry, ...]:
    """Read everything that the log has about one request, dead letters included, by time."""
    found: list[LogEntry] = []
    for stream, subject in (
        (pipeline.REQUESTS, subjects.all_events(request_id)),
        (pipeline.EVENTS, subjects.all_events(request_id)),
        (pipeline.DEAD, subjects.dead("*", "*", request_id)),
    ):
        found += [entry async for entry in read(wire, stream, subject)]
    return tuple(sorted(found, key=lambda entry: entry.time_ns))


async def next_sequence(wire: RequestMultiplexer, stream: str) -> int:
    """The sequence that the stream's next message will get.

    Raises:
        StreamMissing: the stream does not exist.
        Unavailable: the broker does not answer.
    """
    answer = await wire.call(f"$JS.API.STREAM.INFO.{stream}")
    info = msgspec.json.decode(answer.data) if answer.data else {}
    if "state" not in info:
        raise StreamMissing(stream)
    return int(info["state"]["last_seq"]) + 1


async def follow(
    client: Client,
    stream: str,
    filters: tuple[str, ...],
    *,
    start: int,
    on_gap: Callable[[LogGap], None] | None = None,
    on_fault: Callable[[str], None] | None = None,
) -> AsyncGenerator[LogEntry, None]:
    """Yield the stored and the new messages of a stream on some subjects, in order and without gaps, for ever.

    Args:
        client: a connected client.
        stream: the stream's name.
        filters: subjects, wildcards allowed; they must not overlap.
        start: first sequence.
        on_gap: called when reading starts or goes on after messages that the stream has deleted.
        on_fault: called with the reason when the broker is there and gives no consumer; further tries follow.

    Raises:
        StreamMissing: the stream does not exist (any more).
        Unavailable: the broker refuses a consumer, or the connection is closed.
    """
    following, refused = start, 0
    while True:
        if on_gap is not None:
            first_sequence = await _first_sequence(client, stream)
            if first_sequence > following:
                on_gap(LogGap(stream=stream, sequence=following, deleted=first_sequence - following))
                following = first_sequence
        try:
            async for entry in _until_lost(client, stream, filters, following):
                following = entry.sequence + 1
                yield entry
            refused = 0
        except _NoConsumer as fault:
            # A lost connection has its own report.
            refused += client.is_connected
            if refused == _TRIES and on_fault is not None:
                on_fault(f"{stream} cannot be followed, trying again: {fault}")
        await asyncio.sleep(_AGAIN_S)


async def _first_sequence(client: Client, stream: str) -> int:
    """The first sequence that a stream still has; 0 while the broker does not answer."""
    try:
        info = await client.jetstream(timeout=5).stream_info(stream)
    except js_errors.NotFoundError:
        raise StreamMissing(stream) from None
    except (TimeoutError, nats_errors.Error):
        return 0
    return info.state.first_seq


class _NoConsumer(Exception):  # noqa: N818 - names what is missing
    """There is no consumer at present; the text says why."""


async def _until_lost(
    client: Client, stream: str, filters: tuple[str, ...], start: int
) -> AsyncIterator[LogEntry]:
    """Follow with one consumer until a message or a heartbeat is missing."""
    if client.is_closed:
        raise Unavailable("the connection to the broker is closed")
    # When it is full, messages wait in the subscription; when that is full too, the consumer starts again.
    arrived: BoundedInbox[Msg] = BoundedInbox(_AHEAD)
    inbox = client.new_inbox()
    try:
        listening = await client.subscribe(inbox, cb=arrived.put)
    except nats_errors.Error as error:
        raise _NoConsumer(error_text(error)) from None
    config = api.ConsumerConfig(
        filter_subjects=list(filters),
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start,
        deliver_subject=inbox,
        ack_policy=api.AckPolicy.NONE,
        max_deliver=1,
        idle_heartbeat=_HEARTBEAT_S,
        inactive_threshold=30.0,
        mem_storage=True,
        num_replicas=1,
    )
    try:
        await _add_consumer(client, stream, config)
        delivered = 0
        while messages := await arrived.take(3 * _HEARTBEAT_S):
            for msg in messages:
                if not msg.reply.startswith("$JS.ACK"):
                    if _breaks(msg, delivered):
                        return
                    continue
                entry, number = _delivered(msg, stream)
                if number != delivered + 1:
                    return
                delivered = number
                yield entry
    finally:
        with contextlib.suppress(nats_errors.Error):
            await listening.unsubscribe()


async def _add_consumer(client: Client, stream: str, config: api.ConsumerConfig) -> None:
    try:
        await client.jetstream(timeout=5).add_consumer(stream, config)
    except js_errors.NotFoundError:
        raise StreamMissing(stream) from None
    except js_errors.BadRequestError as error:
        raise Unavailable(f"{stream} cannot be followed: {error.description}") from None
    except (TimeoutError, nats_errors.Error) as error:
        raise _NoConsumer(error_text(error)) from None


def _breaks(status: Msg, delivered: int) -> bool:
    """Whether a status message is no heartbeat, or one that knows of further deliveries."""
    headers = status.headers or {}
    latest = headers.get("Nats-Last-Consumer")
    return headers.get("Status") != "100" or (latest is not None and int(latest) != delivered)


def _delivered(msg: Msg, stream: str) -> tuple[LogEntry, int]:
    """A message of a push consumer, and its number in the consumer's deliveries."""
    # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>, or
    # the form with domain and account hash in front of the stream (ADR-15 of NATS).
    tokens = msg.reply.split(".")
    at = 2 if len(tokens) == 9 else 4  # noqa: PLR2004 - the two forms above
    entry = LogEntry(
        stream=stream,
        sequence=int(tokens[at + 3]),
        subject=msg.subject,
        time_ns=int(tokens[at + 5]),
        headers=dict(msg.headers or {}),
        body=msg.data,
    )
    return entry, int(tokens[at + 4])


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

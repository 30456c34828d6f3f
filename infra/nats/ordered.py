"""Ordered consumer: stored and new messages of a stream, in order and without gaps.

It is short-lived, and starts again where it lost its place.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

import msgspec
from nats import errors as nats_errors
from nats.js import api
from nats.js import errors as js_errors

from contracts.errors import Unavailable, error_text
from infra.nats.inbox import BoundedInbox
from infra.nats.log import LogEntry, StreamMissing

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

#: Seconds between two heartbeats of an idle consumer.
_HEARTBEAT_S: Final = 1.0
#: Seconds before a lost consumer is tried again.
_AGAIN_S: Final = 0.5
#: Tries in a row without a consumer, after which that is reported.
_TRIES: Final = 3
#: Messages that are taken from a subscription ahead of their reader.
_AHEAD: Final = 10_000


class LogGap(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that a stream deleted before a reader came to them."""

    stream: str
    #: The first of them.
    sequence: int
    #: How many there were, on any subject.
    deleted: int


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

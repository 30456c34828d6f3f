"""Bulk submission: many requests in atomic batches, each refused by the broker if its id has one already.

The broker refuses a batch whole when a single id is taken; then the log says which ones are, and the others go again.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING, Final, TypeVar

from nats import errors as nats_errors

from contracts import envelope, pipeline, subjects
from contracts.errors import Unavailable, UnderstudyError
from infra.nats import atomic, log
from infra.nats.atomic import Outgoing, Publication

if TYPE_CHECKING:
    from understudy_client.calls import PubAck

    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

T = TypeVar("T", bound=Outgoing)
#: Reads the message that each of some ids has, where the log has one.
Find = Callable[[Sequence[str]], Awaitable[Mapping[str, "LogEntry"]]]
#: Ids in one question to the log; the broker takes 1,024.
_ASKED: Final = 256
#: Errors of a full stream: the pipeline accepts no more requests now.
_FULL: Final = frozenset({10077, 10110})
#: Seconds between two tries while the stream is full, and for which one batch is tried.
_AGAIN_S: Final = 0.2
_BUSY_S: Final = 120.0
#: Messages of a batch that waits for room as it is; the room that admission leaves may never be enough for a larger one.
_SMALL: Final = 64
#: Times that a batch is published again because another publisher took one of its ids meanwhile.
_RACES: Final = 8
_TRACE: Final = "traceparent"
_PER_PROCESS: Final = uuid.uuid4().hex[:10]
_numbers: Final = count(1)


class Submission(StrEnum):
    """What became of a request."""

    STORED = "stored"
    #: The broker has the same request, to its last byte.
    PRESENT = "present"
    #: The id belongs to another request.
    TAKEN = "taken"


class _RoomForFewer(Exception):  # noqa: N818 - names the state of the stream
    """The stream has no room for a whole batch, and may have some for a part of it."""


class StreamFull(UnderstudyError):  # noqa: N818 - names the state of the pipeline
    """The pipeline accepted no more requests for a long time."""


def request(kind: str, request_id: str, body: bytes, *, time: str, traceparent: str) -> Publication:
    """The message of a request that the broker refuses if its id has one already.

    Args:
        kind: content kind.
        request_id: the request's id.
        body: its body.
        time: RFC 3339 with zone.
        traceparent: W3C trace context.
    """
    headers = envelope.headers(
        name="requested",
        version=1,
        kind=kind,
        request_id=request_id,
        stage=pipeline.CLIENT,
        attempt=1,
        time=time,
        traceparent=traceparent,
    )
    headers[envelope.EXPECTED_LAST] = "0"
    headers[envelope.EXPECTED_LAST_SUBJECT] = subjects.any_kind("requested", request_id)
    return Publication(subject=subjects.gen("requested", kind, request_id), body=body, headers=headers)


async def submit_all(wire: RequestMultiplexer, requests: Sequence[Publication]) -> list[Submission]:
    """Publish requests in as few batches as possible; what became of each, in their order.

    Args:
        wire: an open wire.
        requests: made by :func:`request`; an id that occurs twice is the first one's.

    Raises:
        StreamFull: the stream had no room for two minutes.
        UnderstudyError: the broker refuses for another reason.
        Unavailable: the broker does not answer.
    """
    return await store_once(wire, requests, lambda ids: owners(wire, ids))


async def store_once(wire: RequestMultiplexer, items: Sequence[Publication], find: Find) -> list[Submission]:
    """Publish messages that the broker refuses if their id has one already; what became of each, in their order.

    Args:
        wire: an open wire.
        items: messages with their condition; the last part of each subject is its id.
        find: reads what some ids have.

    Raises:
        StreamFull, UnderstudyError, Unavailable: as :func:`submit_all`.
    """
    found: list[Submission] = []
    for part in split(items):
        found += await _store_in_parts(wire, part, find)
    return found


def split(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut messages into batches by number, bytes, and equal subjects."""
    start = size = 0
    seen: set[str] = set()
    for at, item in enumerate(items):
        full = at - start >= atomic.MOST or size + len(item.body) > atomic.MOST_BYTES
        if at > start and (full or item.subject in seen):
            yield items[start:at]
            start, size = at, 0
            seen.clear()
        size += len(item.body)
        seen.add(item.subject)
    if start < len(items):
        yield items[start:]


async def publish_all(wire: RequestMultiplexer, items: Sequence[Outgoing]) -> None:
    """Publish messages without conditions, in batches; one that is published twice does no harm.

    Raises:
        UnderstudyError: the broker refuses a batch.
        Unavailable: the broker does not answer.
    """
    for part in split(items):
        ack = await _batch(wire, part)
        if ack.error is not None:
            raise UnderstudyError(f"the broker refuses {part[0].subject}: {ack.error.description}")


async def owners(wire: RequestMultiplexer, request_ids: Sequence[str]) -> dict[str, LogEntry]:
    """The ``requested`` that each id has, where the log has one.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.first`.
    """
    found: dict[str, LogEntry] = {}
    for start in range(0, len(request_ids), _ASKED):
        asked = [subjects.any_kind("requested", each) for each in request_ids[start : start + _ASKED]]
        for entry in await log.last_of_each(wire, pipeline.REQUESTS, asked):
            found[entry.subject.rpartition(".")[2]] = entry
    return found


async def _store_in_parts(
    wire: RequestMultiplexer, part: Sequence[Publication], find: Find
) -> list[Submission]:
    try:
        return await _store(wire, part, find)
    except _RoomForFewer:
        middle = len(part) // 2
        halves = (part[:middle], part[middle:])
        return [state for half in halves for state in await _store_in_parts(wire, half, find)]


async def _store(wire: RequestMultiplexer, part: Sequence[Publication], find: Find) -> list[Submission]:
    states = dict.fromkeys((each.subject for each in part), Submission.STORED)
    left = part
    lost = False
    for _ in range(_RACES):
        ack = await _when_there_is_room(wire, left)
        lost = lost or ack is None
        if ack is not None and ack.error is None:
            return [states[each.subject] for each in part]
        if ack is not None and ack.error is not None and not ack.refused:
            raise UnderstudyError(f"the broker refuses {left[0].subject}: {ack.error.description}")
        stored = await find([_id(each) for each in left])
        for each in left:
            if (entry := stored.get(_id(each))) is not None:
                states[each.subject] = _compare(each, entry, lost=lost)
        left = [each for each in left if _id(each) not in stored]
        if not left:
            return [states[each.subject] for each in part]
    raise Unavailable("other publishers take the same ids; try again later")


def _compare(each: Publication, entry: LogEntry, *, lost: bool) -> Submission:
    if entry.subject != each.subject or entry.body != each.body:
        return Submission.TAKEN
    trace = each.headers.get(_TRACE)
    # Stored by this call, whose acknowledgement was lost: no other publish has its trace.
    mine = lost and trace is not None and entry.headers.get(_TRACE) == trace
    return Submission.STORED if mine else Submission.PRESENT


async def _when_there_is_room(wire: RequestMultiplexer, items: Sequence[Publication]) -> PubAck | None:
    """The acknowledgement of a batch; ``None``: it was lost, and the log knows what is stored."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _BUSY_S
    while True:
        try:
            ack = await _batch(wire, items)
        except (Unavailable, nats_errors.Error, OSError):
            return None
        if ack.error is None or ack.error.err_code not in _FULL:
            return ack
        if len(items) > _SMALL:
            raise _RoomForFewer
        if loop.time() > until:
            raise StreamFull("the pipeline accepts no more requests for now; try again later")
        await asyncio.sleep(_AGAIN_S)


async def _batch(wire: RequestMultiplexer, items: Sequence[Outgoing]) -> PubAck:
    if len(items) == 1:
        # One message needs no batch.
        (item,) = items
        return await wire.publish(item.subject, item.body, item.headers, repeat=False)
    return await atomic.publish(wire, items, name=f"{_PER_PROCESS}-{next(_numbers)}")


def _id(each: Publication) -> str:
    return each.subject.rpartition(".")[2]

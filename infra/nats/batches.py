"""Publishes to EVENTS: one by one while they are acknowledged quickly, else in atomic batches.

A batch costs the disk one write instead of one for each message (ADR-50 of NATS).  The broker refuses a
batch whole when a single condition in it fails; then it goes in halves.  docs/adr/0013 has the measurements.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
from nats import errors as nats_errors
from understudy_client.calls import PubAck

from contracts import envelope
from contracts.errors import Unavailable
from infra.nats import atomic

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer

#: Fewest messages of a batch.  A batch of 8 takes as long as one of 64, and so do 48 single messages where each one
#: is a disk write.
_LEAST: Final = 48
#: Bounds of single publishes in flight; more than the lower one only while they are acknowledged quickly.  A broker
#: that does not write each message to the disk has less work with them than with a batch.
_SINGLES: Final = 48
_SINGLES_MOST: Final = 256
#: Seconds until an acknowledgement: below the first it is quick, above the second slow.
_QUICK_S: Final = 0.010
_SLOW_S: Final = 0.020
#: Weight of a new measurement in the average.
_SHARE: Final = 0.1


class PendingPublish:
    """One message that waits for its acknowledgement."""

    __slots__ = ("body", "future", "headers", "subject")

    def __init__(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        self.subject = subject
        self.body = body
        self.headers = headers
        self.future: asyncio.Future[PubAck] = asyncio.get_running_loop().create_future()


class Batches:
    """The publishes of one process to one stream.

    Args:
        wire: calls to the broker.
    """

    def __init__(self, wire: RequestMultiplexer) -> None:
        self._wire = wire
        #: Messages that answer a request go before those that may wait.
        self._first: deque[PendingPublish] = deque()
        self._second: deque[PendingPublish] = deque()
        #: Single publishes in flight, and their bound.
        self._alone = 0
        self._window = _SINGLES
        #: Seconds until a single publish is acknowledged, moving average.
        self._ack_s = _SLOW_S
        self._batching: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._me = uuid4().hex[:10]

    async def publish(
        self, subject: str, body: bytes, headers: dict[str, str], *, urgent: bool = False
    ) -> PubAck:
        """Publish one message and wait for its acknowledgement.

        Args:
            subject: where to.
            body: bytes.
            headers: NATS headers.
            urgent: publish before the other waiting messages of this process.

        Raises:
            Unavailable: no acknowledgement in time, or no stream listens on the subject.
            nats.errors.MaxPayloadError: the payload is larger than the broker takes.
        """
        if self._alone < self._window and not (self._first or self._second):
            self._alone += 1
            try:
                return await self._publish(subject, body, headers)
            finally:
                self._alone -= 1
                self._next()
        item = PendingPublish(subject, body, headers)
        (self._first if urgent else self._second).append(item)
        self._next()
        return await item.future

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str]) -> PubAck:
        loop = asyncio.get_running_loop()
        began = loop.time()
        ack = await self._wire.publish(subject, body, headers, repeat=True)
        self._ack_s += _SHARE * (loop.time() - began - self._ack_s)
        if self._ack_s > _SLOW_S:
            self._window = _SINGLES
        elif self._ack_s < _QUICK_S and self._alone >= self._window:
            self._window = min(_SINGLES_MOST, self._window + 1)
        return ack

    def _next(self) -> None:
        """Publish waiting messages: one batch at a time, and single messages while there is room for them."""
        if not (self._first or self._second):
            return
        if self._batching is None and len(self._first) + len(self._second) >= _LEAST:
            self._batching = self._spawn(self._batches())
        if self._batching is None:
            for item in self._take(self._window - self._alone):
                self._alone += 1
                self._spawn(self._single(item))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _batches(self) -> None:
        try:
            while len(self._first) + len(self._second) >= _LEAST:
                items = self._take(atomic.MOST)
                try:
                    await self._store(items)
                except BaseException as error:
                    for item in items:
                        if not item.future.done():
                            item.future.set_exception(Unavailable(f"not published: {error!r}"))
                    raise
        finally:
            self._batching = None
            self._next()

    async def _store(self, items: list[PendingPublish]) -> None:
        """Publish in one batch, else in two halves: this soon isolates a message that the broker refuses."""
        if len(items) < _LEAST:
            await self._singles(items)
        elif not await self._batch(items):
            half = len(items) // 2
            await self._store(items[:half])
            await self._store(items[half:])

    def _take(self, most: int) -> list[PendingPublish]:
        items: list[PendingPublish] = []
        size = 0
        #: A subject occurs once in a batch: conditions of two messages on one subject would contradict each other.
        subjects: set[str] = set()
        for queue in (self._first, self._second):
            while (
                queue and len(items) < most and size < atomic.MOST_BYTES and queue[0].subject not in subjects
            ):
                item = queue.popleft()
                if not item.future.done():
                    subjects.add(item.subject)
                    size += len(item.body)
                    items.append(item)
        return items

    async def _batch(self, items: list[PendingPublish]) -> bool:
        """Publish all or none; false: none, or no acknowledgement."""
        name = f"{self._me}-{next(self._numbers)}"
        try:
            ack = await atomic.publish(self._wire, items, name=name)
        except (Unavailable, nats_errors.Error, OSError):
            # Stored or not: every message has an id or a condition, so it can be published again.
            return False
        if ack.error is not None:
            return False
        for number, item in enumerate(items, start=1):
            if not item.future.done():
                item.future.set_result(msgspec.structs.replace(ack, seq=ack.seq - len(items) + number))
        return True

    async def _singles(self, items: list[PendingPublish]) -> None:
        for start in range(0, len(items), _SINGLES):
            await asyncio.gather(*(self._alone_once(item) for item in items[start : start + _SINGLES]))

    async def _single(self, item: PendingPublish) -> None:
        try:
            await self._alone_once(item)
        finally:
            self._alone -= 1
            self._next()

    async def _alone_once(self, item: PendingPublish) -> None:
        try:
            ack = await self._publish(item.subject, item.body, item.headers)
        except Exception as error:  # noqa: BLE001 - the waiting caller gets it
            if not item.future.done():
                item.future.set_exception(error)
        else:
            if not item.future.done():
                item.future.set_result(ack)


def batched(subject: str, headers: dict[str, str]) -> bool:
    """Whether a message may go in a batch: only if the broker recognises it when it is published again."""
    return subject.startswith("gen.") and (
        envelope.MSG_ID in headers or headers.get(envelope.EXPECTED_LAST) == "0"
    )

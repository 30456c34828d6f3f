"""Lookups of single requests in the event log; questions about results that are asked together share one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from contracts import envelope, pipeline, subjects
from contracts.errors import NewerVersion, Unavailable, Unreadable
from contracts.ports import StoredRequest
from infra.nats import log

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

T = TypeVar("T")
#: Subjects asked for in one batch; the broker's own limit is 1024.
_BATCH: Final = 256


def _newer(headers: dict[str, str]) -> str:
    try:
        envelope.check_version("requested", headers)
    except NewerVersion as error:
        return str(error)
    except Unreadable:
        # Context-build has refused it and given the reason.
        return ""
    return ""


class Lookup:
    """Reads single messages from streams; implements :class:`contracts.ports.Log`."""

    def __init__(self, wire: RequestMultiplexer) -> None:
        self._wire = wire
        self._asked: dict[str, list[asyncio.Future[bool]]] = {}
        self._flushes: set[asyncio.Task[None]] = set()

    async def first(self, stream: str, subject: str, *, from_sequence: int = 1) -> LogEntry | None:
        """The first message on a subject (wildcards allowed) at or after a sequence.

        Raises:
            Unavailable: the broker does not answer, or the stream is missing.
        """
        return await _available(log.first(self._wire, stream, subject, start=from_sequence))

    async def at(self, stream: str, sequence: int) -> LogEntry | None:
        """The message with a sequence, if the stream still keeps it.

        Raises:
            Unavailable: as :meth:`first`.
        """
        return await _available(log.get(self._wire, stream, sequence))

    async def last(self, stream: str, subject: str) -> LogEntry | None:
        """The last message on a subject.

        Raises:
            Unavailable: as :meth:`first`.
        """
        return await _available(log.last(self._wire, stream, subject))

    async def last_of_each(self, stream: str, filters: Sequence[str]) -> list[LogEntry]:
        """The last message of every subject that matches one of several filters.

        The broker refuses to answer with more than 1,024 messages.

        Raises:
            Unavailable: as :meth:`first`.
        """
        return await _available(log.last_of_each(self._wire, stream, filters))

    async def first_request(self, request_id: str) -> StoredRequest | None:
        """The request that owns the id: the one with the lowest sequence, whatever its kind.

        Raises:
            Unavailable: as :meth:`first`.
        """
        found = await _available(log.owner(self._wire, request_id))
        if found is None:
            return None
        return StoredRequest(
            kind=subjects.parse(found.subject).kind,
            request_id=request_id,
            body=found.body,
            sequence=found.sequence,
            time_ms=found.time_ms,
            newer=_newer(found.headers),
        )

    async def has_result(self, request_id: str) -> bool:
        """Whether the request already has its result; questions asked together share one call."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not self._asked:
            task = asyncio.create_task(self._flush())
            self._flushes.add(task)
            task.add_done_callback(self._flushes.discard)
        self._asked.setdefault(request_id, []).append(future)
        return await future

    async def _flush(self) -> None:
        asked, self._asked = self._asked, {}
        ids = list(asked)
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            waiting = [(each, future) for each in batch for future in asked[each]]
            try:
                found = await self.last_of_each(
                    pipeline.EVENTS, [subjects.any_answer(each) for each in batch]
                )
            except Exception as error:  # noqa: BLE001 - every waiting caller gets it
                for _, future in waiting:
                    if not future.done():
                        future.set_exception(error)
                continue
            ended = {entry.subject.rpartition(".")[2] for entry in found}
            for request_id, future in waiting:
                if not future.done():
                    future.set_result(request_id in ended)


async def _available(answer: Awaitable[T]) -> T:
    """Raise ``Unavailable`` for a missing stream: a stage waits for it as it waits for the broker."""
    try:
        return await answer
    except log.StreamMissing as error:
        raise Unavailable(str(error)) from error

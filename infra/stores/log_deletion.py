"""Deletion of done requests from the log: what may go, a cut at the head, and single messages behind it."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from contracts import pipeline, subjects
from contracts.errors import Unavailable
from infra.nats import log as event_log
from infra.stores.done_requests import MAX_DOUBTS, DoneRequests
from infra.stores.stream_fill import ORDER, STOP_BELOW, StreamFill, call_api, read_fill

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

#: Messages that one look deletes one by one at most.
ONE_BY_ONE: Final = 20_000

#: Consumers of both streams that must have acknowledged what is deleted.  Audit writes its rows.  The stage that
#: takes in requests refuses some without reading them, and those have no row until then; and a plot that waits
#: for its scenes is not acknowledged, since it still reads their results.
_READERS: Final = sorted(pipeline.RECORDERS | pipeline.INTAKE)
_PAGE: Final = 256
_AT_ONCE: Final = 16
#: Ids that are looked up in one call; the broker answers with up to 1024 messages.
_IDS: Final = 32
#: JetStream errors: there is no message with this sequence; it cannot be deleted, for example because it is gone.
_NOT_DELETED: Final = frozenset({10043, 10057})


class LogDeletion:
    """What one look of the sweeper may delete, and its deletion."""

    def __init__(self, wire: RequestMultiplexer, requests: DoneRequests, *, skew_ms: int) -> None:
        self._wire = wire
        self._requests = requests
        self._skew_ms = skew_ms

    async def cut_ms(self, streams: dict[str, StreamFill]) -> int:
        """Find the time before which everything may go, but no more than must; ms since the epoch."""
        # One more than the target's: many messages share a millisecond.
        targets = [
            entry.time_ms + 1
            for stream in streams.values()
            if stream.share > STOP_BELOW
            if (entry := await event_log.first(self._wire, stream.name, ">", start=stream.target)) is not None
        ]
        heads = [head async for head in self._heads()]
        if not targets or not heads or not await self._covers_head():
            return 0
        bounds = [max(targets)]
        for stream in ORDER:
            floor = await self._floor(streams[stream])
            waiting = await event_log.first(self._wire, stream, ">", start=floor + 1)
            if waiting is not None and floor < streams[stream].last:
                bounds.append(waiting.time_ms)
        oldest_open = await asyncio.to_thread(self._requests.find_oldest_open, min(heads))
        bounds += [at_ms for at_ms in (oldest_open, await self._reopened(min(heads))) if at_ms is not None]
        return min(bounds) - self._skew_ms

    async def straddling(self, cut_ms: int) -> tuple[int, list[str]]:
        """Find where to cut REQUESTS, and the ids that would leave something behind the cut.

        A new request with an id whose result or timer is left is accepted and never answered, since the broker
        has both; one with an id whose repetition is left does not count as new.  So what is left is deleted
        message by message, and the cut is early enough for that.

        Returns:
            ms since the epoch, and ids.
        """
        heads = [head async for head in self._heads()]
        whole_ms, lives = await asyncio.to_thread(
            self._requests.find_straddling, cut_ms, min(heads, default=cut_ms)
        )
        ids: list[str] = []
        for start in range(0, len(lives), _AT_ONCE):
            some = lives[start : start + _AT_ONCE]
            owners = await asyncio.gather(*(event_log.owner(self._wire, each[0]) for each in some))
            # Only the request that has ended: an operator may have purged it, and its id may be used again.
            ids += [
                each[0]
                for each, owner in zip(some, owners, strict=True)
                if owner is not None and owner.time_ms == each[1]
            ]
        return whole_ms, ids

    async def forget(self, ids: list[str], streams: dict[str, StreamFill]) -> int:
        """Delete what the log has about some ids, their requests first; how many messages.

        What came after the look at the streams stays: it may be a new request with an id that is free now.
        """
        gone = 0
        for start in range(0, len(ids), _IDS):
            for stream in ORDER:
                gone += await self._forget(streams[stream], ids[start : start + _IDS])
        return gone

    async def cut_head(self, stream: StreamFill, cut_ms: int) -> int:
        """Delete what is older than a time; how many messages."""
        if cut_ms <= 0:
            return 0
        keep = stream.last + 1
        async for entry in event_log.read(self._wire, stream.name, ">", since_ms=cut_ms):
            keep = entry.sequence
            break
        return await self._purge(stream.name, seq=keep) if keep > stream.first else 0

    async def pick(self, name: str, streams: dict[str, StreamFill]) -> int:
        """Delete done requests one by one, from the head of a stream on; how many messages.

        Each is deleted whole, its ``requested`` first: a new request with an id whose result alone is left would be
        accepted and get no result, since the broker has one.
        """
        events = streams[pipeline.EVENTS]
        floor = await self._floor(streams[name])
        gone = 0
        async for page in self._pages(name, floor):
            done = await asyncio.to_thread(self._requests.find_done, {_id(each) for each in page}, events)
            stream = (await read_fill(self._wire))[name]
            need = math.ceil(stream.messages * stream.excess)
            chosen = [each for each in page if _id(each) in done][: min(need, ONE_BY_ONE - gone)]
            gone += await self.forget(sorted({_id(each) for each in chosen}), streams)
            if need <= len(chosen) or gone >= ONE_BY_ONE:
                break
        return gone

    async def _forget(self, stream: StreamFill, ids: list[str]) -> int:
        gone = 0
        filters = [subject for one in ids for subject in (subjects.all_events(one), f"gen.timer.*.{one}.*")]
        while True:
            # The last message of each subject; the ones before it follow in the next round.
            found = await event_log.last_of_each(self._wire, stream.name, filters, up_to=stream.last)
            if not found:
                return gone
            for start in range(0, len(found), _AT_ONCE):
                some = found[start : start + _AT_ONCE]
                gone += sum(
                    await asyncio.gather(*(self._delete(stream.name, each.sequence) for each in some))
                )

    async def _heads(self) -> AsyncIterator[int]:
        for name in ORDER:
            head = await event_log.first(self._wire, name, ">")
            if head is not None:
                yield head.time_ms

    async def _covers_head(self) -> bool:
        """Whether audit has the oldest request; a database that is younger than the log cannot say what is open."""
        async for page in self._pages(pipeline.REQUESTS, sys.maxsize):
            for entry in page:
                with suppress(subjects.SubjectError):
                    address = subjects.parse(entry.subject)
                    # Audit has no row of an id that no request can have.
                    if address.event == "requested" and address.acceptable:
                        return await asyncio.to_thread(self._requests.knows, address.request_id)
            break
        return True

    async def _pages(self, name: str, floor: int) -> AsyncIterator[list[LogEntry]]:
        page: list[LogEntry] = []
        async for entry in event_log.read(self._wire, name, ">"):
            if entry.sequence > floor:
                break
            if not pipeline.is_foreign(name, entry.subject):
                page.append(entry)
            if len(page) >= _PAGE:
                yield page
                page = []
        yield page

    async def _floor(self, stream: StreamFill) -> int:
        """The sequence up to which every consumer that counts has acknowledged everything."""
        floors = [stream.last]
        for consumer in _READERS:
            info = await call_api(self._wire, f"CONSUMER.INFO.{stream.name}.{consumer}")
            if info["num_pending"] or info["num_ack_pending"]:
                floors.append(int(info["ack_floor"]["stream_seq"]))
        return min(floors)

    async def _reopened(self, since_ms: int) -> int | None:
        """When the oldest request came that uses a swept id again and that no stage has begun; ms since the epoch.

        To audit a duplicate looks the same; but then the log still has the result, or the request is open.
        """
        doubts = await asyncio.to_thread(self._requests.find_doubts, since_ms)
        for request_id, at_ms in doubts:
            result = subjects.any_answer(request_id)
            if await event_log.first(self._wire, pipeline.EVENTS, result) is None:
                return at_ms
        return doubts[-1][1] if len(doubts) >= MAX_DOUBTS else None

    async def _purge(self, stream: str, **what: Any) -> int:
        """Delete messages below ``seq``, or of a ``filter``; how many."""
        return int((await call_api(self._wire, f"STREAM.PURGE.{stream}", what))["purged"])

    async def _delete(self, stream: str, sequence: int) -> int:
        call = f"STREAM.MSG.DELETE.{stream}"
        answer = await call_api(self._wire, call, {"seq": sequence, "no_erase": True}, unless=_NOT_DELETED)
        if "error" in answer and await event_log.get(self._wire, stream, sequence) is not None:
            raise Unavailable(f"the broker refuses {call}: {answer['error'].get('description')}")
        return int("error" not in answer)


def _id(entry: LogEntry) -> str:
    # gen.<event>.<kind>.<id>, with a further token for some timers.
    return entry.subject.split(".")[3]

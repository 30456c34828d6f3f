"""Undo of a replay job: as much as can be taken back, and a list of what cannot.

What has not ended is cancelled.  For what has, the cache entry goes if it is still that replay's, and a ``revised``
names the earlier result again.  The letter or request may then be replayed anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from understudy_client.protocol import child_of

from contracts import cache_entry, envelope, pipeline, subjects, timestamp
from contracts import events as ev
from contracts.cache_entry import CacheEntry
from contracts.errors import NewerVersion, Unreadable
from contracts.policy.cache_key import CacheKey
from infra.nats import buckets, log, submissions
from infra.nats.atomic import Publication
from infra.replay import jobs, origins, spending
from infra.replay.jobs import JobError, JobItem, JobState
from infra.replay.plans import ItemState
from infra.stores import cache_store

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

T = TypeVar("T")
#: Items that are undone together, and subjects in one question to a stream.
_PAGE: Final = 500
_ASKED: Final = 256
#: Seconds that cancelled requests have to end, and between two looks.
_ENDING_S: Final = 15.0
#: Seconds within which the revision follows its result.
_REVISED_S: Final = 3.0
_LOOK_S: Final = 0.1


class UndoReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an undo did, and what it could not."""

    job: int
    #: Requests that are undone.
    undone: int
    #: Of them, those that were cancelled before they had a result.
    cancelled: int
    #: Cache entries that were removed.
    uncached: int
    #: Requests whose subscribers were told of the earlier result again.
    restored: int
    #: What cannot be undone, one line each.
    cannot: tuple[str, ...] = ()


async def undo(wire: RequestMultiplexer, engine: Engine, job: int) -> UndoReport:
    """Undo a job that does not run.

    Args:
        wire: an open wire.
        engine: the database.
        job: the job's number.

    Raises:
        JobError: it does not exist, runs, or is undone.
        StreamMissing, Unavailable, UnderstudyError: the broker; a second undo goes on where this one stopped.
        sqlalchemy.exc.SQLAlchemyError: the database.
    """
    known = await asyncio.to_thread(jobs.find, engine, job)
    if known.state is JobState.UNDONE:
        raise JobError(f"job {job} is undone already")
    if known.state is JobState.RUNNING:
        raise JobError(f"job {job} is running; `understudy replay stop {job}` stops it")
    spent = await asyncio.to_thread(spending.read_spent, engine, job)
    one = _Undo(wire, job)
    after, undone, left = -1, 0, 0
    while True:
        page = await asyncio.to_thread(
            jobs.items, engine, job, states=[ItemState.PUBLISHED], after=after, limit=_PAGE
        )
        if not page:
            break
        after = page[-1].position
        done = await one.page(page)
        await asyncio.to_thread(jobs.set_items, engine, job, {ItemState.UNDONE: done})
        undone += len(done)
        left += len(page) - len(done)
    if not left:
        await asyncio.to_thread(
            jobs.change_state,
            engine,
            job,
            JobState.UNDONE,
            allowed=[each for each in JobState if each not in (JobState.RUNNING, JobState.UNDONE)],
            now_ms=round(time.time() * 1000),
        )
    return UndoReport(
        job=job,
        undone=undone,
        cancelled=one.cancelled,
        uncached=one.uncached,
        restored=one.restored,
        cannot=(*one.cannot, *_spent_lines(spent, one)),
    )


def _spent_lines(spent: spending.JobSpending, one: _Undo) -> list[str]:
    lines: list[str] = []
    if spent.tokens or spent.money:
        lines.append(f"what was paid: {spent.tokens:,} tokens, {spent.money:g} in money")
    if one.delivered:
        lines.append(
            f"{one.delivered:,} contents that subscribers had received: what they did with them stays, and requests "
            "that a cache entry answered meanwhile keep their results"
        )
    return lines


class _Undo:
    """An undo on its way."""

    def __init__(self, wire: RequestMultiplexer, job: int) -> None:
        self._wire = wire
        self._job = job
        self.cancelled = self.uncached = self.restored = self.delivered = 0
        self.cannot: list[str] = []

    async def page(self, items: Sequence[JobItem]) -> list[int]:
        """Undo some requests; the positions of those that are."""
        ids = [each.request_id for each in items]
        before = await _last(self._wire, "result", ids)
        running = [each for each in items if each.request_id not in before]
        results = before | await self._cancel(running)
        self.cancelled += sum(
            each.request_id in results and _status(results[each.request_id]) == "cancelled"
            for each in running
        )
        ended = [each for each in items if each.request_id in results]
        written = [each for each in ended if _written(results[each.request_id])]
        await self._await_revisions([each for each in written if each.request_id not in before])
        await self._uncache(written)
        await self._restore([each for each in written if each.origin.replay_of is not None])
        self.cannot += [
            f"{each.request_id} does not end although it is cancelled: undo once more later"
            for each in items
            if each.request_id not in results
        ]
        return [each.position for each in ended]

    async def _cancel(self, items: Sequence[JobItem]) -> dict[str, LogEntry]:
        """Cancel requests and wait for their ends, which may be a result that came first."""
        if not items:
            return {}
        now = timestamp.format_s(time.time())
        body = envelope.encode(ev.Cancelled(reason=f"replay job {self._job} is undone"))
        await submissions.publish_all(
            self._wire,
            [
                Publication(
                    subject=subjects.gen("cancelled", each.origin.kind, each.request_id),
                    body=body,
                    headers=envelope.headers(
                        name="cancelled",
                        version=1,
                        kind=each.origin.kind,
                        request_id=each.request_id,
                        stage=pipeline.CLIENT,
                        attempt=1,
                        time=now,
                        traceparent=child_of(None),
                    ),
                )
                for each in items
            ],
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + _ENDING_S
        found: dict[str, LogEntry] = {}
        ids = [each.request_id for each in items]
        while len(found) < len(ids) and loop.time() < until:
            await asyncio.sleep(_LOOK_S)
            found |= await _last(self._wire, "result", [each for each in ids if each not in found])
        return found

    async def _await_revisions(self, items: Sequence[JobItem]) -> None:
        """Wait until requests that have just ended have revised their originals too; a stage does that next."""
        left = {each.request_id: each.origin.replay_of for each in items if each.origin.replay_of is not None}
        loop = asyncio.get_running_loop()
        until = loop.time() + _REVISED_S
        while left and loop.time() < until:
            found = await _last(self._wire, "revised", sorted(set(left.values())))
            by = {original: _revision(entry) for original, entry in found.items()}
            for request_id, original in list(left.items()):
                revision = by.get(original)
                if revision is not None and revision.revised_by == request_id:
                    del left[request_id]
            if left:
                await asyncio.sleep(_LOOK_S)

    async def _uncache(self, items: Sequence[JobItem]) -> None:
        """Remove the cache entries that these requests made, unless others have replaced them."""
        keys: dict[str, CacheKey] = {}
        for event in ("context_built", "drafted", "structured"):
            missing = [each.request_id for each in items if each.request_id not in keys]
            for request_id, entry in (await _last(self._wire, event, missing)).items():
                slot = _slot(event, entry)
                if slot is not None:
                    keys[request_id] = slot
        asked = [cache_store.subject(key.key) for key in keys.values()]
        stored = {
            cache_store.key_of(entry): entry
            for entry in await _ask(self._wire, cache_store.STREAM, asked)
            if cache_store.is_live(entry)
        }
        for request_id, key in keys.items():
            entry = stored.get(key.key)
            if entry is None or msgspec.json.decode(entry.body, type=CacheEntry).request_id != request_id:
                continue
            # On its revision: an entry that somebody writes meanwhile stays.
            condition = {envelope.EXPECTED_LAST: str(entry.sequence)}
            ack = await self._wire.publish(entry.subject, b"", {**buckets.PURGE, **condition})
            self.uncached += ack.error is None

    async def _restore(self, items: Sequence[JobItem]) -> None:
        """Tell subscribers of the earlier results again."""
        originals = sorted({each.origin.replay_of or "" for each in items})
        first = await _last(self._wire, "result", originals)
        by_id = {each.request_id: each for each in items}

        async def revisions(original: str) -> list[LogEntry]:
            subject = subjects.any_kind("revised", original)
            return [entry async for entry in log.read(self._wire, pipeline.EVENTS, subject)]

        for original, found in zip(originals, await origins.gather(originals, revisions), strict=True):
            told = [(entry, event) for entry in found if (event := _revision(entry)) is not None]
            if not told or told[-1][1].undoes in by_id:
                # Never revised, or taken back by an undo that did not get further.
                continue
            if told[-1][1].revised_by not in by_id:
                self.cannot.append(f"{original}: {told[-1][1].revised_by} revised it later, which stays")
                continue
            last, event = told[-1]
            self.delivered += 1
            earlier = _earlier(told, first.get(original), by_id)
            if earlier is None:
                self.cannot.append(f"{original}: its earlier result is no longer in the log")
                continue
            self.restored += await self._revise(last, earlier, undoes=event.revised_by)

    async def _revise(self, last: LogEntry, earlier: ev.Result | ev.Revised, *, undoes: str) -> bool:
        """Publish an earlier result again, unless a revision came meanwhile."""
        address = subjects.parse(last.subject)
        by = earlier.revised_by if isinstance(earlier, ev.Revised) else address.request_id
        body = {name: getattr(earlier, name) for name in ev.Result.__struct_fields__}
        event = ev.Revised(**body, revised_by=by, undoes=undoes)
        headers = envelope.headers(
            name=event.name,
            version=event.version,
            kind=address.kind,
            request_id=address.request_id,
            stage=pipeline.OPERATOR,
            attempt=f"undo-{undoes}",
            time=timestamp.format_s(time.time()),
            traceparent=child_of(None),
        )
        headers[envelope.EXPECTED_LAST] = str(last.sequence)
        ack = await self._wire.publish(last.subject, envelope.encode(event), headers)
        if ack.error is not None:
            self.cannot.append(f"{address.request_id}: {ack.error.description}")
        return ack.error is None


def _earlier(
    told: Sequence[tuple[LogEntry, ev.Revised]], first: LogEntry | None, job: dict[str, JobItem]
) -> ev.Result | ev.Revised | None:
    """The latest revision that this job did not make and nobody has undone, else the request's own result."""
    gone = {event.undoes for _, event in told if event.undoes is not None} | set(job)
    for _, event in reversed(told):
        if event.undoes is None and event.revised_by not in gone:
            return event
    if first is None:
        return None
    found = _decode("result", first)
    return found if isinstance(found, ev.Result) else None


def _revision(entry: LogEntry) -> ev.Revised | None:
    found = _decode("revised", entry)
    return found if isinstance(found, ev.Revised) else None


def _slot(event: str, entry: LogEntry) -> CacheKey | None:
    match _decode(event, entry):
        case ev.ContextBuilt(brief=brief) | ev.Drafted(brief=brief) | ev.Structured(brief=brief):
            return brief.slot
        case _:
            return None


def _written(entry: LogEntry) -> bool:
    """Whether a result has content that a model wrote."""
    found = _decode("result", entry)
    return isinstance(found, ev.Result) and found.status in cache_entry.WRITTEN_BY_MODEL


def _status(entry: LogEntry) -> str:
    found = _decode("result", entry)
    return str(found.status) if isinstance(found, ev.Result) else ""


def _decode(event: str, entry: LogEntry) -> Any:
    try:
        return envelope.decode(event, entry.body, entry.headers)
    except (Unreadable, NewerVersion):
        return None


async def _last(wire: RequestMultiplexer, event: str, request_ids: Sequence[str]) -> dict[str, LogEntry]:
    """The last message of an event, by request."""
    asked = [subjects.any_kind(event, each) for each in request_ids]
    found = await _ask(wire, pipeline.EVENTS, asked)
    return {entry.subject.rpartition(".")[2]: entry for entry in found}


async def _ask(wire: RequestMultiplexer, stream: str, asked: Sequence[str]) -> list[LogEntry]:
    found: list[LogEntry] = []
    for start in range(0, len(asked), _ASKED):
        found += await log.last_of_each(wire, stream, asked[start : start + _ASKED])
    return found

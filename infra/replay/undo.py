"""Undo of a replay job: as much as can be taken back, and a list of what cannot.

What has not ended is cancelled.  For what has, the cache entry goes if it is still that replay's, the one that it replaced
comes back, and a ``revised`` names the earlier result again.  The letter or request may then be replayed anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from understudy_client.protocol import child_of

from contracts import envelope, pipeline, subjects, timestamp
from contracts import events as ev
from contracts.result import Status
from contracts.scenes import RUNNING
from infra.nats import submissions
from infra.nats.atomic import Publication
from infra.replay import earlier, jobs, lease, replaced_entries, spending, unrecorded
from infra.replay.counts import format_count
from infra.replay.jobs import JobError, JobItem, JobState, ReplayJob
from infra.replay.lease import JobLease
from infra.replay.logged_ends import (
    decode_result,
    find_slot,
    is_written,
    read_last,
    read_revisions,
    revises,
)
from infra.replay.plans import ItemState

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

#: Items that are undone together.
_PAGE: Final = 500
#: Seconds that cancelled requests have to end, and between two looks.
_ENDING_S: Final = 15.0
#: Seconds within which the revision follows its result.
_REVISED_S: Final = 3.0
#: Age of a result, ns, that has its revision, or gets none any more.
_JUST_NS: Final = 10 * 10**9
_LOOK_S: Final = 0.1


class UndoReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an undo did, or would do, and what it could not."""

    job: int
    #: Nothing was changed: this is what would be.
    dry_run: bool = False
    #: Requests that are undone.
    undone: int
    #: Of them, those that were cancelled before they had a result.
    cancelled: int
    #: Cache entries that were removed.
    uncached: int
    #: Of them, those whose place has the entry again that the replay had replaced.
    put_back: int
    #: Requests whose subscribers got the earlier result again.
    restored: int
    #: What cannot be undone, one line each.
    cannot: tuple[str, ...] = ()


async def undo(wire: RequestMultiplexer, engine: Engine, job: int, *, dry_run: bool = False) -> UndoReport:
    """Undo a job that does not run; it does not go on afterwards.

    Args:
        wire: an open wire.
        engine: the database.
        job: the job's number.
        dry_run: change nothing; what would be undone now, where what has not ended counts as cancelled.

    Raises:
        JobError: it does not exist, runs, or is undone; or another process has it.
        StreamMissing, Unavailable, UnderstudyError: the broker; a second undo goes on where this one stopped.
        sqlalchemy.exc.SQLAlchemyError: the database.
    """
    if dry_run:
        return await _preview(wire, engine, await asyncio.to_thread(jobs.check_undo, engine, job))
    held = await lease.take(engine, job, jobs.claim_undo)
    try:
        if held.job.started_ms is not None:
            await unrecorded.record(wire, engine, job)
        return await _undo_all(wire, engine, held)
    finally:
        await asyncio.shield(held.end(held.job.state))


async def _undo_all(wire: RequestMultiplexer, engine: Engine, held: JobLease) -> UndoReport:
    job = held.job.job
    spent = await asyncio.to_thread(spending.read_spent, engine, job)
    one = _Undo(wire, engine, held.job)
    after, undone, left = -1, 0, 0
    while True:
        if held.check() is None:
            raise JobError(f"another process has taken job {job} over; undo it once more later")
        page = await asyncio.to_thread(
            jobs.read_items, engine, job, states=[ItemState.PUBLISHED], after=after, limit=_PAGE
        )
        if not page:
            break
        after = page[-1].position
        done = await one.undo_page(page)
        await asyncio.to_thread(
            jobs.set_items, engine, job, {ItemState.UNDONE: done}, before=ItemState.PUBLISHED
        )
        undone += len(done)
        left += len(page) - len(done)
    if not left:
        await asyncio.to_thread(
            jobs.change_state,
            engine,
            job,
            JobState.UNDONE,
            allowed=[JobState.PLANNED, JobState.PAUSED, JobState.STOPPED, JobState.DONE],
            now_ms=round(time.time() * 1000),
        )
    return _report(held.job, one, spent, undone=undone)


async def _preview(wire: RequestMultiplexer, engine: Engine, job: ReplayJob) -> UndoReport:
    spent = await asyncio.to_thread(spending.read_spent, engine, job.job)
    one = _Undo(wire, engine, job, dry=True)
    after, undone = -1, 0
    while True:
        page = await asyncio.to_thread(
            jobs.read_items, engine, job.job, states=[ItemState.PUBLISHED], after=after, limit=_PAGE
        )
        if not page:
            return _report(job, one, spent, undone=undone)
        after = page[-1].position
        undone += len(await one.undo_page(page))


def _report(job: ReplayJob, one: _Undo, spent: spending.JobSpending, *, undone: int) -> UndoReport:
    return UndoReport(
        job=job.job,
        dry_run=one.dry,
        undone=undone,
        cancelled=one.cancelled,
        uncached=one.uncached,
        put_back=one.put_back,
        restored=one.restored,
        cannot=(*one.cannot, *_lasting_lines(spent, one)),
    )


def _lasting_lines(spent: spending.JobSpending, one: _Undo) -> list[str]:
    lines: list[str] = []
    if one.forgotten:
        lines.append(
            f"what {format_count(one.forgotten, 'request')} wrote: the log no longer has the results, which are too old"
        )
    if one.unknown:
        lines.append(
            f"cache entries that {format_count(one.unknown, 'replay')} may have replaced: the settings have changed since the plan, "
            "so they were not kept, and equal requests are generated anew"
        )
    if spent.tokens or spent.money:
        lines.append(f"what was paid: {spent.tokens:,} tokens, {spent.money:g} in money")
    if one.delivered:
        lines.append(
            f"what subscribers did with {format_count(one.delivered, 'content')} that they had received, and the results of "
            "requests that the cache answered with them"
        )
    return lines


class _Undo:
    """An undo on its way; a dry one only counts."""

    def __init__(
        self, wire: RequestMultiplexer, engine: Engine, job: ReplayJob, *, dry: bool = False
    ) -> None:
        self.dry = dry
        self._wire = wire
        self._engine = engine
        self._job = job.job
        self._shares = job.options.shares
        self.cancelled = self.restored = self.delivered = self.forgotten = 0
        #: Cache entries that were removed; those put back; requests of which nothing was kept.
        self.uncached = self.put_back = self.unknown = 0
        self.cannot: list[str] = []

    async def undo_page(self, items: Sequence[JobItem]) -> list[int]:
        """Undo some requests; the positions of those that are."""
        ids = [each.request_id for each in items]
        before = await read_last(self._wire, "result", ids)
        missing = [each for each in ids if each not in before]
        forgotten = await asyncio.to_thread(spending.find_ended, self._engine, missing)
        self.forgotten += len(forgotten)
        running = [each for each in items if each.request_id not in before.keys() | forgotten]
        if self.dry:
            self.cancelled += len(running)
            results, running = before, []
        else:
            results = before | await self._cancel(running)
        cancelled = [decode_result(results.get(each.request_id)) for each in running]
        self.cancelled += sum(each is not None and each.status is Status.CANCELLED for each in cancelled)
        ended = [each for each in items if each.request_id in results]
        written = [each for each in ended if is_written(decode_result(results[each.request_id]))]
        late = set[str]() if self.dry else await self._await_revisions(written, results)
        scenes = [scene for each in ended for scene in self._list_scenes(results[each.request_id])]
        planned = {} if self._shares else {each.request_id: each.cache_key for each in written}
        await self._uncache([*(each.request_id for each in written), *scenes], planned)
        await self._restore(
            [each for each in written if each.origin.replay_of is not None and each.request_id not in late]
        )
        self.cannot += [
            f"{each.request_id} does not end although it is cancelled: undo once more later"
            for each in running
            if each.request_id not in results
        ]
        self.cannot += [
            f"{each}: its revision has not come yet: undo once more later" for each in sorted(late)
        ]
        over = (results.keys() | forgotten) - late
        return [each.position for each in items if self.dry or each.request_id in over]

    def _list_scenes(self, entry: LogEntry) -> list[str]:
        """The ids of a plot's scenes, which have cache entries of their own."""
        result = decode_result(entry)
        scenes = () if result is None else result.scenes or ()
        self.cannot += [
            f"{each.request_id} had not ended when its plot did: what it writes stays"
            for each in scenes
            if each.status == RUNNING
        ]
        return [each.request_id for each in scenes]

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
            found |= await read_last(self._wire, "result", [each for each in ids if each not in found])
        return found

    async def _await_revisions(self, items: Sequence[JobItem], results: Mapping[str, LogEntry]) -> set[str]:
        """Wait until requests that have just ended have revised their originals too; those that have not in time.

        The stage that publishes a result publishes the revision next.
        """
        since_ns = time.time_ns() - _JUST_NS
        left = {
            each.request_id: each.origin.replay_of
            for each in items
            if each.origin.replay_of is not None
            and results[each.request_id].time_ns > since_ns
            and revises(decode_result(results[each.request_id]))
        }
        loop = asyncio.get_running_loop()
        until = loop.time() + _REVISED_S
        while left:
            found = await read_revisions(self._wire, sorted(set(left.values())))
            come = {event.revised_by for revisions in found.values() for _, event in revisions}
            left = {request_id: original for request_id, original in left.items() if request_id not in come}
            if loop.time() > until:
                break
            if left:
                await asyncio.sleep(_LOOK_S)
        return set(left)

    async def _uncache(self, request_ids: Sequence[str], planned: Mapping[str, str | None]) -> None:
        """Remove the cache entries that these requests made, and put back those that they had replaced.

        Args:
            request_ids: the requests.
            planned: by request, the key that was to be expected: what was there is kept under that one.
        """
        keys: dict[str, str] = {}
        for event in ("context_built", "drafted", "structured"):
            missing = [each for each in request_ids if each not in keys]
            for request_id, entry in (await read_last(self._wire, event, missing)).items():
                slot = find_slot(event, entry)
                if slot is not None:
                    keys[request_id] = slot.key
        take = replaced_entries.count if self.dry else replaced_entries.remove
        done = await take(self._wire, self._engine, self._job, keys)
        self.uncached += done.removed
        self.put_back += done.put_back
        self.unknown += sum(
            key != planned[request_id] for request_id, key in keys.items() if request_id in planned
        )

    async def _restore(self, items: Sequence[JobItem]) -> None:
        """Publish the earlier results for subscribers again."""
        originals = sorted({each.origin.replay_of or "" for each in items})
        first = await read_last(self._wire, "result", originals)
        by_id = {each.request_id: each for each in items}
        found = await read_revisions(self._wire, originals)
        makers = {event.revised_by for revisions in found.values() for _, event in revisions}
        gone = await asyncio.to_thread(earlier.find_gone, self._engine, self._job, makers)
        for original, revisions in found.items():
            if not revisions:
                continue
            last, event = revisions[-1]
            if event.undoes in by_id or event.revised_by == original:
                # Taken back by an undo that did not get further, or by that of a later replay.
                continue
            if event.revised_by not in by_id:
                if event.revised_by not in gone:
                    self.cannot.append(f"{original}: {event.revised_by} revised it later, which stays")
                continue
            self.delivered += 1
            before = _find_earlier(revisions, first.get(original), gone)
            if before is None:
                self.cannot.append(f"{original}: its earlier result is no longer in the log")
                continue
            self.restored += await self._revise(last, before, undoes=event.revised_by)

    async def _revise(self, last: LogEntry, before: ev.Result | ev.Revised, *, undoes: str) -> bool:
        """Publish an earlier result again, unless a revision came meanwhile."""
        if self.dry:
            return True
        address = subjects.parse(last.subject)
        by = before.revised_by if isinstance(before, ev.Revised) else address.request_id
        body = {name: getattr(before, name) for name in ev.Result.__struct_fields__}
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


def _find_earlier(
    revisions: Sequence[tuple[LogEntry, ev.Revised]], first: LogEntry | None, gone: set[str]
) -> ev.Result | ev.Revised | None:
    """The latest revision by a replay that is not gone, else the request's own result."""
    gone = gone | {event.undoes for _, event in revisions if event.undoes is not None}
    for _, event in reversed(revisions):
        if event.undoes is None and event.revised_by not in gone:
            return event
    return decode_result(first)

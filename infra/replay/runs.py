"""Run of a replay job: batch after batch at its rate and within its budget, until it is done, paused or stopped.

Ids are fixed by the plan, so a run that was killed goes on with what the log does not have; of what is published twice all
the same the broker refuses the second.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from contracts import timestamp
from contracts.errors import error_text
from contracts.request_edits import EditError
from infra.inspect import dead_letters
from infra.inspect.dead_letters import NoLetter
from infra.nats import atomic
from infra.nats.submissions import Submission
from infra.replay import earlier, jobs, lease, origins, plans, publishing, spending, unrecorded
from infra.replay.estimates import find_high_tokens
from infra.replay.jobs import JobItem, JobState, ReplayJob
from infra.replay.lease import JobLease
from infra.replay.letters import Unreplayable, look_up
from infra.replay.origins import ReplayOrigin
from infra.replay.patching import PatchRefused
from infra.replay.plans import ItemState, PlanChanged
from infra.replay.publishing import ReadyReplay

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.nats.multiplexer import RequestMultiplexer

#: Requests that are read from the database, and from the log, at once.
_PAGE: Final = 5_000
#: Seconds between two batches of a job with a rate.
_TICK_S: Final = 0.1
#: Seconds of its rate that a job which fell behind may publish at once.
_BURST_S: Final = 1.0
#: Seconds between two counts of what a job has spent: each reads all its requests.
_COUNT_S: Final = 1.0
#: Seconds between two looks at a budget that is used up while requests are still under way.
_LOOK_S: Final = 0.5
#: Why a request is not published whose id has one that differs.
_TAKEN: Final = "its id belongs to another request"


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a job did."""

    job: int
    state: JobState
    #: Requests that this run published.
    published: int
    #: Requests that an earlier run had published, and did not come to record.
    refused: int
    seconds: float
    note: str | None = None


async def run(
    wire: RequestMultiplexer,
    engine: Engine,
    job: int,
    *,
    bodies: Mapping[int, ReplayOrigin] | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    on_begin: Callable[[], None] = lambda: None,
) -> RunReport:
    """Run a job, or continue it.

    Args:
        wire: an open wire.
        engine: the database.
        job: the job's number.
        bodies: by position, what is repeated, where the plan was made just now; none: it is read again.
        on_progress: called with the number of requests that a batch had.
        on_begin: called when this process has the job.

    Raises:
        PlanChanged: the job has not begun, and what it repeats is not what was planned.
        JobError: it has ended, or another process runs it.
        StreamMissing, Unavailable, UnderstudyError: the broker; the job is paused.
        sqlalchemy.exc.SQLAlchemyError: the database.
    """
    known = await asyncio.to_thread(jobs.find, engine, job)
    if known.started_ms is None and bodies is None:
        bodies = await _verify(wire, engine, known)
    held = await lease.take(engine, job, jobs.claim)
    one = _Run(wire, engine, held, bodies or {}, on_progress)
    try:
        on_begin()
        if known.started_ms is not None:
            # The broker would refuse them, and subscribers without JetStream would see them twice.
            one.refused = await unrecorded.record(wire, engine, job)
        state, note = await one.publish_all()
    except BaseException as error:
        await asyncio.shield(one.break_off(error))
        raise
    await held.end(state, note)
    found = await asyncio.to_thread(jobs.find, engine, job)
    return RunReport(
        job=job,
        state=found.state,
        published=one.published,
        refused=one.refused,
        seconds=round(time.monotonic() - one.began_s, 3),
        note=found.note,
    )


async def read_bodies(wire: RequestMultiplexer, items: Sequence[JobItem]) -> dict[int, ReplayOrigin]:
    """By position, what requests of a job repeat, as the log has it now; ``refusal`` says what is gone.

    Raises:
        StreamMissing, Unavailable: the broker does not answer.
    """
    plain = [each for each in items if each.origin.letter is None]
    entries = await origins.read_many(wire, origins.REQUESTS, [each.origin.sequence for each in plain])
    found: dict[int, ReplayOrigin] = {}
    for each in plain:
        entry = entries.get(each.origin.sequence)
        same = entry is not None and entry.subject.rpartition(".")[2] == each.origin.named
        found[each.position] = (
            msgspec.structs.replace(each.origin, body=entry.body)
            if entry is not None and same
            else msgspec.structs.replace(each.origin, refusal=origins.GONE)
        )
    rest = [each for each in items if each.origin.letter is not None]
    again = await origins.gather(rest, lambda each: _read_letter(wire, each.origin))
    return found | {each.position: origin for each, origin in zip(rest, again, strict=True)}


async def _read_letter(wire: RequestMultiplexer, origin: ReplayOrigin) -> ReplayOrigin:
    try:
        repeated = await look_up(wire, await dead_letters.get(wire, origin.letter or 0))
    except (NoLetter, Unreplayable) as error:
        return msgspec.structs.replace(origin, refusal=str(error))
    return msgspec.structs.replace(origin, kind=repeated.kind, body=repeated.body)


def make_ready(item: JobItem, origin: ReplayOrigin, job: ReplayJob) -> ReadyReplay | str:
    """The request that an item publishes, or why it differs from the plan.

    The body is checked against the plan's own hash: an item carries its own body, or none.

    Args:
        item: the item.
        origin: what it repeats, as the log has it now.
        job: its job.
    """
    if origin.refusal is not None:
        return origin.refusal
    try:
        body = plans.compose(origin, job.options, patched_by=job.patched_by)
    except (Unreplayable, PatchRefused, EditError) as error:
        return str(error)
    if hashlib.sha256(body).hexdigest() != item.sha256:
        return "its request is not the one that was planned"
    return ReadyReplay(
        request_id=item.request_id,
        kind=item.origin.kind,
        body=body,
        letter=item.origin.letter,
        replay_of=item.origin.replay_of,
        # Where the cache may answer, it answers with what is there, and nothing replaces it.
        cache_key=None if job.options.shares else item.cache_key,
    )


async def _verify(wire: RequestMultiplexer, engine: Engine, job: ReplayJob) -> dict[int, ReplayOrigin]:
    """Check that everything is as it was planned; what was read, as far as it fits into memory."""
    planned = await asyncio.to_thread(jobs.read_items, engine, job.job, states=[ItemState.PLANNED])
    differences: list[str] = []
    kept: dict[int, ReplayOrigin] = {}
    for start in range(0, len(planned), _PAGE):
        page = planned[start : start + _PAGE]
        bodies = await read_bodies(wire, page)
        for item in page:
            ready = make_ready(item, bodies[item.position], job)
            if isinstance(ready, str):
                differences.append(f"{item.origin.title}: {ready}")
        if start == 0:
            kept = bodies
    if differences:
        raise PlanChanged(differences)
    return kept


class _Run:
    """One run of a job in this process."""

    def __init__(
        self,
        wire: RequestMultiplexer,
        engine: Engine,
        held: JobLease,
        bodies: Mapping[int, ReplayOrigin],
        on_progress: Callable[[int], None],
    ) -> None:
        self._wire = wire
        self._engine = engine
        self._held = held
        self._job = held.job
        self._bodies = bodies
        self._on_progress = on_progress
        self.published = 0
        self.refused = 0
        self.began_s = time.monotonic()
        #: Requests that others have published.
        self._others = 0
        self._due_s = self.began_s
        #: Requests that the budget had room for at the last look, less those published since; when to look again.
        self._left = 0
        self._look_s = self.began_s
        #: What became of the batch before, on its way into the database.
        self._recording: asyncio.Task[None] | None = None

    async def publish_all(self) -> tuple[JobState, str | None]:
        """Publish what is planned; the state that the job is in then, and why."""
        after = -1
        while True:
            page = await asyncio.to_thread(
                jobs.read_items,
                self._engine,
                self._job.job,
                states=[ItemState.PLANNED],
                after=after,
                limit=_PAGE,
            )
            if not page:
                await self._recorded()
                others = f"{self._others:,} requests were not published: other jobs did so, or have their ids"
                return JobState.DONE, others if self._others else None
            after = page[-1].position
            unread = [each for each in page if each.position not in self._bodies]
            bodies = {**self._bodies, **(await read_bodies(self._wire, unread))} if unread else self._bodies
            ended = await self._publish_page(page, bodies)
            if ended is not None:
                await self._recorded()
                return ended

    async def _publish_page(
        self, page: Sequence[JobItem], bodies: Mapping[int, ReplayOrigin]
    ) -> tuple[JobState, str | None] | None:
        at = 0
        while at < len(page):
            room, why = await self._room()
            if why is not None:
                return JobState.PAUSED, why
            if room:
                room = min(room, await self._pace())
            else:
                await self._held.sleep(_LOOK_S)
            # After the wait: a job that is paused meanwhile publishes nothing more.
            state = self._held.check()
            if state is not JobState.RUNNING:
                return state or JobState.PAUSED, None
            batch = page[at : at + room]
            if batch:
                await self._publish(batch, bodies)
            at += len(batch)
        return None

    async def _publish(self, batch: Sequence[JobItem], bodies: Mapping[int, ReplayOrigin]) -> None:
        ready: list[tuple[JobItem, ReadyReplay]] = []
        states: dict[ItemState, list[int]] = {}
        reasons: dict[int, str] = {}
        for item in batch:
            made = make_ready(item, bodies[item.position], self._job)
            if isinstance(made, str):
                states.setdefault(ItemState.CHANGED, []).append(item.position)
                reasons[item.position] = made
            else:
                ready.append((item, made))
        now = timestamp.format_s(time.time())
        found = await publishing.publish(self._wire, [each for _, each in ready], time=now)
        present = [
            item.request_id
            for (item, _), each in zip(ready, found, strict=True)
            if each is not Submission.STORED
        ]
        owners = await asyncio.to_thread(earlier.find_owners, self._engine, self._job.job, present)
        for (item, _), submission in zip(ready, found, strict=True):
            state, why = _conclude(submission, owners.get(item.request_id))
            states.setdefault(state, []).append(item.position)
            if why is not None:
                reasons[item.position] = why
                self._others += 1
            self.refused += submission is Submission.PRESENT and why is None
        self.published += found.count(Submission.STORED)
        self._left -= len(batch)
        self._on_progress(len(batch))
        await self._recorded()
        self._recording = asyncio.create_task(self._record(states, reasons))

    async def _record(self, states: Mapping[ItemState, Sequence[int]], reasons: Mapping[int, str]) -> None:
        await asyncio.to_thread(
            jobs.set_items,
            self._engine,
            self._job.job,
            states,
            before=ItemState.PLANNED,
            reasons=reasons,
        )

    async def _recorded(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            await recording

    async def _pace(self) -> int:
        """Wait until the next batch is due, or the job's state changes; how many requests the batch may have."""
        rate = self._job.limits.rate
        if rate is None:
            return atomic.MOST
        now_s = time.monotonic()
        self._due_s = max(self._due_s, now_s - _BURST_S)
        if self._due_s > now_s:
            await self._held.sleep(self._due_s - now_s)
            now_s = time.monotonic()
        # A batch that is late makes up for it: the rate is kept where publishing takes longer than a tick.
        late = max(0, int((now_s - self._due_s) * rate))
        count = min(atomic.MOST, max(1, round(rate * _TICK_S)) + late)
        self._due_s += count / rate
        return count

    async def _room(self) -> tuple[int, str | None]:
        """How many requests the budget has room for now; or why it has none any more."""
        limits = self._job.limits
        if limits.budget_tokens is None and limits.budget_money is None:
            return atomic.MOST, None
        if self._left > 0 and time.monotonic() < self._look_s:
            return min(atomic.MOST, self._left), None
        await self._recorded()
        spent = await asyncio.to_thread(spending.read_spent, self._engine, self._job.job)
        counts = await asyncio.to_thread(jobs.count_items, self._engine, self._job.job)
        under_way = counts.get(str(ItemState.PUBLISHED), 0) - spent.ended
        self._look_s = time.monotonic() + _COUNT_S
        rooms: list[int] = []
        for name, budget, used, each in (
            ("tokens", limits.budget_tokens, float(spent.tokens), find_high_tokens(self._job.estimate)),
            ("money", limits.budget_money, spent.money, self._high_money()),
        ):
            if budget is None:
                continue
            left = budget - used - under_way * each
            if left < each and under_way <= 0:
                return 0, f"the budget of {budget:g} {name} is used up: {used:g} spent"
            rooms.append(max(0, int(left // each)) if each else atomic.MOST)
        self._left = min(rooms)
        return min(atomic.MOST, self._left), None

    def _high_money(self) -> float:
        known = [each.money.high for each in self._job.estimate.kinds.values() if each.money is not None]
        return max(known, default=0.0)

    async def break_off(self, error: BaseException) -> None:
        """Pause the job because of an error; what is published is recorded before."""
        with suppress(SQLAlchemyError):
            # What it would have said is found again in the log.
            await self._recorded()
        note = error_text(error) if isinstance(error, Exception) else "the run was interrupted"
        await self._held.end(JobState.PAUSED, note)


def _conclude(submission: Submission, owner: int | None) -> tuple[ItemState, str | None]:
    """The state of a request that was published or refused, and why it is not this job's."""
    match submission:
        case Submission.TAKEN:
            return ItemState.TAKEN, _TAKEN if owner is None else f"{_TAKEN}, which job {owner} published"
        case Submission.PRESENT if owner is not None:
            return ItemState.PRESENT, f"job {owner} published it"
        case Submission.STORED | Submission.PRESENT:
            # Present without another owner: an earlier run of this job was killed before it could say so.
            return ItemState.PUBLISHED, None

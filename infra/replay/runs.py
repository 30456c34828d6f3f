"""Run of a replay job: batch after batch at its rate and within its budget, until it is done, paused or stopped.

Ids are fixed by the plan, so a run that was killed goes on by publishing again: the broker refuses what it has.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import timestamp
from infra.inspect import dead_letters
from infra.inspect.dead_letters import NoLetter
from infra.nats import atomic
from infra.nats.submissions import Submission
from infra.replay import jobs, origins, plans, publishing, spending
from infra.replay.jobs import JobError, JobItem, JobState, ReplayJob
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
#: Seconds between two looks at a budget that is used up while requests are still under way.
_LOOK_S: Final = 0.5
#: Seconds between two tries to take over a job, and between two signs of life.
_CLAIM_S: Final = 0.5
_BEAT_S: Final = 1.0

_STATE_OF: Final = {
    Submission.STORED: ItemState.PUBLISHED,
    # Published by an earlier run of this job that was killed before it could say so.
    Submission.PRESENT: ItemState.PUBLISHED,
    Submission.TAKEN: ItemState.TAKEN,
}


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a job did."""

    job: int
    state: JobState
    #: Requests that this run published.
    published: int
    #: Requests that an earlier run had published: the broker refused them.
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
) -> RunReport:
    """Run a job, or continue it.

    Args:
        wire: an open wire.
        engine: the database.
        job: the job's number.
        bodies: by position, what is repeated, where the plan was made just now; none: it is read again.
        on_progress: called with the number of requests that a batch had.

    Raises:
        PlanChanged: the job has not begun, and what it repeats is not what was planned.
        JobError: it has ended, or another process runs it.
        StreamMissing, Unavailable, UnderstudyError: the broker; the job is paused.
        sqlalchemy.exc.SQLAlchemyError: the database.
    """
    runner = uuid.uuid4().hex
    known = await asyncio.to_thread(jobs.find, engine, job)
    if known.state is JobState.PLANNED and bodies is None:
        bodies = await _verify(wire, engine, known)
    claimed = await _claim(engine, job, runner)
    one = _Run(wire, engine, claimed, runner, bodies or {}, on_progress)
    try:
        state, note = await one.publish_all()
    except BaseException:
        await asyncio.shield(one.leave(JobState.PAUSED, "the run was interrupted"))
        raise
    await one.leave(state, note)
    found = await asyncio.to_thread(jobs.find, engine, job)
    return RunReport(
        job=job,
        state=found.state,
        published=one.published,
        refused=one.refused,
        seconds=round(time.monotonic() - one.began_s, 3),
        note=found.note,
    )


async def _claim(engine: Engine, job: int, runner: str) -> ReplayJob:
    until = time.monotonic() + jobs.LEASE_MS / 1000 + 1
    while True:
        claimed = await asyncio.to_thread(jobs.claim, engine, job, runner=runner, now_ms=_now_ms())
        if claimed is not None:
            return claimed
        if time.monotonic() > until:
            raise JobError(f"another process runs job {job}; `understudy replay pause {job}` pauses it there")
        await asyncio.sleep(_CLAIM_S)


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
    except (Unreplayable, PatchRefused) as error:
        return str(error)
    if hashlib.sha256(body).hexdigest() != item.sha256:
        return "its request is not the one that was planned"
    return ReadyReplay(
        request_id=item.request_id,
        kind=item.origin.kind,
        body=body,
        letter=item.origin.letter,
        replay_of=item.origin.replay_of,
    )


async def _verify(wire: RequestMultiplexer, engine: Engine, job: ReplayJob) -> dict[int, ReplayOrigin]:
    """Check that everything is as it was planned; what was read, as far as it fits into memory."""
    planned = await asyncio.to_thread(jobs.items, engine, job.job, states=[ItemState.PLANNED])
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
        job: ReplayJob,
        runner: str,
        bodies: Mapping[int, ReplayOrigin],
        on_progress: Callable[[int], None],
    ) -> None:
        self._wire = wire
        self._engine = engine
        self._job = job
        self._runner = runner
        self._bodies = bodies
        self._on_progress = on_progress
        self.published = 0
        self.refused = 0
        self.began_s = time.monotonic()
        self._due_s = self.began_s
        self._beaten_s = self.began_s
        #: What became of the batch before, on its way into the database.
        self._recording: asyncio.Task[None] | None = None

    async def publish_all(self) -> tuple[JobState, str | None]:
        """Publish what is planned; the state that the job is in then, and why."""
        after = -1
        while True:
            page = await asyncio.to_thread(
                jobs.items,
                self._engine,
                self._job.job,
                states=[ItemState.PLANNED],
                after=after,
                limit=_PAGE,
            )
            if not page:
                await self._recorded()
                return JobState.DONE, None
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
            state = await self._beat()
            if state is not JobState.RUNNING:
                return state, None
            room, why = await self._room()
            if why is not None:
                return JobState.PAUSED, why
            if not room:
                await asyncio.sleep(_LOOK_S)
                continue
            batch = page[at : at + min(room, await self._pace())]
            await self._publish(batch, bodies)
            at += len(batch)
        return None

    async def _publish(self, batch: Sequence[JobItem], bodies: Mapping[int, ReplayOrigin]) -> None:
        ready: list[tuple[JobItem, ReadyReplay]] = []
        changed: dict[int, str] = {}
        for item in batch:
            made = make_ready(item, bodies[item.position], self._job)
            if isinstance(made, str):
                changed[item.position] = made
            else:
                ready.append((item, made))
        now = timestamp.format_s(time.time())
        found = await publishing.publish(self._wire, [each for _, each in ready], time=now)
        states: dict[ItemState, list[int]] = {}
        for (item, _), submission in zip(ready, found, strict=True):
            states.setdefault(_STATE_OF[submission], []).append(item.position)
            self.refused += submission is Submission.PRESENT
        self.published += found.count(Submission.STORED)
        self._on_progress(len(batch))
        await self._recorded()
        self._recording = asyncio.create_task(self._record(states, changed))

    async def _record(self, states: Mapping[ItemState, Sequence[int]], changed: Mapping[int, str]) -> None:
        await asyncio.to_thread(jobs.set_items, self._engine, self._job.job, states)
        if changed:
            await asyncio.to_thread(jobs.set_reasons, self._engine, self._job.job, ItemState.CHANGED, changed)

    async def _recorded(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            await recording

    async def _beat(self) -> JobState:
        now_s = time.monotonic()
        if now_s - self._beaten_s < _BEAT_S:
            return JobState.RUNNING
        self._beaten_s = now_s
        return await asyncio.to_thread(
            jobs.beat, self._engine, self._job.job, runner=self._runner, now_ms=_now_ms()
        )

    async def _pace(self) -> int:
        """Wait until the next batch is due; how many requests it may have."""
        rate = self._job.limits.rate
        if rate is None:
            return atomic.MOST
        now_s = time.monotonic()
        self._due_s = max(self._due_s, now_s - _BURST_S)
        if self._due_s > now_s:
            await asyncio.sleep(self._due_s - now_s)
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
        await self._recorded()
        spent = await asyncio.to_thread(spending.read_spent, self._engine, self._job.job)
        counts = await asyncio.to_thread(jobs.count_items, self._engine, self._job.job)
        under_way = counts.get(str(ItemState.PUBLISHED), 0) - spent.ended
        rooms: list[int] = []
        for name, budget, used, each in (
            ("tokens", limits.budget_tokens, float(spent.tokens), self._high_tokens()),
            ("money", limits.budget_money, spent.money, self._high_money()),
        ):
            if budget is None:
                continue
            left = budget - used - under_way * each
            if left < each and under_way <= 0:
                return 0, f"the budget of {budget:g} {name} is used up: {used:g} spent"
            rooms.append(max(0, int(left // each)) if each else atomic.MOST)
        return min(atomic.MOST, *rooms), None

    def _high_tokens(self) -> float:
        """Tokens that one request may take: the top of the band of recorded ones, else the most that its calls may."""
        known = [each.tokens.high for each in self._job.estimate.kinds.values()]
        return max(known) if known else float(self._job.estimate.most_tokens)

    def _high_money(self) -> float:
        known = [each.money.high for each in self._job.estimate.kinds.values() if each.money is not None]
        return max(known, default=0.0)

    async def leave(self, state: JobState, note: str | None) -> None:
        """End the run in the database."""
        await asyncio.to_thread(
            jobs.leave,
            self._engine,
            self._job.job,
            state,
            runner=self._runner,
            now_ms=_now_ms(),
            note=note,
        )


def _now_ms() -> int:
    return round(time.time() * 1000)

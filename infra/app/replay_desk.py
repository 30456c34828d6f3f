"""Replay desk: planning, running and undoing replay jobs, for the command line and for every other door."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from contracts.redaction import redact_reason
from infra.app.replay_judge import ReplayJudge
from infra.inspect import dead_letters
from infra.inspect.filter_conditions import check_text
from infra.nats import submissions
from infra.replay import (
    earlier,
    estimates,
    job_creation,
    jobs,
    letters,
    origins,
    patching,
    plans,
    runs,
    spending,
    undo,
)
from infra.replay.estimates import ReplayEstimate
from infra.replay.jobs import JobError, JobItem, JobLimits, JobState, ReplayJob
from infra.replay.plans import ItemState, PlanChanged, PlannedItem, ReplayOptions, ReplayPlan
from infra.replay.spending import JobSpending

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.inspect.request_filter import RequestFilter
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.replay.origins import ReplayOrigin
    from infra.replay.runs import RunReport
    from infra.replay.undo import UndoReport
    from infra.settings.settings import Settings


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, with what it is expected to take."""

    plan: ReplayPlan
    #: What was selected, for people.
    source: str
    estimate: ReplayEstimate
    #: How far the estimates of earlier jobs were off on average, as a share; ``None``: there are none.
    past_error: float | None
    #: The only workspace that its requests belong to; ``None``: they may belong to any.
    workspace: str | None = None


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """One job with its requests."""

    job: ReplayJob
    #: Requests by state, and ``cached``: those that the cache was to answer.
    counts: dict[str, int]
    spent: JobSpending
    items: tuple[JobItem, ...]


def _redact(plan: ReplayPlan) -> ReplayPlan:
    """The plan with hashes of what may quote its requests: why they are refused."""
    items = (
        msgspec.structs.replace(each, reason=redact_reason(each.reason))
        if each.reason and each.state is ItemState.REFUSED and each.reason not in origins.FIXED
        else each
        for each in plan.items
    )
    return msgspec.structs.replace(plan, items=tuple(items))


def read_view(engine: Engine, *, job: int) -> JobView:
    """One job without its requests; blocks.

    Args:
        engine: the database, with its tables.
        job: its number.

    Raises:
        JobError: it does not exist.
    """
    return JobView(
        job=jobs.find(engine, job),
        counts=jobs.count_items(engine, job),
        spent=spending.read_spent(engine, job),
        items=(),
    )


class ReplayDesk:
    """Plans, runs and undoes replay jobs.

    Args:
        settings: this process's settings.
        wire: an open wire.
        engine: the database, with its tables.
    """

    def __init__(self, settings: Settings, wire: RequestMultiplexer, engine: Engine) -> None:
        self._settings = settings
        self._wire = wire
        self._engine = engine

    async def propose_requests(
        self,
        where: RequestFilter,
        options: ReplayOptions,
        *,
        limit: int | None,
        source: str,
        ids: Sequence[str] = (),
    ) -> Proposal:
        """Plan to repeat the past requests that match a filter; nothing is published.

        Args:
            where: the filter.
            options: how each is repeated.
            limit: the latest requests at most; none: all.
            source: what was selected, for people.
            ids: only these requests; none: all.

        Raises:
            FilterError: it has a text, and the audit keeps none.
            TooManyOrigins: more match than one job may have.
            PatchError: the patch has no effect, or no `test` although it is for many.
            UnderstudyError: samples, prompts or settings that cannot be used.
            StreamMissing, Unavailable: the broker does not answer.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
        """
        check_text(where, stored=self._settings.audit.store_prompts)
        found = await asyncio.to_thread(origins.select_requests, self._engine, where, limit=limit, ids=ids)
        read = await origins.read_requests(self._wire, found)
        return await self._propose(read, options, source, workspace=where.workspace)

    async def propose_letters(
        self,
        where: RequestFilter,
        options: ReplayOptions,
        *,
        sequences: Sequence[int],
        limit: int | None,
        source: str,
    ) -> Proposal:
        """Plan to repeat the requests of dead letters; nothing is published.

        Raises:
            NoLetter: one of ``sequences`` does not exist.
            TooManyOrigins: more match than one job may have.
            UnderstudyError, StreamMissing, Unavailable, sqlalchemy.exc.SQLAlchemyError: as
                :meth:`propose_requests`.
        """
        found: list[dead_letters.Letter] = []
        size = 0
        async for letter in dead_letters.find(self._wire, where, sequences=sequences):
            if limit is not None and len(found) >= limit:
                break
            found.append(letter)
            size += len((letter.letter and letter.letter.body) or b"")
            origins.check_size(len(found), size)
        read = await origins.read_letters(self._wire, found)
        return await self._propose(read, options, source, workspace=where.workspace)

    async def _propose(
        self, found: Sequence[ReplayOrigin], options: ReplayOptions, source: str, *, workspace: str | None
    ) -> Proposal:
        if options.patch is not None:
            patching.check_effect(options.patch, options.from_stage)
            if len(found) > 1:
                patching.check_bulk(options.patch)
        judge = await asyncio.to_thread(ReplayJudge, self._settings, self._wire)
        try:
            plan = await plans.build(
                found,
                options,
                numbers=await asyncio.to_thread(earlier.find_next_numbers, self._engine, found),
                present=self._present,
                judge=lambda items: judge.judge(items, from_stage=options.from_stage),
                held=judge.held,
            )
        finally:
            judge.close()
        generated = plan.generated
        kinds = {estimates.find_usage_kind(each) for each in generated}
        usage = await asyncio.to_thread(spending.find_usage, self._engine, kinds)
        pairs = await asyncio.to_thread(spending.read_past, self._engine)
        return Proposal(
            plan=plan,
            source=source,
            # A patch may move requests to another one.
            workspace=workspace if all(_belongs(each, workspace) for each in plan.items) else None,
            estimate=estimates.estimate(generated, usage, from_stage=options.from_stage),
            past_error=estimates.find_past_error(pairs),
        )

    async def _present(self, request_ids: Sequence[str]) -> set[str]:
        return set(await submissions.owners(self._wire, request_ids))

    async def require_plan(self, proposal: Proposal, plan_hash: str) -> None:
        """Check that a plan is still the one that was shown.

        Raises:
            PlanChanged: it differs; the text lists the requests that came, went or changed.
            JobError: there is no plan with this hash.
        """
        same = proposal.plan.plan_hash == plan_hash
        before = await asyncio.to_thread(jobs.find_by_plan, self._engine, plan_hash)
        if same and before.state is not JobState.PLANNED:
            # It has begun, which makes requests present; creating it a second time is refused.
            return
        old = await asyncio.to_thread(jobs.read_items, self._engine, before.job)
        # The hash says what would be published; the verdicts are compared here.
        differences = compare(old, proposal.plan)
        if differences or not same:
            raise PlanChanged(differences or ["the options differ"])

    async def create(self, proposal: Proposal, limits: JobLimits) -> ReplayJob:
        """Store a plan as a job.

        Raises:
            JobError: another job has the same plan and has begun, or a budget cannot be kept.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be written.
        """
        _check_budget(limits, proposal.estimate)
        return await asyncio.to_thread(
            job_creation.create,
            self._engine,
            proposal.plan if self._settings.audit.store_prompts else _redact(proposal.plan),
            source=proposal.source,
            limits=limits,
            estimate=proposal.estimate,
            now_ms=now_ms(),
            workspace=proposal.workspace,
        )

    async def run(
        self,
        job: int,
        *,
        proposal: Proposal | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
        on_begin: Callable[[], None] = lambda: None,
    ) -> RunReport:
        """Run a job, or continue it; as :func:`infra.replay.runs.run`.

        Args:
            job: its number.
            proposal: the plan that it was just made from.
            on_progress: called with the number of requests that a batch had.
            on_begin: called when this process has the job.
        """
        planned = enumerate(proposal.plan.items) if proposal else ()
        bodies = {at: each.origin for at, each in planned if each.state is ItemState.PLANNED}
        return await runs.run(
            self._wire,
            self._engine,
            job,
            bodies=bodies if proposal else None,
            on_progress=on_progress,
            on_begin=on_begin,
        )

    async def change_limits(self, job: int, limits: JobLimits) -> ReplayJob:
        """Change the rate and the budgets that are given, before a job goes on.

        Raises:
            JobError: it does not exist, has ended or runs, or a budget cannot be kept.
        """
        known = await asyncio.to_thread(jobs.find, self._engine, job)
        _check_budget(limits, known.estimate)
        return await asyncio.to_thread(jobs.change_limits, self._engine, job, limits)

    async def pause(self, job: int) -> ReplayJob:
        """Pause a job: the process that runs it stops after the batch at hand.

        Raises:
            JobError: it does not exist, or has ended.
        """
        return await self._change(job, JobState.PAUSED, (JobState.RUNNING, JobState.PLANNED))

    async def stop(self, job: int) -> ReplayJob:
        """Stop a job for good; what is published stays.

        Raises:
            JobError: it does not exist, or has ended.
        """
        return await self._change(job, JobState.STOPPED, jobs.RESUMABLE)

    async def _change(
        self, job: int, to: JobState, allowed: Sequence[JobState] | frozenset[JobState]
    ) -> ReplayJob:
        return await asyncio.to_thread(
            jobs.change_state, self._engine, job, to, allowed=sorted(allowed), now_ms=now_ms()
        )

    async def list_jobs(
        self, *, limit: int | None, before: int | None = None, workspace: str | None = None
    ) -> list[ReplayJob]:
        """The latest jobs, newest first; as :func:`infra.replay.jobs.list_jobs`."""
        return await asyncio.to_thread(
            jobs.list_jobs, self._engine, limit=limit, before=before, workspace=workspace
        )

    async def inspect(self, job: int, *, items: bool = True) -> JobView:
        """One job with its requests and what they took.

        Args:
            job: its number.
            items: read its requests too.

        Raises:
            JobError: it does not exist.
        """
        found = await asyncio.to_thread(read_view, self._engine, job=job)
        if not items:
            return found
        listed = await asyncio.to_thread(jobs.read_items, self._engine, job)
        return msgspec.structs.replace(found, items=tuple(listed))

    async def count_left(self, job: int) -> int:
        """Requests of a job that are still to be published."""
        counts = await asyncio.to_thread(jobs.count_items, self._engine, job)
        return counts.get(str(ItemState.PLANNED), 0)

    async def undo(self, job: int, *, dry_run: bool = False) -> UndoReport:
        """Undo a job, as far as that is possible; as :func:`infra.replay.undo.undo`."""
        return await undo.undo(self._wire, self._engine, job, dry_run=dry_run)


def _belongs(item: PlannedItem, workspace: str | None) -> bool:
    return workspace is None or not item.body or letters.read_workspace(item.body) == workspace


def _check_budget(limits: JobLimits, estimate: ReplayEstimate) -> None:
    if limits.budget_money is not None and estimate.generated and estimate.money is None:
        raise JobError(
            "a budget in money cannot be kept: no recorded request of these kinds has a cost; set the prices of "
            "the provider, or give the budget in tokens"
        )


def compare(old: Sequence[JobItem], plan: ReplayPlan) -> list[str]:
    """How the requests of a plan differ from those of a stored one, one line each."""

    def key(each: JobItem | PlannedItem) -> tuple[object, ...]:
        # Requests without a record have no sequence; the database keeps this much of a name.
        return (*each.origin.key, (each.origin.named or "")[:255], each.number)

    before = {key(each): each for each in old}
    now = {key(each): each for each in plan.items}
    lines = [f"- {each.origin.title}: no longer selected" for at, each in before.items() if at not in now]
    lines += [f"+ {each.origin.title}: new" for at, each in now.items() if at not in before]
    for at, each in now.items():
        known = before.get(at)
        if known is not None and known.state is not each.state:
            why = f": {each.reason}" if each.reason else ""
            lines.append(f"~ {each.origin.title}: was {known.state}, is {each.state}{why}")
    return lines


def now_ms() -> int:
    """The time, ms since the epoch."""
    return round(time.time() * 1000)

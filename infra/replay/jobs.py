"""Replay jobs in the database: their plans, their states, and what became of each request.

A job belongs to no terminal: any process may continue it, and one that stops saying so is taken over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Engine, and_, func, or_, select, update
from sqlalchemy.engine import RowMapping

from contracts.errors import UnderstudyError
from infra.replay.estimates import ReplayEstimate
from infra.replay.origins import ReplayOrigin
from infra.replay.plans import ItemState, ReplayOptions
from infra.stores.database import reading
from infra.stores.replay_tables import REPLAY_ITEMS, REPLAY_JOBS

_jobs, _items = REPLAY_JOBS.c, REPLAY_ITEMS.c
#: Milliseconds after which a process that says nothing no longer holds its job.
LEASE_MS: Final = 5_000
#: Rows in one statement.
_CHUNK: Final = 500


class JobState(StrEnum):
    """State of a job."""

    #: Its requests are being stored.
    PLANNING = "planning"
    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"
    UNDONE = "undone"


#: States in which a job may go on.
RESUMABLE: Final = frozenset({JobState.PLANNED, JobState.RUNNING, JobState.PAUSED})


class JobError(UnderstudyError):
    """A job that does not exist, or is in a state in which this cannot be done."""


class NoJob(JobError):  # noqa: N818 - names what is missing
    """No job has this number."""


class JobLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a job publishes, and how much it may spend."""

    #: Requests per second.
    rate: float | None = None
    budget_tokens: int | None = None
    budget_money: float | None = None


class ReplayJob(msgspec.Struct, frozen=True, kw_only=True):
    """One job."""

    job: int
    state: JobState
    plan_hash: str
    created_ms: int
    source: str
    options: ReplayOptions
    limits: JobLimits
    estimate: ReplayEstimate
    #: The only workspace whose requests it repeats; ``None``: it may repeat those of all.
    workspace: str | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    note: str | None = None
    runner: str | None = None
    beat_ms: int | None = None

    @property
    def patched_by(self) -> str | None:
        """What the results of edited requests name."""
        return f"job-{self.job}" if self.options.changes else None


class JobItem(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a job."""

    position: int
    #: What it repeats; without the body.
    origin: ReplayOrigin
    number: int
    request_id: str
    sha256: str
    state: ItemState
    code: str | None = None
    reason: str | None = None
    cached: bool = False
    max_tokens: int = 0
    #: Key under which the result cache gets its content; ``None``: it is not cached.
    cache_key: str | None = None


def find(engine: Engine, job: int) -> ReplayJob:
    """One job.

    Raises:
        NoJob: there is none with this number.
    """
    with reading(engine) as connection:
        row = connection.execute(select(REPLAY_JOBS).where(_jobs.job == job)).mappings().first()
    if row is None:
        raise NoJob(f"there is no replay job {job}; `understudy replay ls` lists them")
    return read_job(row)


def find_by_plan(engine: Engine, plan_hash: str) -> ReplayJob:
    """The latest job with a plan, whose requests are all stored.

    Raises:
        JobError: there is none.
    """
    with reading(engine) as connection:
        query = select(REPLAY_JOBS).where(_jobs.plan_hash == plan_hash, _jobs.state != str(JobState.PLANNING))
        query = query.order_by(_jobs.job.desc()).limit(1)
        row = connection.execute(query).mappings().first()
    if row is None:
        raise JobError(f"there is no plan {plan_hash}; --dry-run makes one")
    return read_job(row)


def list_jobs(
    engine: Engine, *, limit: int | None, before: int | None = None, workspace: str | None = None
) -> list[ReplayJob]:
    """The latest jobs, newest first.

    Args:
        engine: the database.
        limit: jobs at most; none: all.
        before: only jobs with a lower number.
        workspace: only jobs of this workspace.
    """
    query = select(REPLAY_JOBS).order_by(_jobs.job.desc()).limit(limit)
    if before is not None:
        query = query.where(_jobs.job < before)
    if workspace is not None:
        query = query.where(_jobs.workspace == workspace)
    with reading(engine) as connection:
        return [read_job(row) for row in connection.execute(query).mappings()]


def count_items(engine: Engine, job: int) -> dict[str, int]:
    """Requests of a job by state, and how many of them the cache was to answer as ``cached``."""
    with reading(engine) as connection:
        query = select(_items.state, func.count()).where(_items.job == job).group_by(_items.state)
        found: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
        cached = select(func.count()).where(_items.job == job, _items.cached)
        return found | {"cached": int(connection.execute(cached).scalar_one())}


def read_items(
    engine: Engine, job: int, *, states: Iterable[ItemState] = (), after: int = -1, limit: int | None = None
) -> list[JobItem]:
    """Requests of a job in order.

    Args:
        engine: the database.
        job: its number.
        states: only these; none: all.
        after: positions above this one.
        limit: the first ones at most; none: all.
    """
    with reading(engine) as connection:
        query = select(REPLAY_ITEMS).where(_items.job == job, _items.position > after)
        wanted = [str(each) for each in states]
        if wanted:
            query = query.where(_items.state.in_(wanted))
        rows = connection.execute(query.order_by(_items.position).limit(limit)).mappings()
        return [read_item(row) for row in rows]


def set_items(
    engine: Engine,
    job: int,
    states: Mapping[ItemState, Sequence[int]],
    *,
    before: ItemState,
    reasons: Mapping[int, str] | None = None,
) -> None:
    """Record what became of requests, by their positions.

    Args:
        engine: the database.
        job: its number.
        states: positions by their new state.
        before: the state that they have now; one that has another keeps it.
        reasons: why, by position.
    """
    was = and_(_items.job == job, _items.state == str(before))
    with engine.begin() as connection:
        for position, reason in (reasons or {}).items():
            change = update(REPLAY_ITEMS).where(was, _items.position == position)
            connection.execute(change.values(reason=reason))
        for state, positions in states.items():
            for start in range(0, len(positions), _CHUNK):
                some = list(positions[start : start + _CHUNK])
                change = update(REPLAY_ITEMS).where(was, _items.position.in_(some))
                connection.execute(change.values(state=str(state)))


def claim(engine: Engine, job: int, *, runner: str, now_ms: int) -> ReplayJob | None:
    """Begin or continue a job in this process; ``None``: another process runs it.

    Raises:
        JobError: it has ended, or does not exist.
    """
    may = _jobs.state.in_(map(str, RESUMABLE))
    change = update(REPLAY_JOBS).where(_jobs.job == job, may, _is_free(runner, now_ms))
    values = {
        "state": str(JobState.RUNNING),
        "runner": runner,
        "beat_ms": now_ms,
        "note": None,
        "started_ms": func.coalesce(_jobs.started_ms, now_ms),
    }
    with engine.begin() as connection:
        claimed = connection.execute(change.values(values)).rowcount
    found = find(engine, job)
    if claimed:
        return found
    check_resume(found)
    return None


def check_resume(job: ReplayJob) -> None:
    """Refuse to continue a job that has ended.

    Raises:
        JobError: it has.
    """
    if job.state not in RESUMABLE:
        raise JobError(f"job {job.job} is {job.state}: it has nothing to continue")


def claim_undo(engine: Engine, job: int, *, runner: str, now_ms: int) -> ReplayJob | None:
    """Begin to undo a job in this process, which stops it; ``None``: another process has it.

    Raises:
        JobError: it runs, is undone, or does not exist.
    """
    found = check_undo(engine, job)
    over = JobState.DONE if found.state is JobState.DONE else JobState.STOPPED
    same = and_(_jobs.job == job, _jobs.state == str(found.state), _is_free(runner, now_ms))
    with engine.begin() as connection:
        change = update(REPLAY_JOBS).where(same).values(state=str(over), runner=runner, beat_ms=now_ms)
        claimed = connection.execute(change).rowcount
    return find(engine, job) if claimed else None


def check_undo(engine: Engine, job: int) -> ReplayJob:
    """A job that can be undone.

    Raises:
        JobError: it runs, is undone, or does not exist.
    """
    found = find(engine, job)
    if found.state is JobState.UNDONE:
        raise JobError(f"job {job} is undone already")
    if found.state is JobState.RUNNING:
        raise JobError(f"job {job} is running; `understudy replay stop {job}` stops it")
    if found.state not in (JobState.PLANNED, JobState.PAUSED, JobState.STOPPED, JobState.DONE):
        raise JobError(f"job {job} is {found.state}: it cannot be undone now")
    return found


def _is_free(runner: str, now_ms: int) -> ColumnElement[bool]:
    return or_(_jobs.runner.is_(None), _jobs.runner == runner, _jobs.beat_ms < now_ms - LEASE_MS)


def beat(engine: Engine, job: int, *, runner: str, now_ms: int) -> JobState | None:
    """Say that this process still has a job; the state that it is to be in; ``None``: another process took it over."""
    with engine.begin() as connection:
        mine = and_(_jobs.job == job, _jobs.runner == runner)
        connection.execute(update(REPLAY_JOBS).where(mine).values(beat_ms=now_ms))
        found = connection.execute(select(_jobs.state).where(mine)).scalar_one_or_none()
    return None if found is None else JobState(found)


def leave(
    engine: Engine, job: int, state: JobState, *, runner: str, now_ms: int, note: str | None = None
) -> None:
    """Let go of a job that this process has; one that runs gets a new state, unless somebody has set one meanwhile."""
    ended = now_ms if state is JobState.DONE else None
    with engine.begin() as connection:
        mine = and_(_jobs.job == job, _jobs.runner == runner)
        running = and_(mine, _jobs.state == str(JobState.RUNNING))
        connection.execute(
            update(REPLAY_JOBS).where(running).values(state=str(state), note=note, ended_ms=ended)
        )
        connection.execute(update(REPLAY_JOBS).where(mine).values(runner=None, beat_ms=None))


def change_state(
    engine: Engine,
    job: int,
    to: JobState,
    *,
    allowed: Iterable[JobState],
    now_ms: int,
    note: str | None = None,
) -> ReplayJob:
    """Set a job's state, from one of some states.

    Raises:
        JobError: it does not exist, or is in another state.
    """
    before = list(allowed)
    ended = now_ms if to in (JobState.STOPPED, JobState.UNDONE) else None
    change = update(REPLAY_JOBS).where(_jobs.job == job, _jobs.state.in_(map(str, before)))
    with engine.begin() as connection:
        changed = connection.execute(
            change.values(state=str(to), note=note, ended_ms=func.coalesce(ended, _jobs.ended_ms))
        ).rowcount
    found = find(engine, job)
    if not changed and found.state is not to:
        names = ", ".join(str(each) for each in before)
        raise JobError(f"job {job} is {found.state}; only one that is {names} can become {to}")
    return found


def change_limits(engine: Engine, job: int, limits: JobLimits) -> ReplayJob:
    """Change the rate and the budgets that are given; the next run keeps to them.

    Raises:
        JobError: it does not exist, has ended, or runs.
    """
    given = {name: value for name, value in msgspec.structs.asdict(limits).items() if value is not None}
    change = update(REPLAY_JOBS).where(
        _jobs.job == job, _jobs.state.in_([str(JobState.PLANNED), str(JobState.PAUSED)])
    )
    with engine.begin() as connection:
        changed = connection.execute(change.values(given)).rowcount if given else 1
    found = find(engine, job)
    if not changed:
        raise JobError(
            f"job {job} is {found.state}; only one that is planned or paused gets another rate or budget"
        )
    return found


def read_job(row: RowMapping) -> ReplayJob:
    """The job of a row of ``replay_jobs``."""
    return ReplayJob(
        job=row["job"],
        state=JobState(row["state"]),
        plan_hash=row["plan_hash"],
        created_ms=row["created_ms"],
        source=row["source"],
        options=msgspec.json.decode(row["options"], type=ReplayOptions),
        limits=JobLimits(
            rate=row["rate"], budget_tokens=row["budget_tokens"], budget_money=row["budget_money"]
        ),
        estimate=msgspec.json.decode(row["estimate"], type=ReplayEstimate),
        workspace=row["workspace"],
        started_ms=row["started_ms"],
        ended_ms=row["ended_ms"],
        note=row["note"],
        runner=row["runner"],
        beat_ms=row["beat_ms"],
    )


def read_item(row: RowMapping) -> JobItem:
    """The request of a row of ``replay_items``."""
    return JobItem(
        position=row["position"],
        origin=ReplayOrigin(
            stream=row["stream"],
            sequence=row["sequence"],
            letter=row["letter"],
            named=row["named"],
            replay_of=row["replay_of"],
            kind=row["kind"],
        ),
        number=row["number"],
        request_id=row["request_id"],
        sha256=row["sha256"],
        state=ItemState(row["state"]),
        code=row["code"],
        reason=row["reason"],
        cached=bool(row["cached"]),
        max_tokens=row["max_tokens"],
        cache_key=row["cache_key"],
    )

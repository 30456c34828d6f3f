"""Creation of replay jobs: a plan's requests become rows, some at a time, so that other writers of the database have their turn.

A job is ``planning`` until all its rows are there.  The next creation removes those whose process died, and plans that nobody
has started for a long time, or that many newer ones follow.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import and_, delete, insert, or_, select, update

from infra.replay import jobs, plans
from infra.replay.jobs import LEASE_MS, JobError, JobState
from infra.replay.plans import ItemState
from infra.stores.database import reading, writing
from infra.stores.replay_tables import REPLAY_ITEMS, REPLAY_JOBS

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.replay.estimates import ReplayEstimate
    from infra.replay.jobs import JobLimits, ReplayJob
    from infra.replay.plans import PlannedItem, ReplayOptions, ReplayPlan

_jobs, _items = REPLAY_JOBS.c, REPLAY_ITEMS.c
#: Rows of one transaction.
_CHUNK: Final = 500
_PLANNING: Final = str(JobState.PLANNING)
#: Plans that are kept without being started, and milliseconds for which each is: as long as the log keeps requests.
MOST_PLANS: Final = 100
PLAN_KEPT_MS: Final = 7 * 24 * 3_600_000


def create(
    engine: Engine,
    plan: ReplayPlan,
    *,
    source: str,
    limits: JobLimits,
    estimate: ReplayEstimate,
    now_ms: int,
    workspace: str | None = None,
) -> ReplayJob:
    """Store a plan as a job; its requests are frozen with it.

    Raises:
        JobError: another job has the same plan, and has begun.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be written.
    """
    row = {
        "state": _PLANNING,
        "plan_hash": plan.plan_hash,
        "created_ms": now_ms,
        "source": source,
        "options": msgspec.json.encode(plan.options).decode(),
        "workspace": workspace,
        "rate": limits.rate,
        "budget_tokens": limits.budget_tokens,
        "budget_money": limits.budget_money,
        "estimate": msgspec.json.encode(estimate).decode(),
        "beat_ms": _now_ms(),
    }
    job = _insert(engine, row)
    patched_by = f"job-{job}" if plan.options.changes else None
    for start in range(0, len(plan.items), _CHUNK):
        chunk = enumerate(plan.items[start : start + _CHUNK], start)
        rows = [_item_row(job, at, each, plan.options, patched_by) for at, each in chunk]
        began_s = time.monotonic()
        with engine.begin() as connection:
            _beat(connection.execute(_mine(job).values(beat_ms=_now_ms())).rowcount)
            connection.execute(insert(REPLAY_ITEMS), rows)
        _yield_to_writers(began_s)
    with engine.begin() as connection:
        _beat(connection.execute(_mine(job).values(state=str(JobState.PLANNED), beat_ms=None)).rowcount)
    return jobs.find(engine, job)


def _insert(engine: Engine, row: dict[str, Any]) -> int:
    """Insert the job, as the only one with its plan; its number."""
    plan_hash = row["plan_hash"]
    # One that was stopped or undone leaves requests to publish; those that it has published are known by their ids.
    over = [str(JobState.STOPPED), str(JobState.UNDONE)]
    same = select(_jobs.job, _jobs.state).where(_jobs.plan_hash == plan_hash, _jobs.state.not_in(over))
    while True:
        _discard(engine, plan_hash, now_ms=row["created_ms"])
        # On PostgreSQL two transactions that only read and insert would both find nothing.
        with writing(engine) as connection:
            found = connection.execute(same).first()
            if found is None:
                key = connection.execute(insert(REPLAY_JOBS).values(row)).inserted_primary_key
                return 0 if key is None else int(key[0])
        job, state = found
        if state == JobState.PLANNED:
            # Another process made the same plan a moment ago; it is replaced by its equal.
            continue
        advice = {
            JobState.DONE: "--again repeats every request once more",
            JobState.PLANNING: "another process makes it; try again when it is ready",
        }.get(state, f"`understudy replay resume {job}` continues it")
        raise JobError(f"job {job} has the same plan and is {state}: nothing was published; {advice}")


def _discard(engine: Engine, plan_hash: str, *, now_ms: int) -> None:
    """Remove the plan's equal that has not begun, plans whose process died while it made them, and old ones."""
    planned = _jobs.state == str(JobState.PLANNED)
    newest = select(_jobs.job).where(planned).order_by(_jobs.job.desc()).limit(MOST_PLANS - 1)
    old = or_(_jobs.created_ms < now_ms - PLAN_KEPT_MS, _jobs.job.not_in(newest))
    unwanted = or_(
        and_(_jobs.state == _PLANNING, _jobs.beat_ms < _now_ms() - LEASE_MS),
        and_(planned, or_(_jobs.plan_hash == plan_hash, old)),
    )
    with reading(engine) as connection:
        found = connection.execute(select(_jobs.job).where(unwanted)).scalars().all()
    for job in found:
        with engine.begin() as connection:
            # From here on no process can start it, and one that dies leaves it to the next creation.
            change = update(REPLAY_JOBS).where(_jobs.job == job, unwanted)
            if not connection.execute(change.values(state=_PLANNING, beat_ms=0)).rowcount:
                continue
        some = select(_items.position).where(_items.job == job).limit(_CHUNK)
        removed = _CHUNK
        while removed:
            began_s = time.monotonic()
            with engine.begin() as connection:
                rows = delete(REPLAY_ITEMS).where(_items.job == job, _items.position.in_(some))
                removed = connection.execute(rows).rowcount
            _yield_to_writers(began_s)
        with engine.begin() as connection:
            connection.execute(delete(REPLAY_JOBS).where(_jobs.job == job))


def _mine(job: int) -> Any:
    return update(REPLAY_JOBS).where(_jobs.job == job, _jobs.state == _PLANNING, _jobs.beat_ms > 0)


def _beat(rows: int) -> None:
    if not rows:
        raise JobError("another process removed this plan, which had not grown for a while: make it again")


def _yield_to_writers(began_s: float) -> None:
    """Leave the database to other writers as long as it was held: on SQLite they look for a gap at intervals."""
    time.sleep(time.monotonic() - began_s)


def _item_row(
    job: int, position: int, item: PlannedItem, options: ReplayOptions, patched_by: str | None
) -> dict[str, Any]:
    origin, body = item.origin, item.body
    if item.state is ItemState.PLANNED and patched_by is not None:
        body = plans.compose(origin, options, patched_by=patched_by)
    return {
        "job": job,
        "position": position,
        "stream": origin.stream,
        "sequence": origin.sequence,
        "letter": origin.letter,
        "number": item.number,
        "named": origin.named and origin.named[:255],
        "replay_of": origin.replay_of,
        "kind": origin.kind[:16],
        "request_id": item.request_id,
        "sha256": hashlib.sha256(body).hexdigest(),
        "state": str(item.state),
        "code": item.code,
        "reason": item.reason,
        "cached": item.cached,
        "max_tokens": item.max_tokens,
        "cache_key": item.cache_key,
    }


def _now_ms() -> int:
    return round(time.time() * 1000)

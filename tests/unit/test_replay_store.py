"""Replay jobs in the database: their creation beside other writers, and what a process that died leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from infra.replay import job_creation, jobs
from infra.replay.estimates import ReplayEstimate
from infra.replay.jobs import JobError, JobLimits, JobState, ReplayJob
from infra.replay.origins import ReplayOrigin
from infra.replay.plans import PlannedItem, ReplayOptions, ReplayPlan, hash_items
from infra.stores import database
from infra.stores.replay_tables import REPLAY_ITEMS

MANY = 1_100


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = database.engine_of(f"sqlite:///{tmp_path}/audit.db")
    database.migrate(found)
    yield found
    found.dispose()


def plan(count: int = MANY, *, first: int = 1) -> ReplayPlan:
    items = tuple(
        PlannedItem(
            origin=ReplayOrigin(
                stream="REQUESTS",
                sequence=number,
                named=f"r-{number}",
                replay_of=f"r-{number}",
                kind="layout",
                body=json.dumps({"prompt": f"forest {number}"}).encode(),
            ),
            number=1,
            body=b"{}",
        )
        for number in range(first, first + count)
    )
    return ReplayPlan(options=ReplayOptions(), items=items, plan_hash=hash_items(ReplayOptions(), items))


def create(engine: Engine, made: ReplayPlan, *, now_ms: int = 1) -> ReplayJob:
    return job_creation.create(
        engine, made, source="a test", limits=JobLimits(), estimate=ReplayEstimate(), now_ms=now_ms
    )


def count_rows(engine: Engine) -> int:
    with database.reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(REPLAY_ITEMS)).scalar_one()


def test_others_write_while_a_plan_is_stored(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    other = create(engine, plan(1, first=MANY + 1)).job
    seen: list[JobState] = []

    def write(_: float) -> None:
        second = database.engine_of(str(engine.url))
        jobs.change_state(second, other, JobState.PAUSED, allowed=(JobState.PLANNED,), now_ms=1)
        latest = jobs.list_jobs(second, limit=1)[0]
        seen.append(latest.state)
        with pytest.raises(JobError, match="is planning"):
            jobs.claim(second, latest.job, runner="another", now_ms=1)
        second.dispose()

    monkeypatch.setattr(job_creation, "_yield_to_writers", write)
    made = create(engine, plan())
    assert seen == [JobState.PLANNING] * 3
    assert made.state is JobState.PLANNED
    assert [each.position for each in jobs.read_items(engine, made.job)] == list(range(MANY))


def test_a_plan_that_was_not_finished_is_removed_by_the_next(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(job_creation, "_yield_to_writers", die)
        with pytest.raises(KeyboardInterrupt):
            create(engine, plan())
    with pytest.raises(JobError, match="is planning"):
        create(engine, plan())
    monkeypatch.setattr(job_creation, "LEASE_MS", -1)
    made = create(engine, plan(3))
    assert (made.state, count_rows(engine)) == (JobState.PLANNED, 3)
    assert [each.job for each in jobs.list_jobs(engine, limit=None)] == [made.job]


def test_a_process_that_stood_still_adds_nothing_to_a_plan_that_was_removed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_still(_: float) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(job_creation, "LEASE_MS", -1)
            patched.setattr(job_creation, "_yield_to_writers", float)
            create(engine, plan(2))

    monkeypatch.setattr(job_creation, "_yield_to_writers", stand_still)
    with pytest.raises(JobError, match="removed this plan"):
        create(engine, plan())
    assert count_rows(engine) == 2


def test_of_equal_plans_one_is_kept_and_one_that_began_is_not_replaced(engine: Engine) -> None:
    first = create(engine, plan(2))
    second = create(engine, plan(2))
    assert [each.job for each in jobs.list_jobs(engine, limit=None)] == [second.job]
    assert second.job > first.job
    assert jobs.claim(engine, second.job, runner="one", now_ms=1) is not None
    with pytest.raises(JobError, match=f"job {second.job} has the same plan and is running"):
        create(engine, plan(2))
    assert count_rows(engine) == 2


def test_plans_that_nobody_starts_are_kept_for_a_while_and_only_the_latest(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_creation, "MOST_PLANS", 3)
    begun, *_, last = [create(engine, plan(1)), *(create(engine, plan(1, first=at)) for at in (2, 3))]
    jobs.claim(engine, begun.job, runner="one", now_ms=1)
    later = [create(engine, plan(1, first=at)).job for at in (4, 5)]
    assert [each.job for each in jobs.list_jobs(engine, limit=None)] == [*later[::-1], last.job, begun.job]
    newest = create(engine, plan(1, first=6), now_ms=2 + job_creation.PLAN_KEPT_MS)
    assert [each.job for each in jobs.list_jobs(engine, limit=None)] == [newest.job, begun.job]
    assert count_rows(engine) == 2

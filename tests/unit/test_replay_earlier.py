"""Earlier replays in the database: the number that comes next, whose an id is, and who may touch a job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from infra.replay import earlier, jobs, spending
from infra.replay.jobs import JobError, JobState
from infra.replay.origins import ReplayOrigin
from infra.replay.plans import ItemState
from infra.stores import database
from infra.stores.database import GENERATION_LOGS
from infra.stores.replay_tables import REPLAY_ITEMS, REPLAY_JOBS


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = database.engine_of(f"sqlite:///{tmp_path}/audit.db")
    database.migrate(found)
    yield found
    found.dispose()


def store(engine: Engine, job: int, *items: tuple[int, int, ItemState], **fields: Any) -> None:
    """Store a job with replays of requests: sequence, number, state."""
    row = {"job": job, "state": "done", "plan_hash": f"p{job}", "created_ms": 1, "source": "a test"}
    row |= {"options": "{}", "estimate": "{}", "started_ms": 1, **fields}
    with engine.begin() as connection:
        connection.execute(insert(REPLAY_JOBS).values(row))
        for position, (sequence, number, state) in enumerate(items):
            item = {"job": job, "position": position, "stream": "REQUESTS", "sequence": sequence}
            item |= {"number": number, "kind": "plot", "request_id": f"rp-r{sequence}-{number}"}
            item |= {"sha256": "0", "state": str(state), "cached": False, "max_tokens": 0}
            connection.execute(insert(REPLAY_ITEMS).values(item))


def states(engine: Engine, job: int) -> list[ItemState]:
    return [each.state for each in jobs.read_items(engine, job)]


def test_a_replay_that_stands_keeps_its_number_and_one_that_is_undone_gets_the_next(engine: Engine) -> None:
    store(engine, 1, (1, 1, ItemState.PUBLISHED), (2, 1, ItemState.UNDONE), (3, 1, ItemState.REFUSED))
    store(engine, 2, (1, 2, ItemState.UNDONE), (2, 2, ItemState.UNDONE))
    asked = [ReplayOrigin(stream="REQUESTS", sequence=number) for number in range(1, 5)]
    numbers = earlier.find_next_numbers(engine, asked)
    assert numbers == {asked[0].key: 1, asked[1].key: 3}
    assert earlier.find_next_numbers(engine, [ReplayOrigin(stream="DEAD", sequence=1, letter=1)]) == {}


def test_a_request_whose_replay_fell_back_too_is_due_again_and_a_letter_is_not(engine: Engine) -> None:
    store(engine, 1, *((sequence, 1, ItemState.PUBLISHED) for sequence in (1, 2, 3, 4)))
    with engine.begin() as connection:
        connection.execute(REPLAY_ITEMS.update().where(REPLAY_ITEMS.c.sequence == 4).values(letter=4))
        for sequence, status in ((1, "fail_fallback"), (2, "success"), (4, "fail_fallback")):
            row = {"request_id": f"rp-r{sequence}-1", "kind": "plot", "status": status, "origin": "live"}
            row |= {
                "attempts": 1,
                "ended_at_ms": 1,
                "stream": "EVENTS",
                "stream_created_ms": 1,
                "sequence": 1,
            }
            connection.execute(insert(GENERATION_LOGS).values(row))
    asked = [ReplayOrigin(stream="REQUESTS", sequence=sequence) for sequence in (1, 2, 3)]
    letter = ReplayOrigin(stream="REQUESTS", sequence=4, letter=4)
    numbers = earlier.find_next_numbers(engine, [*asked, letter])
    assert [numbers[each.key] for each in (*asked, letter)] == [2, 1, 1, 1]


def test_an_id_is_the_jobs_that_published_it(engine: Engine) -> None:
    store(engine, 1, (1, 1, ItemState.PUBLISHED), (2, 1, ItemState.PLANNED))
    store(engine, 2, (1, 1, ItemState.PLANNED), (2, 1, ItemState.PLANNED), (3, 1, ItemState.PLANNED))
    store(engine, 3, (3, 1, ItemState.PLANNED), started_ms=None)
    ids = ["rp-r1-1", "rp-r2-1", "rp-r3-1"]
    assert earlier.find_owners(engine, 2, ids) == {"rp-r1-1": 1, "rp-r2-1": 1}
    assert earlier.find_owners(engine, 1, ids) == {}, "of two that did not record it, it is the first one's"


def test_a_late_record_does_not_hide_an_undo(engine: Engine) -> None:
    store(engine, 1, (1, 1, ItemState.UNDONE), (2, 1, ItemState.PLANNED))
    done = {ItemState.PUBLISHED: [0, 1]}
    jobs.set_items(engine, 1, done, before=ItemState.PLANNED, reasons={0: "a", 1: "b"})
    assert states(engine, 1) == [ItemState.UNDONE, ItemState.PUBLISHED]
    assert [each.reason for each in jobs.read_items(engine, 1)] == [None, "b"]


def test_an_undo_holds_its_job(engine: Engine) -> None:
    store(engine, 1, state="paused", runner="a run that stops", beat_ms=10_000)
    assert jobs.claim_undo(engine, 1, runner="undo", now_ms=10_001) is None
    jobs.leave(engine, 1, JobState.PAUSED, runner="a run that stops", now_ms=10_002)
    held = jobs.claim_undo(engine, 1, runner="undo", now_ms=10_003)
    assert held is not None
    assert held.state is JobState.STOPPED
    with pytest.raises(JobError, match="nothing to continue"):
        jobs.claim(engine, 1, runner="another", now_ms=10_004)
    assert jobs.beat(engine, 1, runner="undo", now_ms=10_005) is JobState.STOPPED
    assert jobs.claim_undo(engine, 1, runner="another", now_ms=10_006) is None
    assert jobs.claim_undo(engine, 1, runner="another", now_ms=10_006 + jobs.LEASE_MS) is not None
    assert jobs.beat(engine, 1, runner="undo", now_ms=20_000) is None


def test_what_the_scenes_of_a_plot_took_is_spent(engine: Engine) -> None:
    store(engine, 1, (1, 1, ItemState.PUBLISHED))
    with engine.begin() as connection:
        for at, name in enumerate(("rp-r1-1", "rp-r1-1-s1", "rp-r1-1-s40", "rp-r1-1-s41", "rp-r1-11")):
            row = {"request_id": name, "kind": "plot", "status": "success", "origin": "llm", "attempts": 1}
            row |= {"prompt_tokens": 1, "completion_tokens": 10**at, "cost": 0.5, "ended_at_ms": 1}
            row |= {"stream": "EVENTS", "stream_created_ms": 1, "sequence": at}
            connection.execute(insert(GENERATION_LOGS).values(row))
    spent = spending.read_spent(engine, 1)
    assert (spent.ended, spent.tokens, spent.money) == (1, 114, 1.5)
    assert spent.statuses == {"success": 1}
    assert spending.find_ended(engine, ["rp-r1-1", "rp-r9-1"]) == {"rp-r1-1"}

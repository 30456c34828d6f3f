"""Do requests go on while the audit's database is away, and is every row there afterwards?"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import select

from contracts.result import Status
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from tests.broker.audit_fixtures import BACKENDS, Postgres, postgres
from tests.pipeline.conftest import Configure, Observer, Start, rows

__all__ = ["postgres"]

#: A list of one or none: where PostgreSQL is left out on purpose, its summary line says so.
STOPPED = [backend for backend in BACKENDS if backend == "postgresql"]


async def test_a_locked_database_delays_rows_and_nothing_else(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    ids = {f"away-{number}" for number in range(20)}
    async with start(settings):
        await client.ask("before-1")
        await client.settled()
        assert [row["request_id"] for row in rows(settings, select(GENERATION_LOGS))] == ["before-1"]
        with closing(sqlite3.connect(settings.database.removeprefix("sqlite:///"))) as other:
            other.isolation_level = None
            other.execute("BEGIN EXCLUSIVE")
            results = [await client.ask(one) for one in sorted(ids)]
            # Audit waits some seconds for the lock before it puts its messages off.
            await client.until(
                lambda: any(stage == "audit" for _, stage, _ in client.put_off), what="audit puts off"
            )
            results.append(await client.ask("during-1"))
            assert len(rows(settings, select(GENERATION_LOGS))) == 1
            other.execute("ROLLBACK")
        await client.settled()

    assert {one.status for one in results} == {Status.SUCCESS}
    wanted = sorted(ids | {"before-1", "during-1"})
    logs = rows(settings, select(GENERATION_LOGS).order_by(GENERATION_LOGS.c.request_id))
    assert [row["request_id"] for row in logs] == wanted
    assert {(row["status"], row["origin"]) for row in logs} == {("success", "scripted")}
    assert all(row["latency_ms"] is not None and row["prompt_tokens"] for row in logs)
    generations = rows(settings, select(GENERATIONS).order_by(GENERATIONS.c.request_id))
    assert [row["request_id"] for row in generations] == wanted
    assert client.letters() == []


@pytest.mark.parametrize("backend", STOPPED)
async def test_a_stopped_server_delays_rows_and_nothing_else(
    backend: str, postgres: Postgres, client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[], DATABASE_URL=postgres.create("away"))
    ids = [f"away-{number:02}" for number in range(20)]
    async with start(settings):
        await client.ask("before-1")
        await client.settled()
        postgres.stop()
        results = [await client.ask(one) for one in ids]
        await client.until(
            lambda: any(stage == "audit" for _, stage, _ in client.put_off), what="audit puts off"
        )
        results.append(await client.ask("during-1"))
        postgres.start()
        await client.settled()

    assert {one.status for one in results} == {Status.SUCCESS}
    logs = rows(settings, select(GENERATION_LOGS).order_by(GENERATION_LOGS.c.request_id))
    assert [row["request_id"] for row in logs] == [*ids, "before-1", "during-1"]
    assert client.letters() == []


async def test_a_database_that_is_not_there_yet_stops_nobody(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure()
    folder = settings.data_dir / "later"
    settings = settings.model_copy(update={"database_url": f"sqlite:///{folder / 'audit.db'}"})
    async with start(settings):
        folder.rmdir()
        result = await client.ask("early-1")
        await client.until(
            lambda: any(stage == "audit" for _, stage, _ in client.put_off), what="audit puts off"
        )
        folder.mkdir()
        await client.settled()

    assert result.status is Status.CACHED_FALLBACK
    (row,) = rows(settings, select(GENERATION_LOGS))
    assert (row["request_id"], row["status"], row["error_code"]) == (
        "early-1",
        "cached_fallback",
        "GEN_PROVIDER_DISABLED",
    )

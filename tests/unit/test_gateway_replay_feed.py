"""Feeds of replay jobs: each change once, the end, and who may see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx2
import msgspec
import pytest
from sqlalchemy import Engine
from starlette.requests import Request

from infra.app.replay_desk import read_view
from infra.gateway.access import AccessRole, Principal
from infra.gateway.app import create_app
from infra.gateway.gateway import Gateway
from infra.gateway.replay_feed import JobNews, ReplayFeed, report_job
from infra.replay import job_creation, jobs
from infra.replay.estimates import ReplayEstimate
from infra.replay.jobs import JobLimits, JobState
from infra.replay.plans import ReplayOptions, ReplayPlan, hash_items
from infra.settings.settings import Settings, load
from infra.stores import database
from infra.stores.database import DatabaseError

MAY_FOLLOW = (JobState.PLANNED, JobState.RUNNING)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(nats_url="nats://127.0.0.1:1", database_url=f"sqlite:///{tmp_path}/audit.db")


@pytest.fixture
def engine(settings: Settings) -> Any:
    found = database.engine_of(settings.database)
    database.migrate(found)
    yield found
    found.dispose()


def create_job(engine: Engine) -> int:
    plan = ReplayPlan(options=ReplayOptions(), items=(), plan_hash=hash_items(ReplayOptions(), ()))
    made = job_creation.create(
        engine, plan, source="a test", limits=JobLimits(), estimate=ReplayEstimate(), now_ms=1
    )
    return made.job


async def ask(
    settings: Settings, path: str, *, workspace: str | None = None, last: str = ""
) -> httpx2.Response:
    async def authenticate(request: Request) -> Principal:
        del request
        return Principal(role=AccessRole.VIEWER, workspace=workspace)

    app = create_app(Gateway(settings, authenticate=authenticate))
    headers = {"Last-Event-ID": last} if last else {}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://localhost"
    ) as http:
        return await http.get(path, headers=headers)


async def test_an_ended_job_is_sent_once(settings: Settings, engine: Engine) -> None:
    job = create_job(engine)
    jobs.change_state(engine, job, JobState.STOPPED, allowed=MAY_FOLLOW, now_ms=2)
    path = f"/api/v1/replays/{job}/events"
    first = await ask(settings, path)
    news = report_job(read_view(engine, job=job))
    assert first.headers["content-type"].startswith("text/event-stream")
    assert first.text == (
        f"retry: 2000\n\nevent: replay\nid: {news.id}\ndata: {msgspec.json.encode(news.data).decode()}\n\n"
        'event: bye\ndata: {"reason":"ended"}\n\n'
    )
    assert news.data["state"] == "stopped"
    assert (await ask(settings, path, last=news.id)).status_code == 204
    assert (await ask(settings, path, last="J1.0")).text == first.text


async def test_a_job_is_hidden_from_a_workspace_and_from_who_guesses(
    settings: Settings, engine: Engine
) -> None:
    job = create_job(engine)
    for number, workspace in ((job, "a"), (job + 1, None)):
        answer = await ask(settings, f"/api/v1/replays/{number}/events", workspace=workspace)
        assert answer.status_code == 404


def test_a_heartbeat_is_no_news(engine: Engine) -> None:
    job = create_job(engine)
    jobs.claim(engine, job, runner="a", now_ms=2)
    before = report_job(read_view(engine, job=job))
    jobs.beat(engine, job, runner="a", now_ms=99)
    assert report_job(read_view(engine, job=job)) == before
    jobs.change_state(engine, job, JobState.PAUSED, allowed=MAY_FOLLOW, now_ms=100)
    assert report_job(read_view(engine, job=job)).id != before.id


@pytest.mark.parametrize(("fault", "reason"), [(None, "ended"), (DatabaseError("away"), "database")])
async def test_each_change_is_sent_once(fault: Exception | None, reason: str) -> None:
    looks: list[JobNews | Exception] = [
        JobNews(id=f"J1.{each}", data={"state": each}, ended=False) for each in "aabb"
    ]
    looks.append(fault or JobNews(id="J1.c", data={"state": "c"}, ended=True))

    async def look() -> JobNews:
        found = looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    feed = ReplayFeed(cast("Any", None), look, last="J1.a", look_s=0)
    chunks: AsyncIterator[bytes] = feed.read()
    text = b"".join([chunk async for chunk in chunks]).decode()
    sent = ["b"] if fault else ["b", "c"]
    assert text.count("event: replay") == len(sent)
    assert all(f"id: J1.{each}\n" in text for each in sent)
    assert text.endswith(f'event: bye\ndata: {{"reason":"{reason}"}}\n\n')

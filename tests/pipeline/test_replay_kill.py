"""A replay job that is killed, paused, changed under way or limited by a budget: it goes on, and repeats nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from nats.aio.msg import Msg

from contracts import events as ev
from contracts.errors import ErrorCode, Unavailable
from infra.app.replay_desk import Proposal, ReplayDesk
from infra.inspect import dead_letters
from infra.inspect.request_filter import RequestFilter
from infra.nats import log, topology
from infra.nats.atomic import Publication
from infra.nats.multiplexer import RequestMultiplexer
from infra.replay import jobs, publishing
from infra.replay.jobs import JobError, JobLimits, JobState
from infra.replay.plans import ItemState, PlanChanged, ReplayOptions
from infra.settings.settings import Settings
from infra.stores.job_database import open_database
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer

MANY = 300


@asynccontextmanager
async def desk_with_letters(
    client: Observer, settings: Settings, count: int = MANY
) -> AsyncIterator[tuple[ReplayDesk, RequestMultiplexer]]:
    """Letters of requests that differ, as a stage would leave them, and no stage that answers replays."""
    await topology.apply(client.nc, settings)
    wire = RequestMultiplexer()
    await wire.open(client.nc)
    for each in (letter(number) for number in range(1, count + 1)):
        await wire.publish(each.subject, each.body)
    async with open_database(settings, needed_by="replay jobs") as engine:
        yield ReplayDesk(settings, wire, engine), wire
    await wire.close()


def letter(number: int) -> Publication:
    dead = ev.DeadLetter(
        code=ErrorCode.GEN_POISON,
        reason="killed its worker",
        stage="context-build",
        stream="REQUESTS",
        sequence=number,
        subject=f"gen.requested.layout.a-{number}",
        time_ms=1,
        deliveries=4,
        body=msgspec.json.encode({"prompt": f"forest {number}"}),
    )
    return Publication(subject=f"dead.context-build.layout.a-{number}", body=msgspec.json.encode(dead))


async def propose(desk: ReplayDesk, *sequences: int) -> Proposal:
    return await desk.propose_letters(
        RequestFilter(), ReplayOptions(), sequences=sequences, limit=None, source="a test"
    )


async def requests(wire: RequestMultiplexer) -> dict[str, str]:
    """Prompts of the replays in the log, by id; each id once."""
    found = [entry async for entry in log.read(wire, "REQUESTS", "gen.requested.>")]
    prompts = {entry.subject.rpartition(".")[2]: msgspec.json.decode(entry.body)["prompt"] for entry in found}
    assert len(prompts) == len(found), "nothing is there twice"
    return prompts


async def understudy(settings: Settings, *args: str) -> Process:
    assert settings.nats_url is not None
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "infra.cli", *args, env=dict(os.environ), stdout=PIPE, stderr=PIPE
    )


async def until_published(wire: RequestMultiplexer, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await log.next_sequence(wire, "REQUESTS") <= count:
            await asyncio.sleep(0.02)


async def test_a_killed_job_goes_on_without_a_repeat(client: Observer, configure: Configure) -> None:
    settings = configure()
    async with desk_with_letters(client, settings) as (desk, wire):
        killed = await understudy(settings, "dead", "replay", "--all", "--rate", "100/s")
        await until_published(wire, MANY // 4)
        killed.send_signal(signal.SIGKILL)
        await killed.communicate()
        (job,) = await desk.list_jobs(limit=None)
        half = len(await requests(wire))
        assert (job.state, 0 < half < MANY) == (JobState.RUNNING, True)

        resumed = await understudy(settings, "replay", "resume", str(job.job), "--json")
        out, err = await resumed.communicate()
        assert resumed.returncode == 0, err
        report = msgspec.json.decode(out)
        assert report["state"] == "done"
        assert half + report["published"] == MANY
        prompts = await requests(wire)
        assert prompts == {f"rp-{number}-1": f"forest {number}" for number in range(1, MANY + 1)}
        view = await desk.inspect(job.job)
        assert view.counts["published"] == MANY


async def test_a_resumed_job_publishes_nothing_that_the_log_has(
    client: Observer, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker would refuse it; a subscriber without JetStream would see it a second time."""

    def killed(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    heard: list[str] = []

    async def hear(msg: Msg) -> None:
        heard.append(msg.subject)

    async with desk_with_letters(client, configure(), count=5) as (desk, wire):
        proposal = await propose(desk)
        job = await desk.create(proposal, JobLimits())
        with monkeypatch.context() as dying:
            dying.setattr(jobs, "set_items", killed)
            with pytest.raises(RuntimeError):
                await desk.run(job.job, proposal=proposal)
        assert (len(await requests(wire)), (await desk.inspect(job.job)).counts["planned"]) == (5, 5)
        await client.nc.subscribe("gen.requested.>", cb=hear)
        report = await desk.run(job.job)
        await client.nc.flush()
    assert (report.state, report.published, report.refused) == (JobState.DONE, 0, 5)
    assert heard == []


async def test_a_job_pauses_at_once_where_it_runs_and_another_process_continues(
    client: Observer, configure: Configure
) -> None:
    async with desk_with_letters(client, configure(), count=60) as (desk, wire):
        proposal = await propose(desk)
        job = await desk.create(proposal, JobLimits(rate=20))
        running = asyncio.create_task(desk.run(job.job, proposal=proposal))
        await until_published(wire, 4)
        await desk.pause(job.job)
        report = await running
        assert (report.state, report.published < 60) == (JobState.PAUSED, True)
        assert len(await requests(wire)) == report.published
        await desk.stop(job.job)
        with pytest.raises(JobError, match="is stopped: it has nothing to continue"):
            await desk.run(job.job)


async def test_a_plan_that_changed_is_refused_with_the_difference(
    client: Observer, configure: Configure
) -> None:
    async with desk_with_letters(client, configure(), count=4) as (desk, wire):
        proposal = await propose(desk)
        job = await desk.create(proposal, JobLimits())
        await desk.require_plan(await propose(desk), proposal.plan.plan_hash)
        await dead_letters.drop(wire, 3)
        with pytest.raises(PlanChanged) as raised:
            await desk.run(job.job)
        assert raised.value.differences == (
            "letter 3: there is no dead letter 3; `understudy dead ls` lists them",
        )
        with pytest.raises(PlanChanged, match="- letter 3: no longer selected"):
            await desk.require_plan(await propose(desk), proposal.plan.plan_hash)
        assert await requests(wire) == {}
        anew = await propose(desk)
        report = await desk.run((await desk.create(anew, JobLimits())).job, proposal=anew)
        assert report.published == 3


async def test_a_letter_that_goes_while_its_job_runs_is_left_out(
    client: Observer, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def publish(*_: object, **__: object) -> None:
        raise Unavailable("the broker is away")

    async with desk_with_letters(client, configure(), count=3) as (desk, wire):
        proposal = await propose(desk)
        job = await desk.create(proposal, JobLimits())
        with monkeypatch.context() as away:
            away.setattr(publishing, "publish", publish)
            with pytest.raises(Unavailable):
                await desk.run(job.job)
        begun = (await desk.inspect(job.job)).job
        assert (begun.state, begun.note) == (JobState.PAUSED, "the broker is away")
        await dead_letters.drop(wire, 2)
        report = await desk.run(job.job)
        view = await desk.inspect(job.job)
    assert (report.state, report.published) == (JobState.DONE, 2)
    assert [each.state for each in view.items] == [
        ItemState.PUBLISHED,
        ItemState.CHANGED,
        ItemState.PUBLISHED,
    ]


async def test_a_budget_holds_before_anything_has_ended(client: Observer, configure: Configure) -> None:
    """Nothing is recorded yet: each request counts as much as its calls may take."""
    async with desk_with_letters(client, configure(), count=5) as (desk, wire):
        proposal = await propose(desk)
        each = proposal.estimate.most_tokens
        job = await desk.create(proposal, JobLimits(budget_tokens=2 * each + 1))
        running = asyncio.create_task(desk.run(job.job, proposal=proposal))
        await until_published(wire, 2)
        await desk.pause(job.job)
        report = await running
        small = await desk.create(await propose(desk, 4), JobLimits(budget_tokens=each - 1))
        refused = await desk.run(small.job)
        again = await desk.run(small.job)
        await desk.change_limits(small.job, JobLimits(budget_tokens=each))
        raised = await desk.run(small.job)
        with pytest.raises(JobError, match="is done; only one that is planned or paused"):
            await desk.change_limits(small.job, JobLimits(rate=1))
        with pytest.raises(JobError, match="budget in money cannot be kept"):
            await desk.create(await propose(desk, 5), JobLimits(budget_money=1.0))
    assert report.published == 2
    assert (refused.state, refused.published) == (JobState.PAUSED, 0)
    assert (again.state, raised.state, raised.published) == (JobState.PAUSED, JobState.DONE, 1)
    assert "is used up" in (refused.note or "")

"""Replay jobs: requests that an outage made fall back are written again, once each; undone, and refused a second time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from contracts import events as ev
from contracts.cache_entry import CacheEntry
from contracts.lineage import StartStage
from contracts.result import Origin, Status
from infra.app.replay_desk import Proposal, ReplayDesk
from infra.inspect.request_filter import RequestFilter
from infra.nats import log
from infra.nats.multiplexer import RequestMultiplexer
from infra.replay.jobs import JobError, JobLimits, JobState
from infra.replay.plans import ReplayOptions
from infra.settings.settings import Settings
from infra.stores import cache_store
from infra.stores.database import GENERATIONS
from infra.stores.job_database import open_database
from tests.command_line import understudy
from tests.pipeline.conftest import Configure, Observer, Start, rows

RULES = [{"match": {"request_id": "orig-*"}, "do": "refuse"}]
NODE = {"id": "gate", "strategy": "once"}
FAILED = RequestFilter(status=("fail_fallback",))
MANY = 6


@asynccontextmanager
async def opened(client: Observer, settings: Settings) -> AsyncIterator[ReplayDesk]:
    wire = RequestMultiplexer()
    await wire.open(client.nc)
    async with open_database(settings, needed_by="replay jobs") as engine:
        yield ReplayDesk(settings, wire, engine)
    await wire.close()


async def propose(desk: ReplayDesk, where: RequestFilter = FAILED, **options: Any) -> Proposal:
    return await desk.propose_requests(where, ReplayOptions(**options), limit=None, source="a test")


async def carry_out(desk: ReplayDesk, proposal: Proposal) -> int:
    job = await desk.create(proposal, JobLimits())
    report = await desk.run(job.job, proposal=proposal)
    assert report.state is JobState.DONE
    return job.job


def prompt(number: int) -> str:
    return f"a forest with {number} coins"


async def outage(client: Observer) -> None:
    """Requests that fall back; each has a prompt of its own, and two of them are equal."""
    await asyncio.gather(
        *(
            client.ask(f"orig-{number}", "scene", prompt=prompt(max(number, 1)), node=NODE)
            for number in range(MANY)
        )
    )
    await client.settled()


async def test_an_outage_is_written_again_undone_and_refused_a_second_time(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=RULES)
    async with start(settings), opened(client, settings) as desk:
        await outage(client)
        published = len(client.events("requested"))
        proposal = await propose(desk, reuse=True)
        counts = proposal.plan.counts
        assert (counts["planned"], counts["cached"], counts["refused"]) == (MANY, 1, 0)
        assert len(client.events("requested")) == published, "planning publishes nothing"

        job = await carry_out(desk, proposal)
        await client.settled()
        replays = {each.origin.replay_of: each.request_id for each in proposal.plan.items}
        for number in range(MANY):
            (asked,) = client.events("requested", replays[f"orig-{number}"])
            assert asked.json()["prompt"] == prompt(max(number, 1)), "item k carries item k's body"
        results = [await client.result(each) for each in replays.values()]
        assert sorted(str(each.status) for each in results) == ["cached"] + ["success"] * (MANY - 1)
        revised = {each.subject.rpartition(".")[2] for each in client.events("revised")}
        assert revised == {f"orig-{number}" for number in range(MANY)}
        entries = await cached(client)
        assert {each.request_id for each in entries} <= set(replays.values())
        assert len(entries) == MANY - 1

        again = await propose(desk, reuse=True)
        assert again.plan.counts["present"] == MANY
        assert again.plan.counts["planned"] == 0
        with pytest.raises(JobError, match=f"job {job} has the same plan and is done"):
            await desk.create(proposal, JobLimits())
        with pytest.raises(JobError, match="nothing to continue"):
            await desk.run(job)

        report = await desk.undo(job)
        await client.settled()
        assert (report.undone, report.uncached, report.restored) == (MANY, MANY - 1, MANY)
        assert any("paid" in line for line in report.cannot)
        assert any("that they had received" in line for line in report.cannot)
        assert await cached(client) == []
        last = msgspec.json.decode(client.events("revised", "orig-3")[-1].body, type=ev.Revised)
        assert (last.status, last.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
        assert (last.revised_by, last.undoes) == ("orig-3", replays["orig-3"])
        anew = await propose(desk, reuse=True)
        assert {each.number for each in anew.plan.items} == {2}
        for command in ("why", "result"):
            said = await asyncio.to_thread(understudy, command, "orig-3", environment=dict(os.environ))
            assert (said.status, "real content" in said.out + said.err) == (0, False)
        with pytest.raises(JobError, match="undone already"):
            await desk.undo(job)
    found = rows(settings, select(GENERATIONS).where(GENERATIONS.c.request_id == "orig-3"))
    assert found[0]["revised_by"] is None


async def test_a_patched_replay_is_checked_again_and_says_so(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=RULES)
    async with start(settings), opened(client, settings) as desk:
        await outage(client)
        patch = [
            {"op": "test", "path": "/prompt", "value": prompt(2)},
            {"op": "replace", "path": "/prompt", "value": "a desert"},
        ]
        proposal = await propose(desk, patch=patch)
        assert proposal.plan.counts["planned"] == 1
        assert proposal.plan.counts["refused"] == MANY - 1
        job = await carry_out(desk, proposal)
        (item,) = [each for each in proposal.plan.items if each.state == "planned"]
        result = await client.result(item.request_id)
        (asked,) = client.events("requested", item.request_id)
        await client.settled()
    assert asked.json()["prompt"] == "a desert"
    assert (result.status, result.meta.patched_by) == (Status.SUCCESS, f"job-{job}")
    assert result.meta.replay_of == "orig-2"
    assert client.events("structured", item.request_id), "it went through validate-repair"


@pytest.mark.parametrize(("stage", "skipped"), [("structuring", 1), ("validate-repair", 2)])
async def test_a_replay_from_a_stage_pays_nothing_for_those_before_it(
    client: Observer, configure: Configure, start: Start, stage: StartStage, skipped: int
) -> None:
    settings = configure(rules=[])
    async with start(settings), opened(client, settings) as desk:
        before = await client.ask("fine-1", "scene")
        await client.settled()
        proposal = await propose(desk, RequestFilter(request_id="fine-1"), from_stage=stage)
        await carry_out(desk, proposal)
        (item,) = proposal.plan.items
        result = await client.result(item.request_id)
        await client.settled()
    steps = [len(client.events(name, item.request_id)) for name in ("context_built", "drafted", "structured")]
    assert steps == ([0, 1, 1] if skipped == 1 else [0, 0, 1])
    assert len(before.attempts) - len(result.attempts) == skipped
    assert (result.status, result.content) == (Status.SUCCESS, before.content)


async def cached(client: Observer) -> list[CacheEntry]:
    """The entries that the result cache holds."""
    wire = RequestMultiplexer()
    await wire.open(client.nc)
    found = [
        msgspec.json.decode(entry.body, type=CacheEntry)
        async for entry in log.read(wire, cache_store.STREAM, cache_store.subject(">"))
        if cache_store.is_live(entry)
    ]
    await wire.close()
    return [each for each in found if each.provider]

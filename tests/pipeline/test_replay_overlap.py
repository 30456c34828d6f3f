"""Several replay jobs of the same letters, and several processes on one job: each request is one job's, once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from infra.inspect.request_filter import RequestFilter
from infra.nats.lookup import Lookup
from infra.replay import jobs, lease, undo
from infra.replay.jobs import JobError, JobLimits, JobState
from infra.replay.marks import ReplayMarks
from infra.replay.plans import ItemState, ReplayOptions
from tests.pipeline.conftest import Configure, Observer
from tests.pipeline.test_replay_kill import desk_with_letters, propose, requests, until_published


async def test_of_overlapping_jobs_each_has_its_own_requests_and_marks(
    client: Observer, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo, "_ENDING_S", 0.1)
    async with desk_with_letters(client, configure(), count=4) as (desk, wire):
        edit = ReplayOptions(patch=[{"op": "add", "path": "/seed", "value": 7}])
        edited = await desk.propose_letters(
            RequestFilter(), edit, sequences=(1,), limit=None, source="a test"
        )
        plans = [await propose(desk, 1, 2, 3), await propose(desk, 2, 3, 4), edited]
        first, second, third = [(await desk.create(each, JobLimits())).job for each in plans]
        marks = ReplayMarks(Lookup(wire))

        assert (await desk.run(first)).published == 3
        report = await desk.run(second)
        assert (report.state, report.published, report.refused) == (JobState.DONE, 1, 0)
        assert "2 requests were not published" in (report.note or "")
        items = (await desk.inspect(second)).items
        assert [each.state for each in items] == [ItemState.PRESENT, ItemState.PRESENT, ItemState.PUBLISHED]
        assert items[0].reason == f"job {first} published it"

        assert (await desk.run(third)).published == 0
        (taken,) = (await desk.inspect(third)).items
        assert taken.state is ItemState.TAKEN
        assert await marks.holds("rp-1-1", "a-1"), "the refused edit leaves the mark of what was published"

        # Without a stage nothing ends; the other job's requests are not even cancelled.
        undone = await desk.undo(second)
        assert undone.cannot == ("rp-4-1 does not end although it is cancelled: undo once more later",)
        assert len(await requests(wire)) == 4


async def test_a_mark_without_its_request_does_not_keep_the_letter_from_being_replayed(
    client: Observer, configure: Configure
) -> None:
    async with desk_with_letters(client, configure(), count=1) as (desk, wire):
        proposal = await propose(desk)
        other = msgspec.json.encode({"letter": 1, "replay_of": "a-1", "sha256": "0" * 64})
        await client.publish("$KV.replays.rp-1-1", other)
        job = await desk.create(proposal, JobLimits())
        assert (await desk.run(job.job)).published == 1
        assert await ReplayMarks(Lookup(wire)).holds("rp-1-1", "a-1")


async def test_one_process_runs_a_job_while_it_waits_too_and_another_continues_it(
    client: Observer, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_BEAT_S", 0.05)
    monkeypatch.setattr(jobs, "LEASE_MS", 500)
    async with desk_with_letters(client, configure(), count=3) as (desk, wire):
        proposal = await propose(desk)
        job = (await desk.create(proposal, JobLimits(rate=0.01))).job
        running = asyncio.create_task(desk.run(job, proposal=proposal))
        await until_published(wire, 1)
        with pytest.raises(JobError, match="another process works on job"):
            await desk.run(job)
        with pytest.raises(JobError, match="is running"):
            await desk.undo(job)
        await desk.pause(job)
        continued = asyncio.create_task(desk.run(job))
        report = await running
        assert report.published == 1, "it does not publish once more after its wait"
        await until_published(wire, 2)
        await desk.stop(job)
        assert (await continued).published == 1
        assert len(await requests(wire)) == 2

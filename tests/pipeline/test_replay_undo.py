"""Undo of replay jobs with stages running: what a killed run published, what still runs, later revisions, and scenes."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import func, select

from contracts import events as ev
from contracts.result import Status
from infra.inspect.request_filter import RequestFilter
from infra.replay import jobs, undo
from infra.replay.jobs import JobLimits, JobState
from infra.replay.plans import ItemState
from infra.stores import cache_store
from infra.stores.database import GENERATION_LOGS
from tests.pipeline.conftest import Configure, Observer, Start, rows
from tests.pipeline.test_replay_jobs import NODE, RULES, cached, carry_out, opened, prompt, propose

SLOW = {"match": {"request_id": "rp-*"}, "do": "slow", "after_ms": 120_000}


def revisions(client: Observer, original: str) -> list[tuple[str, str | None]]:
    found = [msgspec.json.decode(each.body, type=ev.Revised) for each in client.events("revised", original)]
    return [(each.revised_by, each.undoes) for each in found]


async def test_a_killed_run_is_undone_whole_and_what_runs_is_cancelled(
    client: Observer, configure: Configure, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo, "_PAGE", 2)
    settings = configure(rules=[*RULES, SLOW])
    async with start(settings), opened(client, settings) as desk:
        for number in (1, 2, 3):
            await client.ask(f"orig-{number}", "scene", prompt=prompt(number), node=NODE)
        await client.settled()
        proposal = await propose(desk)
        job = (await desk.create(proposal, JobLimits())).job

        def killed(*_: object, **__: object) -> None:
            raise RuntimeError("killed")

        with monkeypatch.context() as dying:
            dying.setattr(jobs, "set_items", killed)
            with pytest.raises(RuntimeError):
                await desk.run(job, proposal=proposal)
        assert (await desk.inspect(job)).counts["planned"] == 3
        report = await desk.undo(job)
        view = await desk.inspect(job)
        results = [await client.result(each.request_id) for each in proposal.plan.items]
    assert (report.undone, report.cancelled, report.cannot) == (3, 3, ())
    assert (view.job.state, view.counts["undone"]) == (JobState.UNDONE, 3)
    assert {each.status for each in results} == {Status.CANCELLED}


async def test_undone_content_does_not_come_back_and_a_standing_replay_is_not_repeated(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=RULES)
    async with start(settings), opened(client, settings) as desk:
        await client.ask("orig-1", "scene", prompt=prompt(3), node=NODE)
        await client.settled()
        ids: list[str] = []
        made: list[int] = []
        for again in (False, True, True):
            proposal = await propose(desk, again=again)
            ids += [each.request_id for each in proposal.plan.items]
            made.append(await carry_out(desk, proposal))
            await client.settled()
        first, second, third = made

        assert f"orig-1: {ids[2]} revised it later, which stays" in (await desk.undo(second)).cannot
        (item,) = (await propose(desk)).plan.items
        assert (item.state, item.request_id) == (ItemState.PRESENT, ids[2]), "a replay stands: none is due"
        await desk.undo(third)
        assert revisions(client, "orig-1")[-1] == (ids[0], ids[2]), "the second is undone"
        await desk.undo(first)
        assert revisions(client, "orig-1")[-1] == ("orig-1", ids[0])
        (item,) = (await propose(desk)).plan.items
        assert (item.state, item.number) == (ItemState.PLANNED, 4)


async def test_the_scenes_of_a_plot_are_paid_for_and_undone_with_it(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=RULES)
    async with start(settings), opened(client, settings) as desk:
        await client.ask("orig-p", "plot", prompt=prompt(2), node=NODE, scenes=True)
        await client.settled()
        proposal = await propose(desk, RequestFilter(request_id="orig-p"))
        job = await carry_out(desk, proposal)
        result = await client.result(proposal.plan.items[0].request_id)
        await client.settled()
        spent = (await desk.inspect(job)).spent
        logs = GENERATION_LOGS.c
        paid = func.sum(logs.prompt_tokens + logs.completion_tokens)
        (row,) = rows(settings, select(paid.label("tokens")).where(logs.request_id.like("rp-%")))
        assert (spent.ended, spent.tokens) == (1, row["tokens"])
        scenes = {each.request_id for each in result.scenes or ()}
        assert scenes
        assert scenes <= {each.request_id for each in await cached(client)}
        report = await desk.undo(job)
        assert report.uncached >= len(scenes)
        assert not scenes & {each.request_id for each in await cached(client)}


async def test_the_cache_entries_that_replays_replaced_come_back(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    async with start(settings), opened(client, settings) as desk:
        for number in (1, 2):
            await client.ask(f"fine-{number}", "scene", prompt=prompt(number), node=NODE)
        await client.settled()
        before = await cached(client)
        assert {each.request_id for each in before} == {"fine-1", "fine-2"}
        made: list[int] = []
        for again in (False, True):
            proposal = await propose(desk, RequestFilter(request_id="fine-*"), again=again)
            made.append(await carry_out(desk, proposal))
            await client.settled()
        first, second = made
        replaced = await cached(client)
        assert {each.request_id for each in replaced} == {each.request_id for each in proposal.plan.items}

        report = await desk.undo(first)
        assert (report.uncached, report.put_back) == (0, 0), "the second job's entries are there"
        assert await cached(client) == replaced
        report = await desk.undo(second)
        assert (report.uncached, report.put_back) == (2, 2)
        assert not any("may have replaced" in each for each in report.cannot)
        assert await cached(client) == before, "not those of the first job, which is undone"
        again = await client.ask("fine-3", "scene", prompt=prompt(2), node=NODE)
        assert (again.status, again.meta.generated_for) == (Status.CACHED, "fine-2")


async def test_an_entry_that_another_request_wrote_after_a_replay_survives_the_undo(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    async with start(settings), opened(client, settings) as desk:
        await client.ask("fine-1", "scene", prompt=prompt(1), node=NODE)
        await client.settled()
        (entry,) = await cached(client)
        job = await carry_out(desk, await propose(desk, RequestFilter(request_id="fine-1")))
        await client.settled()
        subject = cache_store.subject((await desk.inspect(job)).items[0].cache_key or "")
        await client.publish(
            subject, msgspec.json.encode(msgspec.structs.replace(entry, request_id="later-1"))
        )
        report = await desk.undo(job)
        (left,) = await cached(client)
    assert (report.undone, report.uncached, report.put_back) == (1, 0, 0)
    assert left.request_id == "later-1"

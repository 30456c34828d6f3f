"""Reruns: shadows get exactly one result in time, and nobody but the comparison sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats.aio.msg import Msg

from contracts.result import Origin, Status
from infra.app.pipeline_client import PipelineClient
from infra.app.rerun_desk import NotFound, RerunDesk, read_options
from infra.inspect.audit_listing import ls
from infra.inspect.comparison import summarise
from infra.inspect.outcomes import ComparedPair
from infra.inspect.request_filter import RequestFilter
from infra.replay.reruns import RerunError, RerunPlan
from infra.settings.settings import Settings, load
from infra.stores import database
from infra.stores.cache_stats import PREFIX
from tests.pipeline.conftest import Configure, Observer, Start

NODE = {"id": "bridge", "strategy": "once", "version": 1}


class Subscriber:
    """An ordinary subscriber: what clients are allowed to hear."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def listen(self, client: Observer) -> None:
        for event in ("result", "revised", "progress"):
            await client.nc.subscribe(f"gen.{event}.>", cb=self._hear)
        await client.nc.flush()

    async def _hear(self, msg: Msg) -> None:
        self.heard.append(msg.subject)


async def originals(client: Observer, *ids: str) -> None:
    for number, request_id in enumerate(ids):
        await client.ask(
            request_id, prompt=f"a forest with {number + 2} coins", node=NODE | {"version": number + 1}
        )


async def planned(
    desk: RerunDesk, ids: list[str], *given: str, start: Any = None, job: str = "j1"
) -> RerunPlan:
    return await desk.plan(ids, read_options(load(), given, start), job=job)


def listed(settings: Settings, **where: Any) -> set[str]:
    engine = database.engine_of(settings.database)
    try:
        return {row["request_id"] for row in ls(engine, where=RequestFilter(**where)).rows}
    finally:
        engine.dispose()


async def written(client: Observer, bucket: str) -> dict[str, int]:
    """The keys of a bucket with the number of their values, without the counts of processes."""
    info = await client.js.stream_info(f"KV_{bucket}", subjects_filter=">")
    found = info.state.subjects or {}
    return {key: count for key, count in found.items() if not key.startswith(f"$KV.cache.{PREFIX}")}


async def test_a_rerun_is_compared_and_leaves_no_trace(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    subscriber = Subscriber()
    ids = ["o-1", "o-2", "o-3"]
    async with start(settings), PipelineClient(settings) as door:
        desk = RerunDesk(settings, door)
        await originals(client, *ids)
        await client.settled()
        before = [await written(client, bucket) for bucket in ("cache", "ledger", "flights")]
        await subscriber.listen(client)
        plan = await planned(desk, await desk.select(RequestFilter(status=("success",))), "prompt=layout@1")
        estimate = desk.estimate(plan, read_options(settings, ["prompt=layout@1"], None))
        await desk.run(plan.items, in_flight=2)
        found = await desk.compare(plan.pairs)
        published = len(client.events("requested"))
        await desk.run(plan.items, in_flight=2)
        await client.settled()
        with pytest.raises(RerunError, match="other changes"):
            await desk.run((await planned(desk, ids, "prompt=another forest")).items, in_flight=1)
        assert await desk.pairs_of("j1") == plan.pairs
        with pytest.raises(NotFound, match="'j2'"):
            await desk.pairs_of("j2")
        after = [await written(client, bucket) for bucket in ("cache", "ledger", "flights")]

    assert [each.request_id for each in plan.items] == ["sh-j1-o-1", "sh-j1-o-2", "sh-j1-o-3"]
    assert estimate.requests == 3
    assert (estimate.tokens.low, estimate.unknown) == (0.75 * estimate.tokens.likely, 0)
    assert [each.b.status for each in found] == ["success"] * 3
    assert {each.b.prompt_version for each in found} == {"layout@1"}
    assert [each.a.seed for each in found] == [each.b.seed for each in found]
    assert {change.path for each in found for change in each.asked} == {"/prompt_config"}
    assert sorted(one.subject for one in client.events("shadowed")) == [
        f"gen.shadowed.layout.{each.request_id}" for each in plan.items
    ]
    assert len(client.events("requested")) == published == 6
    assert len(client.events("result")) == 3
    assert client.events("revised") == []
    assert subscriber.heard == []
    assert after == before
    assert len(before[0]) == 3
    assert listed(settings) == set(ids)
    assert listed(settings, shadows=True) == {*ids, *(each.request_id for each in plan.items)}
    assert summarise(found).pairs == 3


async def test_a_rerun_from_structuring_does_not_pay_for_the_prose_again(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    async with start(settings), PipelineClient(settings) as door:
        desk = RerunDesk(settings, door)
        await originals(client, "o-1")
        await client.settled()
        impossible = await planned(desk, ["o-1"], "prompt=scene@1")
        plan = await planned(desk, ["o-1", "nobody"], "model=scripted", start="structuring")
        await desk.run(plan.items, in_flight=1)
        (found,) = await desk.compare(plan.pairs)
        await client.settled()

    assert [(each.original, "neither the log" in each.reason) for each in plan.refused] == [("nobody", True)]
    assert impossible.items == ()
    assert [each.original for each in impossible.refused] == ["o-1"]
    assert "scene@1 is for kind scene, not layout" in impossible.refused[0].reason
    assert found.equal
    assert found.b.status == "success"
    assert found.a.prompt_tokens is not None
    assert found.b.prompt_tokens is not None
    assert found.b.prompt_tokens < found.a.prompt_tokens
    assert found.asked == ()
    stages = [one.headers["ce-source"] for one in client.log if one.subject.endswith("sh-j1-o-1")]
    assert "understudy/freeform-gen" not in stages
    drafts = client.events("drafted", "sh-j1-o-1")
    assert [one.headers["ce-source"] for one in drafts] == ["understudy/context-build"]


async def test_a_shadow_whose_model_fails_is_answered_in_time_and_once(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[{"match": {"request_id": "sh-*"}, "do": "timeout"}])
    async with start(settings), PipelineClient(settings) as door:
        desk = RerunDesk(settings, door)
        await originals(client, "o-1")
        plan = await planned(desk, ["o-1"], "deadline_ms=1200")
        async with asyncio.timeout(20):
            await desk.run(plan.items, in_flight=1)
        (found,) = await desk.compare([ComparedPair(a="o-1", b="sh-j1-o-1")])
        await client.settled()

    assert (found.b.status, found.b.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert not found.b.valid
    assert len(client.events("shadowed")) == 1
    assert len(client.events("result")) == 1

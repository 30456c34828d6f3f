"""Reruns: shadows get exactly one result in time, and nobody but the comparison sees it."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from nats.aio.msg import Msg
from rich.console import Console

from contracts.result import Origin, Status
from infra.app.pipeline_client import PipelineClient
from infra.app.rerun_desk import NotFound, RerunDesk, read_options
from infra.cli.show_comparison import show_many
from infra.inspect import stats
from infra.inspect.audit_listing import ls
from infra.inspect.comparison import summarise
from infra.inspect.outcomes import ComparedPair
from infra.inspect.request_filter import RequestFilter
from infra.replay.reruns import RerunError, RerunPlan
from infra.settings.settings import Settings, load
from infra.stores import database, prompts
from infra.stores.cache_stats import PREFIX
from tests.pipeline.conftest import Configure, Observer, Start

NODE = {"id": "bridge", "strategy": "once", "version": 1}
_VERSION: Final = """\
---
kind: dialogue
version: {number}
says: A dialogue at a market.
tokens: 30
guardrails:
  - Write plain prose, no JSON.
variables:
  wish:
    type: text
    required: true
    max_length: 32000
    says: What is wanted, in the request's words.
    example: a baker and a thief
---
{instruction} Write plain prose, no JSON.
{{{{ wish }}}}
"""


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
    """The keys of a bucket with the sequence of their values, without the counts of processes."""
    stream = f"KV_{bucket}"
    info = await client.js.stream_info(stream, subjects_filter=">")
    keys = [key for key in info.state.subjects or {} if not key.startswith(f"$KV.cache.{PREFIX}")]
    return {key: (await client.js.get_last_msg(stream, key)).seq or 0 for key in keys}


def release_family(folder: Path, name: str, *instructions: str) -> None:
    """Write a prompt family whose versions differ in their instruction, and release them all."""
    (folder / name).mkdir(parents=True)
    for number, instruction in enumerate(instructions, start=1):
        text = _VERSION.format(number=number, instruction=instruction)
        (folder / name / f"{number}.md").write_text(text, encoding="utf-8")
    store = prompts.load(prompts.FOLDER, folder)
    released = {each.id: prompts.release_of(each, store) for each in store.versions(name)}
    (folder / prompts.RELEASED).write_bytes(msgspec.json.encode(released))


def count(settings: Settings, until_ms: int) -> stats.PipelineStats:
    engine = database.engine_of(settings.database)
    try:
        return stats.collect_stats(engine, until_ms=until_ms)
    finally:
        engine.dispose()


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


async def test_a_prompt_version_with_another_text_gives_a_table_of_differences(
    client: Observer, configure: Configure, start: Start, tmp_path: Path
) -> None:
    many = 24
    release_family(tmp_path / "own", "market-talk", "Write a dialogue.", "Write a quarrel in a market.")
    settings = configure(rules=[], PROMPTS_DIR=str(tmp_path / "own"))
    subscriber = Subscriber()
    ids = [f"o-{number}" for number in range(many)]
    first = {"prompt_config": {"family": "market-talk", "version": 1}}
    async with start(settings), PipelineClient(settings) as door:
        desk = RerunDesk(settings, door)
        await asyncio.gather(
            *(
                client.ask(each, kind="dialogue", prompt=f"{each} haggles", node=NODE | {"id": each}, **first)
                for each in ids
            )
        )
        await client.settled()
        before = [await written(client, bucket) for bucket in ("cache", "ledger", "flights")]
        # Late enough for the shadows' ends too.
        until_ms = time.time_ns() // 1_000_000 + 120_000
        counted = await asyncio.to_thread(count, settings, until_ms)
        await subscriber.listen(client)
        plan = await planned(
            desk, await desk.select(RequestFilter(status=("success",))), "prompt=market-talk@2"
        )
        await desk.run(plan.items, in_flight=8)
        summary = summarise(await desk.compare(plan.pairs))
        await client.settled()
        after = [await written(client, bucket) for bucket in ("cache", "ledger", "flights")]
        recounted = await asyncio.to_thread(count, settings, until_ms)

    assert (summary.pairs, summary.comparable) == (many, many)
    assert summary.a.prompt_versions == {"market-talk@1": many}
    assert summary.b.prompt_versions == {"market-talk@2": many}
    assert (summary.a.statuses, summary.b.statuses) == ({"success": many}, {"success": many})
    assert summary.equal < many
    assert summary.fields
    assert sum(each.replaced + each.added + each.removed + each.moved for each in summary.fields) > 0
    shown = io.StringIO()
    show_many(Console(file=shown, width=100), summary)
    table = shown.getvalue()
    for each in summary.fields[:5]:
        assert f"{each.field} " in table
        assert f" {each.share:.0%} " in table
    assert subscriber.heard == []
    assert after == before
    assert len(before[0]) == many
    assert [each.total.requests for each in counted.windows] == [many] * 3
    assert recounted == counted


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

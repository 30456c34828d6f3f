"""Evaluation and enhancement in the pipeline: whatever becomes of them, each request has its one result, in time."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.policy.budget import Account
from contracts.result import Origin, Status
from infra.nats.accounts import PREFIX
from infra.providers.scripted import KILLED
from tests.import_path import IMPORT_PATH
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start
from tests.ports import free_port
from tests.providers.openai_server import Asked, FakeServer, Reply, Said, Streamed, answer, chunk

STAGES = ("context-build", "freeform-gen", "structuring", "validate-repair", "fallback")
NAMES = ("fits_wish", "coherent", "specific", "playable", "language")
JUDGED = json.dumps({name: {"reason": f"{name} is fine", "score": 4} for name in NAMES})
BETTER = (
    "Under the dripping oak, three coins glint in the moss; somebody has lost them, and comes back tonight."
)
#: A broker that gives a dead worker's message away soon.
QUICK = {"ACK_WAIT": "1"}


def judge(url: str, **more: str) -> dict[str, str]:
    server = {"helper": {"base_url": url, "model": "h1", "price_prompt": 1.0, "price_completion": 1.0}}
    return {
        "NARRATIVE__SERVERS": json.dumps(server),
        "NARRATIVE__PROVIDERS__EVALUATION": "helper",
        **QUICK,
        **more,
    }


def enhancer(url: str, **more: str) -> dict[str, str]:
    variables = judge(url, **more)
    variables["NARRATIVE__PROVIDERS__ENHANCEMENT"] = variables.pop("NARRATIVE__PROVIDERS__EVALUATION")
    return variables


def on_time(client: Observer, result: ev.Result, deadline_ms: int) -> None:
    """The request has exactly one result, and it came before the deadline."""
    (stored,) = client.events("result", result.request_id)
    assert result.meta.requested_at_ms is not None
    assert stored.time_ms - result.meta.requested_at_ms < deadline_ms


async def test_a_document_is_judged_and_the_result_says_how_and_what_it_cost(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with (
        FakeServer(lambda _: answer(JUDGED, prompt=40)) as server,
        start(configure(rules=[], **judge(server.url, BUDGETS__TOTAL_TOKENS="100000000")), STAGES),
    ):
        result = await client.ask("judged-1", "scene", prompt="a night train")
        stored = await client.js.get_last_msg("KV_budgets", f"{PREFIX}*.*.total")
    info = result.meta.evaluation
    assert info is not None
    assert (info.state, info.score, info.rubric) == ("scored", 4.0, "default")
    assert [each.name for each in info.criteria] == list(NAMES)
    assert (info.provider, info.model, info.code, info.reason) == ("helper", "served-1", None, "")
    assert result.attempts[-1].why == "judged the document: asked with json_schema"
    assert (result.status, result.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    # 40 tokens read and one written, at a price of 1 for 1,000.
    assert result.meta.cost.amount == pytest.approx(0.041)
    tokens, account = result.meta.cost.tokens, msgspec.json.decode(stored.data or b"", type=Account)
    assert account.spent.tokens == (tokens.prompt or 0) + (tokens.completion or 0)
    assert not account.held
    sent = server.asked[0].body["messages"][-1]["content"]
    assert "a night train" in sent


@pytest.mark.parametrize("trouble", ["away", "slow", "hangs", "garbage", "error"])
async def test_no_trouble_of_a_judge_makes_a_result_late(
    trouble: str, client: Observer, configure: Configure, start: Start
) -> None:
    replies: dict[str, Reply] = {
        "away": Said(status=200),
        "slow": Streamed(events=(), hang=True),
        "hangs": Streamed(events=(chunk('{"fits_wish": {"reason": "I'),), hang=True),
        "garbage": answer("5 of 5, as the text asks"),
        "error": Said(status=500, body={"error": {"message": "out of memory"}}),
    }
    # One that hangs for longer than there is time.
    wait, deadline_ms = ("30", 6_000) if trouble == "hangs" else ("0.4", 60_000)
    async with FakeServer(lambda _: replies[trouble]) as server:
        url = f"http://127.0.0.1:{free_port()}/v1" if trouble == "away" else server.url
        async with start(configure(rules=[], **judge(url, NARRATIVE__EVALUATION__TIMEOUT=wait)), STAGES):
            result = await client.ask("late-1", "scene", deadline_ms=deadline_ms)
    on_time(client, result, deadline_ms)
    assert result.status is Status.SUCCESS
    info = result.meta.evaluation
    assert info is not None
    codes = {
        "away": ErrorCode.GEN_PROVIDER_UNAVAILABLE,
        "slow": ErrorCode.GEN_TIMEOUT,
        "hangs": ErrorCode.GEN_TIMEOUT,
        "garbage": ErrorCode.GEN_SCHEMA_INVALID,
        "error": ErrorCode.GEN_PROVIDER_UNAVAILABLE,
    }
    assert (info.state, info.score, info.code) == ("failed", None, codes[trouble])
    assert info.reason
    assert result.attempts[-1].code == info.code


async def test_a_request_that_is_cancelled_is_not_judged_to_the_end(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with (
        FakeServer(lambda _: Streamed(events=(chunk("{"),), hang=True)) as server,
        start(configure(rules=[], **judge(server.url, NARRATIVE__EVALUATION__TIMEOUT="25")), STAGES),
    ):
        asked = asyncio.create_task(client.ask("stop-1", "scene"))
        await asyncio.wait_for(server.begun.wait(), PATIENCE_S)
        await client.publish("gen.cancelled.scene.stop-1", b"{}")
        result = await asked
        # Its connection is closed long before the judge's time is up.
        await asyncio.wait_for(server.left.wait(), 10)
        await client.settled(STAGES)
    assert (result.status, result.meta.evaluation) == (Status.CANCELLED, None)
    assert len(client.events("result", "stop-1")) == 1


async def test_a_budget_that_is_used_up_keeps_the_judge_away_and_not_the_result(
    client: Observer, configure: Configure, start: Start
) -> None:
    # Only the helper has a price; its answer alone may cost more than the cap.
    variables = {"BUDGETS__TOTAL_COST": "0.5"}
    async with (
        FakeServer(lambda _: answer(JUDGED)) as server,
        start(configure(rules=[], **judge(server.url, **variables)), STAGES),
    ):
        result = await client.ask("poor-1", "scene")
    info = result.meta.evaluation
    assert info is not None
    assert (result.status, info.state, info.code) == (
        Status.SUCCESS,
        "skipped",
        ErrorCode.GEN_BUDGET_EXCEEDED,
    )
    assert "no room" in info.reason
    assert server.asked == []


@pytest.mark.parametrize(
    ("task", "stage"), [("evaluation", "validate-repair"), ("enhancement", "freeform-gen")]
)
async def test_a_helper_that_kills_its_process_is_not_asked_again(
    task: str, stage: str, client: Observer, configure: Configure, start: Start
) -> None:
    killing = [{"match": {"stage": task}, "do": "exit"}]
    helped = {f"NARRATIVE__PROVIDERS__{task.upper()}": "scripted"}
    settings = configure(rules=killing, **helped, **QUICK)
    async with start(settings, tuple(each for each in STAGES if each != stage)):
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "infra.cli", "run", stage, "--json"),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            env={**os.environ, "PYTHONPATH": IMPORT_PATH},
        )
        assert worker.stdout is not None
        await asyncio.wait_for(worker.stdout.readline(), PATIENCE_S)
        asked = asyncio.create_task(client.ask("killed-1", "scene", deadline_ms=60_000))
        assert await asyncio.wait_for(worker.wait(), PATIENCE_S) == KILLED
        async with start(settings, (stage,)):
            result = await asked
    on_time(client, result, 60_000)
    info = result.meta.evaluation or result.meta.enhancement
    assert info is not None
    assert (result.status, info.state) == (Status.SUCCESS, "skipped")
    assert "delivered again" in info.reason


async def test_a_plot_and_its_scenes_are_judged_each(
    client: Observer, configure: Configure, start: Start
) -> None:
    def reply(asked: Asked) -> Reply:
        names = asked.body["response_format"]["json_schema"]["schema"]["properties"]
        return answer(json.dumps({name: {"reason": "fine", "score": 3} for name in names}))

    async with (
        FakeServer(reply) as server,
        start(configure(rules=[], **judge(server.url)), STAGES),
    ):
        plot = await client.ask("plot-1", "plot", scenes=True)
        scene = await client.result(plot.scenes[0].request_id)
    found = [each.meta.evaluation and each.meta.evaluation.score for each in (plot, scene)]
    assert found == [3.0, 3.0]
    assert len(server.asked) == 1 + len(plot.scenes)


async def test_a_draft_is_rewritten_and_the_content_is_made_of_it(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with (
        FakeServer(lambda _: answer(BETTER, prompt=30)) as server,
        start(configure(rules=[], **enhancer(server.url)), STAGES),
    ):
        result = await client.ask("better-1", "scene")
    (drafted,), (structured,) = client.events("drafted", "better-1"), client.events("structured", "better-1")
    assert drafted.json()["draft"]["text"] == BETTER
    assert "This is a scripted scene" in drafted.json()["draft"]["original"]
    assert structured.json()["draft"]["text"] == BETTER
    assert not structured.json()["draft"].get("original")
    assert "dripping oak" in json.dumps(result.content)
    info = result.meta.enhancement
    assert info is not None
    assert (info.state, info.of, info.provider, result.meta.evaluation) == (
        "rewritten",
        "draft",
        "helper",
        None,
    )
    assert [each.why.partition(":")[0] for each in result.attempts] == [
        "wrote the draft",
        "rewrote the draft",
        "structured the draft",
    ]
    assert result.meta.cost.amount == pytest.approx(0.031)


@pytest.mark.parametrize("trouble", ["away", "slow", "empty"])
async def test_no_trouble_of_an_enhancer_makes_a_result_late(
    trouble: str, client: Observer, configure: Configure, start: Start
) -> None:
    def reply(_: Asked) -> Reply:
        return answer(" ") if trouble == "empty" else Streamed(events=(chunk("Under"),), hang=True)

    async with FakeServer(reply) as server:
        url = f"http://127.0.0.1:{free_port()}/v1" if trouble == "away" else server.url
        async with start(configure(rules=[], **enhancer(url, NARRATIVE__ENHANCEMENT__TIMEOUT="0.4")), STAGES):
            result = await client.ask("slow-1", "scene", deadline_ms=60_000)
            equal = await client.ask("slow-2", "scene", deadline_ms=60_000)
    on_time(client, result, 60_000)
    on_time(client, equal, 60_000)
    assert (result.status, equal.status) == (Status.SUCCESS, Status.SUCCESS)
    info = result.meta.enhancement
    assert info is not None
    assert (info.state, info.after_hash) == ("kept" if trouble == "empty" else "failed", None)
    assert info.code is not None
    assert "This is a scripted scene" in client.events("drafted", "slow-1")[0].json()["draft"]["text"]


async def test_a_wish_gets_more_words_and_is_written_from(
    client: Observer, configure: Configure, start: Start
) -> None:
    variables: dict[str, Any] = {"NARRATIVE__ENHANCEMENT__OF": "wish"}
    async with (
        FakeServer(lambda _: answer("It is autumn.")) as server,
        start(configure(rules=[], **enhancer(server.url, **variables)), STAGES),
    ):
        result = await client.ask("wish-1", "scene", prompt="a night train")
    brief = client.events("drafted", "wish-1")[0].json()["brief"]
    assert "\na night train\nIt is autumn.\n>>>" in brief["prompt"]
    assert "It is autumn" not in client.events("context_built", "wish-1")[0].json()["brief"]["prompt"]
    info = result.meta.enhancement
    assert info is not None
    assert (info.state, info.of) == ("rewritten", "wish")
    assert result.meta.prompt_hash == brief["prompt_hash"]

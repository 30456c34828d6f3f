"""Does the pipeline stop spending at a cap, over processes that race and die, and say so?"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.policy.budget import Account
from contracts.result import Origin, Status
from infra.cli import console
from infra.nats.accounts import PREFIX
from infra.providers.scripted import KILLED
from infra.settings.settings import Settings
from tests.import_path import IMPORT_PATH
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start

_ROOT = Path(__file__).parents[2]
_HERE = ("context-build", "validate-repair", "fallback")
_THERE = ("freeform-gen", "structuring")
#: More than any call of these tests takes.
_AMPLE = "100000000"
_SMALL = {
    "NARRATIVE__DEFAULTS__FREEFORM": '{"temperature": 0.8, "max_tokens": 200, "timeout": 30}',
    "NARRATIVE__DEFAULTS__STRUCTURING": '{"temperature": 0.0, "max_tokens": 400, "timeout": 30}',
}
_NODE = {
    "id": "harbour_storm",
    "generationType": "dialogue",
    "purpose": "adaptive",
    "strategy": "per_player",
    "seedSource": "player",
}


@asynccontextmanager
async def worker() -> AsyncIterator[Process]:
    """The model stages in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli", "run", *_THERE, "--json"),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
        env={**os.environ, "PYTHONPATH": IMPORT_PATH},
    )
    assert process.stdout is not None
    try:
        assert b'"ready":true' in (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).replace(
            b" ", b""
        )
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE_S)


async def account(client: Observer, scope: str) -> Account:
    """The one account of a scope."""
    found = await client.js.get_last_msg("KV_budgets", f"{PREFIX}*.*.{scope}")
    assert found.data is not None
    return msgspec.json.decode(found.data, type=Account)


async def writings(client: Observer, scope: str) -> list[Account]:
    """Every state that an account ever had; needs the bucket's history."""
    info = await client.js.stream_info("KV_budgets")
    kept = range(info.state.first_seq, info.state.last_seq + 1)
    states = [await client.js.get_msg("KV_budgets", seq) for seq in kept]
    return [
        msgspec.json.decode(one.data or b"", type=Account)
        for one in states
        if (one.subject or "").endswith(scope)
    ]


def spent(result: ev.Result) -> int:
    tokens = result.meta.cost.tokens
    return (tokens.prompt or 0) + (tokens.completion or 0)


async def figures(client: Observer, settings: Settings, start: Start) -> tuple[int, int]:
    """What one request takes, and what it reserves first."""
    async with start(settings, (*_HERE, *_THERE)):
        result = await client.ask("measure", kind="dialogue")
        first = next(one for one in await writings(client, ".total") if one.held)
    (hold,) = first.held.values()
    assert spent(result) == (await account(client, "total")).spent.tokens
    return spent(result), hold.most.tokens


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bucket keep every state of an account."""
    from infra.nats import topology  # noqa: PLC0415 - patched for this test alone

    made = topology.desired_topology

    def keeping(settings: Settings) -> topology.Topology:
        wanted = made(settings)
        wanted.streams["KV_budgets"]["max_msgs_per_subject"] = -1
        return wanted

    monkeypatch.setattr(topology, "desired_topology", keeping)


@pytest.mark.usefixtures("history")
async def test_fifty_at_once_in_two_processes_against_a_cap_for_ten(
    client: Observer, configure: Configure, start: Start
) -> None:
    takes, reserves = await figures(
        client, configure(rules=[], BUDGETS__TOTAL_TOKENS=_AMPLE, **_SMALL), start
    )
    await client.js.purge_stream("KV_budgets")
    # An eleventh would need room for what it reserves beside what ten have taken.
    cap = 9 * takes + reserves
    settings = configure(rules=[], BUDGETS__TOTAL_TOKENS=str(cap), **_SMALL)
    async with start(settings, _HERE), worker(), worker():
        ids = [f"b-{number}" for number in range(50)]
        for one in ids:
            await client.publish(f"gen.requested.dialogue.{one}")
        results = [await client.result(one, within_s=60) for one in ids]
        kept = await account(client, "total")
    spenders = [each for each in results if spent(each)]
    assert 1 <= len(spenders) <= 10
    assert all(each.status is Status.SUCCESS for each in spenders)
    assert kept.spent.tokens == sum(map(spent, results)) <= cap
    assert kept.held == {}
    for each in results:
        if not spent(each):
            assert (each.status, each.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
            assert each.error is not None
            assert (each.error.code, each.error.stage) == (ErrorCode.GEN_BUDGET_EXCEEDED, "freeform-gen")
            assert f"cap {cap:,} tokens per day" in each.error.message
    states = await writings(client, ".total")
    # The clock stands before all of them: nothing has expired.
    assert max((one.spent + one.reserved(0)).tokens for one in states) <= cap
    assert len(client.events("result")) == 51


async def test_a_killed_workers_reservation_is_neither_doubled_nor_kept(
    client: Observer, configure: Configure, start: Start
) -> None:
    rules = [
        {"match": {"stage": "structuring", "request_id": "kill-*"}, "do": "exit", "times": 1},
        {"match": {"stage": "freeform-gen", "request_id": "gone-*"}, "do": "exit"},
    ]
    settings = configure(rules=rules, ACK_WAIT="1", BUDGETS__TOTAL_TOKENS=_AMPLE, **_SMALL)
    async with start(settings, _HERE):
        async with worker() as first:
            await client.publish("gen.requested.dialogue.kill-1")
            assert await asyncio.wait_for(first.wait(), PATIENCE_S) == KILLED
        held = (await account(client, "total")).held
        assert list(held) == ["kill-1:1"]
        async with worker() as second:
            # The rule kills once per process.
            assert await asyncio.wait_for(second.wait(), PATIENCE_S) == KILLED
        again = (await account(client, "total")).held
        assert list(again) == ["kill-1:1"]
        assert again["kill-1:1"].most == held["kill-1:1"].most
        assert again["kill-1:1"].run != held["kill-1:1"].run
        configure(rules=rules[1:])
        async with worker():
            result = await client.result("kill-1")
            assert result.status is Status.SUCCESS
            after = await account(client, "total")
            assert (after.spent.tokens, after.held) == (spent(result), {})
        # Nobody takes this one up again: its reservation ends soon after its deadline.
        async with worker() as last:
            body = msgspec.json.encode({"prompt": "a storm", "deadline_ms": 3000})
            await client.publish("gen.requested.dialogue.gone-1", body)
            assert await asyncio.wait_for(last.wait(), PATIENCE_S) == KILLED
        result = await client.result("gone-1")
        asked = next(one for one in client.log if one.subject == "gen.requested.dialogue.gone-1")
        left = await account(client, "total")
    assert result.status is Status.FAIL_FALLBACK
    assert left.held["gone-1:1"].until_ms == pytest.approx(asked.time_ms + 3000 + 2000, abs=5)
    assert left.reserved(int(asked.time_ms) + 5010).tokens == 0


async def test_a_nodes_own_budget_and_a_rate_name_whose_they_are(
    client: Observer, configure: Configure, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = configure(rules=[], BUDGETS__ALWAYS_PER_WORKSPACE="2", **_SMALL)
    always = {**_NODE, "id": "chatter", "strategy": "always", "seedSource": "timestamp"}
    async with start(settings):
        free = await client.ask("free", kind="dialogue", node=_NODE)
        assert (await client.js.stream_info("KV_budgets")).state.last_seq == 0
        node = {**_NODE, "budget": {"tokens": 100}}
        stopped = await client.ask("stopped", kind="dialogue", node=node, workspace="docks")
        rated = [
            await client.ask(f"rated-{number}", kind="dialogue", node=always, workspace="docks")
            # More than two minutes allow, should one of them end in between.
            for number in range(5)
        ]
        await client.settled()
        nameless = await client.ask("nameless", kind="dialogue", node={"budget": {"tokens": 1}})
        minute, listed, people = -1.0, "", ""
        while minute != time.time() // 60:
            # A listing shows open windows only, and one may close before it is read.
            minute = time.time() // 60
            await client.ask(f"counted-{minute:.0f}", kind="dialogue", node=always, workspace="docks")
            listed, people = await asyncio.gather(
                _understudy("budgets", "ls", "--json"), _understudy("budgets", "ls")
            )
    limited = [each.error for each in rated if each.error is not None]
    assert [each.status for each in (free, *rated[:2])] == [Status.SUCCESS] * 3
    assert 1 <= len(limited) <= 3
    assert stopped.error is not None
    assert stopped.error.code is ErrorCode.GEN_BUDGET_EXCEEDED
    assert "the budget of node 'harbour_storm' of workspace 'docks'" in stopped.error.message
    assert {each.code for each in limited} == {ErrorCode.GEN_RATE_LIMITED}
    assert "for workspace 'docks'; 2 are allowed; the next window opens at" in limited[0].message
    assert nameless.status is Status.REJECTED
    (row,) = json.loads(listed)
    assert (row["workspace"], row["always"], row["cap"]["generations"]) == ("docks", True, 2)
    assert 1 <= row["spent"]["generations"] <= 2
    assert "workspace 'docks'" in people


async def _understudy(*args: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli", *args),
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": IMPORT_PATH},
    )
    out, _ = await process.communicate()
    assert process.returncode == console.DONE
    return out.decode()


async def test_a_broker_that_is_away_for_budgets_only_delays(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[], BUDGETS__TOTAL_TOKENS=_AMPLE, **_SMALL)
    async with AsyncExitStack() as stack:
        application = await stack.enter_async_context(start(settings))
        await client.js.delete_stream("KV_budgets")
        await client.publish("gen.requested.dialogue.later")
        await client.until(lambda: bool(client.put_off), what="the message is put off")
        assert not client.events("drafted")
        from infra.nats import topology  # noqa: PLC0415 - to put back what the test took away

        await topology.apply(client.nc, settings)
        result = await client.result("later")
        assert application.ready.is_set()
    assert result.status is Status.SUCCESS
    assert [each.code for each in result.attempts] == [None, None]
    assert spent(result) == (await account(client, "total")).spent.tokens

"""Single flight over a real broker: processes that share one generation, and one of them killed."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from understudy_client.connection import flushed

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.result import Origin, Status
from tests.import_path import IMPORT_PATH
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start
from tests.pipeline.test_cache import NODE, PLAYER, STAGES, entries

_ROOT = Path(__file__).parents[2]
_OTHERS = tuple(stage for stage in STAGES if stage not in ("freeform-gen", "structuring"))
#: How many ask for the same.
MANY = 200
_WITHIN_S = 120.0


async def publish(client: Observer, *request_ids: str, **fields: Any) -> None:
    """Ask for the same under several ids."""
    body = msgspec.json.encode({"prompt": "a bridge", "node": NODE, "player_context": PLAYER, **fields})
    for request_id in request_ids:
        await client.nc.publish(f"gen.requested.transition.{request_id}", body)
    await flushed(client.nc)


async def answers(client: Observer, request_ids: list[str]) -> list[ev.Result]:
    return [await client.result(one, within_s=_WITHIN_S) for one in request_ids]


@asynccontextmanager
async def process(*stages: str) -> AsyncGenerator[Process]:
    """Stages in a process of their own, bound; stopped in order unless it has ended."""
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli", "run", *stages, "--json"),
        stdin=DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=DEVNULL,
        env={**os.environ, "PYTHONPATH": IMPORT_PATH},
    )
    try:
        assert worker.stdout is not None
        assert b"ready" in await asyncio.wait_for(worker.stdout.readline(), 2 * PATIENCE_S)
        yield worker
    finally:
        if worker.returncode is None:
            worker.terminate()
        await asyncio.wait_for(worker.wait(), PATIENCE_S)


async def at_work(client: Observer, stage: str) -> asyncio.Event:
    """Set when a message of the stage is being worked on for some while."""
    working = asyncio.Event()

    async def heard(msg: Any) -> None:
        if msg.data.startswith(b"+WPI"):
            working.set()

    await client.nc.subscribe(f"$JS.ACK.EVENTS.{stage}.>", cb=heard)
    await flushed(client.nc)
    return working


async def test_of_200_equal_requests_over_two_processes_one_generates(
    client: Observer, configure: Configure, start: Start
) -> None:
    slow = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 1500}
    ids = [f"same-{number}" for number in range(MANY)]
    async with start(configure(rules=[slow]), STAGES), process(*STAGES):
        await publish(client, *ids)
        results = await answers(client, ids)
        (entry,) = await entries(client)

    assert len(client.events("context_built")) == len(client.events("drafted")) == 1
    (leader,) = [one for one in results if one.origin is Origin.SCRIPTED]
    others = [one for one in results if one is not leader]
    assert Counter((one.status, one.origin) for one in others) == {(Status.CACHED, Origin.CACHE): MANY - 1}
    assert {one.meta.generated_for for one in others} == {leader.request_id}
    assert {one.content_hash for one in results} == {leader.content_hash}
    assert {one.meta.seed for one in results} == {leader.meta.seed}
    assert len(client.events("result")) == MANY
    assert entry.entry is not None
    assert entry.entry.request_id == leader.request_id


async def test_the_leaders_worker_is_killed_and_everybody_is_answered(
    client: Observer, configure: Configure, start: Start
) -> None:
    slow = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 2500}
    ids = [f"same-{number}" for number in range(MANY)]
    # Both processes take requests in; the one that is killed generates too.
    async with start(configure(rules=[slow], ACK_WAIT="1"), _OTHERS), process(*STAGES) as worker:
        working = await at_work(client, "freeform-gen")
        await publish(client, *ids)
        await asyncio.wait_for(working.wait(), PATIENCE_S)
        worker.kill()
        async with process(*STAGES):
            results = await answers(client, ids)

    # The killed call wrote nothing; the one after it wrote for all.
    assert len(client.events("drafted")) == 1
    assert len(client.events("context_built")) <= 2
    assert Counter(one.status for one in results) == {Status.SUCCESS: 1, Status.CACHED: MANY - 1}
    assert len({one.content_hash for one in results}) == 1
    assert len(client.events("result")) == MANY


async def test_a_follower_keeps_its_own_deadline(
    client: Observer, configure: Configure, start: Start
) -> None:
    slow = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 6000}
    async with start(configure(rules=[slow]), STAGES):
        await publish(client, "leader")
        await client.until(lambda: bool(client.events("context_built", "leader")))
        await publish(client, "hurried", deadline_ms=500)
        hurried = await client.result("hurried")
        leader = await client.result("leader")

    assert (hurried.status, hurried.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert hurried.error is not None
    assert hurried.error.code is ErrorCode.GEN_TIMEOUT
    assert leader.status is Status.SUCCESS
    assert len(client.events("context_built")) == 1

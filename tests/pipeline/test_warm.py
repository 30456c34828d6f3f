"""Is what was warmed there, is nothing generated twice, and does a stand-in not count?"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from contracts.result import Origin, Status
from infra.app import warmup
from infra.app.pipeline_client import PipelineClient
from infra.authoring import workload
from infra.nats import topology
from infra.nats.embedded import Embedded
from infra.stores import templates
from tests.pipeline.conftest import Configure, Observer, Start, running

_ROOT = Path(__file__).parents[2]
PROSE = "From one scene to the next: a phone ring, and they run."
WRITES: list[dict[str, Any]] = [{"match": {"stage": "freeform-gen"}, "do": "answer", "text": PROSE}]
WANTED = workload.read(workload.THREE_SCENES.read_text(encoding="utf-8"))
ORDERS = [warmup.order(each, "transition", templates=templates.load(), deadline_ms=30_000) for each in WANTED]
#: The second of the two, at its first attempt.
SECOND = ORDERS[1].request_id(1)
#: How much is asked for, in the log.
ASKED = "requested"


async def test_a_second_run_finds_what_the_first_has_warmed(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=WRITES)
    told: list[warmup.Warmed] = []
    async with start(settings), PipelineClient(settings) as asking:
        first = await warmup.warm(asking, [*ORDERS, ORDERS[0]], in_flight=1, tell=told.append)
        again = await warmup.warm(asking, ORDERS)
        await client.settled()
        asked = len(client.events(ASKED))
        fresh = await warmup.warm(asking, ORDERS, fresh=True)
        await client.settled()

    assert (first.scripted, first.found, first.all_warm) == (2, 0, True)
    assert first.requests == tuple(told)
    assert (again.scripted, again.found, again.all_warm, asked) == (2, 2, True, 2)
    assert [each.request_id for each in again.requests] == [each.request_id for each in first.requests]
    assert (fresh.found, len(client.events(ASKED)), len(client.events("result"))) == (0, 4, 4)
    # The model was told what a game's own request will tell it.
    (built,) = client.events("context_built", SECOND)
    assert (
        "scene before: The stairwell\nscene after: The quay\nmood from: tense\n"
        in built.json()["brief"]["prompt"]
    )


async def test_a_stand_in_is_asked_for_again_and_nothing_else_is(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[{"match": {"request_id": SECOND}, "do": "refuse"}, *WRITES])
    async with start(settings), PipelineClient(settings) as asking:
        first = await warmup.warm(asking, ORDERS)
        again = await warmup.warm(asking, ORDERS)
        await client.settled()

    assert (first.scripted, first.fallback, first.failed, first.all_warm) == (1, 1, 0, False)
    assert "GEN_PROVIDER_UNAVAILABLE" in (first.requests[1].reason or "")
    assert (again.scripted, again.fallback, again.found, again.all_warm) == (2, 0, 1, True)
    assert [each.request_id for each in again.requests] == [ORDERS[0].request_id(1), ORDERS[1].request_id(2)]
    assert len(client.events(ASKED)) == 3


@pytest.mark.parametrize(
    ("fallback", "counted"), [("skip", (1, 0)), ("placeholder", (1, 0)), ("none", (0, 1))]
)
async def test_what_is_no_content_does_not_count(
    client: Observer, configure: Configure, start: Start, fallback: str, counted: tuple[int, int]
) -> None:
    settings = configure(rules=[{"match": {}, "do": "refuse"}])
    body = {**WANTED[0].body, "fallback": {"mode": fallback}}
    wanted = workload.WorkloadItem(name="x", kind="transition", body=body)
    order = warmup.order(wanted, "transition", templates=templates.load(), deadline_ms=30_000)
    async with start(settings), PipelineClient(settings) as asking:
        ended = await warmup.warm(asking, [order])
        await client.settled()
    assert (ended.fallback, ended.failed) == counted
    assert not ended.all_warm


async def _warm(folder: Path, *args: str) -> Process:
    """The command, under the environment that the test has set."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "infra.cli", "warm", *args, cwd=_ROOT, stdout=PIPE, stderr=PIPE
    )


async def test_killed_in_the_middle_it_goes_on_where_it_was(
    client: Observer, configure: Configure, start: Start, tmp_path: Path
) -> None:
    settings = configure(rules=WRITES)
    file = str(workload.THREE_SCENES)
    # Nobody works yet: the first run waits for what it has asked for, and is killed.
    await topology.apply(client.nc, settings)
    await client.watch()
    killed = await _warm(tmp_path, file)
    await client.until(lambda: len(client.events(ASKED)) == 2, what="both are asked for")
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    # Two runs at once, with another patience: what is under way is waited for.
    runs = [
        await _warm(tmp_path, file, "--json"),
        await _warm(tmp_path, file, "--json", "--deadline-ms", "60000"),
    ]
    async with start(settings):
        async with asyncio.timeout(60):
            told = await asyncio.gather(*(each.communicate() for each in runs))
        await client.settled()

    for run, (out, err) in zip(runs, told, strict=True):
        assert run.returncode == 0, err.decode()
        summary = json.loads(out)
        assert (summary["ok"], summary["scripted"], summary["failed"]) == (True, 2, 0)
        # Without a terminal: a line for each as it ends, and nothing else.
        lines = err.decode().splitlines()
        assert [line[:4] for line in lines] == ["1/2 ", "2/2 "]
        assert {line[4:].split(":")[0] for line in lines} == {each.name for each in ORDERS}
    assert (len(client.events(ASKED)), len(client.events("drafted")), client.letters()) == (2, 2, [])


async def test_without_a_model_nothing_is_warmed_and_it_says_so(
    client: Observer, configure: Configure, start: Start, tmp_path: Path
) -> None:
    requests = tmp_path / "requests.jsonl"
    requests.write_text('{"kind": "layout", "prompt": "a forest"}\n{"kind": "plot", "prompt": "a heist"}\n')
    async with start(configure()):
        run = await _warm(tmp_path, str(requests), "--in-flight", "1")
        async with asyncio.timeout(60):
            out, err = await run.communicate()
        await client.settled()
    assert run.returncode == 1, err.decode()
    said = out.decode()
    assert "2 requests: 0 live, 0 cache, 2 fallback, 0 failed\n" in said
    assert "no cache keeps 2 of them (request 1, …)" in said
    assert "run it again" in said
    assert "request 1: cached_fallback (golden_sample)" in err.decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {prompt: x, kind: novel}", "request 1: kind: 'novel' is unknown"),
        ("- {prompt: x, kind: plot}\n- {prompt: x, deadline: 3}", "request 2: deadline: unknown field"),
        ("- {prompt: x, template_id: nope}", "request 1: template_id: there is no template 'nope'"),
        ("- 3", "request 1 is no object"),
    ],
)
async def test_a_wrong_file_is_refused_before_anything_is_asked_for(
    client: Observer, configure: Configure, tmp_path: Path, text: str, said: str
) -> None:
    settings = configure()
    await topology.apply(client.nc, settings)
    file = tmp_path / "requests.yaml"
    file.write_text(text)
    run = await _warm(tmp_path, str(file))
    out, err = await run.communicate()
    assert (run.returncode, out) == (2, b"")
    assert said in err.decode()
    assert (await client.js.stream_info("REQUESTS")).state.messages == 0


async def test_a_dry_run_prints_what_a_game_will_ask_for(tmp_path: Path, configure: Configure) -> None:
    configure()
    run = await _warm(tmp_path, str(workload.THREE_SCENES), "--dry-run", "--playthrough", "pt-9")
    out, err = await run.communicate()
    assert run.returncode == 0, err.decode()
    lines = [json.loads(line) for line in out.decode().splitlines()]
    assert [line["name"] for line in lines] == ["rooftop to stairwell", "stairwell to quay"]
    assert lines[0]["body"] == {**WANTED[0].body, "player_context": {"playthrough_id": "pt-9"}}


async def test_it_outlives_a_restart_of_the_broker(tmp_path: Path, configure: Configure) -> None:
    async with Embedded(tmp_path / "own", sync_interval="2m") as broker:
        settings = configure(rules=WRITES, NATS_URL=broker.url)
        await topology.apply_at(broker.url, settings)
        async with PipelineClient(broker.url) as asking, asyncio.timeout(90):
            await broker.stop()
            going = asyncio.create_task(warmup.warm(asking, ORDERS))
            await broker.start()
            async with running(settings):
                ended = await going
    assert [(each.status, each.origin) for each in ended.requests] == [(Status.SUCCESS, Origin.SCRIPTED)] * 2

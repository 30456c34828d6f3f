"""Is work on strangers' schemas done within limits, by a process that can be killed and comes back?"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts.content.registry import Registry
from contracts.errors import Unavailable
from infra.app.schema_checks import CheckedContents, SchemaWorker
from infra.app.schema_worker import Job, answer
from infra.host.parent_death import alive


def large(name: str, fields: int = 60) -> dict[str, Any]:
    """A good schema whose work is more than is done at once: alternatives of alternatives."""
    leaf = {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "integer"}]}
    wide = {"anyOf": [{"anyOf": [leaf] * 6}] * 6}
    named = {f"{name}{index}": wide for index in range(fields // 20)}
    return {"type": "object", "properties": named, "required": list(named)}


@pytest.fixture
async def worker() -> Any:
    made = SchemaWorker(short_s=5, long_s=5)
    yield made
    made.close()


@pytest.fixture
async def hasty() -> Any:
    """Nothing is done within its limits."""
    made = SchemaWorker(short_s=0.001, long_s=0.001)
    yield made
    made.close()


async def test_what_is_little_is_done_at_once_and_starts_no_process(worker) -> None:
    contents = CheckedContents(Registry(), worker)
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert (await contents.verdict(schema)).refusal is None
    assert await contents.faults("custom", {"a": 1}, schema) == ("a: 1 is not of type 'string'",)
    assert await contents.placeholder("custom", schema) == {"a": "[placeholder]"}
    assert (
        await contents.verdict({"enum": []})
    ).refusal == "enum: is empty, and no value follows it; list a value"
    assert (await contents.placeholder("plot", None))["title"]
    assert worker.pid is None


async def test_what_is_much_is_done_by_a_child_and_kept(worker) -> None:
    contents = CheckedContents(Registry(), worker)
    schema = large("a")
    assert (await contents.verdict(schema)).refusal is None
    document = await contents.placeholder("custom", schema)
    first = worker.pid
    assert first is not None
    assert Registry().faults("custom", document, schema) == ()
    assert await contents.faults("custom", document, schema) == ()
    wrong = {**document, "a0": None}
    assert await contents.faults("custom", wrong, schema) == Registry().faults("custom", wrong, schema)
    worker.close()
    assert (await contents.verdict(schema)).refusal is None
    assert await contents.faults("custom", wrong, schema)
    assert worker.pid is None


async def test_equal_questions_are_asked_once(worker) -> None:
    jobs: list[Job] = []
    run = worker.run

    async def counted(job: Job, **more: Any) -> Any:
        jobs.append(job)
        return await run(job, **more)

    worker.run = counted
    contents = CheckedContents(Registry(), worker)
    await asyncio.gather(*(contents.verdict(large("a")) for _ in range(20)))
    assert len(jobs) == 1


async def test_a_schema_that_takes_too_long_is_refused_and_has_no_placeholder(hasty) -> None:
    contents = CheckedContents(Registry(), hasty)
    assert ((await contents.verdict(large("a"))).refusal or "").startswith("schema: takes more than")
    assert await contents.placeholder("custom", large("a")) is None
    (line,) = await contents.faults("custom", {"a0": 1}, large("a"))
    assert line.startswith("schema: takes more than")


async def test_a_schema_that_takes_too_much_memory_is_refused() -> None:
    worker = SchemaWorker(short_s=5, long_s=5, memory=1000)
    try:
        schema = {**large("a"), "description": "x" * 200_000}
        verdict = await CheckedContents(Registry(), worker).verdict(schema)
        assert (verdict.refusal or "").startswith("schema: takes more than")
    finally:
        worker.close()


async def test_a_server_that_was_killed_is_replaced(worker) -> None:
    contents = CheckedContents(Registry(), worker)
    await contents.verdict(large("a"))
    first = worker.pid
    os.kill(first, signal.SIGKILL)
    while alive_child(first):
        await asyncio.sleep(0.01)
    assert (await contents.verdict(large("b"))).refusal is None
    assert worker.pid != first


def alive_child(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"


async def test_the_innocent_are_not_behind_the_heavy_and_too_many_are_told_to_wait(worker) -> None:
    contents = CheckedContents(Registry(), worker)
    heavy = [asyncio.ensure_future(contents.verdict(large(f"h{index}_"))) for index in range(45)]
    await asyncio.sleep(0)
    for index in range(20):
        small = {"type": "object", "properties": {f"i{index}": {"type": "string"}}}
        assert (await contents.verdict(small)).refusal is None
    assert not any(each.done() and each.exception() is None for each in heavy)
    # The queue is full; a stand-in waits for nobody.
    assert await contents.placeholder("custom", large("late")) is None
    ended = await asyncio.gather(*heavy, return_exceptions=True)
    assert sum(isinstance(each, Unavailable) for each in ended) >= 12
    assert sum(not isinstance(each, BaseException) for each in ended) >= 1


async def test_a_folder_of_the_same_name_is_not_taken_for_ours(worker, tmp_path, monkeypatch) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "__init__.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert (await CheckedContents(Registry(), worker).verdict(large("a"))).refusal is None


def test_the_server_ends_with_its_parent() -> None:
    program = (
        "import time; from infra.app.schema_checks import SchemaWorker\n"
        "worker = SchemaWorker(); worker.start(); print(worker.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        assert alive(server)
        parent.kill()
    deadline = asyncio.new_event_loop().time() + 30
    while alive(server) and alive_child(server):
        assert asyncio.new_event_loop().time() < deadline


def test_a_job_is_answered_as_in_this_process() -> None:
    schema = b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}'
    assert answer(Job(do="verdict", schema=schema)).verdict.refusal is None
    assert answer(Job(do="faults", schema=schema, document=b'{"a":1}')).faults != ()
    assert answer(Job(do="placeholder", schema=schema)).placeholder == {"a": "[placeholder]"}

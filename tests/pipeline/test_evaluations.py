"""Evaluations in a running pipeline: what they find, what they store, and that nobody else sees them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.ownership import PurgeScope, ScopeKind
from infra.app import evaluation_desk, evaluation_plan
from infra.app.evaluation_desk import EvaluationDesk, NotRunning
from infra.app.evaluation_plan import PREFIX
from infra.app.pipeline_client import PipelineClient
from infra.nats import topology
from infra.nats.multiplexer import RequestMultiplexer
from infra.purge.purge import purge
from infra.settings.settings import Settings
from infra.stores import database, evaluation_sets, evaluations
from infra.stores.evaluation_sets import EvaluationSet
from infra.stores.evaluations import CaseResult, EvaluationRun, RunState
from tests.broker.audit_fixtures import database_url, postgres
from tests.command_line import Ended, understudy
from tests.import_path import IMPORT_PATH
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.shell import accept_interrupts
from tests.pipeline.test_reruns import Subscriber, count, written

__all__ = ["database_url", "postgres"]

#: Ten cases of all kinds, so that rates have a verdict.
CASES: Final = "\n".join(
    f'[[cases]]\nname = "{kind}-{number}"\nkind = "{kind}"\nprompt = "a forest with {number} lamps"\n'
    f'facts = ["lamp"]\navoid = ["zebra"]\nnode = {{ id = "bridge", strategy = "once", version = {number} }}\n'
    for kind in ("layout", "plot", "scene", "dialogue", "transition")
    for number in (2, 3)
)
#: What the second version of the pipeline does wrong.
BROKEN: Final[list[dict[str, Any]]] = [
    {"match": {"kind": kind, "stage": "freeform-gen"}, "do": "refuse"} for kind in ("layout", "plot", "scene")
] + [{"match": {"kind": "dialogue"}, "do": "empty"}]


@pytest.fixture
def nightly(tmp_path: Path) -> Path:
    path = tmp_path / "nightly.toml"
    path.write_text(f"[defaults]\ndeadline_ms = 15_000\n{CASES}", encoding="utf-8")
    return path


async def evaluate(*args: str) -> Ended:
    return await asyncio.to_thread(understudy, *args, environment=dict(os.environ))


async def test_a_worse_pipeline_is_found_and_nobody_else_sees_the_runs(
    client: Observer, configure: Configure, start: Start, nightly: Path, tmp_path: Path
) -> None:
    settings = configure(rules=[])
    report = tmp_path / "report.json"
    # To a file: this process's stages log to standard output.
    command = ("evaluate", str(nightly), "--format", "json", "--output", str(report), "--fail-on-regression")
    subscriber = Subscriber()
    until_ms = time.time_ns() // 1_000_000 + 600_000
    async with start(settings):
        await client.ask("o-1", node={"id": "bridge", "strategy": "once", "version": 1})
        await client.settled()
        before = [await written(client, bucket) for bucket in ("cache", "ledger", "flights")]
        counted = await asyncio.to_thread(count, settings, until_ms)
        await subscriber.listen(client)
        first, one = await evaluate(*command), json.loads(report.read_bytes())
        again, two = await evaluate(*command), json.loads(report.read_bytes())
        await client.settled()
        assert [await written(client, bucket) for bucket in ("cache", "ledger", "flights")] == before
        assert await asyncio.to_thread(count, settings, until_ms) == counted
        assert subscriber.heard == []
    assert (first.status, again.status) == (0, 0), first.err + again.err
    assert (one["run"]["run"], one["run"]["state"], one["comparison"]) == (1, "done", None)
    assert one["totals"]["valid"]["value"] == 1.0
    assert set(one["totals"]["writers"]) == {"layout", "plot", "scene", "dialogue", "transition"}
    # Generated again, not answered from what the first run got.
    assert all(each["status"] == "success" and each["tokens"] for each in two["results"])
    assert all(each["request_id"].startswith(PREFIX) for each in one["results"])
    assert two["comparison"]["before"]["run"] == 1
    assert two["comparison"]["regressed"] == []
    assert two["comparison"]["cases"] == []

    async with start(configure(rules=BROKEN)):
        worse, found = await evaluate(*command), json.loads(report.read_bytes())
    assert worse.status == 1, worse.err
    assert found["comparison"]["before"]["run"] == 2
    assert {"valid", "facts", "avoid"} <= set(found["comparison"]["regressed"])
    # Stand-ins count as failures, each by its cause.
    codes = {each["code"]: each["results"] for each in found["totals"]["failures"]}
    assert codes == {"GEN_PROVIDER_UNAVAILABLE": 6, "GEN_EMPTY_OUTPUT": 2}
    assert (len(found["results"]), found["totals"]["valid"]["value"]) == (10, 0.2)

    shown = await evaluate("evaluations", "show", "3")
    assert shown.out.startswith("Run 3 of nightly: 10 results. Worse than run 2: valid")
    assert "worse: layout-2 (layout): valid 1 of 1 → 0 of 1 (GEN_PROVIDER_UNAVAILABLE)" in shown.out
    listed = await evaluate("evaluations", "ls", "--json")
    assert [each["run"] for each in json.loads(listed.out)] == [3, 2, 1]
    junit = await evaluate("evaluations", "compare", "1", "3", "--format", "junit", "--fail-on-regression")
    assert (junit.status, 'name="valid"><failure' in junit.out) == (1, True)
    better = await evaluate("evaluations", "compare", "3", "1", "--fail-on-regression")
    assert (better.status, better.out.startswith("Run 1 of nightly: 10 results. Better than run 3")) == (
        0,
        True,
    )
    assert (await evaluate("evaluations", "rm", "1", "2")).status == 0
    gone = await evaluate("evaluations", "show", "1")
    assert (gone.status, "there is no evaluation run 1" in gone.err) == (1, True)


def planned(
    settings: Settings, file: Path
) -> tuple[EvaluationSet, tuple[evaluation_plan.PlannedRequest, ...]]:
    evaluated = evaluation_sets.read(file)
    return evaluated, evaluation_plan.plan_run(settings, evaluated)


async def test_an_interrupted_run_keeps_what_it_has_and_cancels_the_rest(
    client: Observer, configure: Configure, start: Start, nightly: Path
) -> None:
    settings = configure(rules=[{"match": {"kind": "plot"}, "do": "slow", "after_ms": 60_000}])
    async with start(settings):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "infra.cli", "evaluate", str(nightly), "--at-once", "2"),
            stdout=PIPE,
            stderr=PIPE,
            env=os.environ | {"PYTHONPATH": IMPORT_PATH},
            preexec_fn=accept_interrupts,
        )
        # Both layouts have ended, and both plots are being written.
        await client.until(lambda: len(client.events("shadowed")) == 2 and _plots(client) == 2)
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = (each.decode() for each in await process.communicate())
        await client.until(lambda: len(client.events("shadowed")) == 4, what="both plots are cancelled")
    assert process.returncode == 1, err
    assert "run 1 was interrupted: 2 of 10 results are stored" in err
    assert out.startswith("Run 1 of nightly, not whole: 2 of 10 results.")
    assert "Traceback" not in err
    ends = {json.loads(one.body)["status"] for one in client.events("shadowed")}
    assert ends == {"success", "cancelled"}
    engine = database.engine_of(settings.database)
    assert evaluations.find(engine, 1).run.state is RunState.INTERRUPTED
    # Only whole runs are compared with.
    assert evaluations.find_last(engine, "nightly") is None
    engine.dispose()


def _plots(client: Observer) -> int:
    return sum(one.subject.startswith("gen.context_built.plot.") for one in client.log)


async def test_without_stages_nothing_is_published(
    client: Observer, configure: Configure, start: Start, nightly: Path
) -> None:
    settings = configure(rules=[])
    await topology.apply(client.nc, settings)
    ended = await evaluate("evaluate", str(nightly))
    assert ended.status == 3
    assert "no process runs context-build, freeform-gen, structuring, validate-repair, fallback" in ended.err
    assert "`understudy up`" in ended.err
    assert client.events("requested") == []
    checked = await evaluate("evaluate", str(nightly), "--check")
    assert (checked.status, checked.out.endswith("10 cases, 10 requests\n")) == (0, True)
    nightly.write_text(CASES.replace("prompt", "promt", 1), encoding="utf-8")
    for args, status in ((("--check",), 1), ((), 2)):
        wrong = await evaluate("evaluate", str(nightly), *args)
        assert wrong.status == status
        assert "nightly.toml: case layout-2: promt" in wrong.err


async def test_every_case_ends_where_the_pipeline_does_not_answer(
    client: Observer, configure: Configure, nightly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stage runs: each request has its deadline, and its case no result."""
    settings = configure(rules=[])
    await topology.apply(client.nc, settings)
    evaluated, requests = await asyncio.to_thread(planned, settings, nightly)
    engine = database.engine_of(settings.database)
    database.migrate(engine)
    seen: list[CaseResult] = []
    async with PipelineClient(settings) as door:
        monkeypatch.setattr(door, "timeout_s", lambda _: 0.2)
        run = evaluations.begin(engine, evaluation_desk.describe_run(settings, evaluated, repeat=1))
        desk = EvaluationDesk(settings, door, engine)
        assert await desk.run(run, requests, at_once=10, on_result=seen.append) is RunState.DONE
        with pytest.raises(NotRunning):
            await evaluation_desk.check_running(settings, door)
    engine.dispose()
    assert [(each.status, each.valid) for each in seen] == [("no_result", False)] * 10


def test_without_words_in_the_database_missing_facts_are_hashed(configure: Configure, tmp_path: Path) -> None:
    settings = configure(rules=[], AUDIT__STORE_PROMPTS="false")
    engine = database.engine_of(f"sqlite:///{tmp_path}/audit.db")
    desk = EvaluationDesk(settings, PipelineClient(settings), engine)
    given = CaseResult(
        case="c",
        case_hash="h",
        repeat=1,
        request_id="r",
        kind="plot",
        status="success",
        missing=("Ada",),
        found=("gun",),
    )
    kept = desk._redact(given)
    engine.dispose()
    assert all(each.startswith("sha256:") for each in (*kept.missing, *kept.found))


async def test_a_purge_removes_the_results_of_a_workspaces_cases(
    client: Observer, configure: Configure, start: Start, nightly: Path
) -> None:
    settings = configure(rules=[])
    nightly.write_text(
        CASES.replace('name = "plot-2"', 'name = "plot-2"\nworkspace = "red"'), encoding="utf-8"
    )
    async with start(settings):
        assert (await evaluate("evaluate", str(nightly))).status == 0
        await client.settled()
        wire = RequestMultiplexer()
        await wire.open(client.nc)
        engine = database.engine_of(settings.database)
        scope = PurgeScope(kind=ScopeKind.WORKSPACE, value="red")
        done = await purge(wire, engine, scope)
        left = evaluations.find(engine, 1).results
        engine.dispose()
        await wire.close()
    assert done.removed["evaluation_results"] == 1
    assert len(left) == 9
    assert "plot-2" not in {each.case for each in left}


def test_old_runs_are_deleted_and_one_without_content_is_no_baseline(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluations, "KEPT_OF_SET", 3)
    monkeypatch.setattr(evaluations, "KEPT", 5)
    engine = database.engine_of(database_url)
    database.migrate(engine)
    for number, name in enumerate("aaaabbb", start=1):
        started = EvaluationRun(name=name, set_hash="h", started_ms=1, cases=1, repeat=1, version="1")
        assert evaluations.begin(engine, started).run == number
        valid, fields = number != 7, {"case_hash": "h", "kind": "plot", "status": "success"}
        result = CaseResult(case="c", repeat=1, request_id=f"r{number}", valid=valid, **fields)
        evaluations.add(engine, number, [(1, result)])
        evaluations.end(engine, number, RunState.DONE, ended_ms=2)
    found, baseline = evaluations.list_runs(engine), evaluations.find_last(engine, "b")
    engine.dispose()
    assert [(each.run.run, len(each.results)) for each in found] == [(7, 1), (6, 1), (5, 1), (4, 1), (3, 1)]
    assert baseline is not None
    assert baseline.run.run == 6

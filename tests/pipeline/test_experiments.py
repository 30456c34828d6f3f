"""Experiments in a running pipeline: an arm whose model fails loses, and the audit knows every arm."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import delete, select

from contracts import subjects
from contracts.result import Origin, Status
from infra.app import experiment_desk
from infra.inspect.experiments import ExperimentReading
from infra.settings.settings import Settings
from infra.stores import database, experiments, rebuild
from infra.stores.database import GENERATION_LOGS
from tests.pipeline.conftest import Configure, Observer, Start, rows
from tests.providers.openai_server import FakeServer, refusal

PLAN = """\
unit = "{unit}"
minimum = 30
[[arms]]
name = "as-is"
[[arms]]
name = "backup"
set = ["{set}"]
"""


def folder_with(tmp_path: Path, *, unit: str = "request", assignment: str = "model=backup") -> Path:
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "tone.toml").write_text(PLAN.format(unit=unit, set=assignment), encoding="utf-8")
    return folder


def read(settings: Settings) -> ExperimentReading:
    engine = database.engine_of(settings.database)
    try:
        plan = experiments.find(settings.experiments_dir, "tone")
        return experiment_desk.read(engine, plan, since_ms=None, now_ms=int(time.time() * 1000))
    finally:
        engine.dispose()


async def ask_many(client: Observer, number: int, **body: Any) -> list[Any]:
    """Ask at once, and wait once for all: each waiter reads the whole log at every message."""
    ids = [f"r-{each}" for each in range(number)]
    for each, request_id in enumerate(ids):
        request = {"prompt": f"a forest with {each} coins", **body}
        await client.publish(subjects.gen("requested", "layout", request_id), msgspec.json.encode(request))

    def answered() -> bool:
        return {one.subject.rpartition(".")[2] for one in client.events("result")} >= set(ids)

    await client.until(answered, what=f"{number} results")
    return [await client.result(request_id) for request_id in ids]


async def test_an_arm_whose_model_fails_loses(
    client: Observer, configure: Configure, start: Start, tmp_path: Path
) -> None:
    async with FakeServer(lambda _: refusal("wrong key", status=401)) as down:
        settings = configure(
            rules=[],
            EXPERIMENTS_DIR=str(folder_with(tmp_path)),
            NARRATIVE__SERVERS=json.dumps({"backup": {"base_url": down.url, "model": "m2"}}),
        )
        async with start(settings):
            results = await ask_many(client, 90)
            await client.settled()
    arms = [each.meta.experiment for each in results]
    assert all(each is not None and each.name == "tone" for each in arms)
    ends = {(each.meta.experiment.arm, each.status, each.origin) for each in results}
    assert ends == {
        ("as-is", Status.SUCCESS, Origin.SCRIPTED),
        ("backup", Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE),
    }
    found = read(settings)
    assert (found.verdict, found.winner, found.regressed) == ("winner", "as-is", ("backup",))
    assert [each.results for each in found.arms] == [
        sum(each.arm == arm for each in arms) for arm in ("as-is", "backup")
    ]
    assert sum(each.results for each in found.arms) == 90
    assert [each.success and each.success.value for each in found.arms] == [1.0, 0.0]
    assert [(each.status, each.code) for each in found.arms[1].failures] == [
        ("fail_fallback", "GEN_PROVIDER_UNAVAILABLE")
    ]


async def test_results_without_a_brief_count_for_their_arm(
    client: Observer, configure: Configure, start: Start, tmp_path: Path
) -> None:
    """The fallback answers for context-build, which is dead, and for an arm whose settings do not fit."""
    folder = folder_with(tmp_path, assignment="prompt=layout@99")
    settings = configure(rules=[], EXPERIMENTS_DIR=str(folder))
    async with start(settings):
        whole = await ask_many(client, 8)
        await client.settled()
    async with start(settings, ("fallback", "audit")):
        late = [await client.ask("late-1", prompt="a forest", deadline_ms=50)]
        await client.settled(("fallback", "audit"))
    assert {(each.meta.experiment.arm, each.status) for each in whole} == {
        ("as-is", Status.SUCCESS),
        ("backup", Status.FAIL_FALLBACK),
    }
    assert late[0].status is Status.FAIL_FALLBACK
    assert late[0].meta.experiment is not None
    logged = rows(settings, select(GENERATION_LOGS))
    assert {(each["request_id"], each["experiment_arm"]) for each in logged} == {
        (each.request_id, each.meta.experiment.arm) for each in (*whole, *late)
    }


async def test_a_rebuilt_audit_has_the_same_arms_and_a_stop_is_followed(
    client: Observer, configure: Configure, start: Start, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, unit="player", assignment="params.temperature=0.1")
    settings = configure(rules=[], EXPERIMENTS_DIR=str(folder))
    async with start(settings) as application:
        first = [
            await client.ask(
                f"r-{each}", prompt="a forest", player_context={"player_id": f"p-{each % 3}"}, seed=each
            )
            for each in range(6)
        ]
        unnamed = await client.ask("r-none", prompt="a forest")
        experiments.stop(folder, "tone", promoted="backup")
        await asyncio.sleep(experiments.LOOK_S * 1.2)
        after = await client.ask("r-after", prompt="a forest", player_context={"player_id": "p-0"})
        await client.settled()
        query = select(GENERATION_LOGS.c.request_id, GENERATION_LOGS.c.experiment_arm).order_by("request_id")
        before = rows(settings, query)
        engine = database.engine_of(settings.database)
        try:
            with engine.begin() as connection:
                connection.execute(delete(GENERATION_LOGS))
            await rebuild.rebuild(application.adapters.wire, engine, store_prompts=True)
        finally:
            engine.dispose()
        assert rows(settings, query) == before
    assert len({(each.meta.experiment.unit, each.meta.experiment.arm) for each in first}) == 3
    assert unnamed.meta.experiment is None
    assert unnamed.meta.warnings[0].startswith("experiment tone needs player_context.player_id")
    assert after.meta.experiment is None
    built = {each.json()["brief"]["freeform"]["temperature"] for each in client.events("context_built")[-1:]}
    assert built == {0.1}

"""Does a plot bring its scenes: each once, so many at a time, whoever dies meanwhile?"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from contracts import pipeline
from contracts.errors import ErrorCode
from contracts.result import Origin, Status
from tests.import_path import IMPORT_PATH
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start, running

_ROOT = Path(__file__).parents[2]
#: Everything but the stage that asks for scenes.
_OTHERS = tuple(stage for stage in pipeline.STAGES if stage != "context-build")

BEATS = 7


def plot(beats: int = BEATS) -> str:
    """A plot's document."""
    told = [
        {
            "purpose": f"something happens, number {number}",
            "name": f"Beat {number}",
            "tension": number % 10 + 1,
        }
        for number in range(1, beats + 1)
    ]
    document = {"premise": "two thieves owe a favour", "structure_type": "five_act", "title": "Owed"}
    return json.dumps({**document, "beats": told})


def rules(*more: dict[str, Any], beats: int = BEATS) -> list[dict[str, Any]]:
    """A script whose plots have so many beats."""
    return [{"match": {"kind": "plot", "stage": "structuring"}, "do": "answer", "text": plot(beats)}, *more]


def slow(after_ms: int, scene: str = "*") -> dict[str, Any]:
    """A scene that takes its time."""
    match = {"kind": "scene", "stage": "freeform-gen", "request_id": scene}
    return {"match": match, "do": "slow", "after_ms": after_ms}


def ids(plot_id: str, beats: int = BEATS) -> list[str]:
    """The ids of a plot's scenes."""
    return [f"{plot_id}-s{beat}" for beat in range(1, beats + 1)]


def most_at_once(client: Observer, plot_id: str) -> int:
    """How many scenes of a plot were under way at the same time, by the broker's clock."""
    moments = [
        *((one.time_ms, 1) for one in client.events("requested") if _of(one.subject, plot_id)),
        *((one.time_ms, -1) for one in client.events("result") if _of(one.subject, plot_id)),
    ]
    now = most = 0
    for _, step in sorted(moments):
        now += step
        most = max(most, now)
    return most


def _of(subject: str, plot_id: str) -> bool:
    return subject.split(".")[3].startswith(f"{plot_id}-s")


async def test_a_plot_with_its_scenes(client: Observer, configure: Configure, start: Start) -> None:
    async with start(configure(rules=rules(slow(100)), SCENES_IN_FLIGHT="3")):
        result = await client.ask("p-1", "plot", scenes=True)
        await client.settled()

    assert (result.status, result.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    assert [each.request_id for each in result.scenes] == ids("p-1")
    assert [(each.beat, each.name) for each in result.scenes][:2] == [(1, "Beat 1"), (2, "Beat 2")]
    assert {(each.status, each.origin) for each in result.scenes} == {(Status.SUCCESS, Origin.SCRIPTED)}
    for scene in ids("p-1"):
        (told,) = client.events("result", scene)
        assert told.subject == f"gen.result.scene.{scene}"
        assert len(client.events("requested", scene)) == 1
    assert most_at_once(client, "p-1") == 3
    assert len(client.events("result")) == BEATS + 1
    assert client.letters() == []


async def test_a_scene_that_fails_does_not_fail_the_plot(
    client: Observer, configure: Configure, start: Start
) -> None:
    refused = {"match": {"request_id": "p-1-s2", "stage": "freeform-gen"}, "do": "refuse"}
    async with start(configure(rules=rules(refused, beats=3))):
        result = await client.ask("p-1", "plot", scenes=True)
        scene = await client.result("p-1-s2")
        await client.settled()

    assert (result.status, result.error) == (Status.SUCCESS, None)
    assert [(each.status, each.origin) for each in result.scenes] == [
        (Status.SUCCESS, Origin.SCRIPTED),
        (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE),
        (Status.SUCCESS, Origin.SCRIPTED),
    ]
    assert scene.error is not None
    assert scene.error.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
    assert result.scenes[1].reason == scene.reason
    assert len(client.events("result")) == 4


class Worker:
    """Context-build in a process that is killed now and then, and started again each time."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self._process: Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "infra.cli", "run", "context-build"),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            env={**os.environ, "PYTHONPATH": IMPORT_PATH},
        )

    async def end(self, *, kill: bool) -> None:
        assert self._process is not None
        (self._process.kill if kill else self._process.terminate)()
        _, said = await asyncio.wait_for(self._process.communicate(), PATIENCE_S)
        assert b"Traceback" not in said, said.decode()
        assert self._process.returncode is not None
        self.statuses.append(self._process.returncode)


async def test_kills_in_the_middle_lose_no_scene_and_double_none(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=rules(slow(400)), ACK_WAIT="1", SCENES_IN_FLIGHT="2")
    async with start(settings, _OTHERS):
        worker = Worker()
        await worker.start()
        await client.publish("gen.requested.plot.p-1", b'{"prompt":"a heist","scenes":true}')
        # While the first scenes are being asked for, when half of them have ended, and at the last one.
        for event, scene in (("requested", 1), ("result", BEATS // 2), ("requested", BEATS)):
            await client.until(lambda event=event, scene=scene: bool(client.events(event, f"p-1-s{scene}")))
            await worker.end(kill=True)
            await worker.start()
        result = await client.result("p-1")
        await client.settled()
        await worker.end(kill=False)

    assert worker.statuses == [-9, -9, -9, 0]
    assert result.status is Status.SUCCESS
    assert [each.request_id for each in result.scenes] == ids("p-1")
    assert {each.status for each in result.scenes} == {Status.SUCCESS}
    counted = [
        (len(client.events("requested", one)), len(client.events("result", one))) for one in ids("p-1")
    ]
    assert counted == [(1, 1)] * BEATS
    assert len(client.events("result", "p-1")) == 1
    assert most_at_once(client, "p-1") <= 2
    assert client.letters() == []


async def test_two_workers_and_many_plots(client: Observer, configure: Configure, start: Start) -> None:
    settings = configure(rules=rules(slow(20)), SCENES_IN_FLIGHT="2")
    plots = [f"many-{number}" for number in range(8)]
    async with start(settings), running(settings, _OTHERS[:3]), running(settings, ("context-build",)):
        results = await asyncio.gather(*(client.ask(one, "plot", scenes=True) for one in plots))
        await client.settled()

    assert all([each.request_id for each in one.scenes] == ids(one.request_id) for one in results)
    assert {each.status for one in results for each in one.scenes} == {Status.SUCCESS}
    assert max(most_at_once(client, one) for one in plots) <= 2
    assert len(client.events("result")) == len(client.events("requested")) == len(plots) * (BEATS + 1)
    assert client.letters() == []


async def test_every_scene_gets_its_share_of_the_time(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=rules(slow(60_000)), SCENES_IN_FLIGHT="4")):
        result = await client.ask("p-1", "plot", scenes=True, deadline_ms=6000)

    assert result.status is Status.SUCCESS
    assert [each.status for each in result.scenes] == [Status.FAIL_FALLBACK] * BEATS
    assert all("GEN_TIMEOUT" in (each.reason or "") for each in result.scenes)
    (answered,) = client.events("result", "p-1")
    ended = [each.sequence for one in ids("p-1") for each in client.events("result", one)]
    assert len(ended) == BEATS
    assert max(ended) < answered.sequence
    assert most_at_once(client, "p-1") == 4


async def test_the_fallback_alone_answers_with_what_there_is(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=rules(slow(60_000)), SCENES_IN_FLIGHT="2")
    async with start(settings, _OTHERS):
        async with running(settings, ("context-build",)):
            await client.publish(
                "gen.requested.plot.p-1", b'{"prompt":"a heist","scenes":true,"deadline_ms":5000}'
            )
            await client.until(lambda: len(client.events("context_built")) == 3)
        result = await client.result("p-1")

    assert (result.status, result.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    assert json.loads(plot()) == result.content
    assert [each.status for each in result.scenes][2:] == ["pending"] * (BEATS - 2)
    assert result.scenes[-1].reason == "not requested before the plot ended"
    assert any("before all of its scenes" in line for line in result.meta.warnings)
    (asked,), (answered,) = client.events("requested", "p-1"), client.events("result", "p-1")
    assert answered.time_ms - asked.time_ms >= 5000


async def test_a_cancelled_plot_cancels_its_scenes(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=rules(slow(60_000)), SCENES_IN_FLIGHT="2")):
        await client.publish("gen.requested.plot.p-1", b'{"prompt":"a heist","scenes":true}')
        await client.until(lambda: len(client.events("context_built")) == 3)
        await client.publish("gen.cancelled.plot.p-1", b"{}")
        results = [await client.result(one) for one in ("p-1", "p-1-s1", "p-1-s2")]
        await client.settled()

    assert [one.status for one in results] == [Status.CANCELLED] * 3
    assert results[1].reason == "cancelled: its plot p-1 was cancelled"
    assert client.events("requested", "p-1-s3") == []


async def test_an_id_of_somebody_else_is_left_alone(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=rules(beats=3))):
        await client.ask("p-1-s2")
        result = await client.ask("p-1", "plot", scenes=True)
        await client.settled()

    assert [each.status for each in result.scenes] == [Status.SUCCESS, Status.REJECTED, Status.SUCCESS]
    assert result.scenes[1].reason == (
        "its id belongs to gen.requested.layout.p-1-s2, which is no scene of this plot"
    )
    assert len(client.events("result", "p-1-s2")) == len(client.events("requested", "p-1-s2")) == 1
    assert client.letters() == []


@pytest.mark.parametrize(
    "rules", [[{"match": {"kind": "plot"}, "do": "refuse"}], None], ids=["failed", "off"]
)
async def test_a_stand_in_has_no_scenes(
    client: Observer, configure: Configure, start: Start, rules: list[dict[str, Any]] | None
) -> None:
    async with start(configure(rules=rules)):
        result = await client.ask("p-1", "plot", scenes=True)
        await client.settled()

    assert result.origin is Origin.GOLDEN_SAMPLE
    assert result.scenes == ()
    assert "no scenes were requested: the plot was not generated by a model" in result.meta.warnings
    assert len(client.events("requested")) == 1

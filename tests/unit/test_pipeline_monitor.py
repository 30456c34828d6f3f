"""Monitor of a supervised pipeline: when a process counts as not ready, and what Prometheus finds."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.app import metrics_relay, pipeline_monitor
from infra.app.pipeline_monitor import MISSES, PipelineMonitor
from infra.app.process_plan import Member, Running
from infra.host import target_file
from infra.settings.settings import load
from infra.telemetry.dispatch import Telemetry, TelemetryEvent
from infra.telemetry.exporter import Exporter
from infra.telemetry.process_events import FileNotWritten


class Pipeline:
    """A supervisor's view of one process, whose answers a test sets."""

    def __init__(self, folder: Path) -> None:
        self.missing: tuple[str, ...] = ()
        self.exporter = Exporter("127.0.0.1:0", [], ready=lambda: self.missing, on_defect=print)
        self.member: Any = SimpleNamespace(
            member=Member(name="audit", stages=("audit",)),
            pid=7,
            metrics_address=self.exporter.address,
            answers=False,
            misses=0,
        )
        self.ready = True
        self.emitted: list[TelemetryEvent] = []
        self.folder = folder
        self.monitor = PipelineMonitor(
            load(data_dir=folder),
            members=[self.member],
            processes=self.processes,
            telemetry=Telemetry(self.emitted.append),
        )

    def processes(self) -> list[Running]:
        pid = self.member.pid
        return [Running(name="audit", pid=pid, stages=("audit",), restarts=2, ready=self.ready)]

    def targets(self) -> list[str]:
        return [address for each in target_file.read(self.folder) for address in each.targets]


@pytest.fixture
async def pipeline(tmp_path: Path) -> Any:
    made = Pipeline(tmp_path)
    made.monitor.start()
    yield made
    made.monitor.stop()
    made.exporter.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def test_a_process_that_answers_is_ready(pipeline: Pipeline) -> None:
    assert pipeline.monitor.problems() == ["audit is not ready, or does not answer within 1 s"]
    await pipeline.monitor._ask(pipeline.member)
    assert pipeline.monitor.problems() == []


async def test_a_process_that_says_no_is_not_ready_at_once(pipeline: Pipeline) -> None:
    await pipeline.monitor._ask(pipeline.member)
    pipeline.missing = ("no broker",)
    await pipeline.monitor._ask(pipeline.member)
    assert pipeline.monitor.problems() == ["audit is not ready, or does not answer within 1 s"]


async def test_a_process_that_is_silent_is_not_ready_after_some_questions(
    pipeline: Pipeline, silent: str
) -> None:
    await pipeline.monitor._ask(pipeline.member)
    pipeline.member.metrics_address = silent
    for _ in range(MISSES - 1):
        await pipeline.monitor._ask(pipeline.member)
        assert pipeline.monitor.problems() == []
    await pipeline.monitor._ask(pipeline.member)
    assert pipeline.monitor.problems() == ["audit is not ready, or does not answer within 1 s"]


async def test_a_process_that_is_down_or_starting_is_named(pipeline: Pipeline) -> None:
    pipeline.ready = False
    assert pipeline.monitor.problems() == ["audit is starting"]
    pipeline.member.pid = None
    assert pipeline.monitor.problems() == ["audit is down"]


async def test_the_list_of_targets_follows_the_processes(pipeline: Pipeline) -> None:
    own = (pipeline.monitor.url or "").removeprefix("http://")
    pipeline.monitor._write_targets()
    assert pipeline.targets() == [own, pipeline.exporter.address]
    pipeline.member.metrics_address = "127.0.0.1:1"
    pipeline.monitor._write_targets()
    assert pipeline.targets() == [own, "127.0.0.1:1"]
    pipeline.member.pid = None
    pipeline.monitor._write_targets()
    assert pipeline.targets() == [own]


async def test_a_pipeline_that_never_ran_leaves_the_list_of_another_one(pipeline: Pipeline) -> None:
    pipeline.monitor._write_targets()
    other = PipelineMonitor(load(data_dir=pipeline.folder), members=[], processes=list, telemetry=Telemetry())
    other.start()
    other.stop()
    assert pipeline.exporter.address in pipeline.targets()


async def test_clients_at_once_share_a_page(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(metrics_relay, "fetch", asked.append)
    monkeypatch.setattr(pipeline_monitor, "EVERY_S", 60.0)
    assert {pipeline.monitor._relay() for _ in range(20)} == {pipeline.monitor._relay()}
    assert asked == [pipeline.exporter.address]


async def test_a_list_that_cannot_be_written_is_written_later(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.monitor._write_targets()
    pipeline.member.metrics_address = "127.0.0.1:1"
    with monkeypatch.context() as patched:

        def full(folder: Path, targets: Any) -> None:
            raise OSError("no space left")

        patched.setattr(target_file, "write", full)
        pipeline.monitor._write_targets()
        pipeline.monitor._write_targets()
    assert [type(event) for event in pipeline.emitted] == [FileNotWritten]
    pipeline.monitor._write_targets()
    assert pipeline.targets()[1:] == ["127.0.0.1:1"]

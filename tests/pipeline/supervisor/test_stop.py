"""Stop of the pipeline: stages before the broker, and nothing is left running."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.pipeline import STAGES
from infra.app import supervisor
from infra.app.foreground import up
from infra.app.process_plan import BROKER, plan
from infra.host import runtime_file
from infra.settings.settings import Settings, load
from tests.ending import gone
from tests.pipeline.supervisor.conftest import (
    STAND_IN,
    Start,
    free_port,
)

_SUPERVISED = """
import asyncio, json, sys
from pathlib import Path
from infra.settings.settings import load
from infra.app.foreground import up
from infra.telemetry import logging

folder, program, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
settings = load(data_dir=folder / "data", broker={"sync_interval": "2m", "port": port})
logging.configure(settings)
asyncio.run(up(
    settings,
    on_ready=lambda ready: print(json.dumps(ready), flush=True),
    command=lambda stages: (sys.executable, program, str(folder), *stages),
))
"""


async def test_stages_stop_before_the_broker(make: Start, tmp_path: Path, settings: Settings) -> None:
    async with make(split=True) as supervised:
        pids = supervised.pids
    for pid in pids.values():
        await gone(pid)
    notes = list(tmp_path.glob("stopped-*"))
    assert [note.read_text() for note in notes] == ["broker up"] * len(STAGES)
    assert runtime_file.read(settings) is None


async def test_a_stage_that_does_not_stop_is_killed(
    make: Start, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STOP_S", 0.3)
    (tmp_path / "deaf").touch()
    async with make(settings=settings.model_copy(update={"grace": 0.0})) as supervised:
        pids = supervised.pids
    for pid in pids.values():
        await gone(pid)


async def test_sigterm_ends_up_in_order(
    settings: Settings, command: Callable[[Sequence[str]], Sequence[str]], tmp_path: Path
) -> None:
    said: list[dict[str, Any]] = []

    def ready(what: dict[str, Any]) -> None:
        said.append(what)
        os.kill(os.getpid(), signal.SIGTERM)

    await up(settings, on_ready=ready, command=command)

    (what,) = said
    assert what["ready"] is True
    assert what["nats_url"].startswith("nats://127.0.0.1:")
    assert set(what["pids"]) == {BROKER, *(each.name for each in plan())}
    assert {note.read_text() for note in tmp_path.glob("stopped-*")} == {"broker up"}
    for pid in what["pids"].values():
        await gone(pid)


async def test_a_killed_supervisor_leaves_nobody_behind(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _SUPERVISED,
        str(tmp_path),
        str(STAND_IN),
        str(free_port()),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert parent.stdout is not None
        ready = json.loads(await parent.stdout.readline())
    finally:
        parent.kill()
        await parent.wait()
    for pid in ready["pids"].values():
        await gone(pid)
    settings = load(data_dir=tmp_path / "data")
    with pytest.raises(runtime_file.StaleRuntimeError, match=str(parent.pid)):
        runtime_file.find_url(settings)

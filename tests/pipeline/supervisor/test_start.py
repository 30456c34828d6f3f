"""Start of the pipeline: what is up when it returns, and what ends it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from contracts.pipeline import STAGES
from infra.app.process_plan import BROKER, SupervisorError, all_ready, plan
from infra.app.supervisor import Supervisor
from infra.host import runtime_file
from infra.nats import embedded
from infra.nats.embedded import BrokerHeld, Embedded, PortTaken
from infra.settings.settings import Settings
from tests.pipeline.supervisor.conftest import (
    SHORT,
    Start,
)


async def test_everything_is_up_when_start_returns(make: Start, settings: Settings) -> None:
    async with make(split=True, copies={"fallback": 2}) as supervised:
        found = supervised.processes
        assert [each.name for each in found] == [BROKER, *STAGES, "fallback#2"]
        assert all(each.ready and each.restarts == 0 for each in found)
        assert runtime_file.find_url(settings) == supervised.nats_url
        written = runtime_file.read(settings)
        assert written is not None
        assert written.pids == supervised.pids


async def test_a_stage_with_wrong_settings_ends_the_start(
    make: Start, tmp_path: Path, settings: Settings
) -> None:
    for name in ("exit-2", "always"):
        (tmp_path / name).touch()
    with pytest.raises(SupervisorError, match="ended with status 2 before they were ready"):
        await make().start()
    async with Embedded(settings.data_dir, sync_interval="2m", patience_s=0) as free:
        assert free.running
    assert runtime_file.read(settings) is None


async def test_a_stage_that_never_gets_ready_ends_the_start(make: Start, tmp_path: Path) -> None:
    for name in ("exit-1", "always"):
        (tmp_path / name).touch()
    with pytest.raises(SupervisorError, match="status 1"):
        await make().start()


async def test_a_mistake_that_a_stage_names_ends_the_start_at_once(make: Start, tmp_path: Path) -> None:
    (tmp_path / "exit-1").write_text("world 'inn' has no tiers")
    with pytest.raises(SupervisorError, match="cannot start: world 'inn' has no tiers") as ended:
        await make().start()
    assert ended.value.status == 1


async def test_a_process_that_never_beats_ends_the_start(make: Start, tmp_path: Path) -> None:
    for name in ("mute", "unready"):
        (tmp_path / name).touch()
    with pytest.raises(SupervisorError, match="before they were ready"):
        await make(patience=msgspec.structs.replace(SHORT, starting_s=1.0)).start()


async def test_a_process_that_never_says_ready_is_named(make: Start, tmp_path: Path) -> None:
    (tmp_path / "unready").touch()
    with pytest.raises(SupervisorError, match=r"not ready after \d+ s: connecting to the broker"):
        await make(patience=msgspec.structs.replace(SHORT, ready_s=1.0)).start()


async def test_a_program_that_is_not_there_ends_the_start(settings: Settings) -> None:
    with pytest.raises(SupervisorError, match=r"cannot be started: .*No such file"):
        await Supervisor(settings, command=lambda _: ("/nowhere/python",)).start()


async def test_a_full_disk_under_runtime_json_ends_nothing(
    make: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, refusals = runtime_file.write, iter(range(6))

    def refuse(*args: Any, **options: Any) -> Any:
        for _ in refusals:
            raise OSError(28, "No space left on device")
        return write(*args, **options)

    monkeypatch.setattr(runtime_file, "write", refuse)
    with capture_logs() as logs:
        async with make(patience=SHORT) as supervised:
            async with asyncio.timeout(60):
                while (found := runtime_file.read(settings)) is None:
                    await asyncio.sleep(0.02)
            assert found.pids == supervised.pids
    logged = [each for each in logs if each["event"] == "file_not_written"]
    assert len(logged) == 1


async def test_another_port_than_the_usual_one_is_logged(
    settings: Settings, command: Callable[[Sequence[str]], Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(embedded, "PORT", port)
        unset = settings.model_copy(update={"broker": settings.broker.model_copy(update={"port": None})})
        with capture_logs() as logs:
            async with Supervisor(unset, command=command) as supervised:
                url = supervised.nats_url
    said = [each["message"] for each in logs if each["event"] == "broker_moved"]
    assert said == [
        f"port {port} is taken by another program; using {url.rpartition(':')[2]}: clients must use {url}"
    ]


async def test_a_port_that_was_asked_for_and_is_taken_ends_the_start(make: Start, settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.broker.port or 0))
        taken.listen()
        with pytest.raises(PortTaken, match=f"port {settings.broker.port} on"):
            await make().start()


async def test_only_its_owner_reads_what_is_kept(make: Start, settings: Settings) -> None:
    async with make():
        modes = {each: each.stat().st_mode & 0o077 for each in settings.data_dir.rglob("*")}
        assert settings.data_dir.stat().st_mode & 0o077 == 0
    assert len(modes) > 5
    assert set(modes.values()) == {0}


async def test_a_data_folder_that_cannot_be_made_ends_the_start(
    settings: Settings, command: Callable[[Sequence[str]], Sequence[str]], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    nowhere = settings.model_copy(update={"data_dir": tmp_path / "file" / "data"})
    with pytest.raises(SupervisorError, match=r"the data folder cannot be used: .*file"):
        await Supervisor(nowhere, command=command).start()


async def test_answers_get_the_processor_first(make: Start) -> None:
    async with make() as supervised:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        found = {name: os.getpriority(os.PRIO_PROCESS, pid) - own for name, pid in supervised.pids.items()}
    assert found == {BROKER: 0, **{each.name: each.nice for each in plan()}}


async def test_a_folder_in_use_ends_the_start(make: Start) -> None:
    async with make() as first:
        with pytest.raises(BrokerHeld, match=str(first.pids[BROKER])):
            await make().start()
        assert all_ready(first.processes)


async def test_with_an_outside_broker_none_is_started(
    make: Start, settings: Settings, tmp_path: Path
) -> None:
    async with Embedded(tmp_path / "theirs", sync_interval="2m") as theirs:
        outside = settings.model_copy(update={"nats_url": theirs.url})
        async with make(settings=outside) as supervised:
            assert BROKER not in supervised.pids
            assert supervised.nats_url == theirs.url
        assert theirs.running

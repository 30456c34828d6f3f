"""Is the pipeline kept running, and stopped in order?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from contracts.pipeline import STAGES
from infra.app import supervisor
from infra.app.process_plan import BROKER, Running, SupervisorError, all_ready, environment, plan
from infra.app.supervised import StartPatience
from infra.app.supervisor import Supervisor, up
from infra.host import runtime_file
from infra.nats import embedded
from infra.nats.embedded import BrokerHeld, Embedded, PortTaken
from infra.nats.health import Health
from infra.settings.settings import Settings, SettingsError, load
from tests.ending import gone
from tests.import_path import IMPORT_PATH

_STAND_IN = Path(__file__).parent / "understudied.py"

_SUPERVISED = """
import asyncio, json, sys
from pathlib import Path
from infra.settings.settings import load
from infra.app.supervisor import up
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

Start = Callable[..., Supervisor]

#: Short for a test that waits for its end, long for a process that gets no processor for a while.
_SHORT = StartPatience(step_s=0.05, silent_s=3.0, starting_s=5.0)


def _free_port() -> int:
    """Free just now; whoever takes it first makes the broker choose another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(data_dir=tmp_path / "data", broker={"sync_interval": "2m", "port": _free_port()}, grace=10.0)


@pytest.fixture
def command(tmp_path: Path) -> Callable[[Sequence[str]], Sequence[str]]:
    return lambda stages: (sys.executable, str(_STAND_IN), str(tmp_path), *stages)


@pytest.fixture
def make(settings: Settings, command: Callable[[Sequence[str]], Sequence[str]]) -> Start:
    return lambda **options: Supervisor(options.pop("settings", settings), command=command, **options)


def _of(found: Sequence[Running], name: str) -> Running:
    return next(each for each in found if each.name == name)


async def _again(supervised: Supervisor, name: str, *, restarts: int = 1) -> Running:
    """The process after its restart, with everything up."""
    async with asyncio.timeout(90):
        await supervised.until(lambda found: _of(found, name).restarts >= restarts and all_ready(found))
    return _of(supervised.processes, name)


def test_by_default_fallback_and_audit_stand_alone() -> None:
    assert [each.stages for each in plan()] == [
        ("freeform-gen", "structuring"),
        ("context-build", "validate-repair"),
        ("fallback",),
        ("audit",),
    ]


def test_answers_go_before_everything_else_on_a_small_machine() -> None:
    assert {each.name: each.nice for each in plan(copies={"fallback": 2})} == {
        "freeform-gen+structuring": 5,
        "context-build+validate-repair": 2,
        "fallback": 0,
        "audit": 10,
        "fallback#2": 0,
    }


def test_split_gives_each_stage_a_process() -> None:
    assert [each.stages for each in plan(split=True)] == [(stage,) for stage in STAGES]


def test_copies_count_in_all_and_are_processes_of_their_own() -> None:
    found = plan(copies={"audit": 3})
    assert [each.name for each in found][4:] == ["audit#2", "audit#3"]
    assert [each.stages for each in found][4:] == [("audit",), ("audit",)]


def test_no_copy_at_all_is_refused() -> None:
    with pytest.raises(SupervisorError, match="audit=0"):
        plan(copies={"audit": 0})


def test_copies_of_an_unknown_stage_are_refused() -> None:
    with pytest.raises(SettingsError, match="'writer' is unknown"):
        plan(copies={"writer": 2})


def test_a_child_reads_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_BROKER__PORT", "1111")
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT", "elsewhere")
    ours = load(
        data_dir=tmp_path,
        use_local_model=True,
        broker={"port": 2222},
        ack_wait=3.5,
        narrative={},
        script="s.json",
    )
    variables = environment(ours, "nats://127.0.0.1:1", os.environ)
    for name in set(os.environ) - set(variables):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    theirs = load()
    assert theirs.model_dump() == {**ours.model_dump(), "nats_url": "nats://127.0.0.1:1"}


async def test_everything_is_up_when_start_returns(make: Start, settings: Settings) -> None:
    async with make(split=True, copies={"fallback": 2}) as supervised:
        found = supervised.processes
        assert [each.name for each in found] == [BROKER, *STAGES, "fallback#2"]
        assert all(each.ready and each.restarts == 0 for each in found)
        assert runtime_file.find_url(settings) == supervised.nats_url
        written = runtime_file.read(settings)
        assert written is not None
        assert written.pids == supervised.pids


async def test_a_killed_stage_comes_back(make: Start) -> None:
    async with make() as supervised:
        before = _of(supervised.processes, "freeform-gen+structuring")
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        after = await _again(supervised, before.name)
        others = [each.restarts for each in supervised.processes if each.name != before.name]
    assert after.pid not in {None, before.pid}
    assert set(others) == {0}


async def test_a_killed_broker_comes_back_on_its_port_with_its_data(make: Start) -> None:
    async with make() as supervised:
        url, pid = supervised.nats_url, supervised.pids[BROKER]
        nc = Client()
        await nc.connect(url, allow_reconnect=False)
        await nc.jetstream().publish("gen.requested.layout.r1", b"{}")
        await nc.close()
        os.kill(pid, signal.SIGKILL)
        after = await _again(supervised, BROKER)
        again = Client()
        await again.connect(url, allow_reconnect=False)
        kept = await again.jetstream().get_msg("REQUESTS", 1)
        await again.close()
        stages = [each.restarts for each in supervised.processes if each.name != BROKER]
    assert (kept.subject, after.pid != pid, supervised.nats_url) == ("gen.requested.layout.r1", True, url)
    assert set(stages) == {0}


async def test_a_stage_without_its_topology_gets_it(make: Start, tmp_path: Path) -> None:
    async with make() as supervised:
        nc = Client()
        await nc.connect(supervised.nats_url, allow_reconnect=False)
        await nc.jetstream().delete_consumer("EVENTS", "audit")
        (tmp_path / "exit-78").touch()
        victim = "audit"
        os.kill(supervised.pids[victim], signal.SIGKILL)
        await _again(supervised, victim, restarts=2)
        info = await nc.jetstream().consumer_info("EVENTS", "audit")
        await nc.close()
    assert info.name == "audit"


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


async def test_a_mistake_that_appears_later_stops_nobody_else(make: Start, tmp_path: Path) -> None:
    async with make() as supervised:
        (tmp_path / "exit-2").write_text("world 'inn' has no tiers")
        with capture_logs() as logs:
            os.kill(supervised.pids["audit"], signal.SIGKILL)
            await _again(supervised, "audit", restarts=2)
        others = {each.restarts for each in supervised.processes if each.name != "audit"}
    assert others == {0}
    assert "world 'inn' has no tiers" in [each.get("problem") for each in logs]


async def test_a_frozen_process_is_replaced(make: Start) -> None:
    async with make(patience=_SHORT) as supervised:
        before = {each.name: each for each in supervised.processes if each.name != BROKER}
        with capture_logs() as logs:
            for each in before.values():
                assert each.pid is not None
                os.kill(each.pid, signal.SIGSTOP)
            for each in before.values():
                assert (await _again(supervised, each.name)).pid != each.pid
    told = {(each["stages"], each["pid"]) for each in logs if each["event"] == "stages_killed"}
    assert told == {(each.name, each.pid) for each in before.values()}
    assert all(each["seconds"] >= _SHORT.silent_s for each in logs if each["event"] == "stages_killed")


async def test_a_frozen_broker_is_replaced_on_its_port_with_its_data(make: Start) -> None:
    async with make(patience=_SHORT) as supervised:
        url = supervised.nats_url
        nc = Client()
        await nc.connect(url, allow_reconnect=False)
        await nc.jetstream().publish("gen.requested.layout.r1", b"{}")
        await nc.close()
        os.kill(supervised.pids[BROKER], signal.SIGSTOP)
        await _again(supervised, BROKER)
        again = Client()
        await again.connect(url, allow_reconnect=False)
        kept = await again.jetstream().get_msg("REQUESTS", 1)
        await again.close()
    assert (kept.subject, supervised.nats_url) == ("gen.requested.layout.r1", url)


async def test_a_process_that_never_beats_ends_the_start(make: Start, tmp_path: Path) -> None:
    for name in ("mute", "unready"):
        (tmp_path / name).touch()
    with pytest.raises(SupervisorError, match="before they were ready"):
        await make(patience=msgspec.structs.replace(_SHORT, starting_s=1.0)).start()


async def test_a_process_that_never_says_ready_is_named(make: Start, tmp_path: Path) -> None:
    (tmp_path / "unready").touch()
    with pytest.raises(SupervisorError, match=r"not ready after \d+ s: connecting to the broker"):
        await make(patience=msgspec.structs.replace(_SHORT, ready_s=1.0)).start()


async def test_what_a_process_leaves_behind_does_not_hide_its_end(make: Start, tmp_path: Path) -> None:
    (tmp_path / "heir").touch()
    async with make() as supervised:
        os.kill(supervised.pids["audit"], signal.SIGKILL)
        assert (await _again(supervised, "audit")).restarts == 1
    for heir in tmp_path.glob("heir-of-*"):
        with suppress(ProcessLookupError):
            os.kill(int(heir.read_text()), signal.SIGKILL)


async def test_a_system_that_starts_no_process_is_asked_again(
    make: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make() as supervised:
        refusals = iter([BlockingIOError(11, "Resource temporarily unavailable"), OSError(12, "No memory")])
        start = asyncio.get_running_loop().subprocess_exec

        async def refuse(*args: Any, **options: Any) -> Any:
            for error in refusals:
                raise error
            return await start(*args, **options)

        monkeypatch.setattr(asyncio.get_running_loop(), "subprocess_exec", refuse)
        with capture_logs() as logs:
            os.kill(supervised.pids["audit"], signal.SIGKILL)
            await _again(supervised, "audit", restarts=3)
    refused = [each["problem"] for each in logs if each["event"] == "start_refused"]
    assert [each[:10] for each in refused] == ["[Errno 11]", "[Errno 12]"]


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
        async with make(patience=_SHORT) as supervised:
            async with asyncio.timeout(60):
                while (found := runtime_file.read(settings)) is None:
                    await asyncio.sleep(0.02)
            assert found.pids == supervised.pids
    told = [each for each in logs if each["event"] == "file_not_written"]
    assert len(told) == 1


async def test_a_broker_that_cannot_store_is_restarted_once_there_is_room(
    make: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = chain(repeat(0, 20), repeat(1_000_000))
    healthy = Embedded.health

    async def ill(broker: Embedded) -> Health:
        if pid == broker.pid:
            return Health(broken=("EVENTS",), stored=1, limit=1)
        return await healthy(broker)

    async with make(patience=msgspec.structs.replace(_SHORT, broken_s=0.5)) as supervised:
        pid = supervised.pids[BROKER]
        monkeypatch.setattr(Embedded, "room", lambda *_: next(rooms))
        monkeypatch.setattr(Embedded, "health", ill)
        with capture_logs() as logs:
            await _again(supervised, BROKER)
    told = [each["event"] for each in logs if each["log_level"] != "debug"]
    assert told[:2] == [
        "broker_full",
        "broker_restarted",
    ]


async def test_another_port_than_the_usual_one_is_told(
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


async def test_a_data_folder_that_cannot_be_made_is_told(
    settings: Settings, command: Callable[[Sequence[str]], Sequence[str]], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    nowhere = settings.model_copy(update={"data_dir": tmp_path / "file" / "data"})
    with pytest.raises(SupervisorError, match=r"the data folder cannot be used: .*file"):
        await Supervisor(nowhere, command=command).start()


async def test_answers_get_the_processor_first(make: Start) -> None:
    async with make() as supervised:
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        found = {name: os.getpriority(os.PRIO_PROCESS, pid) - ours for name, pid in supervised.pids.items()}
    assert found == {BROKER: 0, **{each.name: each.nice for each in plan()}}


async def test_a_folder_of_the_same_name_where_somebody_stands_is_not_imported(tmp_path: Path) -> None:
    for name in ("infra", "contracts", "stages"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('not ours')")
    up = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "infra.cli",
        "up",
        "--json",
        cwd=tmp_path,
        env={
            **os.environ,
            "UNDERSTUDY_BROKER__PORT": str(_free_port()),
            "PYTHONPATH": IMPORT_PATH,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert up.stdout is not None
    ready = await asyncio.wait_for(up.stdout.readline(), 60)
    up.terminate()
    _, said = await up.communicate()
    assert b'"ready":true' in ready, said.decode()
    assert "not ours" not in said.decode()
    assert up.returncode == 0


async def test_a_folder_in_use_ends_the_start(make: Start) -> None:
    async with make() as first:
        with pytest.raises(BrokerHeld, match=str(first.pids[BROKER])):
            await make().start()
        assert all_ready(first.processes)


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


async def test_with_a_broker_of_its_own_none_is_started(
    make: Start, settings: Settings, tmp_path: Path
) -> None:
    async with Embedded(tmp_path / "theirs", sync_interval="2m") as theirs:
        outside = settings.model_copy(update={"nats_url": theirs.url})
        async with make(settings=outside) as supervised:
            assert BROKER not in supervised.pids
            assert supervised.nats_url == theirs.url
        assert theirs.running


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
        str(_STAND_IN),
        str(_free_port()),
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

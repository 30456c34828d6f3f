"""Restarts: processes that are killed, frozen or without room come back, and the others go on."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from infra.app.process_plan import BROKER
from infra.nats.connection import dial
from infra.nats.embedded import Embedded
from infra.nats.health import Health
from tests.pipeline.supervisor.conftest import (
    SHORT,
    Start,
    find_process,
    wait_for_restart,
)


async def test_a_killed_stage_comes_back(make: Start) -> None:
    async with make() as supervised:
        before = find_process(supervised.processes, "freeform-gen+structuring")
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        after = await wait_for_restart(supervised, before.name)
        others = [each.restarts for each in supervised.processes if each.name != before.name]
    assert after.pid not in {None, before.pid}
    assert set(others) == {0}


async def test_a_killed_broker_comes_back_on_its_port_with_its_data(make: Start) -> None:
    async with make() as supervised:
        url, pid = supervised.nats_url, supervised.pids[BROKER]
        nc = await dial(supervised.reached, name="test")
        await nc.jetstream().publish("gen.requested.layout.r1", b"{}")
        await nc.close()
        os.kill(pid, signal.SIGKILL)
        after = await wait_for_restart(supervised, BROKER)
        again = await dial(supervised.reached, name="test")
        kept = await again.jetstream().get_msg("REQUESTS", 1, direct=True)
        await again.close()
        stages = [each.restarts for each in supervised.processes if each.name != BROKER]
    assert (kept.subject, after.pid != pid, supervised.nats_url) == ("gen.requested.layout.r1", True, url)
    assert set(stages) == {0}


async def test_a_stage_without_its_topology_gets_it(make: Start, tmp_path: Path) -> None:
    async with make() as supervised:
        nc = await dial(supervised.reached, name="test")
        await nc.jetstream().delete_consumer("EVENTS", "audit")
        (tmp_path / "exit-78").touch()
        victim = "audit"
        os.kill(supervised.pids[victim], signal.SIGKILL)
        await wait_for_restart(supervised, victim, restarts=2)
        info = await nc.jetstream().consumer_info("EVENTS", "audit")
        await nc.close()
    assert info.name == "audit"


async def test_a_mistake_that_appears_later_stops_nobody_else(make: Start, tmp_path: Path) -> None:
    async with make() as supervised:
        (tmp_path / "exit-2").write_text("world 'inn' has no tiers")
        with capture_logs() as logs:
            os.kill(supervised.pids["audit"], signal.SIGKILL)
            await wait_for_restart(supervised, "audit", restarts=2)
        others = {each.restarts for each in supervised.processes if each.name != "audit"}
    assert others == {0}
    assert "world 'inn' has no tiers" in [each.get("problem") for each in logs]


async def test_a_frozen_process_is_replaced(make: Start) -> None:
    async with make(patience=SHORT) as supervised:
        before = {each.name: each for each in supervised.processes if each.name != BROKER}
        with capture_logs() as logs:
            for each in before.values():
                assert each.pid is not None
                os.kill(each.pid, signal.SIGSTOP)
            for each in before.values():
                assert (await wait_for_restart(supervised, each.name)).pid != each.pid
    logged = {(each["stages"], each["pid"]) for each in logs if each["event"] == "stages_killed"}
    assert logged == {(each.name, each.pid) for each in before.values()}
    assert all(each["seconds"] >= SHORT.silent_s for each in logs if each["event"] == "stages_killed")


async def test_a_frozen_broker_is_replaced_on_its_port_with_its_data(make: Start) -> None:
    async with make(patience=SHORT) as supervised:
        url = supervised.nats_url
        nc = await dial(supervised.reached, name="test")
        await nc.jetstream().publish("gen.requested.layout.r1", b"{}")
        await nc.close()
        os.kill(supervised.pids[BROKER], signal.SIGSTOP)
        await wait_for_restart(supervised, BROKER)
        again = await dial(supervised.reached, name="test")
        kept = await again.jetstream().get_msg("REQUESTS", 1, direct=True)
        await again.close()
    assert (kept.subject, supervised.nats_url) == ("gen.requested.layout.r1", url)


async def test_what_a_process_leaves_behind_does_not_hide_its_end(make: Start, tmp_path: Path) -> None:
    (tmp_path / "heir").touch()
    async with make() as supervised:
        os.kill(supervised.pids["audit"], signal.SIGKILL)
        assert (await wait_for_restart(supervised, "audit")).restarts == 1
    for heir in tmp_path.glob("heir-of-*"):
        with suppress(ProcessLookupError):
            os.kill(int(heir.read_text()), signal.SIGKILL)


async def test_a_start_that_the_system_refuses_is_repeated(
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
            await wait_for_restart(supervised, "audit", restarts=3)
    refused = [each["problem"] for each in logs if each["event"] == "start_refused"]
    assert [each[:10] for each in refused] == ["[Errno 11]", "[Errno 12]"]


async def test_a_broker_that_cannot_store_is_restarted_once_there_is_room(
    make: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = chain(repeat(0, 20), repeat(1_000_000))
    healthy = Embedded.health

    async def ill(broker: Embedded) -> Health:
        if pid == broker.pid:
            return Health(broken=("EVENTS",), stored=1, limit=1)
        return await healthy(broker)

    async with make(patience=msgspec.structs.replace(SHORT, broken_s=0.5)) as supervised:
        pid = supervised.pids[BROKER]
        monkeypatch.setattr(Embedded, "room", lambda *_: next(rooms))
        monkeypatch.setattr(Embedded, "health", ill)
        with capture_logs() as logs:
            await wait_for_restart(supervised, BROKER)
    logged = [each["event"] for each in logs if each["log_level"] != "debug"]
    assert logged[:2] == [
        "broker_full",
        "broker_restarted",
    ]

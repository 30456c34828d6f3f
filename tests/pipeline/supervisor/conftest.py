"""Supervisors under test: their settings, and stand-ins for their stages."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from infra.app.process_plan import Running, all_ready
from infra.app.supervised import StartPatience
from infra.app.supervisor import Supervisor
from infra.settings.settings import Settings, load

STAND_IN = Path(__file__).parents[1] / "understudied.py"

Start = Callable[..., Supervisor]

#: Short for a test that waits for its end, long for a process that gets no processor for a while.
SHORT = StartPatience(step_s=0.05, silent_s=3.0, starting_s=5.0)


def free_port() -> int:
    """A port that is free now; if another program takes it first, the broker chooses another one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(
        data_dir=tmp_path / "data",
        broker={"sync_interval": "2m", "port": free_port()},
        gateway={"enabled": False},
        grace=10.0,
    )


@pytest.fixture
def command(tmp_path: Path) -> Callable[[Sequence[str]], Sequence[str]]:
    return lambda stages: (sys.executable, str(STAND_IN), str(tmp_path), *stages)


@pytest.fixture
def make(settings: Settings, command: Callable[[Sequence[str]], Sequence[str]]) -> Start:
    return lambda **options: Supervisor(options.pop("settings", settings), command=command, **options)


def find_process(processes: Sequence[Running], name: str) -> Running:
    """The process of a name."""
    return next(each for each in processes if each.name == name)


async def wait_for_restart(supervised: Supervisor, name: str, *, restarts: int = 1) -> Running:
    """Wait for a process's restart and for all to be ready; the process."""
    async with asyncio.timeout(90):
        await supervised.until(
            lambda found: find_process(found, name).restarts >= restarts and all_ready(found)
        )
    return find_process(supervised.processes, name)

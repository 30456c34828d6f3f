"""Is the memory of a process and of what it started told under its name?"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from infra.app.process_plan import Running
from infra.lab.bench.sampler import Sampler, children, resident


def _running(pid: int | None) -> Running:
    return Running(name="stage", pid=pid, stages=(), restarts=0, ready=True)


def test_memory_is_told_by_name_with_that_of_its_children_apart() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in children()[os.getpid()]
        sampler = Sampler(lambda: [_running(os.getpid())])
        sampler.begin()
        found = sampler.end()
        child.communicate(b"\n")
    assert found["stage"].max == pytest.approx(resident() / 1024**2, rel=0.2)
    assert found["stage/children"].max >= 1
    assert found["stage"].before <= found["stage"].max


def test_a_process_that_is_gone_has_no_memory_any_more() -> None:
    pids: list[int | None] = [os.getpid()]
    sampler = Sampler(lambda: [_running(pids[0])])
    sampler.begin()
    pids[0] = None
    found = sampler.end()["stage"]
    assert found.before > 0
    assert (found.max, found.after) == (found.before, 0)

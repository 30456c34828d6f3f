"""Threads: fewer while other processes compute, all afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from infra.engine import threads
from infra.engine.engine import Engine
from infra.engine.load import Loaded
from infra.engine.task import Task
from infra.engine.threads import Threads


class Cores:
    """Time that passes as told; stands in for the clocks, and notes how many threads are used."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        self.wall = self.cpu = 100.0
        self.used = most
        monkeypatch.setattr(threads.time, "monotonic", lambda: self.wall)
        monkeypatch.setattr(threads.time, "thread_time", lambda: self.cpu)
        monkeypatch.setattr(torch, "get_num_threads", lambda: most)
        monkeypatch.setattr(torch, "set_num_threads", self._use)
        self._threads = Threads()

    def _use(self, number: int) -> None:
        self.used = number

    def pass_by(self, seconds: float, *, held: float) -> list[int]:
        """Passes of 10 ms for so long, in which the thread has a core for a share of the time."""
        seen: list[int] = []
        for _ in range(round(seconds / 0.01)):
            with self._threads:
                self.wall += 0.01
                self.cpu += 0.01 * held
            seen.append(self.used)
        return seen


def test_all_threads_are_used_while_nobody_else_computes(monkeypatch) -> None:
    assert set(Cores(monkeypatch, 4).pass_by(20, held=0.97)) == {4}


def test_fewer_are_used_while_cores_are_taken(monkeypatch) -> None:
    cores = Cores(monkeypatch, 4)
    assert cores.pass_by(0.1, held=0.6) == [4] * 10
    assert cores.pass_by(0.4, held=0.6)[-1] == 1
    assert set(cores.pass_by(5, held=0.6)) == {1}


def test_all_are_used_again_when_the_cores_are_free(monkeypatch) -> None:
    cores = Cores(monkeypatch, 4)
    cores.pass_by(0.4, held=0.6)
    assert cores.pass_by(3, held=1.0)[-1] == 4


def test_the_longer_cores_are_taken_the_rarer_more_are_tried(monkeypatch) -> None:
    cores = Cores(monkeypatch, 2)
    tried: list[int] = []
    for _ in range(8):
        # With one thread it has a core, with two it has not.
        for _ in range(1000):
            cores.pass_by(0.01, held=1.0 if cores.used == 1 else 0.6)
            tried.append(cores.used)
    first, last = tried[:2000].count(2), tried[-2000:].count(2)
    assert 0 < last < first < 300


def test_time_between_passes_does_not_count(monkeypatch) -> None:
    cores = Cores(monkeypatch, 2)
    for _ in range(100):
        cores.pass_by(0.01, held=1.0)
        cores.wall += 1
    assert cores.used == 2


@pytest.mark.skipif(torch.get_num_threads() == 1, reason="one core: nothing to give way with")
def test_an_engine_that_gave_way_leaves_all_threads_to_the_next(loaded: Loaded, monkeypatch) -> None:
    monkeypatch.setattr(threads, "_ALONE", 2.0)
    monkeypatch.setattr(threads, "_WINDOW_S", 0.0)

    def used() -> int:
        with ThreadPoolExecutor(1) as fresh:
            return fresh.submit(torch.get_num_threads).result()

    before = used()
    made = Engine(loaded, rows=2, max_len=64)
    made.start()
    made.submit(Task(prompt=(5, 6), max_tokens=4)).result(60)
    given_way = used()
    made.close()
    assert (given_way, used()) == (1, before)

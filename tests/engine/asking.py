"""What do the engine's tests ask it for, and how do they stop it between two steps?"""

from __future__ import annotations

import threading
import time

from infra.engine.engine import Engine
from infra.engine.load import Loaded
from infra.engine.task import Task

LAKE = "A frozen lake with two platforms"


def asked(loaded: Loaded, text: str = LAKE, **fields) -> Task:
    return Task(prompt=tuple(loaded.tokenizer.encode(text)), **{"max_tokens": 24, **fields})


def many(loaded: Loaded, count: int = 16, **fields) -> list[Task]:
    """Tasks of different lengths and seeds."""
    return [
        asked(loaded, "coin " * number + LAKE, temperature=0.9, top_p=0.9, seed=number, **fields)
        for number in range(count)
    ]


def texts(engine: Engine, tasks: list[Task]) -> list[str]:
    """All at once: more than there are rows."""
    return [future.result(60).text for future in [engine.submit(task) for task in tasks]]


class Clock:
    """The engine's time, which passes when a test says so; stands in for the module ``time``."""

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Slow:
    """Lets the engine do one step at a time."""

    def __init__(self, engine: Engine) -> None:
        self._inner = engine._forward
        self.steps = threading.Semaphore(0)
        self.began = threading.Semaphore(0)
        engine._forward = self

    def __call__(self, *args, **kwargs):
        self.began.release()
        assert self.steps.acquire(timeout=30)
        return self._inner(*args, **kwargs)

    def go(self, steps: int) -> None:
        for _ in range(steps):
            assert self.began.acquire(timeout=30)
            self.steps.release()

    def run_free(self) -> None:
        for _ in range(10_000):
            self.steps.release()

"""Long-run check of the engine's memory.

Every row is taken all the time, and more requests wait: prose, documents of all kinds, schemas never seen
before, prompts of up to half the window.  Some are cancelled while they are written, some run out of time.
"""

from __future__ import annotations

import collections
import itertools
import math
import random
import statistics
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any, Final

import msgspec

from contracts.content.registry import CONTENTS, MODELS
from infra.engine.engine import Engine
from infra.engine.grammar import KEPT
from infra.engine.load import Loaded, load
from infra.engine.task import EngineError, EngineOutput, EngineTimeout, Task
from infra.lab.bench import schemas
from infra.lab.bench.sampler import resident
from infra.lab.bench.trial import Say
from infra.lab.house_model.generate import example

ROWS: Final = 16
#: Requests that were submitted and are not answered.
_AT_ONCE: Final = 3 * ROWS
_TOKENS: Final = 160
#: One request in so many is cancelled half-way, and one has too little time.
_CANCELLED: Final = 17
_HURRIED: Final = 19
_HURRY_S: Final = 0.05
_PATIENCE_S: Final = 600.0
#: Requests before the clock starts: then as many grammars are kept as ever are, and in use.
_FULL: Final = 5 * KEPT
#: Measurements of memory; those of the first fifth do not count.
_POINTS: Final = 60
#: Growth from the median of the second fifth to that of the last.
MOST_GROWTH: Final = 1.03


class SteadyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run showed."""

    minutes: float
    answered: int
    cancelled: int
    overdue: int
    #: Messages of other failures, and how many.
    failed: dict[str, int]
    tokens: int
    tokens_per_s: float
    #: Resident memory at equal distances, MiB.
    resident_mib: tuple[float, ...]
    #: Median of the last fifth of them to that of the second.
    growth: float

    @property
    def passed(self) -> bool:
        """Memory stayed flat and only what was meant to fail failed."""
        return self.growth <= MOST_GROWTH and not self.failed and self.answered > 0


def run(*, source: Path, minutes: float, seed: int, say: Say) -> SteadyReport:
    """Keep an engine busy for so long.

    Args:
        source: folder of a model.
        minutes: how long.
        seed: of what is asked.
        say: told once for each measurement.
    """
    loaded = load(str(source), device="cpu", dtype="float32")
    engine = Engine(loaded, rows=ROWS, max_len=loaded.window, queue=_AT_ONCE)
    engine.start()
    ends: collections.Counter[str] = collections.Counter()
    failed: collections.Counter[str] = collections.Counter()
    sizes: list[float] = []
    began = math.inf
    tokens = 0
    try:
        pending: collections.deque[Future[EngineOutput]] = collections.deque()
        for number, task in enumerate(_tasks(loaded, seed)):
            if number == _FULL:
                began, tokens = time.monotonic(), -engine.stats.tokens
            if time.monotonic() - began >= (len(sizes) + 1) * minutes * 60 / _POINTS:
                sizes.append(resident() / 1024**2)
                say(f"{len(sizes)} of {_POINTS}: {sizes[-1]:.1f} MiB, {engine.stats.answered} answered")
                if len(sizes) == _POINTS:
                    break
            if len(pending) == _AT_ONCE:
                _end(pending.popleft(), ends, failed)
            pending.append(_submit(engine, task, cancelled=number % _CANCELLED == 0))
        took = time.monotonic() - began
        tokens += engine.stats.tokens
        for future in pending:
            future.cancel()
    finally:
        engine.close()
    fifth = _POINTS // 5
    return SteadyReport(
        minutes=minutes,
        answered=ends["answered"],
        cancelled=ends["cancelled"],
        overdue=ends["overdue"],
        failed=dict(failed),
        tokens=tokens,
        tokens_per_s=round(tokens / took, 1),
        resident_mib=tuple(round(size, 1) for size in sizes),
        growth=round(statistics.median(sizes[-fifth:]) / statistics.median(sizes[fifth : 2 * fifth]), 4),
    )


def _submit(engine: Engine, task: Task, *, cancelled: bool) -> Future[EngineOutput]:
    if not cancelled:
        return engine.submit(task)
    own: list[Future[EngineOutput]] = []
    future = engine.submit(task, lambda _: _cancel(own))
    own.append(future)
    return future


def _cancel(futures: list[Future[EngineOutput]]) -> None:
    for future in futures:
        future.cancel()


def _end(
    future: Future[EngineOutput], ends: collections.Counter[str], failed: collections.Counter[str]
) -> None:
    try:
        future.result()
    except CancelledError:
        ends["cancelled"] += 1
    except EngineTimeout:
        ends["overdue"] += 1
    except EngineError as error:
        failed[str(error)] += 1
    else:
        ends["answered"] += 1


def _tasks(loaded: Loaded, seed: int) -> Iterator[Task]:
    """Tasks without end, hardly one like another."""
    for number in itertools.count():
        rng = random.Random(f"{seed}:{number}")  # noqa: S311 - no secret
        one = example(seed, number)
        schema: Mapping[str, Any] | None = None
        text = one.wish
        match number % 4:
            case 0:
                text = " ".join([text] * rng.randint(1, 8))
            case 1:
                text, schema = one.prose, schemas.draw(rng)
            case _ if number % 2:
                text, schema = one.prose, CONTENTS.schema(rng.choice(tuple(MODELS)), None)
            case _:
                pass
        prompt = loaded.tokenizer.encode(text, add_special_tokens=False)[: loaded.window // 2]
        yield Task(
            prompt=tuple(prompt),
            max_tokens=min(_TOKENS, loaded.window // 2),
            temperature=0.8,
            top_p=0.95,
            seed=number,
            schema=schema,
            timeout_s=_HURRY_S if number % _HURRIED == 1 else _PATIENCE_S,
        )

"""Shared answers: one computation for all who ask at the same time or soon after."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, TypeVar, cast

import msgspec

T = TypeVar("T")
#: Answers that are kept.
_KEPT: Final = 64
#: Computations at once of those that wait for a turn.
_AT_ONCE: Final = 2
#: An answer is kept for this many times the time that it took, so that asking often takes a share of a core.
PAUSE: Final = 10


class _Answer(msgspec.Struct):
    value: Any
    until_s: float


class SharedAnswers:
    """Answers by key, each computed at most once at a time and kept for some seconds.

    Args:
        clock: seconds, never going back.
        kept: answers that are kept.
        at_once: computations at once of those that wait for a turn.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, kept: int = _KEPT, at_once: int = _AT_ONCE
    ) -> None:
        self._clock = clock
        self._most = kept
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._running: dict[Hashable, asyncio.Task[Any]] = {}
        self._turn = asyncio.Semaphore(at_once)

    async def get(
        self,
        key: Hashable,
        compute: Callable[[], Awaitable[T]],
        *,
        kept_s: float,
        pause: float = PAUSE,
        in_turn: bool = False,
    ) -> T:
        """The answer for a key.

        It is computed for all who wait for it: the computation goes on when one of them leaves.  An error goes to all
        of them, and is not kept.

        Args:
            key: names the question and everything that the answer depends on.
            compute: finds the answer.
            kept_s: seconds for which an answer is kept at least.
            pause: it is also kept for this many times the time that it took.
            in_turn: wait for a turn: the key is one of many, and each computation occupies a thread.
        """
        found = self._answers.get(key)
        if found is not None and self._clock() < found.until_s:
            self._answers.move_to_end(key)
            return cast("T", found.value)
        running = self._running.get(key)
        if running is None:
            work = self._compute(key, compute, kept_s, pause, self._turn if in_turn else nullcontext())
            running = self._running[key] = asyncio.create_task(work)
            running.add_done_callback(lambda task: self._done(key, task))
        return await asyncio.shield(running)

    async def close(self) -> None:
        """End the computations that run."""
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _compute(
        self,
        key: Hashable,
        compute: Callable[[], Awaitable[T]],
        kept_s: float,
        pause: float,
        turn: AbstractAsyncContextManager[None],
    ) -> T:
        async with turn:
            began_s = self._clock()
            value = await compute()
        now_s = self._clock()
        for old in [each for each, answer in self._answers.items() if answer.until_s <= now_s]:
            del self._answers[old]
        while len(self._answers) >= self._most:
            self._answers.popitem(last=False)
        self._answers[key] = _Answer(value, now_s + max(kept_s, pause * (now_s - began_s)))
        return value

    def _done(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # retrieved here, in case nobody waits any more

"""Inbox between a fast producer and its consumer, on one event loop: bounded, and read in groups."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedInbox(Generic[T]):
    """Items in the order of their arrival.

    Reading all that is there at once costs one wake-up; a queue costs one for each item.

    Args:
        most: items that wait at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[T] = deque()
        self._came = asyncio.Event()
        self._taken = asyncio.Event()
        #: Items that :meth:`offer` dropped.
        self.dropped = 0

    async def put(self, item: T) -> None:
        """Add an item; wait while the inbox is full."""
        while len(self._waiting) >= self._most:
            self._taken.clear()
            await self._taken.wait()
        self._waiting.append(item)
        self._came.set()

    def offer(self, item: T) -> None:
        """Add an item, or drop and count it while the inbox is full."""
        if len(self._waiting) >= self._most:
            self.dropped += 1
            return
        self._waiting.append(item)
        self._came.set()

    async def take(self, timeout_s: float | None) -> list[T]:
        """Everything that is there, as soon as there is something; nothing after the time-out."""
        if not self._waiting:
            self._came.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), timeout_s)
        found = list(self._waiting)
        self._waiting.clear()
        self._taken.set()
        return found

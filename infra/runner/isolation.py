"""Isolation of suspects: messages that may have killed a process run alone in their worker.

Ordinary messages run together; no neighbour of a suspect is blamed when it kills the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Isolation:
    """A lock with many sharers or one owner; a waiting owner goes before new sharers."""

    def __init__(self) -> None:
        self._sharers = 0
        self._owner = asyncio.Lock()
        self._empty = asyncio.Event()
        self._empty.set()

    async def enter(self) -> None:
        """Run beside others, from when nobody is or wants to be alone."""
        if self._owner.locked():
            async with self._owner:
                pass
        self._sharers += 1
        self._empty.clear()

    def leave(self) -> None:
        """Done beside others."""
        self._sharers -= 1
        if self._sharers == 0:
            self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """Run when all others have ended, with nobody beside."""
        async with self._owner:
            await self._empty.wait()
            yield

"""Reservations for the structuring call that follows a draft, and their release.

A reservation is released when the request needs no such call any more: its document came from a cache, its
draft was not usable, or it has its result.  Otherwise the budget would stay reserved for requests that have ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from understudy_client.tasks import end_tasks

#: Seconds, at most, between two looks for a result that was not heard of: when the broker was away, for instance.
_LOOK_S = 60.0
#: Seconds until the first look.
_FIRST_LOOK_S = 0.5

#: Waits until a request has its result, for some seconds at most; whether it has.
Ended = Callable[[str, float], Awaitable[bool]]


class StructuringReservations:
    """What the calls of this process have left reserved, by request.

    Args:
        ended: waits for a request's result.
        clock: seconds since the epoch.
    """

    def __init__(self, ended: Ended, *, clock: Callable[[], float] = time.time) -> None:
        self._ended = ended
        self._clock = clock
        self._kept: dict[str, Callable[[], Awaitable[Any]]] = {}
        self._watching: dict[str, asyncio.Task[None]] = {}

    def keep(self, request_id: str, back: Callable[[], Awaitable[Any]], *, until_ms: int) -> None:
        """Something stays reserved for a request.

        Args:
            request_id: for whose next call.
            back: gives it back; on its way at once, whether it is awaited or not.
            until_ms: when it comes back by itself, ms since the epoch.
        """
        self.taken(request_id)
        self._kept[request_id] = back
        self._watching[request_id] = asyncio.create_task(self._watch(request_id, until_ms / 1000))

    def taken(self, request_id: str) -> None:
        """The next call has taken over what was kept for it."""
        self._kept.pop(request_id, None)
        watching = self._watching.pop(request_id, None)
        if watching is not None and watching is not asyncio.current_task():
            watching.cancel()

    def release(self, request_id: str) -> None:
        """There is no next call: what was kept for it comes back now."""
        back = self._kept.get(request_id)
        self.taken(request_id)
        if back is not None:
            back()

    async def close(self) -> None:
        """Stop watching; the reservations stay for the process that gets the requests next."""
        watching = list(self._watching.values())
        self._kept.clear()
        self._watching.clear()
        await end_tasks(*watching)

    async def _watch(self, request_id: str, until: float) -> None:
        look_s = _FIRST_LOOK_S
        while (left := until - self._clock()) > 0:
            if await self._ended(request_id, min(look_s, left)):
                self.release(request_id)
                return
            look_s = min(_LOOK_S, look_s * 4)
        self.taken(request_id)

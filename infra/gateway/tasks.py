"""Tasks: their end."""

from __future__ import annotations

import asyncio
from typing import Any, Final

#: Seconds between two cancellations.
_AGAIN_S: Final = 0.1


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended, whatever its result.

    ``asyncio.wait_for``, which nats-py uses, loses a cancellation that comes together with what it waits for
    (python/cpython#86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_AGAIN_S)

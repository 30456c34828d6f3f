"""Tasks: ended for certain."""

from __future__ import annotations

import asyncio
from typing import Any, Final

#: Seconds until a task that goes on is cancelled again.
_AGAIN_S: Final = 1.0


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until all have ended, however they end.

    A cancellation can be lost: ``asyncio.wait_for`` drops it when what it waits for ends at the same moment (Python
    3.11, cpython issue 86296), and the broker's client waits that way.  A task that would go on for ever is therefore
    cancelled until it has ended.
    """
    going = {task for task in tasks if not task.done()}
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=_AGAIN_S)
    # Their errors are nobody's any more.
    await asyncio.gather(*tasks, return_exceptions=True)

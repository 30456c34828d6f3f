"""How do tests wait for the end of a process that is not their child?"""

from __future__ import annotations

import asyncio
import os


async def gone(pid: int, *, within_s: float = 20.0) -> None:
    """Return when the process has ended.

    Raises:
        TimeoutError: it lives on.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        async with asyncio.timeout(within_s):
            await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)

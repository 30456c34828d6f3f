"""Watchdog of a service manager: the event loop's sign of life for systemd.

A service with ``WatchdogSec=`` that gives none in that time is killed and started again, as `up` does with its
processes (rule 16): a frozen process ends by nothing else.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Final

#: Variables of sd_notify(3) and sd_watchdog_enabled(3).
_SOCKET: Final = "NOTIFY_SOCKET"
_PERIOD: Final = "WATCHDOG_USEC"
_OWNER: Final = "WATCHDOG_PID"


def period_s() -> float | None:
    """Seconds between two signs of life, half of what the manager allows; ``None``: nobody waits for them."""
    allowed = os.environ.get(_PERIOD, "")
    if not os.environ.get(_SOCKET) or not allowed.isdecimal() or int(allowed) == 0:
        return None
    if os.environ.get(_OWNER, str(os.getpid())) != str(os.getpid()):
        return None
    return int(allowed) / 2_000_000


async def beat(every_s: float) -> None:
    """Give signs of life until cancelled.

    Args:
        every_s: as :func:`period_s` says.
    """
    name = os.environ[_SOCKET]
    # A name that begins with @ is one of Linux's abstract namespace.
    address = "\0" + name[1:] if name.startswith("@") else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(0)
        while True:
            # A manager that is being replaced does not listen for a moment.
            with suppress(OSError):
                sender.sendto(b"WATCHDOG=1", address)
            await asyncio.sleep(every_s)

"""Where is the broker, and how is a connection to it opened that never gives up?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import nats
from nats import errors as nats_errors

from contracts.errors import UnderstudyError
from infra import runtime

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.settings import Settings

#: Seconds that a first connection may take.
CONNECT_S: Final = 3.0
_RECONNECT_WAIT_S: Final = 0.25

_log = logging.getLogger(__name__)


class Unreachable(UnderstudyError):  # noqa: N818 - names the state of the broker
    """No broker answers; the text says where, and what to do."""


def broker_url(settings: Settings) -> str:
    """Where the broker of these settings is.

    Raises:
        Unreachable: none is set and none runs.
    """
    try:
        url = runtime.find_url(settings)
    except UnderstudyError as error:
        raise Unreachable(str(error)) from None
    if url is None:
        raise Unreachable(
            f"no broker is known: start one with `understudy up` (data folder {settings.data_dir}), "
            "or set UNDERSTUDY_NATS_URL"
        )
    return url


async def dial(url: str, *, name: str, on_reconnect: Callable[[], None] | None = None) -> Client:
    """Connect to a broker; the first try must succeed, later ones are repeated for ever.

    Args:
        url: ``nats://host:port``.
        name: shown in the broker's list of connections.
        on_reconnect: called after each reconnect.

    Raises:
        Unreachable: no answer within :data:`CONNECT_S` seconds.
    """
    last: list[Exception] = []

    async def complain(error: Exception) -> None:
        # nats-py's own default prints a traceback for every lost connection.
        last[:] = [error]
        _log.debug("broker: %s", error)

    async def reconnected() -> None:
        if on_reconnect is not None:
            on_reconnect()

    try:
        async with asyncio.timeout(CONNECT_S):
            return await nats.connect(
                url,
                name=name,
                error_cb=complain,
                reconnected_cb=reconnected,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_WAIT_S,
                connect_timeout=2,
            )
    except (OSError, TimeoutError, nats_errors.Error, ValueError) as error:
        why = str(error) or (str(last[0]) if last else "") or "no answer"
        raise Unreachable(
            f"no broker answers at {url} ({why}); start one with `understudy up`, or correct UNDERSTUDY_NATS_URL"
        ) from None

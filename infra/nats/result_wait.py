"""Has a request its result yet?"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from nats import errors as nats_errors

from contracts import subjects
from contracts.errors import Unavailable

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer


class ResultWait:
    """Waits for results of requests that somebody else works on."""

    def __init__(self, *, wire: RequestMultiplexer, lookup: Lookup) -> None:
        self._wire = wire
        self._lookup = lookup

    async def within(self, request_id: str, seconds: float) -> bool:
        """Wait for a request's result, for some seconds at most; whether it has one by then.

        While the broker is away nobody knows: then it has none.
        """
        heard = asyncio.Event()

        async def hear(_: Msg) -> None:
            heard.set()

        try:
            client = self._wire.client
            subscription = await client.subscribe(subjects.any_kind("result", request_id), cb=hear)
        except nats_errors.Error:
            await asyncio.sleep(seconds)
            return False
        try:
            async with asyncio.timeout(seconds):
                await heard.wait()
        except TimeoutError:
            # It may have come before anybody listened.
            with suppress(Unavailable, nats_errors.Error):
                return await self._lookup.has_result(request_id)
            return False
        else:
            return True
        finally:
            with suppress(nats_errors.Error):
                await subscription.unsubscribe()

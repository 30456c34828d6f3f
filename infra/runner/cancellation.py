"""Cancellation of work whose request was cancelled or answered meanwhile.

Such a request must not use the model any longer (rule 7).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from contracts import subjects
from contracts.errors import Unavailable
from contracts.outcome import Emit, Outcome

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from contracts.envelope import Received
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer

#: Looks for a result that was heard, and seconds between two.
_LOOKS: Final = 3
_LOOK_S: Final = 0.1
#: Seconds of work before it is worth a subscription; what ends sooner cannot be stopped in time.
PATIENCE_S: Final = 0.1


class Cancellation:
    """Runs handlers and stops those whose request got its result elsewhere."""

    def __init__(self, *, wire: RequestMultiplexer, lookup: Lookup) -> None:
        self._wire = wire
        self._lookup = lookup

    async def run(self, received: Received[Any], work: Awaitable[Outcome]) -> Outcome:
        """The handler's outcome, or nothing to do when the result came first."""
        running = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({running}, timeout=PATIENCE_S)
            if done:
                return running.result()
            return await self._watched(received.request_id, running)
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait({running})

    async def _watched(self, request_id: str, running: asyncio.Future[Outcome]) -> Outcome:
        ended = asyncio.Event()

        async def heard(_: Msg) -> None:
            ended.set()

        subscription = await self._wire.client.subscribe(subjects.any_kind("result", request_id), cb=heard)
        try:
            # The first look is for a result that came before there was anything to hear it with.
            looks = 1
            while not running.done():
                ended.clear()
                if await self._stored(request_id, running, looks):
                    return Emit()
                looks = _LOOKS
                waiting = asyncio.ensure_future(ended.wait())
                await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            return running.result()
        finally:
            await subscription.unsubscribe()

    async def _stored(self, request_id: str, running: asyncio.Future[Outcome], looks: int) -> bool:
        """Is there a result?  One that was heard may be stored a moment later, or refused by the broker."""
        for left in reversed(range(looks)):
            # A broker that is away says nothing about the request: what runs goes on.
            with contextlib.suppress(Unavailable):
                if await self._lookup.has_result(request_id):
                    return True
            if not left or (await asyncio.wait({running}, timeout=_LOOK_S))[0]:
                break
        return False

"""Results in the event log: reading, checking and waiting for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from nats import errors as nats_errors

from contracts import envelope, pipeline, subjects
from contracts import events as ev
from contracts.errors import Unavailable
from contracts.ports import StoredResult

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer

_decode: Final = msgspec.json.Decoder(ev.Result).decode


class LoggedResults:
    """The results of all requests; implements :class:`contracts.ports.Results`."""

    def __init__(self, *, wire: RequestMultiplexer, lookup: Lookup) -> None:
        self._wire = wire
        self._lookup = lookup

    async def find(self, request_id: str) -> StoredResult | None:
        """Find a request's result; ``None``: it has none yet, or none that a stage published.

        Raises:
            Unavailable: the broker does not answer.
        """
        found = await self._lookup.last(pipeline.EVENTS, subjects.any_answer(request_id))
        if found is None or not envelope.has_author("result", found.headers):
            return None
        return StoredResult(result=_decode(found.body), at_ms=found.time_ms)

    async def exists(self, request_id: str) -> bool:
        """Whether a request has a result; calls at the same time share one question to the broker.

        Raises:
            Unavailable: the broker does not answer.
        """
        return await self._lookup.has_result(request_id)

    async def wait(self, request_id: str, seconds: float) -> bool:
        """Wait for a request's result; whether there is one after at most ``seconds``.

        Without a broker the answer is false.
        """
        heard = asyncio.Event()

        async def hear(msg: Msg) -> None:
            # Somebody may have another message delivered here; it keeps its own subject.
            if not pipeline.is_foreign(pipeline.EVENTS, msg.subject):
                heard.set()

        try:
            client = self._wire.client
            subscription = await client.subscribe(subjects.any_answer(request_id), cb=hear)
        except nats_errors.Error:
            await asyncio.sleep(seconds)
            return False
        try:
            async with asyncio.timeout(seconds):
                await heard.wait()
        except TimeoutError:
            # It may have been stored before the subscription.
            with suppress(Unavailable, nats_errors.Error):
                return await self._lookup.has_result(request_id)
            return False
        else:
            return True
        finally:
            with suppress(nats_errors.Error):
                await subscription.unsubscribe()

"""Results of requests: looked up in the log, or awaited; only what the log keeps counts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from understudy_client import identity, log, protocol
from understudy_client.errors import BrokerLost, NoResult, NotSetUp, Unavailable

if TYPE_CHECKING:
    from understudy_client.identity import RequestIdentity
    from understudy_client.log import StoredMessage
    from understudy_client.result import Result
    from understudy_client.session import Heard, Session

#: Shortest and longest pause between two looks into the log, seconds; a core message can get lost.
_LOOK_AGAIN_S: Final = (0.5, 5.0)
#: The same where a result was heard that is not stored yet.
_HEARD_S: Final = 0.01


class ResultReader:
    """Reads the results of requests.

    Args:
        session: an open session.
        lost_s: seconds without a connection after which a wait ends.
    """

    def __init__(self, session: Session, *, lost_s: float) -> None:
        self._session = session
        self._lost_s = lost_s

    async def owner(self, expected: RequestIdentity) -> StoredMessage | None:
        """The request that has an id: the first one in REQUESTS; ``None`` without one.

        Raises:
            IdTaken: it is another request than the one that is meant.
            NotSetUp, Unavailable: as :func:`understudy_client.log.last`.
        """
        subject = protocol.any_kind("requested", expected.request_id)
        owner = await log.last(self._session.calls, protocol.REQUESTS, subject)
        if owner is None:
            return None
        kind = protocol.kind_of(owner.subject)
        if expected.kind not in (None, kind) or expected.sequence not in (None, owner.sequence):
            raise expected.taken(kind, owner.sequence)
        return owner

    async def look(self, expected: RequestIdentity) -> Result | None:
        """The result that the log has now.

        Raises:
            IdTaken: it is that of another request than the one that is meant.
            Unreadable: what is stored is no result.
            NotSetUp, Unavailable: as :func:`understudy_client.log.last`.
        """
        subject = protocol.any_answer(expected.request_id)
        stored = await log.last(self._session.calls, protocol.EVENTS, subject)
        if stored is None:
            return None
        return await self._judge(expected, stored)

    async def _judge(self, expected: RequestIdentity, stored: StoredMessage) -> Result:
        """What is stored as the result of an id, as the result of the request that is meant.

        Raises:
            IdTaken, Unreadable, NotSetUp, Unavailable: as :meth:`look`.
        """
        result = identity.read(stored)
        if expected.kind not in (None, result.kind):
            await self.owner(expected)
            raise expected.taken(result.kind, None)
        if expected.sequence is not None and not identity.traced(stored, expected):
            # Another publish of the same request may have been the first; or the result is that of an earlier
            # request, which REQUESTS keeps no more.
            owner = await self.owner(expected)
            own = (
                identity.traced(stored, expected) is None
                if owner is None
                else identity.answers(stored, result, owner)
            )
            if not own:
                raise expected.taken(result.kind, None)
        return result

    async def wait(self, expected: RequestIdentity, heard: Heard, timeout_s: float, *, owned: bool) -> Result:
        """Wait until the log has the result.

        Args:
            expected: the request that is meant.
            heard: set when it is worth looking again; what it brings from the log is not read again.
            timeout_s: seconds to wait at most.
            owned: it is known that this request has the id.

        Raises:
            IdTaken, Unreadable: as :meth:`look`.
            NoResult: none came in time.
            BrokerLost: the connection was lost for too long.
        """
        until = time.monotonic() + timeout_s
        shortest, longest = _LOOK_AGAIN_S
        pause = shortest
        while True:
            left = until - time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(longest if heard.reliable else pause, left))):
                    await heard.wait()
            if heard.is_set():
                # A result is heard before it is stored, and the stream may yet refuse it.
                pause = _HEARD_S
            heard.clear()
            # It may be older than the subscription, or have come while the connection was down.
            with contextlib.suppress(Unavailable, NotSetUp):
                stored, heard.stored = heard.stored, None
                result = await self.look(expected) if stored is None else await self._judge(expected, stored)
                if result is not None:
                    return result
                # A request that lost its id to another one gets no result.
                owned = owned or await self.owner(expected) is not None
            lost = self._session.lost_s
            if lost > self._lost_s or (lost > 0 and left <= 0):
                raise BrokerLost(self._session.url, expected.request_id)
            if left <= 0:
                raise NoResult(expected.request_id, timeout_s)
            pause = min(pause * 2, longest)

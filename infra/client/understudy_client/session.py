"""One client's connection over its life: lost and back, publishes tried again, and flags of waiting calls."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final, TypeVar

from nats import errors as nats_errors

from understudy_client import log, protocol
from understudy_client.calls import Calls, PubAck
from understudy_client.connection import close
from understudy_client.errors import Busy, ClientError, InvalidRequest, NotSetUp, Unavailable, Unreachable

if TYPE_CHECKING:
    from nats.aio.client import Client as Connection
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from understudy_client.connection import Connector
    from understudy_client.log import StoredMessage

T = TypeVar("T")

#: Seconds that a publish is tried again while the broker does not answer, and between two tries.
PUBLISH_S: Final = 20.0
_PAUSE_S: Final = 0.5
#: JetStream errors of a stream or server that is full.
_FULL: Final = frozenset({10077, 10110})


class Heard(asyncio.Event):
    """A flag of a waiting call: it is worth reading the log again."""

    #: What the log has stored on the subject, where that came with the news.
    stored: StoredMessage | None = None
    #: Whatever is stored sets it, so that the log need not be read meanwhile.
    reliable: bool = False


#: Sets a flag whenever there may be a result of a request, while the context is open.
Listen = Callable[[str, Heard], AbstractAsyncContextManager[None]]


class Session:
    """The connection of one client.

    Args:
        connector: opens it.
        on_lost: called with the broker's URL each time that the connection is lost.
        on_back: called with it each time that the connection is back.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        on_lost: Callable[[str], None] | None,
        on_back: Callable[[str], None] | None,
    ) -> None:
        self._connector = connector
        self._on_lost, self._on_back = on_lost, on_back
        self._connection: Connection | None = None
        #: When the connection was lost, on the monotonic clock; ``None`` while there is one.
        self._lost_at: float | None = None
        #: One flag per waiting call: read the log again.
        self._flags: set[Heard] = set()
        #: How results are heard; by default with a subscription for each call that waits.
        self.listen: Listen = self.subscribe
        self.calls = Calls()
        #: The broker's URL without a password; empty before the connection.
        self.url = ""

    async def open(self) -> None:
        """Connect.

        Raises:
            Unreachable: no broker answers.
        """
        self._connection, self.url = await self._connector.open(
            on_reconnect=self._reconnected, on_disconnect=self._disconnected
        )
        await self.calls.open(self._connection)

    async def close(self) -> None:
        """Close the connection; one that is lost raises nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, nats_errors.Error):
                await self.calls.close()
            await close(connection)

    @property
    def connection(self) -> Connection:
        """The nats-py client.

        Raises:
            Unreachable: the session is not open.
        """
        if self._connection is None:
            raise Unreachable("the client is not connected; use it with `async with`")
        return self._connection

    @property
    def lost_s(self) -> float:
        """Seconds since the connection was lost; 0: there is one."""
        return 0.0 if self._lost_at is None else time.monotonic() - self._lost_at

    def _reconnected(self) -> None:
        self.calls.renew()
        self._lost_at = None
        if self._on_back is not None:
            self._on_back(self.url)
        for flag in self._flags:
            flag.set()

    def _disconnected(self) -> None:
        self.calls.suspend()
        # nats-py calls this, too, when the connection is closed on purpose.
        if self._connection is None or self._lost_at is not None:
            return
        self._lost_at = time.monotonic()
        if self._on_lost is not None:
            self._on_lost(self.url)

    @contextlib.asynccontextmanager
    async def listening(self, request_id: str) -> AsyncGenerator[Heard, None]:
        """A flag that is set when a request may have a result, and when the connection is back."""
        heard = Heard()
        self._flags.add(heard)
        try:
            async with self.listen(request_id, heard):
                yield heard
        finally:
            self._flags.discard(heard)

    @contextlib.asynccontextmanager
    async def subscribe(self, request_id: str, heard: Heard) -> AsyncGenerator[None, None]:
        """Set a flag with each message on the subject of a request's result."""

        async def hear(_: Msg) -> None:
            heard.set()

        subscription = await self.connection.subscribe(protocol.any_answer(request_id), cb=hear)
        try:
            yield
        finally:
            await unsubscribe(subscription)

    async def publish(self, subject: str, body: bytes, headers: dict[str, str]) -> PubAck:
        """Publish until the broker acknowledges, or refuses the condition in the headers.

        Raises:
            Unavailable: no acknowledgement within :data:`PUBLISH_S` seconds.
            InvalidRequest: the pipeline has no such kind.
            Busy: the stream is full.
            ClientError: the broker refuses for another reason.
        """
        ack = await self.patiently(lambda: self._publish_once(subject, body, headers))
        if ack.error is None or ack.refused:
            return ack
        why = ack.error.description
        if ack.error.err_code in _FULL:
            raise Busy(f"the pipeline accepts no more requests for now ({why}); try again later")
        raise ClientError(f"the broker refuses {subject}: {why}")

    async def _publish_once(self, subject: str, body: bytes, headers: dict[str, str]) -> PubAck:
        ack = await self.calls.publish(subject, body, headers)
        if not ack.unheard:
            return ack
        try:
            await log.last(self.calls, protocol.REQUESTS, subject)
        except NotSetUp as error:
            raise Unavailable(f"no stream takes {subject}: {error}") from error
        # The stream exists; it may be younger than the refusal, when a broker starts.
        ack = await self.calls.publish(subject, body, headers)
        if ack.unheard:
            kind = protocol.kind_of(subject)
            raise InvalidRequest(
                "kind", f"this pipeline has no kind {kind!r}; built-in are {', '.join(protocol.KINDS)}"
            )
        return ack

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """A call to the broker, tried again while it does not answer."""
        until = time.monotonic() + PUBLISH_S
        while True:
            try:
                return await call()
            except Unavailable:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(_PAUSE_S)


async def unsubscribe(subscription: Subscription) -> None:
    """Stop a subscription; a connection that is closed or lost has nothing to stop."""
    with contextlib.suppress(OSError, nats_errors.Error):
        await subscription.unsubscribe()

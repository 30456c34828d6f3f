"""Server-sent events: their text, and the response that sends them to one client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from starlette.responses import Response
from understudy_client.tasks import end_tasks

from infra.gateway.http_protocol import ABORT, LIMIT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE: Final = "text/event-stream"
#: Milliseconds after which a client should connect again.
RETRY_MS: Final = 2000
#: Seconds that a client may take to accept what is sent.
SEND_S: Final = 10.0
#: Bytes that the system may hold for a client that does not read: by default megabytes.
_BUFFER: Final = 128 * 1024
#: Seconds within which a cut connection is gone.
_GONE_S: Final = 1.0
#: Key of the scope for responses that are streamed outside.
_OUTSIDE: Final = "understudy.streams"
#: What middleware outside reads of a scope: keys of the gateway's own, and the route.
_KEPT: Final = "understudy."
_ROUTE: Final = "route"
_HEADERS: Final = {
    # Events belong to who asks, and proxies must pass them on at once.
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


def format_event(event: str, data: Any, *, id: str | None = None) -> bytes:
    """One event; without an id it leaves the reader's ``Last-Event-ID`` as it is."""
    head = f"event: {event}\n" if id is None else f"event: {event}\nid: {id}\n"
    # JSON has no line breaks.
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


def format_ping(position: str) -> bytes:
    """A comment, which shows no event, and a new ``Last-Event-ID``."""
    return f": ping\nid: {position}\n\n".encode()


def format_start(position: str) -> bytes:
    """What a stream begins with: when to connect again, and the first ``Last-Event-ID``."""
    return f"retry: {RETRY_MS}\nid: {position}\n\n".encode()


def format_retry() -> bytes:
    """What a stream without a first id begins with."""
    return f"retry: {RETRY_MS}\n\n".encode()


class EventSource(Protocol):
    """What is sent to one client."""

    def read(self) -> AsyncGenerator[bytes, None]:
        """The events until the stream's end; bytes that belong together."""
        ...

    def join(self, abort: Callable[[], None]) -> None:
        """A client begins to read; ``abort`` cuts its connection."""
        ...

    def leave(self) -> None:
        """The client is gone; :meth:`read` ends soon."""
        ...


class ChunkSource:
    """What a generator makes, for one client; the generator ends when the client is gone.

    Args:
        chunks: the generator.
    """

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self._chunks = chunks
        self._left = asyncio.Event()

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The chunks until their end, or the client's."""
        leaving = asyncio.create_task(self._left.wait())
        coming: asyncio.Task[bytes | None] | None = None
        try:
            while not self._left.is_set():
                coming = asyncio.create_task(_next(self._chunks))
                await asyncio.wait((coming, leaving), return_when=asyncio.FIRST_COMPLETED)
                chunk = coming.result() if coming.done() else None
                if chunk is None:
                    return
                yield chunk
        finally:
            await end_tasks(leaving, *(() if coming is None else (coming,)))
            await self._chunks.aclose()

    def join(self, abort: Callable[[], None]) -> None:
        """Nothing: it ends by itself."""

    def leave(self) -> None:
        """The client is gone."""
        self._left.set()


async def _next(chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(chunks, None)


class EventStreamResponse(Response):
    """A stream of events.

    A client that does not accept bytes for some seconds is cut off: a server that waits for it holds its memory for
    ever.

    Args:
        source: the events.
        headers: further headers.
        send_s: seconds that the client may take to accept what is sent.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self, source: EventSource, *, headers: Mapping[str, str] | None = None, send_s: float = SEND_S
    ) -> None:
        super().__init__(headers=_HEADERS | dict(headers or {}))
        del self.headers["content-length"]
        self._source = source
        self._send_s = send_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, or leave that to :class:`StreamsOutside`."""
        outside: list[EventStreamResponse] | None = scope.get(_OUTSIDE)
        if outside is None:
            await self.stream(scope, receive, send)
        else:
            outside.append(self)

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they end or the client is gone."""
        extensions = scope.get("extensions", {})
        abort: Callable[[], None] = extensions.get(ABORT, _ignore)
        limit: Callable[[int], None] = extensions.get(LIMIT, _ignore)
        limit(_BUFFER)
        listening = asyncio.create_task(self._wait_for_disconnect(receive))
        self._source.join(abort)
        try:
            await self._send_all(send)
        except TimeoutError:
            abort()
            # The server takes an answer without an end for a defect, unless the connection is gone.
            await asyncio.wait((listening,), timeout=_GONE_S)
        finally:
            self._source.leave()
            listening.cancel()

    async def _send_all(self, send: Send) -> None:
        async def pass_on(message: Message) -> None:
            async with asyncio.timeout(self._send_s):
                await send(message)

        await pass_on({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with contextlib.aclosing(self._source.read()) as chunks:
            async for chunk in chunks:
                await pass_on({"type": "http.response.body", "body": chunk, "more_body": True})
        await pass_on({"type": "http.response.body", "body": b"", "more_body": False})

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._source.leave()


class StreamsOutside:
    """Middleware that streams once everything within it has returned: an hour's stream then keeps none of that alive.

    Args:
        app: what is inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        before = set(scope)
        outside: list[EventStreamResponse] = []
        scope[_OUTSIDE] = outside
        await self._app(scope, receive, send)
        del scope[_OUTSIDE]
        for response in outside:
            for name in set(scope) - before - {_ROUTE}:
                if not name.startswith(_KEPT):
                    del scope[name]
            await response.stream(scope, receive, send)


def _ignore(*_: int) -> None:
    """Nothing: a server whose connections cannot be cut."""

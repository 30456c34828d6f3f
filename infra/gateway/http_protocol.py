"""HTTP protocol of a connection: uvicorn's, with limits for a request's head, and connections that can be cut."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Extension of a request's scope: a function that cuts the connection, whatever is still to be sent.
ABORT: Final = "understudy.abort"
#: Another one: a function that limits the bytes that the system holds for a client that does not read.
LIMIT: Final = "understudy.limit"
#: Bytes of the head of a request.
HEAD_BYTES: Final = 32 * 1024


class HeadTooLarge(Exception):  # noqa: N818 - says what is wrong
    """The head of a request has too many bytes."""


class CuttableProtocol(HttpToolsProtocol):
    """A protocol whose requests can cut their connection: closing it waits until a client has read everything."""

    _in_head = False
    #: Bytes of the head's parts so far, and bytes that arrived while it had not ended.
    _head = 0
    _arrived = 0

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        super().data_received(data)
        if self._in_head:
            self._arrived += len(data)
            if self._arrived > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head, self._head, self._arrived = True, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Answer the request; its body may follow."""
        self._in_head = False
        scope: dict[str, Any] = {"extensions": {ABORT: self.transport.abort, LIMIT: self._limit}}
        self.scope.update(scope)  # type: ignore[typeddict-item]
        super().on_headers_complete()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_BYTES:
            # The parser's way to refuse a request; the client gets 400.
            raise HeadTooLarge

    def _limit(self, size: int) -> None:
        connection: socket.socket | None = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def with_head_limit(seconds: float) -> type[asyncio.Protocol]:
    """The protocol that closes a connection whose request's head takes longer; bodies have a limit of their own.

    uvicorn itself limits the time between two requests alone.
    """

    class Limited(CuttableProtocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._start()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            cycle: Any = self.cycle
            if cycle is not None and not cycle.response_complete:
                self._cancel()
            elif self._timer is None:
                self._start()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel()
            super().connection_lost(exc)

        def _start(self) -> None:
            self._timer = self.loop.call_later(seconds, self.transport.close)

        def _cancel(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Limited

"""HTTP protocol of a connection: uvicorn's, with a time limit for a request's head, and connections that can be cut."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Extension of a request's scope: a function that cuts the connection, whatever is still to be sent.
ABORT: Final = "understudy.abort"
#: Another one: a function that limits the bytes that the system holds for a client that does not read.
LIMIT: Final = "understudy.limit"


class CuttableProtocol(H11Protocol):
    """A protocol whose requests can cut their connection: closing it waits until a client has read everything."""

    def handle_events(self) -> None:
        """Begin what has arrived."""
        super().handle_events()
        # Typed by uvicorn as always there; there is none before the first request.
        cycle: Any = self.cycle
        if cycle is not None:
            extensions = cycle.scope.setdefault("extensions", {})
            extensions |= {ABORT: self.transport.abort, LIMIT: self._limit}

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

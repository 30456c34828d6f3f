"""HTTP connections that a load keeps open; as little work for the client as possible, since it shares the server's cores."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from contracts.errors import Unavailable

if TYPE_CHECKING:
    from asyncio import Future, Transport

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"


class HttpAnswer(msgspec.Struct, frozen=True):
    """Status and body of an answer."""

    status: int
    body: bytes


class KeptConnection(asyncio.Protocol):
    """One connection with keep-alive, for one request at a time; opened again once the server has closed it.

    Answers must have a ``Content-Length``.

    Args:
        url: the server's.
    """

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._host, self._port = where.hostname or "", where.port or 80
        self._transport: Transport | None = None
        self._arrived = b""
        self._answer: Future[HttpAnswer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP has no other
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect the answer."""
        self._arrived += data
        head, found, body = self._arrived.partition(_HEAD_END)
        if not found or self._answer is None:
            return
        length = _LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        self._arrived = b""
        answer, self._answer = self._answer, None
        answer.set_result(HttpAnswer(int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request that waits."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Unavailable(f"the server closed the connection: {exc}"))

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """Send JSON and wait for the answer, as :meth:`send`."""
        return await self.send("POST", path, body, headers)

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """Send a request and wait for the answer.

        Raises:
            Unavailable: the server closes the connection.
            OSError: there is no server.
        """
        transport = self._transport
        if transport is None:
            await asyncio.get_running_loop().create_connection(lambda: self, self._host, self._port)
            transport = self._transport
        if transport is None:
            raise Unavailable("the server closed the connection at once")
        self._answer = asyncio.get_running_loop().create_future()
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{lines}\r\n"
        )
        transport.write(head.encode() + body)
        return await self._answer

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()


@contextmanager
def keeping(url: str, connections: int) -> Generator[list[KeptConnection]]:
    """Connections to a server; each is opened by its first request."""
    made = [KeptConnection(url) for _ in range(connections)]
    try:
        yield made
    finally:
        for each in made:
            each.close()

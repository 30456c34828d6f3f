"""Client over HTTP for programs without asyncio: the same methods, run by an event loop in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from understudy_client import timeouts
from understudy_client.blocking import BlockingClient
from understudy_client.client import LOST_S
from understudy_client.http.client import MAX_BYTES, HttpClient

if TYPE_CHECKING:
    import ssl


class SyncHttpClient(BlockingClient[HttpClient]):
    """Client of one gateway, for ``with``; several threads may use it at once.  :meth:`connect` makes one.

    Args:
        client: the client that does the work; nothing else may use it.
    """

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        on_lost: Callable[[str], None] | None = None,
        on_back: Callable[[str], None] | None = None,
        lost_s: float = LOST_S,
        deadline_ms: int = timeouts.DEFAULT_DEADLINE_MS,
        max_bytes: int = MAX_BYTES,
    ) -> Self:
        """As :meth:`HttpClient.connect`; ``on_lost`` and ``on_back`` are called in the client's own thread."""
        return cls(
            HttpClient.connect(
                url,
                token=token,
                tls=tls,
                on_lost=on_lost,
                on_back=on_back,
                lost_s=lost_s,
                deadline_ms=deadline_ms,
                max_bytes=max_bytes,
            )
        )

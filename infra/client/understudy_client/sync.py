"""Client for programs without asyncio: the same methods, run by an event loop in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from understudy_client import timeouts
from understudy_client.answer import Submitted
from understudy_client.blocking import BlockingClient
from understudy_client.client import LOST_S, Client
from understudy_client.log import StoredMessage

if TYPE_CHECKING:
    import ssl


class SyncClient(BlockingClient[Client]):
    """Client of one pipeline, for ``with``; several threads may use it at once.  :meth:`connect` makes one.

    Args:
        client: the client that does the work; nothing else may use it.
    """

    @classmethod
    def connect(  # noqa: PLR0913 - one for each option of a connection
        cls,
        url: str | Sequence[str],
        *,
        creds: Path | None = None,
        nkey: Path | None = None,
        inbox_prefix: str | None = None,
        tls: ssl.SSLContext | None = None,
        tls_hostname: str | None = None,
        on_lost: Callable[[str], None] | None = None,
        on_back: Callable[[str], None] | None = None,
        lost_s: float = LOST_S,
        deadline_ms: int = timeouts.DEFAULT_DEADLINE_MS,
    ) -> Self:
        """As :meth:`Client.connect`; ``on_lost`` and ``on_back`` are called in the client's own thread."""
        return cls(
            Client.connect(
                url,
                creds=creds,
                nkey=nkey,
                inbox_prefix=inbox_prefix,
                tls=tls,
                tls_hostname=tls_hostname,
                on_lost=on_lost,
                on_back=on_back,
                lost_s=lost_s,
                deadline_ms=deadline_ms,
            )
        )

    def owner(self, request: str | Submitted, *, kind: str | None = None) -> StoredMessage | None:
        """As :meth:`Client.owner`."""
        return self._run(self._client.owner(request, kind=kind))

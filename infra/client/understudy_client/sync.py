"""Client for programs without asyncio: the same methods, run by an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from understudy_client import timeouts
from understudy_client.answer import Answer, Submitted
from understudy_client.client import LOST_S, Client
from understudy_client.errors import Unreachable
from understudy_client.log import StoredMessage
from understudy_client.result import Progress, Result

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")


class SyncClient:
    """Client of one pipeline, for ``with``; several threads may use it at once.  :meth:`connect` makes one.

    Args:
        client: the client that does the work; nothing else may use it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        #: Ends the loop.
        self._left = asyncio.Event()

    @classmethod
    def connect(  # noqa: PLR0913 - one for each option of a connection
        cls,
        url: str | Sequence[str],
        *,
        creds: Path | None = None,
        nkey: Path | None = None,
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
                tls=tls,
                tls_hostname=tls_hostname,
                on_lost=on_lost,
                on_back=on_back,
                lost_s=lost_s,
                deadline_ms=deadline_ms,
            )
        )

    def __enter__(self) -> Self:
        running = threading.Event()

        async def serve() -> None:
            self._loop, self._left = asyncio.get_running_loop(), asyncio.Event()
            running.set()
            await self._left.wait()

        self._thread = threading.Thread(
            target=asyncio.run, args=(serve(),), name="understudy-client", daemon=True
        )
        self._thread.start()
        running.wait()
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._run(self._client.__aexit__())
        finally:
            self._stop()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the client's loop; an interrupt of the caller cancels the work."""
        if self._loop is None:
            work.close()
            raise Unreachable("the client is not connected; use it with `with`")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _stop(self) -> None:
        loop, self._loop = self._loop, None
        thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(self._left.set)
            thread.join()

    @property
    def url(self) -> str:
        """The broker's URL without a password; empty before the connection."""
        return self._client.url

    def submit(
        self,
        kind: str,
        prompt: str | None = None,
        *,
        body: bytes | None = None,
        request_id: str | None = None,
        **fields: Any,
    ) -> Submitted:
        """As :meth:`Client.submit`."""
        return self._run(self._client.submit(kind, prompt, body=body, request_id=request_id, **fields))

    def generate(
        self,
        kind: str,
        prompt: str | None = None,
        *,
        body: bytes | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> Answer:
        """As :meth:`Client.generate`."""
        return self._run(
            self._client.generate(
                kind, prompt, body=body, request_id=request_id, timeout_s=timeout_s, **fields
            )
        )

    def ask(
        self,
        kind: str,
        prompt: str | None = None,
        *,
        body: bytes | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> Result:
        """As :meth:`Client.ask`."""
        return self._run(
            self._client.ask(kind, prompt, body=body, request_id=request_id, timeout_s=timeout_s, **fields)
        )

    def wait(
        self, request: str | Submitted, *, kind: str | None = None, timeout_s: float | None = None
    ) -> Result:
        """As :meth:`Client.wait`."""
        return self._run(self._client.wait(request, kind=kind, timeout_s=timeout_s))

    def look(self, request: str | Submitted, *, kind: str | None = None) -> Result | None:
        """As :meth:`Client.look`."""
        return self._run(self._client.look(request, kind=kind))

    def owner(self, request: str | Submitted, *, kind: str | None = None) -> StoredMessage | None:
        """As :meth:`Client.owner`."""
        return self._run(self._client.owner(request, kind=kind))

    def document(self, result: Result) -> Any:
        """As :meth:`Client.document`."""
        return self._run(self._client.document(result))

    def content(self, result: Result) -> Any:
        """As :meth:`Client.content`."""
        return self._run(self._client.content(result))

    def cancel(
        self,
        request: str | Submitted,
        *,
        kind: str | None = None,
        reason: str = "cancelled by the client",
    ) -> Submitted | None:
        """As :meth:`Client.cancel`."""
        return self._run(self._client.cancel(request, kind=kind, reason=reason))

    def progress(
        self, request: str | Submitted, *, kind: str | None = None
    ) -> Generator[Progress, None, None]:
        """As :meth:`Client.progress`; each step blocks until there is more text, or the result."""
        pieces = self._client.progress(request, kind=kind)
        try:
            while (piece := self._run(_next(pieces))) is not None:
                yield piece
        finally:
            # Closing the client has ended it already.
            if self._loop is not None:
                self._run(pieces.aclose())


async def _next(pieces: AsyncGenerator[Progress, None]) -> Progress | None:
    return await anext(pieces, None)

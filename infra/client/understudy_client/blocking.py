"""Base of the clients for programs without asyncio: the methods, run by an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any, Generic, Protocol, Self, TypeVar

from understudy_client.answer import Answer, Submitted
from understudy_client.errors import Unreachable
from understudy_client.result import Progress, Result

T = TypeVar("T")


class AsyncClient(Protocol):
    """What every client for asyncio has; :class:`understudy_client.Client` says what the methods do."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    @property
    def url(self) -> str:
        """Where it is connected to."""
        ...

    async def submit(
        self,
        kind: str,
        prompt: str | None = None,
        *,
        body: bytes | None = None,
        request_id: str | None = None,
        **fields: Any,
    ) -> Submitted:
        """Publish a request."""
        ...

    async def generate(
        self,
        kind: str,
        prompt: str | None = None,
        *,
        body: bytes | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> Answer:
        """Publish a request and wait for its result and content."""
        ...

    async def ask(
        self,
        kind: str,
        prompt: str | None = None,
        *,
        body: bytes | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> Result:
        """Publish a request and wait for its result."""
        ...

    async def wait(
        self, request: str | Submitted, *, kind: str | None = None, timeout_s: float | None = None
    ) -> Result:
        """Wait for a request's result."""
        ...

    async def look(self, request: str | Submitted, *, kind: str | None = None) -> Result | None:
        """A request's result if there is one now."""
        ...

    async def document(self, result: Result) -> Any:
        """A result's content as plain JSON values."""
        ...

    async def content(self, result: Result) -> Any:
        """A result's content as the kind's model."""
        ...

    async def cancel(
        self,
        request: str | Submitted,
        *,
        kind: str | None = None,
        reason: str = "cancelled by the client",
    ) -> Submitted | None:
        """Cancel a request."""
        ...

    def progress(
        self, request: str | Submitted, *, kind: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        """A request's text while a model writes it."""
        ...


C = TypeVar("C", bound=AsyncClient)


class BlockingClient(Generic[C]):
    """A client for programs without asyncio, for ``with``; several threads may use it at once.

    Args:
        client: the client that does the work; nothing else may use it.
    """

    def __init__(self, client: C) -> None:
        self._client = client
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        #: Ends the loop.
        self._left = asyncio.Event()

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
        """Where it is connected to, without a password."""
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

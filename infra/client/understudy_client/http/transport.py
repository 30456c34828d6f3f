"""HTTP connection of one client: calls that are sent again until their time is over, and streams of events."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httpx2

from understudy_client.errors import BrokerLost, ClientError, Unavailable, Unreachable, Unreadable
from understudy_client.http import answers, retry
from understudy_client.http.answers import HttpAnswer
from understudy_client.http.retry import PassingTrouble

if TYPE_CHECKING:
    from understudy_client.http.address import GatewayAddress

#: Seconds in which a connection must be made, and in which an answer must begin or go on.
CONNECT_S: Final = 3.0
_READ_S: Final = 10.0
#: Seconds that a try may take beyond the time that is left.
_GRACE_S: Final = 2.0
#: Seconds within which a stream of events sends something: the gateway pings after 15.
_STREAM_S: Final = 45.0
#: Seconds before a stream that the gateway has ended is opened again.
_REOPEN_S: Final = 0.2
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=20)


class HttpTransport:
    """The HTTP connection of one client.

    Args:
        address: the gateway's.
        on_lost: called with the URL when the gateway does not serve any more.
        on_back: called with it when it serves again.
        lost_s: seconds without the gateway after which a call is given up.
        max_bytes: largest answer and largest event that is read.
    """

    def __init__(
        self,
        address: GatewayAddress,
        *,
        on_lost: Callable[[str], None] | None,
        on_back: Callable[[str], None] | None,
        lost_s: float,
        max_bytes: int,
    ) -> None:
        self._address = address
        self._on_lost, self._on_back = on_lost, on_back
        self._most_lost_s = lost_s
        self._max_bytes = max_bytes
        self._http: httpx2.AsyncClient | None = None
        #: When the gateway stopped serving, on the monotonic clock; ``None``: it serves.
        self._lost_at: float | None = None

    @property
    def url(self) -> str:
        """The gateway's URL."""
        return self._address.url

    async def open(self) -> None:
        """Connect, and check the token.

        Raises:
            Unreachable: no gateway answers.
            AccessDenied: it does not know the token.
        """
        self._http = httpx2.AsyncClient(
            base_url=self._address.base,
            headers=self._address.headers,
            verify=True if self._address.tls is None else self._address.tls,
            follow_redirects=False,
            limits=_LIMITS,
        )
        try:
            await self._sign_in()
        except (Unavailable, Unreadable) as error:
            await self.close()
            raise Unreachable(
                f"no gateway answers at {self._address.url} ({error}); start the pipeline, or correct the URL"
            ) from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        until: float,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        hold_s: float = 0.0,
        request_id: str | None = None,
    ) -> HttpAnswer:
        """Send a request until the answer is final; it must be one that may arrive twice.

        Args:
            method: the method.
            path: the path below the base URL.
            until: when to give up, on the monotonic clock; one try is made in any case.
            query: the query.
            headers: further headers.
            body: JSON.
            hold_s: seconds that the gateway may wait for a result; it gets whole seconds, in ``wait`` or ``Prefer``.
            request_id: the request whose result is awaited.

        Raises:
            BrokerLost: the gateway is away, and a result was awaited.
            Unavailable: the gateway is away.
            Busy: it accepts no more requests now.
            Unreadable: the answer is too large.
        """
        tries = 0
        while True:
            hold = int(max(0.0, min(hold_s, until - time.monotonic())))
            held = {"Prefer": f"wait={hold}"} if method == "POST" and hold_s else {}
            asked = {"wait": str(hold)} if method == "GET" and hold else {}
            try:
                async with self._send(
                    method,
                    path,
                    params={**(query or {}), **asked},
                    headers={**(headers or {}), **held},
                    content=body,
                    read_s=hold + _READ_S,
                    whole_s=max(0.0, until - time.monotonic()) + _GRACE_S,
                ) as response:
                    answer = await self._read(response)
            except PassingTrouble as error:
                trouble = error
            else:
                trouble = answers.find_trouble(answer)
                if trouble is None:
                    self._note_back()
                    return answer
            tries += 1
            await self._pause(trouble, tries, until, request_id)

    async def events(self, path: str, *, request_id: str) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
        """The events of a request's stream, over lost connections, until the gateway says that it has ended.

        Args:
            path: the path of the stream.
            request_id: the request whose result is awaited.

        Raises:
            BrokerLost: the gateway stayed away for too long.
            ClientError: it refuses.
        """
        last: str | None = None
        tries = 0
        while True:
            trouble = PassingTrouble(Unavailable("the stream ended"), lost=False, after_s=_REOPEN_S)
            try:
                headers = {} if last is None else {"Last-Event-ID": last}
                async with self._send(
                    "GET", path, headers={"Accept": "text/event-stream", **headers}, read_s=_STREAM_S
                ) as response:
                    if response.status_code == HTTPStatus.OK:
                        self._note_back()
                        tries = 0
                        async for event in httpx2.EventSource(response, self._max_bytes):
                            last = event.id or last
                            if event.event == "bye" and '"ended"' in event.data:
                                return
                            if event.data:
                                yield event
                    elif await self._ends(response):
                        return
            except PassingTrouble as error:
                trouble = error
            tries += 1
            await self._pause(trouble, tries, float("inf"), request_id)

    async def _ends(self, response: httpx2.Response) -> bool:
        """Whether an answer without events ends a stream.

        Raises:
            PassingTrouble: there may be events later.
            ClientError: the gateway refuses.
        """
        if response.status_code in (HTTPStatus.NO_CONTENT, HTTPStatus.GONE):
            return True
        answer = await self._read(response)
        trouble = answers.find_trouble(answer)
        if trouble is not None:
            raise trouble
        error = answers.error_of(answer)
        if answer.status != HTTPStatus.NOT_FOUND:
            raise error
        self._note_back()
        raise PassingTrouble(error, lost=False)

    # -- parts

    async def _sign_in(self) -> None:
        answer = await self.call("GET", "/api/session", until=time.monotonic() + CONNECT_S)
        if answer.status != HTTPStatus.OK:
            raise answers.error_of(answer)
        answers.decode(answer, dict[str, Any])

    @contextlib.asynccontextmanager
    async def _send(
        self, method: str, path: str, *, read_s: float, whole_s: float | None = None, **said: Any
    ) -> AsyncGenerator[httpx2.Response, None]:
        """One try.

        Raises:
            PassingTrouble: the connection cannot be made, or breaks.
            Unreachable: the client is not open.
            Unreadable: the answer is compressed.
        """
        if self._http is None:
            raise Unreachable("the client is not connected; use it with `async with`")
        timeout = httpx2.Timeout(read_s, connect=CONNECT_S, pool=None)
        if said.get("content") is not None:
            said["headers"] = {"Content-Type": "application/json", **said["headers"]}
        try:
            async with (
                asyncio.timeout(whole_s),
                self._http.stream(method, path.lstrip("/"), timeout=timeout, **said) as response,
            ):
                if response.headers.get("content-encoding", "identity") != "identity":
                    # A few bytes could become any number.
                    raise Unreadable("the answer is compressed, which the client does not ask for")
                yield response
        except (httpx2.TransportError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise PassingTrouble(
                Unavailable(
                    f"the gateway at {self._address.url} does not answer ({why}); "
                    "send the same request again, under the same id"
                ),
                lost=True,
            ) from error
        except (httpx2.InvalidURL, httpx2.HTTPError) as error:
            raise ClientError(f"the request cannot be sent: {error}") from error

    async def _read(self, response: httpx2.Response) -> HttpAnswer:
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > self._max_bytes:
                raise Unreadable(f"the answer has more than {self._max_bytes} bytes (max_bytes)")
        return HttpAnswer(status=response.status_code, headers=dict(response.headers), body=bytes(body))

    async def _pause(self, trouble: PassingTrouble, tries: int, until: float, request_id: str | None) -> None:
        """Wait before the next try.

        Raises:
            BrokerLost, Unavailable, Busy, ClientError: there is no time for one.
        """
        if trouble.lost:
            self._note_lost()
        pause = retry.choose_pause_s(tries, trouble.after_s, random.random())  # noqa: S311 - spreads clients, hides nothing
        now = time.monotonic()
        lost_s = 0.0 if self._lost_at is None or not trouble.lost else now - self._lost_at
        if now + pause > until or lost_s > self._most_lost_s:
            if trouble.lost and request_id is not None:
                raise BrokerLost(self._address.url, request_id, what="gateway") from None
            raise trouble.error
        await asyncio.sleep(pause)

    def _note_lost(self) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            if self._on_lost is not None:
                self._on_lost(self._address.url)

    def _note_back(self) -> None:
        if self._lost_at is not None:
            self._lost_at = None
            if self._on_back is not None:
                self._on_back(self._address.url)

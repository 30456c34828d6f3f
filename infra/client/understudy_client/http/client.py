"""Client over HTTP for asyncio: the methods of :class:`understudy_client.Client`, for who cannot reach the broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import msgspec

from understudy_client import answer, protocol, timeouts
from understudy_client.answer import Answer, Submitted
from understudy_client.client import LOST_S
from understudy_client.errors import Busy, IdTaken, MissingExtra, NoResult, Unavailable
from understudy_client.http import answers, progress
from understudy_client.http.address import read_address
from understudy_client.http.answers import AcceptedJob, HttpAnswer, JobState
from understudy_client.http.order import HttpOrder
from understudy_client.identity import RequestIdentity, meant
from understudy_client.result import Progress, Result
from understudy_client.session import PUBLISH_S

if TYPE_CHECKING:
    import ssl

    from understudy_client.http.transport import HttpTransport

#: Seconds that one call waits at the gateway for a result; proxies often cut a call after 30 or 60.
POLL_S: Final = 20.0
#: Shortest and longest pause between two looks at a request that does not exist yet, seconds.
_LOOK_AGAIN_S: Final = (0.25, 5.0)
#: Largest answer, bytes.
MAX_BYTES: Final = 64 * 1024**2


class HttpClient:
    """Client of one gateway, for ``async with``; :meth:`connect` makes one.

    Every call is sent again after a lost connection, a restart of the gateway, or an answer that says when to come back,
    until its time is over.  A request carries its id as ``Idempotency-Key``, so it is generated once.

    Args:
        transport: carries the calls.
        deadline_ms: deadline of requests that name none: the pipeline's setting of that name.
    """

    def __init__(self, transport: HttpTransport, *, deadline_ms: int = timeouts.DEFAULT_DEADLINE_MS) -> None:
        self._transport = transport
        self._deadline_ms = deadline_ms

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
        """A client of the gateway at a URL; ``async with`` opens the connection.

        Args:
            url: ``http://host:port`` or ``https://host``; a path is what a proxy adds before the gateway's own.
            token: the token that ``understudy tokens create`` printed; a gateway without tokens needs none.
            tls: TLS context, for a certificate authority or a client certificate of your own.
            on_lost: called with the URL each time that the gateway does not serve any more.
            on_back: called with it each time that it serves again.
            lost_s: seconds without the gateway after which a call is given up.
            deadline_ms: deadline of requests that name none: the pipeline's setting of that name.
            max_bytes: largest answer that is read.

        Raises:
            MissingExtra: the extra ``http`` is not installed.
            Unreachable: it is not the URL of a gateway.
            InvalidRequest: the token is none.
        """
        transport = _load_transport()(
            read_address(url, token=token, tls=tls),
            on_lost=on_lost,
            on_back=on_back,
            lost_s=lost_s,
            max_bytes=max_bytes,
        )
        return cls(transport, deadline_ms=deadline_ms)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    @property
    def url(self) -> str:
        """The gateway's URL."""
        return self._transport.url

    async def submit(
        self,
        kind: str,
        prompt: str | None = None,
        *,
        body: bytes | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
        **fields: Any,
    ) -> Submitted:
        """Send a request and wait until the broker has stored it.

        The same kind and body under the same id is the same request, however often it is sent.

        The arguments are those of :meth:`understudy_client.Client.submit`.  With a token of a workspace, the request gets
        another id, which follows from ``request_id``: that of what is returned.

        Raises:
            InvalidRequest: the pipeline would not accept it; nothing was published.
            IdTaken: the id belongs to another request; nothing was published.
            Busy: the pipeline accepts no more requests for now.
            Unavailable: the gateway did not answer within 20 s.
            AccessDenied: the token does not allow it.
        """
        order = HttpOrder.compose(kind, prompt, body, request_id, traceparent, fields)
        found = await self._transport.call(
            "POST",
            "/api/v1/generations",
            query={"kind": kind},
            headers={**order.headers, "Prefer": "respond-async"},
            body=order.body,
            until=time.monotonic() + PUBLISH_S,
        )
        if found.status != HTTPStatus.ACCEPTED:
            raise answers.error_of(found, expected_kind=kind)
        accepted = answers.decode(found, AcceptedJob)
        return Submitted(
            request_id=accepted.job_id,
            kind=accepted.kind,
            subject=protocol.subject("requested", accepted.kind, accepted.job_id),
            sequence=accepted.sequence,
            duplicate=accepted.duplicate,
            trace_id=accepted.trace_id,
        )

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
        """Send a request and wait for its result and content, as :meth:`understudy_client.Client.generate`.

        Raises:
            InvalidRequest, IdTaken, Busy, Unavailable, AccessDenied: as :meth:`submit`.
            NoResult, BrokerLost, Unreadable: as :meth:`wait`.
        """
        result = await self.ask(kind, prompt, body=body, request_id=request_id, timeout_s=timeout_s, **fields)
        return Answer(result=result, document=await self.document(result))

    async def ask(
        self,
        kind: str,
        prompt: str | None = None,
        *,
        body: bytes | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        traceparent: str | None = None,
        **fields: Any,
    ) -> Result:
        """Send a request and wait for its result, as :meth:`generate`."""
        order = HttpOrder.compose(kind, prompt, body, request_id, traceparent, fields)
        if timeout_s is None:
            timeout_s = timeouts.wait_s(order.body, default_ms=self._deadline_ms)
        until = time.monotonic() + timeout_s
        found = await self._transport.call(
            "POST",
            "/api/generate-content",
            query={"kind": kind},
            headers=order.headers,
            body=order.body,
            hold_s=POLL_S,
            until=until,
        )
        if found.status != HTTPStatus.ACCEPTED:
            return answers.read_result(found, kind=kind)
        accepted = answers.decode(found, AcceptedJob)
        return await self._wait(RequestIdentity(request_id=accepted.job_id, kind=kind), until, timeout_s)

    async def wait(
        self,
        request: str | Submitted,
        *,
        kind: str | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Wait for a request's result, as :meth:`understudy_client.Client.wait`; one that exists already is found.

        Raises:
            IdTaken: the id belongs to a request of another kind than the one that is meant.
            NoResult: none came in time.
            BrokerLost: the gateway was away for too long.
            Unreadable: the answer cannot be read, or is too large.
            AccessDenied: the token does not allow it.
        """
        if timeout_s is None:
            timeout_s = self._deadline_ms / 1000 + timeouts.MARGIN_S
        # An id may have another kind, and the gateway says which one only after it has waited.
        hold_s = POLL_S if kind is None else 0.0
        return await self._wait(
            meant(request, kind), time.monotonic() + timeout_s, timeout_s, first_hold_s=hold_s
        )

    async def _wait(
        self, expected: RequestIdentity, until: float, timeout_s: float, *, first_hold_s: float = POLL_S
    ) -> Result:
        pause, longest = _LOOK_AGAIN_S
        hold_s = first_hold_s
        while True:
            began = time.monotonic()
            try:
                job = await self._look(expected, until=until, hold_s=hold_s, awaited=True)
            except Busy:
                raise NoResult(expected.request_id, timeout_s) from None
            if job is not None and job.result is not None:
                return job.result
            left = until - time.monotonic()
            if left <= 0:
                raise NoResult(expected.request_id, timeout_s)
            # The gateway waits for the result of a request that exists, in whole seconds.
            if hold_s and (job is None or time.monotonic() - began < 1):
                await asyncio.sleep(min(pause, left))
                pause = min(pause * 2, longest)
            hold_s = POLL_S

    async def look(self, request: str | Submitted, *, kind: str | None = None) -> Result | None:
        """A request's result if there is one now, as :meth:`understudy_client.Client.look`.

        Raises:
            IdTaken: the id belongs to a request of another kind than the one that is meant.
            Unavailable: the gateway does not answer.
            Unreadable, AccessDenied: as :meth:`wait`.
        """
        job = await self._look(meant(request, kind), until=time.monotonic() + PUBLISH_S)
        return None if job is None else job.result

    async def _look(
        self, expected: RequestIdentity, *, until: float, hold_s: float = 0.0, awaited: bool = False
    ) -> JobState | None:
        """The state of a request; ``None``: there is none.

        Raises:
            IdTaken: it has another kind than the one that is meant.
        """
        request_id = expected.request_id
        found = await self._transport.call(
            "GET",
            f"/api/generation-jobs/{quote(request_id, safe='')}",
            until=until,
            hold_s=hold_s,
            request_id=request_id if awaited else None,
        )
        if found.status == HTTPStatus.NOT_FOUND:
            return None
        if found.status != HTTPStatus.OK:
            raise answers.error_of(found)
        job = answers.decode(found, JobState)
        if expected.kind not in (None, job.kind):
            place = f"its status is {job.status}"
            raise IdTaken(request_id, job.kind, None, expected=expected.kind, place=place)
        return job

    async def document(self, result: Result) -> Any:
        """A result's content as plain JSON values; the gateway puts content of any size into the result.

        Raises:
            Unavailable: content that a result of another client refers to cannot be fetched.
        """
        if result.content_ref is None:
            return result.content
        found = await self._call_one(result.request_id, "GET", "content")
        if found.status != HTTPStatus.OK:
            raise Unavailable(f"content {result.content_ref.object} cannot be fetched") from answers.error_of(
                found
            )
        return answers.decode(found, object)

    async def content(self, result: Result) -> Any:
        """A result's content as the kind's model.

        Raises:
            Unavailable: as :meth:`document`.
            MissingExtra, Unreadable: as :attr:`Answer.content`.
        """
        document = await self.document(result)
        return None if document is None else answer.typed(result.kind, document)

    async def cancel(
        self,
        request: str | Submitted,
        *,
        kind: str | None = None,
        reason: str = "cancelled by the client",
    ) -> Submitted | None:
        """Cancel a request, as :meth:`understudy_client.Client.cancel`; it has no effect once there is a result.

        A token of one workspace cancels the requests of that workspace; any other one needs the role ``operator``.

        Returns:
            The cancellation; ``None`` where there is no such request.

        Raises:
            IdTaken: the id belongs to a request of another kind than the one that is meant; nothing was published.
            Unavailable, AccessDenied: as :meth:`look`.
        """
        expected = meant(request, kind)
        job = await self._look(expected, until=time.monotonic() + PUBLISH_S)
        if job is None:
            return None
        body = msgspec.json.encode({"reason": reason})
        found = await self._call_one(expected.request_id, "POST", "cancel", body=body)
        if found.status == HTTPStatus.NOT_FOUND:
            return None
        if found.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
            raise answers.error_of(found)
        return Submitted(
            request_id=expected.request_id,
            kind=job.kind,
            subject=protocol.subject("cancelled", job.kind, expected.request_id),
            sequence=0,
        )

    def progress(
        self, request: str | Submitted, *, kind: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Yield a request's text while a model writes it, as :meth:`understudy_client.Client.progress`.

        Raises:
            IdTaken: the id belongs to a request of another kind than the one that is meant.
            BrokerLost: the gateway was away for too long.
            AccessDenied: the token does not allow it.
        """
        return progress.follow(self._transport, meant(request, kind))

    async def _call_one(
        self, request_id: str, method: str, what: str, *, body: bytes | None = None
    ) -> HttpAnswer:
        return await self._transport.call(
            method,
            f"/api/v1/generations/{quote(request_id, safe='')}/{what}",
            body=body,
            until=time.monotonic() + PUBLISH_S,
        )


def _load_transport() -> type[HttpTransport]:
    try:
        from understudy_client.http.transport import HttpTransport  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name != "httpx2":
            raise
        raise MissingExtra("a client over HTTP", "http", "httpx2>=2.12") from None
    return HttpTransport

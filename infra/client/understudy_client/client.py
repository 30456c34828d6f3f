"""Client for asyncio: publishes requests, awaits their results, and survives a restart of the broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from understudy_client import answer, identity, log, progress, protocol, timeouts
from understudy_client.answer import Answer, Submitted
from understudy_client.connection import Connector, Servers
from understudy_client.errors import Unavailable
from understudy_client.log import StoredMessage
from understudy_client.result import Progress, Result
from understudy_client.results import ResultReader
from understudy_client.session import Session

if TYPE_CHECKING:
    import ssl

    from nats.aio.client import Client as Connection

#: Seconds without a broker after which a wait ends; the request itself is safe.
LOST_S: Final = 30.0
#: Publishes of one request while others take and free its id, and seconds between two.
_TRIES: Final = 5
_AGAIN_S: Final = 0.2


class Client:
    """Client of one pipeline, for ``async with``; :meth:`connect` makes one.

    Args:
        connector: opens the connection.
        on_lost: called with the broker's URL each time that the connection is lost.
        on_back: called with it each time that the connection is back.
        lost_s: seconds without a connection after which a wait raises :class:`BrokerLost`.
        deadline_ms: deadline of requests that name none: the pipeline's setting of that name.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        on_lost: Callable[[str], None] | None = None,
        on_back: Callable[[str], None] | None = None,
        lost_s: float = LOST_S,
        deadline_ms: int = timeouts.DEFAULT_DEADLINE_MS,
    ) -> None:
        self._session = Session(connector, on_lost=on_lost, on_back=on_back)
        self._results = ResultReader(self._session, lost_s=lost_s)
        self._deadline_ms = deadline_ms

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
        """A client of the broker at a URL; ``async with`` opens the connection.

        Args:
            url: ``nats://host:port`` or ``tls://host:port``; several servers as a list, or with commas between them.
            creds: credentials file; needs the extra ``nkeys``.
            nkey: file with an NKey seed; needs the extra ``nkeys``.
            inbox_prefix: prefix of the subjects for answers; default: that of the role which the key's file names.
            tls: TLS context, for a certificate authority or a client certificate of your own.
            tls_hostname: name in the server's certificate, where it is not the host's.
            on_lost: called with the broker's URL each time that the connection is lost.
            on_back: called with it each time that the connection is back.
            lost_s: seconds without a connection after which a wait raises :class:`BrokerLost`.
            deadline_ms: deadline of requests that name none: the pipeline's setting of that name.
        """
        servers = Servers(
            url=url, creds=creds, nkey=nkey, inbox_prefix=inbox_prefix, tls=tls, tls_hostname=tls_hostname
        )
        return cls(servers, on_lost=on_lost, on_back=on_back, lost_s=lost_s, deadline_ms=deadline_ms)

    async def __aenter__(self) -> Self:
        await self._session.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    @property
    def url(self) -> str:
        """The broker's URL without a password; empty before the connection."""
        return self._session.url

    @property
    def connection(self) -> Connection:
        """The nats-py client, for what this one does not do.

        Raises:
            Unreachable: outside ``async with``.
        """
        return self._session.connection

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
        """Publish a request and wait until the broker has stored it.

        The same kind and body under the same id is the same request, however often it is published.

        Args:
            kind: content kind.
            prompt: what to generate.
            body: the whole body as JSON, instead of prompt and fields.
            request_id: its id; default: a fresh one.
            traceparent: the span that asks (W3C Trace Context); default: a new trace.
            **fields: further fields of the request, as ``docs/subjects.md`` lists them.

        Raises:
            InvalidRequest: the broker would not accept it; nothing was published.
            IdTaken: the id belongs to another request; nothing was published.
            Busy: the pipeline accepts no more requests now; nothing was stored.
            Unavailable: the broker did not acknowledge within 20 s.
            ClientError: the broker refuses it.
        """
        body = protocol.compose(prompt, fields, body)
        request_id = request_id or protocol.new_id()
        protocol.check_kind(kind)
        protocol.check_id(request_id)
        protocol.check_body(body)
        subject = protocol.subject("requested", kind, request_id)
        headers = protocol.headers(
            "requested", kind=kind, request_id=request_id, body=body, parent=traceparent
        )
        # The broker itself checks that no request has the id; its window of message ids would also take a request
        # for stored that was deleted since.
        condition = {
            protocol.EXPECTED_LAST: "0",
            protocol.EXPECTED_LAST_SUBJECT: protocol.any_kind("requested", request_id),
        }
        for _ in range(_TRIES):
            ack = await self._session.publish(subject, body, headers | condition)
            stored = await self._earlier(kind, request_id, body) if ack.refused else None
            if ack.refused and stored is None:
                # The other request was deleted in between, or a cluster has not stored it yet.
                await asyncio.sleep(_AGAIN_S)
                continue
            return Submitted(
                request_id=request_id,
                kind=kind,
                subject=subject,
                sequence=stored.sequence if stored else ack.seq,
                duplicate=ack.refused,
                trace_id=protocol.trace_id(stored.headers if stored else headers),
            )
        raise Unavailable(
            f"the id {request_id} was taken and freed {_TRIES} times; publish the request again"
        )

    async def _earlier(self, kind: str, request_id: str, body: bytes) -> StoredMessage | None:
        """The stored request that has the id, if it is this very one; ``None`` without one.

        Raises:
            IdTaken: it is another one.
        """
        anybody = identity.RequestIdentity(request_id=request_id)
        owner = await self._session.patiently(lambda: self._results.owner(anybody))
        if owner is None:
            return None
        found = protocol.kind_of(owner.subject)
        if found != kind or not identity.same_body(owner.body, body):
            raise identity.RequestIdentity(request_id=request_id, kind=kind).taken(found, owner.sequence)
        return owner

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
        """Publish a request and wait for its result and content; large content is fetched.

        Args:
            kind: content kind.
            prompt: what to generate.
            body: the whole body as JSON, instead of prompt and fields.
            request_id: its id; default: a fresh one.
            timeout_s: seconds to wait for the result; default: the deadline that the request names, and 15 s.
            **fields: further fields of the request, as ``docs/subjects.md`` lists them.

        Raises:
            InvalidRequest, IdTaken, Busy, Unavailable, ClientError: as :meth:`submit`.
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
        """Publish a request and wait for its result, as :meth:`generate`, without fetching large content."""
        body = protocol.compose(prompt, fields, body)
        request_id = request_id or protocol.new_id()
        protocol.check_id(request_id)
        if timeout_s is None:
            timeout_s = timeouts.wait_s(body, default_ms=self._deadline_ms)
        # First listen, then publish: the result may come before the acknowledgement.
        async with self._session.listening(request_id) as heard:
            submitted = await self.submit(kind, body=body, request_id=request_id, traceparent=traceparent)
            expected = identity.meant(submitted, None)
            if submitted.duplicate:
                # Its result may be there already.
                heard.set()
            return await self._results.wait(expected, heard, timeout_s, owned=True)

    async def wait(
        self,
        request: str | Submitted,
        *,
        kind: str | None = None,
        timeout_s: float | None = None,
    ) -> Result:
        """Wait for a request's result; one that exists already is found.

        Args:
            request: an id; or what :meth:`submit` returned, which means that very request.
            kind: its content kind; default: whatever kind the id has.
            timeout_s: seconds to wait at most; default: the pipeline's deadline and 15 s.

        Raises:
            IdTaken: the id belongs to another request than the one that is meant.
            NoResult: none came in time.
            BrokerLost: the connection was lost for too long.
            Unreadable: what is stored as the result is none.
        """
        expected = identity.meant(request, kind)
        if timeout_s is None:
            timeout_s = self._deadline_ms / 1000 + timeouts.MARGIN_S
        async with self._session.listening(expected.request_id) as heard:
            heard.set()
            return await self._results.wait(expected, heard, timeout_s, owned=False)

    async def look(self, request: str | Submitted, *, kind: str | None = None) -> Result | None:
        """A request's result if the log has it now.

        Args:
            request: an id; or what :meth:`submit` returned, which means that very request.
            kind: its content kind; default: whatever kind the id has.

        Raises:
            IdTaken: the id belongs to another request than the one that is meant.
            Unavailable: the broker does not answer.
            NotSetUp: the broker lacks the pipeline's streams.
            Unreadable: what is stored as the result is none.
        """
        expected = identity.meant(request, kind)
        found = await self._results.look(expected)
        if found is None:
            await self._results.owner(expected)
        return found

    async def owner(self, request: str | Submitted, *, kind: str | None = None) -> StoredMessage | None:
        """The request that has an id, as REQUESTS keeps it; ``None`` without one.

        Args:
            request: an id; or what :meth:`submit` returned, which means that very request.
            kind: its content kind; default: whatever kind the id has.

        Raises:
            IdTaken: it is another request than the one that is meant.
            NotSetUp, Unavailable: as :meth:`look`.
        """
        return await self._results.owner(identity.meant(request, kind))

    async def document(self, result: Result) -> Any:
        """A result's content as plain JSON values; large content is fetched.

        Raises:
            Unavailable: large content cannot be fetched, or is damaged.
        """
        if result.content_ref is None:
            return result.content
        return msgspec.json.decode(await log.fetch_object(self._session.calls, result.content_ref))

    async def content(self, result: Result) -> Any:
        """A result's content as the kind's model; large content is fetched.

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
        """Cancel a request; it has no effect once there is a result.

        Args:
            request: an id; or what :meth:`submit` returned, which means that very request.
            kind: its content kind; default: whatever kind the id has.
            reason: in words; goes into the result.

        Returns:
            What was published; ``None`` where the log has no such request.

        Raises:
            IdTaken: the id belongs to another request than the one that is meant; nothing was published.
            Busy, Unavailable, ClientError: as :meth:`submit`.
        """
        expected = identity.meant(request, kind)
        owner = await self._results.owner(expected)
        if owner is None:
            return None
        kind, request_id = protocol.kind_of(owner.subject), expected.request_id
        body = msgspec.json.encode({"reason": reason, "attempt": 1})
        parent = owner.headers.get(protocol.TRACEPARENT)
        headers = protocol.headers("cancelled", kind=kind, request_id=request_id, body=body, parent=parent)
        subject = protocol.subject("cancelled", kind, request_id)
        ack = await self._session.publish(subject, body, headers)
        return Submitted(
            request_id=request_id, kind=kind, subject=subject, sequence=ack.seq, duplicate=ack.duplicate
        )

    def progress(
        self, request: str | Submitted, *, kind: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Yield a request's text while a model writes it; ends when the result is stored.

        Args:
            request: an id; or what :meth:`submit` returned, which means that very request.
            kind: its content kind; default: whatever kind the id has.

        Raises:
            IdTaken: the id belongs to another request than the one that is meant.
            BrokerLost: the connection was lost for too long.
        """
        return progress.follow(self._session, self._results, identity.meant(request, kind))

"""How does a Python program ask for content and get its one answer?

async with Client.connect("nats://127.0.0.1:4222") as client:
    answer = await client.generate("layout", prompt="a forest with three coins")
    print(answer.result.status, answer.content)
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import uuid_utils

from contracts import envelope, pipeline, request, scenes, subjects
from contracts import events as ev
from contracts.content import registry
from contracts.errors import Unavailable, UnderstudyError, Unreadable
from contracts.request import RequestError
from infra import patience as waiting
from infra.nats import log
from infra.nats.connection import Unreachable, dial
from infra.nats.wire import PubAck, Wire
from infra.runner.trace import child_of
from infra.stores.assets import Assets

if TYPE_CHECKING:
    from nats.aio.client import Client as Connection
    from nats.aio.msg import Msg

    from infra.settings import Settings

#: Seconds that a publish is tried again while the broker does not answer.
PUBLISH_S: Final = 20.0
#: Longest and shortest wait between two looks into the log; a core message can get lost.
_LOOK_AGAIN_S: Final = (0.5, 5.0)
#: JetStream errors of a stream or server that is full.
_FULL: Final = frozenset({10077, 10110})


class NoResult(UnderstudyError):  # noqa: N818 - names what is not there
    """No result came in time; the text says how to find out why."""

    def __init__(self, request_id: str, seconds: float) -> None:
        super().__init__(
            f"no result for {request_id} within {seconds:g} s; `understudy why {request_id}` shows how far it got"
        )
        self.request_id = request_id


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """A request that the broker has acknowledged."""

    request_id: str
    kind: str
    subject: str
    #: In REQUESTS.
    sequence: int
    #: The broker had this very publish already.
    duplicate: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The one result of a request, and its content as the kind's own model."""

    result: ev.Result
    #: The kind's model; plain JSON values for ``custom``, ``None`` where the result has no content.
    content: Any


def new_id() -> str:
    """A request id for who has none: a UUIDv7, so that ids sort by time."""
    return str(uuid_utils.uuid7())


def now() -> str:
    """The time as RFC 3339 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Client:
    """Publishes requests and awaits their results; survives a restart of the broker.

    Made by :meth:`connect` and used with ``async with``.
    """

    def __init__(self, url: str | Settings) -> None:
        self._where = url
        self._deadline_ms = request.DEFAULT_DEADLINE_MS if isinstance(url, str) else url.deadline_ms
        self._connection: Connection | None = None
        #: Calls to the broker over this connection.
        self.wire = Wire()
        #: One flag per waiting request: look into the log again.
        self._waiting: dict[str, asyncio.Event] = {}

    @classmethod
    def connect(cls, url: str | Settings) -> Client:
        """A client for ``async with``.

        Args:
            url: the broker's URL, or the settings that say where it is.
        """
        return cls(url)

    async def __aenter__(self) -> Self:
        self._connection = await dial(
            self._where,
            name="understudy-client",
            on_reconnect=self._reconnected,
            on_disconnect=self.wire.suspend,
        )
        await self.wire.open(self._connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.wire.close()
        if self._connection is not None:
            await self._connection.close()

    @property
    def connection(self) -> Connection:
        """The nats-py client.

        Raises:
            Unreachable: outside ``async with``.
        """
        if self._connection is None:
            raise Unreachable("this client is not connected; use it with `async with`")
        return self._connection

    def patience(self, asked: request.GenerationRequest) -> float:
        """Seconds within which a request's result should have come."""
        folder = None if isinstance(self._where, str) else self._where.templates_dir
        return waiting.seconds(asked, default_deadline_ms=self._deadline_ms, templates=folder)

    def _reconnected(self) -> None:
        self.wire.renew()
        for flag in self._waiting.values():
            flag.set()

    async def submit(
        self,
        kind: str,
        prompt: str | None = None,
        *,
        body: bytes | None = None,
        request_id: str | None = None,
        **fields: Any,
    ) -> Submitted:
        """Publish a request and wait until the broker has it.

        Args:
            kind: content kind.
            prompt: what to generate.
            body: the whole body as JSON, instead of prompt and fields.
            request_id: its id; none: a fresh one.
            **fields: further fields of the request, as :class:`contracts.request.GenerationRequest`.

        Raises:
            RequestError: the request would not be accepted; nothing was published.
            Unavailable: the broker did not acknowledge within 20 s.
            UnderstudyError: the broker refuses, for instance because it is full.
        """
        body = body if body is not None else compose(prompt, **fields)
        request_id = request_id or new_id()
        check(kind, request_id, body)
        headers = envelope.headers(
            name="requested",
            version=1,
            kind=kind,
            request_id=request_id,
            stage=pipeline.CLIENT,
            # The same body published again is the same message; another body is not.
            attempt=hashlib.sha256(f"{kind}\n".encode() + body).hexdigest()[:16],
            time=now(),
            traceparent=child_of(None),
        )
        subject = subjects.gen("requested", kind, request_id)
        ack = await self._publish(subject, body, headers)
        return Submitted(
            request_id=request_id, kind=kind, subject=subject, sequence=ack.seq, duplicate=ack.duplicate
        )

    async def wait(self, request_id: str, *, timeout_s: float = 60 + waiting.PATIENCE_S) -> ev.Result:
        """Wait for a request's result; one that exists already is found.

        Args:
            request_id: whose result.
            timeout_s: seconds to wait at most.

        Raises:
            NoResult: none came in time.
            Unreadable: the result is not one of ours.
        """
        async with self._listening(request_id) as (arrived, flag):
            flag.set()
            return await self._await(request_id, arrived, flag, timeout_s)

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
        """Publish a request and wait for its result.

        Args:
            kind: content kind.
            prompt: what to generate.
            body: the whole body as JSON, instead of prompt and fields.
            request_id: its id; none: a fresh one.
            timeout_s: seconds to wait for the result; none: its deadline and 15 s.
            **fields: further fields of the request, as :class:`contracts.request.GenerationRequest`.

        Raises:
            RequestError, Unavailable, UnderstudyError: as :meth:`submit`.
            NoResult, Unreadable: as :meth:`wait`.
        """
        body = body if body is not None else compose(prompt, **fields)
        request_id = request_id or new_id()
        asked = check(kind, request_id, body)
        timeout_s = self.patience(asked) if timeout_s is None else timeout_s
        # First listen, then publish: the answer may be there before the acknowledgement.
        async with self._listening(request_id) as (arrived, flag):
            await self.submit(kind, body=body, request_id=request_id)
            result = await self._await(request_id, arrived, flag, timeout_s)
        return Answer(result=result, content=await self.content(result))

    async def content(self, result: ev.Result) -> Any:
        """A result's content as the kind's model; large content is fetched.

        Raises:
            Unavailable: large content cannot be fetched, or is not what the result says.
        """
        document = result.content
        if result.content_ref is not None:
            document = msgspec.json.decode(await Assets(self.wire).get(result.content_ref))
        if document is None or result.kind == "custom":
            return document
        return registry.CONTENTS.model(result.kind).model_validate(document)

    async def cancel(self, request_id: str, *, reason: str = "cancelled by the client") -> Submitted | None:
        """Say that nobody wants a request's content any more.

        Args:
            request_id: which request.
            reason: in words; goes into the result.

        Returns:
            What was published; ``None`` when no such request is in the log.
        """
        owner = await log.owner(self.wire, request_id)
        if owner is None:
            return None
        kind = owner.subject.split(".")[2]
        headers = envelope.headers(
            name="cancelled",
            version=ev.Cancelled.version,
            kind=kind,
            request_id=request_id,
            stage=pipeline.CLIENT,
            attempt=1,
            time=now(),
            traceparent=child_of(owner.headers.get("traceparent")),
        )
        subject = subjects.gen("cancelled", kind, request_id)
        ack = await self._publish(subject, msgspec.json.encode(ev.Cancelled(reason=reason)), headers)
        return Submitted(
            request_id=request_id, kind=kind, subject=subject, sequence=ack.seq, duplicate=ack.duplicate
        )

    async def progress(self, request_id: str) -> AsyncGenerator[ev.Progress, None]:
        """Yield a request's text as it is being written; ends when its result comes."""
        queue: asyncio.Queue[Msg | None] = asyncio.Queue()

        async def written(msg: Msg) -> None:
            await queue.put(msg)

        async def ended(_: Msg) -> None:
            await queue.put(None)

        listening = [
            await self.connection.subscribe(subjects.any_kind("progress", request_id), cb=written),
            await self.connection.subscribe(subjects.any_kind("result", request_id), cb=ended),
        ]
        try:
            await self.connection.flush()
            if await self.look(request_id) is not None:
                await queue.put(None)
            while (msg := await queue.get()) is not None:
                with contextlib.suppress(Unreadable):
                    said = envelope.decode("progress", msg.data, {})
                    if isinstance(said, ev.Progress):
                        yield said
        finally:
            for subscription in listening:
                await subscription.unsubscribe()

    async def look(self, request_id: str) -> ev.Result | None:
        """A request's result if the log has it now.

        Raises:
            Unavailable: the broker does not answer.
            StreamMissing: the topology is not applied.
            Unreadable: the result is not one of ours.
        """
        found = await log.first(self.wire, pipeline.EVENTS, subjects.any_kind("result", request_id))
        return None if found is None else _result(found.body)

    @contextlib.asynccontextmanager
    async def _listening(
        self, request_id: str
    ) -> AsyncGenerator[tuple[asyncio.Future[bytes], asyncio.Event], None]:
        arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        flag = self._waiting.setdefault(request_id, asyncio.Event())

        async def came(msg: Msg) -> None:
            if not arrived.done():
                arrived.set_result(msg.data)
                flag.set()

        listening = await self.connection.subscribe(subjects.any_kind("result", request_id), cb=came)
        try:
            yield arrived, flag
        finally:
            self._waiting.pop(request_id, None)
            if not self.connection.is_closed:
                await listening.unsubscribe()

    async def _await(
        self, request_id: str, arrived: asyncio.Future[bytes], flag: asyncio.Event, timeout_s: float
    ) -> ev.Result:
        until = time.monotonic() + timeout_s
        pause, longest = _LOOK_AGAIN_S
        while True:
            left = until - time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(flag.wait(), max(0.0, min(pause, left)))
            flag.clear()
            # What is stored counts: a second result is heard before the stream refuses it.  And the answer may
            # be older than the subscription, or have come while the connection was down.
            with contextlib.suppress(Unavailable, log.StreamMissing):
                found = await self.look(request_id)
                if found is not None:
                    return found
            if arrived.done():
                return _result(arrived.result())
            if left <= 0:
                raise NoResult(request_id, timeout_s)
            pause = min(pause * 2, longest)

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str]) -> PubAck:
        until = time.monotonic() + PUBLISH_S
        while True:
            try:
                ack = await self.wire.publish(subject, body, headers)
            except Unavailable:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(_LOOK_AGAIN_S[0])
                continue
            if ack.error is None:
                return ack
            why = ack.error.description
            if ack.error.err_code in _FULL:
                raise UnderstudyError(f"the broker takes no more requests for now ({why}); try again later")
            raise UnderstudyError(f"the broker refuses {subject}: {why}")


def compose(prompt: str | None, **fields: Any) -> bytes:
    """A request's body from its fields; what is ``None`` is left out."""
    said = {"prompt": prompt, **fields}
    return msgspec.json.encode({name: value for name, value in said.items() if value is not None})


def check(kind: str, request_id: str, body: bytes) -> request.GenerationRequest:
    """Check a request as the pipeline will.

    Raises:
        RequestError: naming the field and the fix.
    """
    if kind not in subjects.KINDS:
        raise RequestError("kind", f"{kind!r} is unknown; use one of {', '.join(subjects.KINDS)}")
    if subjects.REQUEST_ID.fullmatch(request_id) is None:
        raise RequestError("id", f"{request_id!r} must match [A-Za-z0-9_-]{{1,64}}")
    asked = request.read(body, kind)
    scenes.check_id(asked, request_id)
    return asked


def _result(body: bytes) -> ev.Result:
    said = envelope.decode("result", body, {})
    if not isinstance(said, ev.Result):
        raise Unreadable("this is not a result")
    return said

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
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import msgspec
import uuid_utils
from nats import errors as nats_errors

from contracts import envelope, pipeline, request, scenes, subjects
from contracts import events as ev
from contracts.content import registry
from contracts.errors import Unavailable, UnderstudyError, Unreadable
from contracts.kinds import KINDS
from contracts.request import RequestError
from infra.app import timeouts as waiting
from infra.client import identity
from infra.client.identity import IdTaken, RequestIdentity, Submitted
from infra.nats import log
from infra.nats.connection import Unreachable, broker_url, dial, shown
from infra.nats.connection import close as hang_up
from infra.nats.multiplexer import PubAck, RequestMultiplexer
from infra.runner.trace import child_of
from infra.stores.assets import Assets

if TYPE_CHECKING:
    from nats.aio.client import Client as Connection
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from infra.nats.log import LogEntry
    from infra.settings.settings import Settings

T = TypeVar("T")

#: Seconds that a publish is tried again while the broker does not answer.
PUBLISH_S: Final = 20.0
#: Seconds without a broker after which nobody waits any longer; the request itself is safe.
LOST_S: Final = 30.0
#: Shortest and longest wait between two looks into the log; a core message can get lost.
_LOOK_AGAIN_S: Final = (0.5, 5.0)
#: The same where a result was heard that is not stored yet.
_HEARD_S: Final = 0.01
#: JetStream errors of a stream or server that is full.
_FULL: Final = frozenset({10077, 10110})


class Busy(UnderstudyError):  # noqa: N818 - names the state of the pipeline
    """More requests are open than can be answered in time, or the streams are full: nothing was stored."""


class NoResult(UnderstudyError):  # noqa: N818 - names what is not there
    """No result came in time; the text says how to find out why."""

    def __init__(self, request_id: str, seconds: float) -> None:
        super().__init__(
            f"no result for {request_id} within {seconds:g} s; `understudy why {request_id}` shows how far it got"
        )
        self.request_id = request_id


class BrokerLost(Unreachable):
    """The connection was lost while waiting, and did not come back; the request is safe."""

    def __init__(self, url: str, request_id: str) -> None:
        super().__init__(
            f"lost the broker at {url} while waiting; the request is safe: `understudy wait {request_id}`"
        )
        self.request_id = request_id


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

    def __init__(
        self,
        url: str | Settings,
        *,
        on_lost: Callable[[str], None] | None = None,
        on_back: Callable[[str], None] | None = None,
        lost_s: float = LOST_S,
    ) -> None:
        self._where = url
        self._deadline_ms = request.DEFAULT_DEADLINE_MS if isinstance(url, str) else url.deadline_ms
        self._on_lost, self._on_back = on_lost, on_back
        self._lost_s = lost_s
        #: When the connection was lost, on the monotonic clock; ``None`` while there is one.
        self._lost_at: float | None = None
        self._connection: Connection | None = None
        #: Calls to the broker over this connection.
        self.wire = RequestMultiplexer()
        #: One flag per waiting call: look into the log again.
        self._waiting: set[asyncio.Event] = set()
        #: The broker's URL as it may be shown; empty before the connection.
        self.url = ""

    @classmethod
    def connect(
        cls,
        url: str | Settings,
        *,
        on_lost: Callable[[str], None] | None = None,
        on_back: Callable[[str], None] | None = None,
        lost_s: float = LOST_S,
    ) -> Client:
        """A client for ``async with``.

        Args:
            url: the broker's URL, or the settings that say where it is.
            on_lost: told the broker's URL each time that the connection is lost.
            on_back: told it each time that the connection is back.
            lost_s: seconds without a connection after which a wait ends with :class:`BrokerLost`.
        """
        return cls(url, on_lost=on_lost, on_back=on_back, lost_s=lost_s)

    async def __aenter__(self) -> Self:
        where = self._where if isinstance(self._where, str) else broker_url(self._where)
        self.url = shown(where)
        self._connection = await dial(
            self._where,
            name="understudy-client",
            on_reconnect=self._reconnected,
            on_disconnect=self._disconnected,
        )
        await self.wire.open(self._connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        connection, self._connection = self._connection, None
        with contextlib.suppress(OSError, nats_errors.Error):
            await self.wire.close()
        if connection is not None:
            await hang_up(connection)

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
        self._lost_at = None
        if self._on_back is not None:
            self._on_back(self.url)
        for flag in self._waiting:
            flag.set()

    def _disconnected(self) -> None:
        self.wire.suspend()
        # The same is called when the connection is closed on purpose.
        if self._connection is None or self._lost_at is not None:
            return
        self._lost_at = time.monotonic()
        if self._on_lost is not None:
            self._on_lost(self.url)

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

        The same kind and body under the same id is the same request, however often it is published.

        Args:
            kind: content kind.
            prompt: what to generate.
            body: the whole body as JSON, instead of prompt and fields.
            request_id: its id; none: a fresh one.
            **fields: further fields of the request, as :class:`contracts.request.GenerationRequest`.

        Raises:
            RequestError: the request would not be accepted; nothing was published.
            IdTaken: the id belongs to another request; nothing was published.
            Unavailable: the broker did not acknowledge within 20 s.
            UnderstudyError: the broker refuses, for instance because it is full.
        """
        body = body if body is not None else compose(prompt, **fields)
        request_id = request_id or new_id()
        asked = check(kind, request_id, body)
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
        # Not the broker's window of message ids, which takes a request for stored that was deleted since, or never
        # was this one: the broker itself looks whether the id has a request.
        first = {
            envelope.EXPECTED_LAST: "0",
            envelope.EXPECTED_LAST_SUBJECT: subjects.any_kind("requested", request_id),
        }
        subject = subjects.gen("requested", kind, request_id)
        ack = await self._publish(subject, body, headers | first)
        sequence = ack.seq
        if ack.refused:
            sequence = await self._earlier(kind, request_id, body)
            if sequence is None:
                # Something else stands on the id's subjects, which is no request of a kind that we know.
                sequence = (await self._publish(subject, body, headers)).seq
                sequence = await self._earlier(kind, request_id, body) or sequence
        return Submitted(
            request_id=request_id,
            kind=kind,
            subject=subject,
            sequence=sequence,
            duplicate=ack.refused,
            input_hash=asked.input_hash(kind),
        )

    async def _earlier(self, kind: str, request_id: str, body: bytes) -> int | None:
        """Where the request that has the id stands, if it is this very one; ``None`` without one.

        Raises:
            IdTaken: it is another one.
        """
        owner = await self._patiently(lambda: log.owner(self.wire, request_id))
        if owner is None:
            return None
        if identity.kind_of(owner) != kind or not identity.equal(owner.body, body):
            raise IdTaken(request_id, identity.kind_of(owner), owner.sequence, wanted=kind)
        return owner.sequence

    async def wait(
        self,
        request_id: str | Submitted,
        *,
        kind: str | None = None,
        timeout_s: float = 60 + waiting.PATIENCE_S,
    ) -> ev.Result:
        """Wait for a request's result; one that exists already is found.

        Args:
            request_id: whose result; what :meth:`submit` returned means that very request.
            kind: its content kind; none: whatever kind the id has.
            timeout_s: seconds to wait at most.

        Raises:
            IdTaken: the id belongs to another request than the one that was meant.
            NoResult: none came in time.
            BrokerLost: the connection was lost for too long.
            Unreadable: what is stored as the result is none.
        """
        wanted = identity.wanted(request_id, kind)
        async with self._listening(wanted.request_id) as heard:
            heard.set()
            return await self._await(wanted, heard, timeout_s, owned=False)

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
            RequestError, IdTaken, Unavailable, UnderstudyError: as :meth:`submit`.
            NoResult, BrokerLost, Unreadable: as :meth:`wait`.
        """
        result = await self.ask(kind, prompt, body=body, request_id=request_id, timeout_s=timeout_s, **fields)
        return Answer(result=result, content=await self.content(result))

    async def ask(
        self,
        kind: str,
        prompt: str | None = None,
        *,
        body: bytes | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Any,
    ) -> ev.Result:
        """Publish a request and wait for its result, as it stands in the log: as :meth:`generate`."""
        body = body if body is not None else compose(prompt, **fields)
        request_id = request_id or new_id()
        asked = check(kind, request_id, body)
        timeout_s = self.patience(asked) if timeout_s is None else timeout_s
        # First listen, then publish: the answer may be there before the acknowledgement.
        async with self._listening(request_id) as heard:
            submitted = await self.submit(kind, body=body, request_id=request_id)
            return await self._await(identity.wanted(submitted, None), heard, timeout_s, owned=True)

    async def document(self, result: ev.Result) -> Any:
        """A result's content as plain JSON values; large content is fetched.

        Raises:
            Unavailable: large content cannot be fetched, or is not what the result says.
        """
        if result.content_ref is None:
            return result.content
        return msgspec.json.decode(await Assets(self.wire).get(result.content_ref))

    async def content(self, result: ev.Result) -> Any:
        """A result's content as the kind's model; large content is fetched.

        Raises:
            Unavailable: large content cannot be fetched, or is not what the result says.
        """
        document = await self.document(result)
        if document is None or result.kind == "custom":
            return document
        return registry.CONTENTS.model(result.kind).model_validate(document)

    async def cancel(
        self,
        request_id: str | Submitted,
        *,
        kind: str | None = None,
        reason: str = "cancelled by the client",
    ) -> Submitted | None:
        """Say that nobody wants a request's content any more.

        Args:
            request_id: which request; what :meth:`submit` returned means that very request.
            kind: its content kind; none: whatever kind the id has.
            reason: in words; goes into the result.

        Returns:
            What was published; ``None`` when no such request is in the log.

        Raises:
            IdTaken: the id belongs to another request than the one that was meant; nothing was published.
        """
        wanted = identity.wanted(request_id, kind)
        request_id = wanted.request_id
        owner = await self._owner(wanted)
        if owner is None:
            return None
        kind = identity.kind_of(owner)
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

    async def progress(
        self, request_id: str | Submitted, *, kind: str | None = None
    ) -> AsyncGenerator[ev.Progress, None]:
        """Yield a request's text as it is being written; ends when its result is stored.

        Args:
            request_id: whose text; what :meth:`submit` returned means that very request.
            kind: its content kind; none: whatever kind the id has.

        Raises:
            IdTaken: the id belongs to another request than the one that was meant.
            BrokerLost: the connection was lost for too long.
        """
        wanted = identity.wanted(request_id, kind)
        queue: asyncio.Queue[Msg | Exception | None] = asyncio.Queue()

        async def written(msg: Msg) -> None:
            await queue.put(msg)

        async def ended() -> None:
            try:
                # A result that is heard but not stored is none, so the end is looked for in the log.
                async with self._listening(wanted.request_id) as heard:
                    heard.set()
                    await self._await(wanted, heard, float("inf"), owned=False)
            except UnderstudyError as error:
                await queue.put(None if isinstance(error, Unreadable) else error)
            else:
                await queue.put(None)

        subject = subjects.gen("progress", wanted.kind or "*", wanted.request_id)
        listening = await self.connection.subscribe(subject, cb=written)
        ending: asyncio.Task[None] | None = None
        try:
            await self.connection.flush()
            ending = asyncio.create_task(ended())
            while (msg := await queue.get()) is not None:
                if isinstance(msg, Exception):
                    raise msg
                with contextlib.suppress(Unreadable):
                    said = envelope.decode("progress", msg.data, {})
                    if isinstance(said, ev.Progress):
                        yield said
        finally:
            if ending is not None:
                ending.cancel()
                await asyncio.gather(ending, return_exceptions=True)
            await _stop(listening)

    async def look(self, request_id: str | Submitted, *, kind: str | None = None) -> ev.Result | None:
        """A request's result if the log has it now.

        Only what is stored counts: whoever is connected can send a message that looks like a result.

        Args:
            request_id: whose result; what :meth:`submit` returned means that very request.
            kind: its content kind; none: whatever kind the id has.

        Raises:
            IdTaken: the id belongs to another request than the one that was meant.
            Unavailable: the broker does not answer.
            StreamMissing: the topology is not applied.
            Unreadable: what is stored as the result is none.
        """
        wanted = identity.wanted(request_id, kind)
        found = await self._look(wanted)
        if found is None:
            await self._owner(wanted)
        return found

    async def owner(self, request_id: str | Submitted, *, kind: str | None = None) -> LogEntry | None:
        """The request that has an id, as REQUESTS keeps it; ``None`` without one.

        Args:
            request_id: whose id; what :meth:`submit` returned means that very request.
            kind: its content kind; none: whatever kind the id has.

        Raises:
            IdTaken: it is another request than the one that was meant.
            StreamMissing, Unavailable: as :func:`infra.nats.log.owner`.
        """
        return await self._owner(identity.wanted(request_id, kind))

    async def _owner(self, wanted: RequestIdentity) -> LogEntry | None:
        owner = await log.owner(self.wire, wanted.request_id)
        if owner is not None and (
            wanted.kind not in (None, identity.kind_of(owner))
            or wanted.sequence not in (None, owner.sequence)
        ):
            raise IdTaken(wanted.request_id, identity.kind_of(owner), owner.sequence, wanted=wanted.kind)
        return owner

    async def _look(self, wanted: RequestIdentity) -> ev.Result | None:
        entry = await log.first(self.wire, pipeline.EVENTS, subjects.any_kind("result", wanted.request_id))
        if entry is None:
            return None
        result = identity.stored(entry)
        if wanted.kind not in (None, result.kind):
            await self._owner(wanted)
            raise IdTaken(wanted.request_id, result.kind, None, wanted=wanted.kind)
        if wanted.sequence is not None and result.meta.input_hash != wanted.input_hash:
            # Published by another version, which hashes in another way; or the result of an earlier request,
            # whose place in REQUESTS has been freed.
            owner = await self._owner(wanted)
            told = result.meta.input_hash is not None
            if told if owner is None else not identity.answers(entry, result, owner):
                raise IdTaken(wanted.request_id, result.kind, None, wanted=wanted.kind)
        return result

    @contextlib.asynccontextmanager
    async def _listening(self, request_id: str) -> AsyncGenerator[asyncio.Event, None]:
        """A flag that is set whenever the log may have the request's result."""
        flag = asyncio.Event()

        async def came(_: Msg) -> None:
            flag.set()

        listening = await self.connection.subscribe(subjects.any_kind("result", request_id), cb=came)
        self._waiting.add(flag)
        try:
            yield flag
        finally:
            self._waiting.discard(flag)
            await _stop(listening)

    async def _await(
        self, wanted: RequestIdentity, heard: asyncio.Event, timeout_s: float, *, owned: bool
    ) -> ev.Result:
        until = time.monotonic() + timeout_s
        shortest, longest = _LOOK_AGAIN_S
        pause = shortest
        while True:
            left = until - time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), max(0.0, min(pause, left)))
            if heard.is_set():
                # It is heard before it is stored, and the stream may yet refuse it.
                pause = _HEARD_S
            heard.clear()
            # The answer may be older than the subscription, or have come while the connection was down.
            with contextlib.suppress(Unavailable, log.StreamMissing):
                found = await self._look(wanted)
                if found is not None:
                    return found
                # Who waits for a request that lost its id to another would wait for ever.
                owned = owned or await self._owner(wanted) is not None
            lost_for = 0.0 if self._lost_at is None else time.monotonic() - self._lost_at
            if lost_for > self._lost_s or (lost_for > 0 and left <= 0):
                raise BrokerLost(self.url, wanted.request_id)
            if left <= 0:
                raise NoResult(wanted.request_id, timeout_s)
            pause = min(pause * 2, longest)

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str]) -> PubAck:
        ack = await self._patiently(lambda: self.wire.publish(subject, body, headers))
        if ack.error is None or ack.refused:
            return ack
        why = ack.error.description
        if ack.error.err_code in _FULL:
            raise Busy(f"the broker takes no more requests for now ({why}); try again later")
        raise UnderstudyError(f"the broker refuses {subject}: {why}")

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """A call to the broker, tried again while it does not answer."""
        until = time.monotonic() + PUBLISH_S
        while True:
            try:
                return await call()
            except Unavailable:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(_LOOK_AGAIN_S[0])


def compose(prompt: str | None, **fields: Any) -> bytes:
    """A request's body from its fields; what is ``None`` is left out."""
    said = {"prompt": prompt, **fields}
    return msgspec.json.encode({name: value for name, value in said.items() if value is not None})


def check(kind: str, request_id: str, body: bytes) -> request.GenerationRequest:
    """Check a request as the pipeline will.

    Raises:
        RequestError: naming the field and the fix.
    """
    if kind not in KINDS:
        raise RequestError("kind", f"{kind!r} is unknown; use one of {', '.join(KINDS)}")
    if subjects.REQUEST_ID.fullmatch(request_id) is None:
        raise identity.bad_id(request_id)
    asked = request.read(body, kind)
    scenes.check_id(asked, request_id)
    return asked


async def _stop(listening: Subscription) -> None:
    # A connection that is closed or lost has nothing to stop.
    with contextlib.suppress(OSError, nats_errors.Error):
        await listening.unsubscribe()

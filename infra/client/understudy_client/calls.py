"""Calls to the broker: many in flight over one inbox, and repeated after a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
from nats import errors as nats_errors

from understudy_client.connection import Link, Refusal
from understudy_client.errors import AccessDenied, ClientError, Unavailable

if TYPE_CHECKING:
    from nats.aio.client import Client as Connection
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

#: Seconds after which an unanswered call raises :class:`Unavailable`.
TIMEOUT_S: Final = 5.0
#: JetStream errors: the subject's last sequence is not the expected one; a cluster gives the second while the publish
#: that was first is still being replicated.
WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
#: Errors of nats-py for a message that was not sent.
UNSENT: Final = (
    nats_errors.ConnectionClosedError,
    nats_errors.ConnectionDrainingError,
    nats_errors.ConnectionReconnectingError,
    nats_errors.OutboundBufferLimitError,
)
#: Takes one answer of several; true on the last.
Collector = Callable[["Msg"], bool]


class AckError(msgspec.Struct, frozen=True):
    """The broker refuses a publish."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class PubAck(msgspec.Struct, frozen=True):
    """The broker's answer to a publish."""

    #: The stream that stored it.
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: AckError | None = None
    #: No stream listens on the subject.
    unheard: bool = False

    @property
    def refused(self) -> bool:
        """The expected last sequence is not the last: the subject has a message already."""
        return self.error is not None and self.error.err_code in WRONG_LAST_SEQUENCE


decode_ack: Final = msgspec.json.Decoder(PubAck).decode


class _Call:
    __slots__ = ("answer", "collect", "headers", "payload", "subject")

    def __init__(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None,
        *,
        collect: Collector | None,
    ) -> None:
        self.subject = subject
        self.payload = payload
        self.headers = headers
        self.answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self.collect = collect

    def fail(self, error: ClientError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Calls:
    """Calls to the broker over one connection.

    Args:
        timeout_s: seconds until an unanswered call raises :class:`Unavailable`.
    """

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._open: dict[str, _Call] = {}
        self._made = 0
        self._connection: Connection | None = None
        self._inbox = ""
        self._listening: Subscription | None = None
        self._up = False
        self._repeats: set[asyncio.Task[None]] = set()

    async def open(self, connection: Connection) -> None:
        """Listen for answers."""
        self._connection = connection
        self._inbox = connection.new_inbox()
        self._listening = await connection.subscribe(
            f"{self._inbox}.*", cb=self._answered, pending_msgs_limit=0, pending_bytes_limit=0
        )
        if isinstance(connection, Link):
            connection.on_refusal.append(self._refused)
        self._up = True

    async def close(self) -> None:
        """Stop listening; calls still open raise :class:`Unavailable`."""
        for each in self._open.values():
            each.fail(Unavailable("the client was closed before the broker answered"))
        if self._listening is not None and self._connection is not None and not self._connection.is_closed:
            await self._listening.unsubscribe()
        self._listening = None

    def suspend(self) -> None:
        """The connection is lost: calls wait for the next one."""
        self._up = False

    def renew(self) -> None:
        """The connection is back: send once more what had no answer."""
        self._up = True
        task = asyncio.get_running_loop().create_task(self._repeat())
        self._repeats.add(task)
        task.add_done_callback(self._repeats.discard)

    async def call(
        self,
        subject: str,
        payload: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        collect: Collector | None = None,
    ) -> Msg:
        """Send one message and wait for its answer; without a connection, wait for that too.

        It is sent again after a lost connection, so it must be one that may arrive twice.

        Args:
            subject: where to.
            payload: bytes.
            headers: NATS headers.
            collect: for several answers: takes each one, true on the last.

        Raises:
            Unavailable: no answer in time.
            AccessDenied: the broker does not let this user ask.
        """
        self._made += 1
        token = str(self._made)
        call = self._open[token] = _Call(subject, payload, headers, collect=collect)
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._up:
                    await self._send(token, call)
                return await call.answer
        except TimeoutError:
            raise Unavailable(f"the broker did not answer within {self._timeout_s:g} s") from None
        except UNSENT as error:
            raise Unavailable(f"the broker cannot be reached: {error}") from error
        finally:
            del self._open[token]

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> PubAck:
        """Publish to JetStream and wait for the acknowledgement.

        Raises:
            Unavailable: no acknowledgement in time.
        """
        answer = await self.call(subject, payload, headers)
        return decode_ack(answer.data) if answer.data else PubAck(unheard=True)

    async def _send(self, token: str, call: _Call) -> None:
        if self._connection is None:
            raise Unavailable("the client is not connected yet")
        await self._connection.publish(
            call.subject, call.payload, reply=f"{self._inbox}.{token}", headers=call.headers
        )

    async def _repeat(self) -> None:
        for token, call in list(self._open.items()):
            if call.answer.done():
                continue
            try:
                await self._send(token, call)
            except (*UNSENT, OSError) as error:
                call.fail(Unavailable(f"the broker cannot be reached: {error}"))

    def _refused(self, refusal: Refusal) -> None:
        """End the calls that wait for an answer they cannot get."""
        inbox = refusal.verb != "publish" and refusal.subject == f"{self._inbox}.*".lower()
        for call in self._open.values():
            if inbox or (refusal.verb == "publish" and call.subject.lower() == refusal.subject):
                call.fail(
                    AccessDenied(self._explain(refusal.verb, refusal.subject if inbox else call.subject))
                )

    def _explain(self, verb: str, subject: str) -> str:
        role = getattr(self._connection, "role", None)
        who = "this user" if role is None else f"role {role}"
        return (
            f"the broker does not let {who} {verb} {subject}; a client publishes gen.requested and gen.cancelled, "
            "and reads results (docs/roles.md)"
        )

    async def _answered(self, msg: Msg) -> None:
        call = self._open.get(msg.subject[len(self._inbox) + 1 :])
        if call is None or call.answer.done():
            return
        if call.collect is None or call.collect(msg):
            call.answer.set_result(msg)

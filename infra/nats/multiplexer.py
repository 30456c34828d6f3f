"""Requests to the broker, many in flight over one inbox.

nats-py's own request and JetStream publish cost several times as much per call, and give up on a
lost connection with errors that depend on the moment; here every unanswered call ends as
:class:`~contracts.errors.Unavailable`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from understudy_client.calls import UNSENT, Collector, PubAck, decode_ack
from understudy_client.connection import Link, Refusal

from contracts import envelope, roles
from contracts.errors import Refused, Unavailable, error_text
from infra.nats import direct

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

#: Seconds after which an unanswered call is given up (rule 11).
TIMEOUT_S: Final = 5.0
#: Seconds of silence before a call is sent again, doubled each time: a server that dies takes what it has not
#: stored with it, and the next leader of a stream was never asked.
_SILENT_S: Final = 1.0


class _Call:
    __slots__ = (
        "collect",
        "due",
        "future",
        "headers",
        "lost",
        "patience",
        "payload",
        "repeat",
        "sent",
        "sent_at",
        "subject",
    )

    def __init__(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None,
        *,
        due: float,
        collect: Collector | None,
        repeat: bool,
    ) -> None:
        self.subject = subject
        self.payload = payload
        self.headers = headers
        self.future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self.due = due
        self.collect = collect
        self.repeat = repeat
        self.sent = False
        self.sent_at = 0.0
        #: Seconds of silence that it stands.
        self.patience = _SILENT_S
        #: It was sent over a connection that is lost.
        self.lost = False


class RequestMultiplexer:
    """Calls to the broker and their answers.

    Args:
        timeout_s: seconds until an unanswered call raises ``Unavailable``.
    """

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout = timeout_s
        self._calls: dict[str, _Call] = {}
        self._next = 0
        self._nc: Client | None = None
        self._inbox = ""
        self._subscription: direct.DirectSubscription | None = None
        self._sweep: asyncio.TimerHandle | None = None
        #: Set while calls can be sent.
        self._up = asyncio.Event()
        self._repeats: set[asyncio.Task[None]] = set()

    async def open(self, nc: Client) -> None:
        """Listen for answers on a connected client."""
        self._nc = nc
        self._inbox = nc.new_inbox()
        self._subscription = await direct.listen(nc, f"{self._inbox}.*", self._answered)
        if isinstance(nc, Link):
            nc.on_refusal.append(self._noted)
        self._up.set()

    async def close(self) -> None:
        """Stop listening; calls still open raise ``Unavailable``."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._give_up(float("inf"))
        if self._subscription is not None and self._nc is not None and not self._nc.is_closed:
            await self._subscription.unsubscribe()
        self._subscription = None

    @property
    def client(self) -> Client:
        """The connected client."""
        if self._nc is None:
            raise Unavailable("not connected to the broker yet")
        return self._nc

    async def call(
        self,
        subject: str,
        payload: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        collect: Collector | None = None,
        repeat: bool = True,
    ) -> Msg:
        """Send one message and wait for its answer.

        While the connection is lost, the call waits for the next one; a call that was in flight is sent again at once.
        A call with one answer is also sent again after 1 s of silence, and after 2 s more.

        Args:
            subject: where to.
            payload: bytes.
            headers: NATS headers.
            collect: takes each of several answers; true on the last.
            repeat: send it again after silence or a lost connection, which otherwise raises ``Unavailable``.

        Raises:
            Unavailable: no answer in time, or no connection.
            Refused: this user may not send it, or not hear the answer.
            nats.errors.MaxPayloadError: the payload is larger than the broker takes.
        """
        loop = asyncio.get_running_loop()
        self._next += 1
        token = str(self._next)
        due = loop.time() + self._timeout
        call = self._calls[token] = _Call(subject, payload, headers, due=due, collect=collect, repeat=repeat)
        if self._sweep is None:
            self._sweep = loop.call_later(self._timeout / 5, self._overdue)
        try:
            if self._up.is_set():
                await self._send(token, call)
            else:
                call.lost = True
            return await call.future
        except UNSENT as error:
            raise Unavailable(f"the broker cannot be reached: {error_text(error)}") from error
        finally:
            self._calls.pop(token, None)

    async def _send(self, token: str, call: _Call) -> None:
        call.sent = True
        call.sent_at = asyncio.get_running_loop().time()
        reply = f"{self._inbox}.{token}"
        await direct.publish(self.client, call.subject, call.payload, reply=reply, headers=call.headers)

    async def publish(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None = None,
        *,
        repeat: bool | None = None,
    ) -> PubAck:
        """Publish to JetStream and wait for the acknowledgement.

        Args:
            subject: where to.
            payload: bytes.
            headers: NATS headers.
            repeat: as in :meth:`call`; by default true for a message without a condition: of two equal conditional
                publishes the broker refuses the second one, even from the same client.

        Raises:
            Unavailable: no acknowledgement in time, or no stream listens on the subject.
        """
        if repeat is None:
            repeat = headers is None or envelope.EXPECTED_LAST not in headers
        answer = await self.call(subject, payload, headers, repeat=repeat)
        if not answer.data:
            raise Unavailable(f"no stream takes {subject}; is the topology applied?")
        return decode_ack(answer.data)

    def refuse(self, subject: str, problem: str) -> None:
        """Fail the calls on a subject that the broker refuses; without it they would wait for their time-out.

        Args:
            subject: in lower case, as the broker names it.
            problem: what the role may do instead.
        """
        inbox = subject == f"{self._inbox}.*".lower()
        for call in self._calls.values():
            if (inbox or call.subject.lower() == subject) and not call.future.done():
                call.future.set_exception(Refused(problem))

    def _noted(self, refusal: Refusal) -> None:
        role = getattr(self.client, "role", None)
        self.refuse(refusal.subject, roles.explain(roles.find(role), refusal.verb, refusal.subject))

    def suspend(self) -> None:
        """Note that the connection is lost: calls in flight get no answer over it."""
        self._up.clear()
        for call in self._calls.values():
            call.lost = True

    def renew(self) -> None:
        """Note that there is a connection again: send unanswered calls again (rule 16)."""
        self._up.set()
        again: list[tuple[str, _Call]] = []
        for token, call in self._calls.items():
            if not call.lost or call.future.done():
                continue
            if call.sent and not call.repeat:
                call.future.set_exception(Unavailable("the connection was lost before the broker answered"))
                continue
            call.lost = False
            again.append((token, call))
        self._send_again(again)

    def _send_again(self, calls: list[tuple[str, _Call]]) -> None:
        task = asyncio.get_running_loop().create_task(self._repeat(calls))
        self._repeats.add(task)
        task.add_done_callback(self._repeats.discard)

    async def _repeat(self, calls: list[tuple[str, _Call]]) -> None:
        for token, call in calls:
            if call.future.done():
                continue
            try:
                await self._send(token, call)
            except (*UNSENT, OSError) as error:
                if not call.future.done():
                    call.future.set_exception(
                        Unavailable(f"the broker cannot be reached: {error_text(error)}")
                    )

    def _answered(self, msg: Msg) -> None:
        call = self._calls.get(msg.subject[len(self._inbox) + 1 :])
        if call is None or call.future.done():
            return
        if call.collect is None or call.collect(msg):
            call.future.set_result(msg)

    def _overdue(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._give_up(now)
        silent = [
            (token, call)
            for token, call in self._calls.items()
            if call.repeat and call.collect is None and call.sent and not call.lost
            and now - call.sent_at >= call.patience and not call.future.done()
        ]  # fmt: skip
        for _, call in silent:
            call.patience *= 2
        if silent:
            self._send_again(silent)
        self._sweep = loop.call_later(self._timeout / 5, self._overdue) if self._calls else None

    def _give_up(self, now: float) -> None:
        for call in self._calls.values():
            if call.due <= now and not call.future.done():
                call.future.set_exception(
                    Unavailable(f"the broker did not answer within {self._timeout:g} s")
                )

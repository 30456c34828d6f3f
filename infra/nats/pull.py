"""Credit-based pull from a durable consumer.

Each message in hand uses a credit until it is settled; the pull asks the broker for as many messages as there
are free credits.  docs/adr/0001 lists the faults of the stock loops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from nats.js import errors as js_errors

from contracts.errors import Unavailable, UnderstudyError, error_text
from infra.nats import direct

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

#: Seconds for which a pull request waits at the broker.
EXPIRES_S: Final = 30.0
#: The same where a frozen worker must attract few messages (rule 14).
SHORT_S: Final = 2.0
#: Most seconds between two heartbeats of the broker on a waiting pull.
_HEARTBEAT_S: Final = 2.0
#: Missing heartbeats after which the pull counts as lost.
_MISSED: Final = 3


class ConsumerMissing(UnderstudyError):  # noqa: N818 - names the state of the broker
    """The durable consumer or its stream does not exist (any more)."""


class Delivery:
    """One message in hand: its place in the log, and how it is settled."""

    __slots__ = (
        "_client",
        "deliveries",
        "msg",
        "reply",
        "sequence",
        "since",
        "stream",
        "time_ms",
    )

    def __init__(self, client: Client, msg: Msg, since: float) -> None:
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>, or the
        # form with domain and account hash in front of the stream (ADR-15 of NATS).
        tokens = msg.reply.split(".")
        at = 2 if len(tokens) == 9 else 4  # noqa: PLR2004 - the two forms above
        self._client = client
        self.msg = msg
        self.reply = msg.reply
        self.since = since
        self.stream = tokens[at]
        self.deliveries = int(tokens[at + 2])
        self.sequence = int(tokens[at + 3])
        self.time_ms = int(tokens[at + 5]) // 1_000_000

    async def ack(self) -> None:
        """Acknowledge it: the broker does not deliver it again."""
        direct.post(self._client, self.reply, b"+ACK")

    async def nak(self, delay_s: float) -> None:
        """Have it delivered again after a delay."""
        self.hand_back(delay_s)

    def hand_back(self, delay_s: float) -> None:
        """As :meth:`nak`, without await."""
        delay = int(delay_s * 1_000_000_000)
        direct.post(self._client, self.reply, b'-NAK {"delay": %d}' % delay)

    async def in_progress(self) -> None:
        """Extend the lease: restart the broker's ``ack_wait``."""
        direct.post(self._client, self.reply, b"+WPI")


class Work(Protocol):
    """Works on a delivery; it settles the delivery itself and never raises."""

    async def __call__(self, delivery: Delivery) -> None:
        """Work on one message."""
        ...


class CreditPull:
    """A pull loop over one durable consumer.

    Args:
        stream: the stream's name.
        durable: the consumer's name.
        credits: messages in hand at once.
        heartbeat_s: seconds between two extensions of the lease of a message in hand.
        work: what to do with each message.
        lost: called once when the consumer does not exist (any more).
        expires_s: seconds for which a pull waits at the broker; a frozen worker attracts messages that long.
    """

    def __init__(
        self,
        *,
        stream: str,
        durable: str,
        credits: int,
        heartbeat_s: float,
        work: Work,
        lost: Callable[[ConsumerMissing], Awaitable[None] | None],
        expires_s: float = EXPIRES_S,
    ) -> None:
        self.stream = stream
        self.durable = durable
        self._credits = credits
        self._heartbeat = heartbeat_s
        self._work = work
        self._lost = lost
        self._expires = expires_s
        # The broker accepts at most half of the time for which the pull waits.
        self._life = min(_HEARTBEAT_S, expires_s / 2)
        self._client: Client | None = None
        self._inbox = ""
        self._subscription: direct.DirectSubscription | None = None
        #: Messages asked for and not yet received, by pull request.
        self._asked: dict[str, int] = {}
        self._pulls = 0
        self._in_hand: dict[int, Delivery] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._heard = 0.0
        self._stopping = False
        self._idle = asyncio.Event()
        self._wake = asyncio.Event()
        #: The pull may be lost: ask the broker about the consumer, then start again.
        self._suspect = False

    @property
    def in_hand(self) -> int:
        """Messages received and not settled yet."""
        return len(self._in_hand)

    @property
    def _connected(self) -> Client:
        if self._client is None:
            raise Unavailable("the pull is not opened yet")
        return self._client

    async def open(self, client: Client) -> None:
        """Bind to the consumer and ask for messages.

        Raises:
            ConsumerMissing: the topology is not applied.
        """
        self._client = client
        await self._probe()
        await self._listen()

    async def _listen(self) -> None:
        """Listen on a fresh inbox, so that nothing asked for on the old one can exceed the credits."""
        old, self._subscription = self._subscription, None
        inbox = self._inbox = self._connected.new_inbox()
        if old is not None:
            await old.drain()
        self._asked.clear()
        self._heard = asyncio.get_running_loop().time()

        self._subscription = await direct.listen(
            self._connected, f"{inbox}.*", lambda msg: self._received(inbox, msg)
        )
        self._ask()

    def renew(self) -> None:
        """Pull again after a reconnect: the earlier pull requests are lost."""
        self._suspect = True
        self._wake.set()

    async def watch(self) -> None:
        """Extend leases and notice a silent broker or a deleted consumer, until stopped."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), min(self._heartbeat, self._life))
            self._wake.clear()
            if self._stopping or self._client is None or not self._client.is_connected:
                self._heard = loop.time()
                continue
            now = loop.time()
            for delivery in list(self._in_hand.values()):
                if now - delivery.since >= self._heartbeat:
                    await delivery.in_progress()
            self._ask()
            if self._suspect or (self._asked and now - self._heard > _MISSED * self._life):
                self._suspect = False
                await self._check()

    async def _check(self) -> None:
        try:
            await self._probe()
        except ConsumerMissing as error:
            self._stopping = True
            handled = self._lost(error)
            if handled is not None:
                await handled
            return
        except Unavailable:
            self._suspect = True
            return
        if not self._stopping:
            await self._listen()

    async def _probe(self) -> None:
        try:
            await self._connected.jetstream(timeout=5).consumer_info(self.stream, self.durable)
        except js_errors.NotFoundError:
            raise ConsumerMissing(
                f"consumer {self.durable!r} on stream {self.stream} does not exist; "
                "run `understudy topology apply`"
            ) from None
        except (TimeoutError, js_errors.Error) as error:
            raise Unavailable(
                f"the broker gives no information about consumer {self.durable!r}: {error_text(error)}"
            ) from error

    def _ask(self) -> None:
        """Ask for as many messages as there are free credits, in halves of the window."""
        outstanding = sum(self._asked.values())
        free = self._credits - len(self._in_hand) - outstanding
        if self._stopping or free <= 0 or (outstanding and free * 2 < self._credits):
            return
        client = self._connected
        if not client.is_connected:
            # The watch pulls when there is a connection again.
            return
        self._pulls += 1
        reply = f"{self._inbox}.{self._pulls}"
        self._asked[reply] = free
        request = msgspec.json.encode(
            {
                "batch": free,
                "expires": int(self._expires * 1e9),
                "idle_heartbeat": int(self._life * 1e9),
            }
        )
        direct.post(client, f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.durable}", request, reply=reply)

    def _received(self, inbox: str, msg: Msg) -> None:
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        if not msg.reply.startswith("$JS.ACK"):
            headers = msg.headers or {}
            self._informed(msg.subject, headers.get("Status", ""), headers.get("Description", ""))
            return
        delivery = Delivery(self._connected, msg, self._heard)
        if inbox != self._inbox or self._stopping:
            delivery.hand_back(0)
            return
        self._arrived()
        held = self._in_hand.get(delivery.sequence)
        if held is not None:
            # Its lease expired while it is still in work here: keep the one run, with the new lease.
            held.reply, held.deliveries = delivery.reply, delivery.deliveries
            self._ask()
            return
        self._in_hand[delivery.sequence] = delivery
        self._tasks[delivery.sequence] = loop.create_task(self._run(delivery))

    def _arrived(self) -> None:
        # A message does not name the pull that it answers; the broker serves them in order.
        for reply, left in self._asked.items():
            if left <= 0:
                # The broker dropped this pull: it stays until the silence is noticed.
                continue
            self._asked[reply] = left - 1
            if left == 1:
                del self._asked[reply]
            return

    def _informed(self, reply: str, status: str, description: str) -> None:
        """Handle a status of the broker about a pull."""
        if status in {"", "100"}:
            return
        self._asked.pop(reply, None)
        if status in {"404", "408"}:
            self._ask()
        elif "Deleted" in description or status == "503":
            # Not here: a new inbox would end the task that runs this code.
            self.renew()
        else:
            # Leadership change, server shutdown: the watch pulls again after a while of silence.
            self._asked.setdefault(reply, 0)

    async def _run(self, delivery: Delivery) -> None:
        try:
            await self._work(delivery)
        finally:
            self._in_hand.pop(delivery.sequence, None)
            self._tasks.pop(delivery.sequence, None)
            if not self._in_hand:
                self._idle.set()
            # After a failure too: otherwise the credit would be lost.
            self._ask()

    async def stop(self, grace_s: float) -> None:
        """Take no more messages, wait for those in hand, and hand back those that do not end in time."""
        self._stopping = True
        self._wake.set()
        subscription, self._subscription = self._subscription, None
        if subscription is not None and self._client is not None and self._client.is_connected:
            await subscription.drain()
        if self._in_hand:
            self._idle.clear()
            try:
                async with asyncio.timeout(grace_s):
                    while self._in_hand:
                        self._idle.clear()
                        await self._idle.wait()
            except TimeoutError:
                for task in self._tasks.values():
                    task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=5)

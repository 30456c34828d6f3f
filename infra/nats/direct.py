"""Direct path into and out of nats-py's connection: messages without queue and task, publishes without double checks.

nats-py parses each control line with up to six expressions, parses the headers of every message, and hands it to a
task of the subscription through a queue.  Here a message of a direct subscription goes from the read loop to a plain
function, and its headers are parsed when they are first read.  Subscribing, reconnecting, pings, back-pressure and the
subscriptions of others stay nats-py's own.

The attributes used here are nats-py's internal ones: its version is pinned, and tests/broker/test_direct.py says
what broke when it is raised.
"""

# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false
# Internal attributes of nats-py are used here and nowhere else.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from nats import errors as nats_errors
from nats.aio.msg import Msg
from nats.protocol.parser import AWAITING_MSG_PAYLOAD, MAX_CONTROL_LINE_SIZE, Parser

from infra.nats import headers as header_block

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.subscription import Subscription

_END: Final = b"\r\n"
#: Words of the control line of a message with a reply subject, without and with headers.
_MSG_WITH_REPLY: Final = 5
_HMSG_WITH_REPLY: Final = 6
_MESSAGES: Final = frozenset({b"MSG", b"HMSG"})


class Frame(Msg):
    """One message as it was received."""

    def __init__(self, client: Client, subject: str, reply: str, data: bytes, block: bytes | None) -> None:
        self._client = client
        self.subject = subject
        self.reply = reply
        self.data = data
        self._block = block

    @property
    def headers(self) -> dict[str, str] | None:  # pyright: ignore[reportIncompatibleVariableOverride] - it is never set
        """Values by name, parsed when they are first read."""
        if self._block is not None:
            self._parsed = header_block.parse(self._block)
            self._block = None
        return self._parsed

    _parsed: dict[str, str] | None = None


#: Takes a message at once; must not block.
Sink = Callable[[Msg], None]


class FrameParser(Parser):
    """Parser of a connection that hands messages of direct subscriptions to their sinks.

    Args:
        client: whose connection it is.
    """

    def __init__(self, client: Client) -> None:
        #: By the subscription's number.
        self.sinks: dict[int, Sink] = {}
        #: Reads the control lines that are not about a message.
        self._control = Parser(client)
        self._client = client
        #: Pieces of a message, or of a control line, whose end is not received yet.
        self._held: list[bytes] = []
        self._size = 0
        self._needed = 0
        #: Counts connections: data read from a lost one is dropped.
        self._connection = 0
        super().__init__(client)

    def reset(self) -> None:
        """Begin with a new connection."""
        super().reset()
        self._control.reset()
        self._held = []
        self._size = self._needed = 0
        self._connection += 1

    async def parse(self, data: bytes = b"") -> None:  # noqa: C901 - one loop over the data, without a call per step
        """Parse received data.

        Raises:
            nats.errors.ProtocolError: the data violates the protocol.
        """
        if self._held:
            self._held.append(data)
            self._size += len(data)
            if self._size < self._needed:
                return
            data = b"".join(self._held)
            self._held = []
        connection, sinks = self._connection, self.sinks
        at, size, needed = 0, len(data), 0
        while at < size and self._connection == connection:
            stop = data.find(_END, at)
            if stop < 0:
                if size - at > MAX_CONTROL_LINE_SIZE:
                    raise nats_errors.ProtocolError("nats: control line without an end")
                break
            body = stop + 2
            words = data[at:stop].split()
            if not words or words[0] not in _MESSAGES:
                await self._control.parse(data[at:body])
                at = body
                continue
            try:
                sid, reply, header, total = _address(words)
            except (ValueError, IndexError):
                raise nats_errors.ProtocolError("nats: malformed MSG") from None
            finish = body + total + 2
            if finish > size:
                needed = finish - at
                break
            block = data[body : body + header] if header else None
            payload = data[body + header : body + total]
            at = finish
            sink = sinks.get(sid)
            if sink is None:
                await self._client._process_msg(sid, words[1], reply, payload, block)  # pyright: ignore[reportArgumentType] - None is meant there
                continue
            try:
                # A stranger's subject may be no UTF-8: it still has to reach whoever settles the message.
                sink(Frame(self._client, words[1].decode(errors="replace"), reply.decode(), payload, block))
            except Exception as error:  # noqa: BLE001 - one message must not end the connection, as in nats-py
                await self._client._error_cb(error)
        if at < size and self._connection == connection:
            self._held, self._size, self._needed = [data[at:] if at else data], size - at, needed


def _address(words: list[bytes]) -> tuple[int, bytes, int, int]:
    """Subscription, reply subject, bytes of headers and bytes in all of a message.

    Raises:
        ValueError, IndexError: it is no control line of a message.
    """
    most = _HMSG_WITH_REPLY if words[0] == b"HMSG" else _MSG_WITH_REPLY
    header, total = int(words[-2]) if words[0] == b"HMSG" else 0, int(words[-1])
    if not most - 1 <= len(words) <= most or not 0 <= header <= total:
        raise ValueError(words)
    return int(words[2]), words[3] if len(words) == most else b"", header, total


class DirectSubscription:
    """A subscription whose messages go to a sink.

    Made by :func:`listen`.
    """

    def __init__(self, plain: Subscription, parser: FrameParser) -> None:
        self._plain = plain
        self._parser = parser

    async def drain(self) -> None:
        """Take the messages in flight, and then no more."""
        try:
            await self._plain.drain()
        finally:
            self._parser.sinks.pop(self._plain._id, None)

    async def unsubscribe(self) -> None:
        """Take no more messages."""
        self._parser.sinks.pop(self._plain._id, None)
        await self._plain.unsubscribe()


async def listen(client: Client, subject: str, sink: Sink) -> DirectSubscription:
    """Subscribe with a function that takes each message at once.

    Args:
        client: connected.
        subject: wildcards allowed.
        sink: gets each message; what it raises goes to the client's error callback.
    """

    async def early(msg: Msg) -> None:
        # Received before the subscription's number was known here.
        sink(msg)

    parser = _parser_of(client)
    plain = await client.subscribe(subject, cb=early, pending_msgs_limit=0, pending_bytes_limit=0)
    parser.sinks[plain._id] = sink
    return DirectSubscription(plain, parser)


def _parser_of(client: Client) -> FrameParser:
    """The client's parser; the first call replaces it by a :class:`FrameParser`."""
    current = client._ps
    if isinstance(current, FrameParser):
        return current
    parser = FrameParser(client)
    held = bytes(current.buf)
    if current.state == AWAITING_MSG_PAYLOAD:
        # In the middle of a message: its control line is already read.
        words: dict[str, Any] = current.msg_arg
        sizes = (
            b"%d %d" % (current.header_needed, current.needed)
            if current.header_needed
            else b"%d" % current.needed
        )
        kind = b"HMSG" if current.header_needed else b"MSG"
        held = b"%b %b %d %b %b\r\n%b" % (kind, words["subject"], words["sid"], words["reply"], sizes, held)
    if held:
        parser._held, parser._size = [held], len(held)
    client._ps = parser
    return parser


def post(
    client: Client,
    subject: str,
    payload: bytes,
    *,
    reply: str = "",
    block: bytes | None = None,
) -> None:
    """Send a small message without waiting for room in the buffer; :func:`publish` waits.

    Args:
        client: connected.
        subject: without blanks.
        payload: bytes.
        reply: where answers go; without blanks.
        block: from :func:`infra.nats.headers.encode`.

    Raises:
        nats.errors.Error: as ``Client.publish``.
    """
    if client.is_closed:
        raise nats_errors.ConnectionClosedError
    if client.is_draining_pubs:
        raise nats_errors.ConnectionDrainingError
    size = len(payload)
    connected = client.is_connected
    if not connected and size + client._pending_data_size > client._max_pending_size:
        # As in nats-py: the buffer of unsent messages is bounded.
        raise nats_errors.OutboundBufferLimitError
    if size > client._max_payload:
        raise nats_errors.MaxPayloadError
    if block is None:
        command = f"PUB {subject} {reply} {size}\r\n".encode() + payload + _END
    else:
        head = len(block)
        command = f"HPUB {subject} {reply} {head} {head + size}\r\n".encode() + block + payload + _END
    client.stats["out_msgs"] += 1
    client.stats["out_bytes"] += size
    client._pending.append(command)
    client._pending_data_size += len(command)
    queue = client._flush_queue
    if connected and queue is not None and queue.empty():
        queue.put_nowait(asyncio.get_running_loop().create_future())


async def publish(
    client: Client, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
) -> None:
    """Publish as ``Client.publish`` does, with fewer steps where headers and buffer allow it.

    Args:
        client: connected.
        subject: without blanks.
        payload: bytes.
        reply: where answers go; without blanks.
        headers: values by name.

    Raises:
        nats.errors.Error: as ``Client.publish``.
    """
    block = None if headers is None else header_block.encode(headers)
    full = client._pending_data_size + len(payload) > client._max_pending_size
    if full or (headers is not None and block is None) or " " in subject or not subject.isprintable():
        await client.publish(
            subject, payload, reply=reply, headers=None if headers is None else dict(headers)
        )
        return
    post(client, subject, payload, reply=reply, block=block)

"""The parser of direct subscriptions reads the protocol however it is cut into pieces."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats import errors as nats_errors
from nats.aio.client import Client

from infra.nats import headers
from infra.nats.direct import FrameParser

_DIRECT, _PLAIN = 1, 2
_TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789.$_-", min_size=1, max_size=30)


class Heard(Client):
    """A client that notes what reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.plain: list[tuple[str, str, bytes, dict[str, str] | None]] = []
        self.errors: list[Exception] = []
        self.pings = 0
        self._error_cb = self._failed

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        assert sid == _PLAIN
        self.plain.append((subject.decode(), reply.decode(), data, parsed(headers)))

    async def _process_ping(self) -> None:
        self.pings += 1

    async def _failed(self, ex: Exception) -> None:
        self.errors.append(ex)


def parsed(block: bytes | None) -> dict[str, str] | None:
    return None if block is None else headers.parse(block)


def command(sid: int, subject: str, reply: str, data: bytes, block: bytes | None) -> bytes:
    address = f"{subject} {sid} {reply}".rstrip()
    if block is None:
        return f"MSG {address} {len(data)}\r\n".encode() + data + b"\r\n"
    return f"HMSG {address} {len(block)} {len(block) + len(data)}\r\n".encode() + block + data + b"\r\n"


_MESSAGES = st.tuples(
    st.sampled_from([_DIRECT, _PLAIN]),
    _TOKEN,
    st.one_of(st.just(""), _TOKEN),
    st.one_of(st.binary(max_size=200), st.just(b"MSG a 1 3\r\nabc\r\n"), st.just(b"\r\n")),
    st.one_of(
        st.none(), st.just(b"NATS/1.0\r\na: 1\r\nb: x\r\n\r\n"), st.just(b"NATS/1.0 404 No Messages\r\n\r\n")
    ),
)


@given(
    messages=st.lists(_MESSAGES, max_size=12),
    cuts=st.lists(st.integers(0, 3000), max_size=30),
    data=st.data(),
)
def test_messages_are_the_same_however_they_are_cut(
    messages: list[tuple[int, str, str, bytes, bytes | None]], cuts: list[int], data: st.DataObject
) -> None:
    between = data.draw(st.lists(st.sampled_from([b"", b"PING\r\n", b"+OK\r\n"]), min_size=12, max_size=12))
    raw = b"".join(command(*each) + gap for each, gap in zip(messages, between, strict=False))
    client = Heard()
    parser = FrameParser(client)
    direct: list[tuple[str, str, bytes, dict[str, str] | None]] = []
    parser.sinks[_DIRECT] = lambda msg: direct.append((msg.subject, msg.reply, msg.data, msg.headers))

    async def feed() -> None:
        for start, end in pairwise(sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})):
            await parser.parse(raw[start:end])

    asyncio.run(feed())
    expected = [(sid, (subject, reply, body, parsed(block))) for sid, subject, reply, body, block in messages]
    assert direct == [each for sid, each in expected if sid == _DIRECT]
    assert client.plain == [each for sid, each in expected if sid == _PLAIN]
    assert client.pings == between[: len(messages)].count(b"PING\r\n")
    assert client.errors == []


def test_a_sink_that_fails_loses_its_message_alone() -> None:
    client = Heard()
    parser = FrameParser(client)
    taken: list[bytes] = []

    def sink(msg: Any) -> None:
        if msg.data == b"bad":
            raise ValueError(msg.data)
        taken.append(msg.data)

    parser.sinks[_DIRECT] = sink
    raw = b"".join(command(_DIRECT, "a", "", data, None) for data in (b"one", b"bad", b"two"))
    asyncio.run(parser.parse(raw))
    assert taken == [b"one", b"two"]
    assert [type(error) for error in client.errors] == [ValueError]


def test_the_rest_of_a_lost_connection_is_dropped() -> None:
    client = Heard()
    parser = FrameParser(client)
    taken: list[bytes] = []
    parser.sinks[_DIRECT] = lambda msg: taken.append(msg.data)

    async def feed() -> None:
        await parser.parse(command(_DIRECT, "a", "", b"0123456789", None)[:-4])
        parser.reset()
        await parser.parse(command(_DIRECT, "a", "", b"new", None))

    asyncio.run(feed())
    assert taken == [b"new"]


@pytest.mark.parametrize("raw", [b"MSG a 1\r\n", b"MSG a x 3\r\nabc\r\n", b"WHAT\r\n", b"MSG " + b"a" * 5000])
def test_what_is_not_the_protocol_is_an_error_of_the_connection(raw: bytes) -> None:
    with pytest.raises(nats_errors.ProtocolError):
        asyncio.run(FrameParser(Heard()).parse(raw))

"""Calls that nobody answers: sent again, given up in time, and answered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts.errors import Unavailable
from infra.nats.multiplexer import RequestMultiplexer

_SUBJECT = "echo.test"


class Server:
    """Answers from its ``deaf`` + 1st call on."""

    def __init__(self, nc: Client, *, deaf: int) -> None:
        self._nc = nc
        self._deaf = deaf
        self.heard: list[bytes] = []

    async def answer(self, msg: Msg) -> None:
        self.heard.append(msg.data)
        if len(self.heard) > self._deaf:
            await self._nc.publish(msg.reply, msg.data)


@pytest_asyncio.fixture
async def wire(nc: Client) -> AsyncIterator[RequestMultiplexer]:
    opened = RequestMultiplexer(timeout_s=3.0)
    await opened.open(nc)
    yield opened
    await opened.close()


async def _serve(nc: Client, *, deaf: int) -> Server:
    server = Server(nc, deaf=deaf)
    await nc.subscribe(_SUBJECT, cb=server.answer)
    return server


async def test_a_call_that_was_swallowed_is_sent_again(nc: Client, wire: RequestMultiplexer) -> None:
    server = await _serve(nc, deaf=1)
    answer = await wire.call(_SUBJECT, b"one")
    assert answer.data == b"one"
    assert server.heard == [b"one", b"one"]


async def test_two_repeats_at_most_and_none_of_what_must_not_be_repeated(
    nc: Client, wire: RequestMultiplexer
) -> None:
    server = await _serve(nc, deaf=99)
    ended = await asyncio.gather(
        wire.call(_SUBJECT, b"any"),
        wire.call(_SUBJECT, b"once", repeat=False),
        wire.call(_SUBJECT, b"several", collect=lambda _: True),
        return_exceptions=True,
    )
    assert [str(each) for each in ended] == ["the broker did not answer within 3 s"] * 3
    assert all(isinstance(each, Unavailable) for each in ended)
    assert server.heard.count(b"any") in {2, 3}
    assert server.heard.count(b"once") == server.heard.count(b"several") == 1

"""Direct subscriptions and publishes on a real broker, through restarts and beside nats-py's own."""

from __future__ import annotations

import asyncio
from typing import Any

import nats
import pytest
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.protocol.parser import Parser
from understudy_client.connection import flushed

from infra.nats import direct
from infra.nats.connection import dial
from infra.nats.embedded import Embedded

_WAIT_S = 30.0


class Collected:
    """Messages, and a way to wait for them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    def __call__(self, msg: Any) -> None:
        self.queue.put_nowait((msg.subject, msg.reply, msg.data, msg.headers))

    async def next(self) -> Any:
        return await asyncio.wait_for(self.queue.get(), _WAIT_S)


def test_nats_py_still_has_what_the_direct_path_uses() -> None:
    client: Any = Client()
    assert type(client._ps) is Parser, "nats-py has another parser: see infra/nats/direct.py"
    names = (
        "_pending",
        "_pending_data_size",
        "_max_pending_size",
        "_max_payload",
        "_flush_queue",
        "_error_cb",
        "_subs",
    )
    missing = [name for name in names if not hasattr(client, name)]
    assert not missing, f"nats-py no longer has {missing}: see infra/nats/direct.py"
    for name in ("buf", "state", "needed", "header_needed", "msg_arg"):
        assert hasattr(client._ps, name), f"nats-py's parser no longer has {name}: see infra/nats/direct.py"


async def test_small_and_large_messages_arrive_in_their_order_with_headers_and_reply(bare_url: str) -> None:
    client = await dial(bare_url, name="test")
    got = Collected()
    await direct.listen(client, "a.*", got)
    sent = [
        (
            f"a.{number}",
            f"r.{number}",
            bytes([number % 256]) * size,
            {"n": str(number)} if number % 2 else None,
        )
        for number, size in enumerate([0, 1, 900_000, 5, 40_000, 0, 700_000, 32_768, 3])
    ]
    for subject, reply, data, headers in sent:
        await direct.publish(client, subject, data, reply=reply, headers=headers)
    assert [await got.next() for _ in sent] == sent
    await client.close()


async def test_plain_subscriptions_of_the_same_client_go_on(bare_url: str) -> None:
    client = await dial(bare_url, name="test")
    got, plain = Collected(), Collected()

    async def heard(msg: Any) -> None:
        plain(msg)

    await client.subscribe("b.plain", cb=heard)
    await direct.listen(client, "b.direct", got)
    for number in range(20):
        await client.publish("b.plain", str(number).encode(), headers={"k": "v"})
        await direct.publish(client, "b.direct", str(number).encode(), headers={"k": "v"})
    expected = [str(number).encode() for number in range(20)]
    assert [(await got.next())[2] for _ in expected] == expected
    assert [(await plain.next())[2] for _ in expected] == expected
    other = await dial(bare_url, name="other")

    async def answer(msg: Any) -> None:
        await msg.respond(b"pong")

    await other.subscribe("b.ask", cb=answer)
    await flushed(other)
    assert (await client.request("b.ask", b"", timeout=_WAIT_S)).data == b"pong"
    await client.close()
    await other.close()


async def test_drained_and_unsubscribed_ones_get_nothing_more(bare_url: str) -> None:
    client = await dial(bare_url, name="test")
    drained, left, control = Collected(), Collected(), Collected()
    one = await direct.listen(client, "c", drained)
    two = await direct.listen(client, "c", left)
    await direct.listen(client, "c", control)
    await direct.publish(client, "c", b"1")
    await control.next()
    await one.drain()
    await two.unsubscribe()
    await direct.publish(client, "c", b"2")
    assert (await control.next())[2] == b"2"
    assert (drained.queue.qsize(), left.queue.qsize()) == (1, 1)
    await client.close()


async def test_a_subscription_survives_a_restart_of_the_broker(broker: Embedded) -> None:
    back = asyncio.Event()
    client = await dial(broker.url, name="test", on_reconnect=back.set)
    got = Collected()
    await direct.listen(client, "d", got)
    await direct.publish(client, "d", b"before")
    assert (await got.next())[2] == b"before"
    await broker.kill()
    await broker.start()
    await asyncio.wait_for(back.wait(), _WAIT_S)
    await direct.publish(client, "d", b"after", headers={"a": "1"})
    assert await got.next() == ("d", "", b"after", {"a": "1"})
    await client.close()


async def test_headers_that_need_care_are_left_to_nats_py(bare_url: str) -> None:
    client = await dial(bare_url, name="test")
    got = Collected()
    await direct.listen(client, "e", got)
    await direct.publish(client, "e", b"", headers={" padded ": " x\r\ny ", "k": "käse"})
    assert (await got.next())[3] == {"padded": "x  y", "k": "käse"}
    with pytest.raises(nats_errors.BadHeaderError):
        await direct.publish(client, "e", b"", headers={"two words": "1"})
    await client.close()


async def test_publishing_fails_as_with_nats_py(bare_url: str) -> None:
    client = await nats.connect(bare_url)
    with pytest.raises(nats_errors.MaxPayloadError):
        await direct.publish(client, "f", b"x" * (client.max_payload + 1))
    with pytest.raises(nats_errors.BadSubjectError):
        await direct.publish(client, "two words", b"")
    await client.close()
    with pytest.raises(nats_errors.ConnectionClosedError):
        await direct.publish(client, "f", b"")


async def test_a_subject_or_header_that_is_no_utf_8_still_arrives(bare_url: str) -> None:
    nc = await dial(bare_url, name="test")
    heard = Collected()
    await direct.listen(nc, "gen.>", heard)
    await flushed(nc)
    host, port = bare_url.removeprefix("nats://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = b"NATS/1.0\r\nWho: \xff\xfe\r\n\r\n"
    writer.write(
        b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n'
        b"PUB gen.\xff\xfe 1\r\na\r\n"
        b"HPUB gen.x %d %d\r\n%bb\r\n" % (len(head), len(head) + 1, head)
    )
    await writer.drain()
    subject, _, first, _ = await heard.next()
    *_, second, headers = await heard.next()
    assert (subject.startswith("gen."), first, second) == (True, b"a", b"b")
    assert set(headers) == {"Who"}
    writer.close()
    await nc.close()

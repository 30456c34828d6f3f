"""Connections: lists of servers, silent servers, TLS, credentials."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from understudy_client.connection import close, flushed, without_password

from infra.nats.connection import Unreachable, dial
from infra.nats.embedded import Embedded
from infra.runner.stage_broker import StageBroker
from infra.settings.settings import load


@pytest_asyncio.fixture
async def other(tmp_path: Path) -> AsyncIterator[Embedded]:
    async with Embedded(tmp_path / "other", sync_interval="2m") as own:
        yield own


async def test_a_list_is_tried_until_one_answers(bare_url: str) -> None:
    client = await dial(f"nats://127.0.0.1:1, {bare_url}", name="test")
    assert client.is_connected
    await client.close()


async def test_servers_of_the_settings_are_such_a_list(bare_url: str, tmp_path: Path) -> None:
    settings = load(data_dir=tmp_path, nats={"servers": ["nats://127.0.0.1:1", bare_url]})
    client = await dial(settings, name="test")
    assert client.is_connected
    await client.close()


async def test_the_broker_has_a_subscription_when_it_is_flushed(bare_url: str) -> None:
    client = await dial(bare_url, name="test")
    transport: Any = client._transport
    sent = bytearray()
    write, writelines = transport.write, transport.writelines

    def recorded(data: bytes) -> None:
        sent.extend(data)
        write(data)

    def all_recorded(data: list[bytes]) -> None:
        sent.extend(b"".join(data))
        writelines(data)

    transport.write, transport.writelines = recorded, all_recorded
    await client.subscribe("flushed")
    await flushed(client)
    lines = sent.splitlines()
    assert lines[-1] == b"PING"
    assert any(line.startswith(b"SUB flushed") for line in lines)
    await client.close()


async def test_a_silent_server_is_left_for_another(
    monkeypatch: pytest.MonkeyPatch, bare_url: str, other: Embedded
) -> None:
    monkeypatch.setattr("understudy_client.connection.PING_S", 0.1)
    lost, back = asyncio.Event(), asyncio.Event()
    client = await dial(other.url, name="test", on_disconnect=lost.set, on_reconnect=back.set)
    client._setup_server_pool([other.url, bare_url])  # as if the list had been given, connected to the first
    pid = other.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.wait_for(lost.wait(), 30)
        await asyncio.wait_for(back.wait(), 30)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert client.connected_url is not None
    assert f"{client.connected_url.hostname}:{client.connected_url.port}" in bare_url
    await close(client)


async def test_tls_means_tls(bare_url: str) -> None:
    with pytest.raises(Unreachable, match="does not speak TLS"):
        await dial(bare_url.replace("nats://", "tls://"), name="test")


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ("UNDERSTUDY_NATS__CREDS: /none.creds is not a file", {"creds": "/none.creds"}),
        ("UNDERSTUDY_NATS__NKEY: /none.nk is not a file", {"nkey": "/none.nk"}),
        ("UNDERSTUDY_NATS__TLS", {"tls": {"ca": "/none.pem"}}),
        ("does not speak TLS", {"tls": {"required": True}}),
    ],
)
async def test_access_that_cannot_be_used_is_told_by_its_setting(
    bare_url: str, tmp_path: Path, said: str, fields: dict[str, object]
) -> None:
    settings = load(data_dir=tmp_path, nats_url=bare_url, nats=fields)
    with pytest.raises(Unreachable, match=said):
        await dial(settings, name="test")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://me:secret@a:4222", "nats://a:4222"),
        ("nats://me:se@cret@a:4222,tls://b", "nats://a:4222,tls://b"),
        ("a:4222", "a:4222"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


async def test_closing_a_connection_never_raises(other: Embedded) -> None:
    client = await dial(other.url, name="test")
    await other.stop()
    await close(client)
    assert client.is_closed


async def test_stages_stop_while_their_server_is_away(other: Embedded) -> None:
    away = asyncio.Event()

    async def lost() -> None:
        away.set()

    stages = StageBroker(other.url, logger=None, disconnected_cb=lost)
    client = await stages.connect()
    await other.kill()
    async with asyncio.timeout(20):
        await away.wait()
    await stages.stop()
    assert client.is_closed

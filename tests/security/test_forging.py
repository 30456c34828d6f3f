"""Nobody without the right to publish results is believed, whatever the broker can be talked into."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats import errors as nats_errors
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg
from nats.js.errors import APIError
from understudy_client import Client, Unreadable
from understudy_client.connection import flushed

from contracts import envelope, pipeline, roles
from contracts.errors import Unreadable as UnreadableEvent
from contracts.pipeline import CLIENT, EVENTS, REQUESTS, STAGES
from infra.inspect import record
from infra.nats import log, ordered, topology
from infra.nats.connection import dial
from infra.nats.multiplexer import RequestMultiplexer
from infra.security import keys
from infra.settings.settings import Settings, load
from tests.security.servers import SecuredServer, secured_server

_WAIT_S = 30.0
_VICTIM = "victim-1"
#: Whoever may not publish results.
_FORGERS = [stage for stage in STAGES if stage not in pipeline.ROW_OF["result"].published_by] + [
    "provisioner",
    "gateway",
]


def _body() -> bytes:
    result = {
        "request_id": _VICTIM,
        "kind": "layout",
        "status": "success",
        "origin": "live",
        "reason": "forged",
        "content": {"forged": True},
    }
    return json.dumps(result).encode()


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[SecuredServer]:
    async with secured_server(tmp_path) as found:
        yield found


@pytest_asyncio.fixture
async def settings(server: SecuredServer, tmp_path: Path) -> Settings:
    found = load(
        data_dir=tmp_path / "data",
        nats_url=server.url,
        nats={"keys": server.folder},  # pyright: ignore[reportCallIssue]
    )
    await topology.apply_at(server.url, found)
    return found


async def _stored(server: SecuredServer, role: str) -> None:
    """Store the forged body wherever the role, or a client who helps it, may publish."""
    client = await server.connect(CLIENT)
    await client.jetstream().publish("gen.requested.layout.helper-1", _body())
    await client.close()
    nc = await server.connect(role)
    for row in pipeline.ROWS:
        if row.stream == EVENTS and role in row.published_by and row.event != "timer":
            await nc.jetstream().publish(f"gen.{row.event}.layout.helper-1", _body())
    await nc.close()


def _asks(role: str) -> list[tuple[str, bytes]]:
    """Everything of the JetStream API that a role may ask, about what is stored."""
    found: list[tuple[str, bytes]] = []
    for subject in (roles.find(role) or roles.client()).publish:
        if subject.startswith("$JS.API.DIRECT.GET.") and subject.count(".") == 4:
            found += [(subject, b'{"seq": %d}' % seq) for seq in (1, 2, 3)]
            found.append((subject, b'{"multi_last": ["gen.>"]}'))
        elif subject.startswith("$JS.API.DIRECT.GET."):
            asked = subject.removesuffix(".>")
            found += [(f"{asked}.helper-1", b""), (f"{asked}.layout.helper-1", b"")]
            found.append((f"{asked}.gen.requested.layout.helper-1", b""))
        elif ".MSG.NEXT." in subject:
            found.append((subject, b'{"batch": 5, "expires": 1000000000}'))
        elif ".INFO" in subject:
            found.append((subject.replace("*", "audit"), b""))
    return found


async def _believed(server: SecuredServer, settings: Settings, event: str = "result") -> list[str]:
    """Who takes what is stored for the victim's result: the client, or a tool of the pipeline."""
    found: list[str] = []
    async with Client.connect(server.url, nkey=keys.file_of(server.folder, "alice")) as client:
        try:
            if event == "result" and await client.look(_VICTIM) is not None:
                found.append("client")
        except Unreadable:
            pass
    nc, wire = await dial(settings, name="test"), RequestMultiplexer()
    await wire.open(nc)
    entries = [each async for each in log.read(wire, EVENTS, f"gen.{event}.>")]
    last = await log.next_sequence(wire, EVENTS)
    followed = ordered.follow(nc, EVENTS, ("gen.>",), start=1)
    async with asyncio.timeout(_WAIT_S):
        while last > 1:
            entry = await anext(followed)
            entries += [entry] if entry.subject.startswith(f"gen.{event}.") else []
            if entry.sequence >= last - 1:
                break
    await followed.aclose()
    for entry in entries:
        try:
            envelope.decode(event, entry.body, entry.headers)
        except UnreadableEvent:
            pass
        else:
            found.append(f"stage, by {entry.subject}")
        if record.decode(entry).body is not None:
            found.append(f"console, by {entry.subject}")
    await wire.close()
    await nc.close()
    return found


async def _listen(server: SecuredServer, subject: str) -> tuple[Connection, list[Msg]]:
    """What README's program would print: a message of that very subject, which no answer of the broker is."""
    heard: list[Msg] = []

    async def hear(msg: Msg) -> None:
        if msg.subject == subject and "Nats-Stream" not in (msg.headers or {}):
            heard.append(msg)

    nc = await server.connect(CLIENT)
    await nc.subscribe(subject, cb=hear)
    await flushed(nc)
    return nc, heard


@pytest.mark.parametrize("role", [*_FORGERS, CLIENT, "alice"])
@pytest.mark.parametrize("event", ["result", "revised"])
async def test_an_answer_of_the_broker_is_no_result(
    role: str, event: str, server: SecuredServer, settings: Settings
) -> None:
    await _stored(server, role)
    target = f"gen.{event}.layout.{_VICTIM}"
    listening, heard = await _listen(server, target)
    nc = await server.connect(role)
    for subject, body in _asks(role):
        await nc.publish(subject, body, reply=target)
    if role in {CLIENT, "alice"}:
        await nc.publish("gen.requested.layout.helper-2", _body(), reply=target)
    await flushed(nc)
    # Answered behind all of them.
    await _settle(server)
    assert await _believed(server, settings, event) == []
    assert [each.data for each in heard if b"forged" in each.data] == []
    await listening.close()
    await nc.close()


async def _settle(server: SecuredServer) -> None:
    nc = await server.connect("operator")
    for _ in range(3):
        await nc.request(f"$JS.API.STREAM.INFO.{EVENTS}", timeout=_WAIT_S)
        await asyncio.sleep(0.1)
    await nc.close()


@pytest.mark.parametrize("role", [stage for stage in STAGES if stage in _FORGERS])
async def test_a_schedule_brings_no_result(role: str, server: SecuredServer, settings: Settings) -> None:
    target = f"gen.result.layout.{_VICTIM}"
    nc = await server.connect(role)
    headers = {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": target}
    stored = 0
    for row in pipeline.ROWS:
        if row.stream == EVENTS and role in row.published_by:
            slot = ".1" if row.event == "timer" else ""
            await nc.jetstream().publish(f"gen.{row.event}.layout.{_VICTIM}{slot}", _body(), headers=headers)
            stored += 1
    await nc.close()
    if stored:
        await _until_there(settings, target)
    assert await _believed(server, settings) == []


async def _until_there(settings: Settings, subject: str) -> None:
    """Wait until the broker's schedule has published: otherwise there is nothing to disbelieve."""
    nc, wire = await dial(settings, name="test"), RequestMultiplexer()
    await wire.open(nc)
    async with asyncio.timeout(_WAIT_S):
        while await log.last(wire, EVENTS, subject) is None:
            await asyncio.sleep(0.05)
    await wire.close()
    await nc.close()


@pytest.mark.parametrize("role", [*_FORGERS, CLIENT, "alice"])
async def test_a_consumer_delivers_no_result(role: str, server: SecuredServer, settings: Settings) -> None:
    await _stored(server, role)
    target = f"gen.result.layout.{_VICTIM}"
    listening, heard = await _listen(server, target)
    said: list[str] = []
    nc = await server.connect(role, said)
    body = {"config": {"deliver_subject": target, "ack_policy": "none", "deliver_policy": "all"}}
    for stream in (REQUESTS, EVENTS, "OBJ_assets"):
        asked = json.dumps(body | {"stream_name": stream}).encode()
        for form in (f"CONSUMER.CREATE.{stream}", f"CONSUMER.CREATE.{stream}.thief"):
            await nc.publish(f"$JS.API.{form}", asked, reply=f"{roles.inbox_of(role)}.answer")
    await flushed(nc)
    await _settle(server)
    assert await _believed(server, settings) == []
    assert heard == []
    creates = any("CONSUMER.CREATE." in each for each in (roles.find(role) or roles.client()).publish)
    assert creates or len(said) == 6
    await listening.close()
    await nc.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "gen.result.layout.victim-1"},
        {"Nats-Rollup": "all"},
        {"Nats-Rollup": "sub"},
        {"Nats-TTL": "1s"},
    ],
)
@pytest.mark.parametrize("event", ["requested", "cancelled"])
@pytest.mark.usefixtures("settings")
async def test_a_client_has_the_broker_do_nothing_for_it(
    event: str, headers: dict[str, str], server: SecuredServer
) -> None:
    nc = await server.connect("alice")
    with pytest.raises(APIError):
        await nc.jetstream().publish(f"gen.{event}.layout.x", b"{}", headers=headers)
    await nc.close()


async def test_a_client_suppresses_nobody_by_a_message_id(server: SecuredServer, settings: Settings) -> None:
    ident = envelope.message_id(_VICTIM, 1, "fallback", "result", 1)
    nc = await server.connect("alice")
    await nc.jetstream().publish("gen.cancelled.layout.x", b"{}", headers={"Nats-Msg-Id": ident})
    await nc.close()
    stage = await server.connect("fallback")
    ack = await stage.jetstream().publish(
        f"gen.result.layout.{_VICTIM}", _body(), headers={"Nats-Msg-Id": ident}
    )
    await stage.close()
    assert not ack.duplicate
    assert await _believed(server, settings) != []


async def test_a_client_hears_nothing_of_another_one(server: SecuredServer, settings: Settings) -> None:
    said: list[str] = []
    heard: list[str] = []
    spy = await server.connect("bob", said)

    async def hear(msg: Msg) -> None:
        heard.append(msg.subject)

    for subject in ("_INBOX_alice.>", "_INBOX.>", "_R_.>", "gen.requested.>", ">"):
        await spy.subscribe(subject, cb=hear)
    await spy.subscribe("_INBOX_bob.>", cb=hear)
    await flushed(spy)
    async with Client.connect(server.url, nkey=keys.file_of(server.folder, "alice")) as client:
        await client.submit("layout", "a secret forest", request_id="secret-1")
        assert await client.owner("secret-1") is not None
    await flushed(spy)
    await spy.close()
    assert heard == []
    assert len(said) == 5


async def test_what_a_client_directs_at_another_ones_inbox_stays_with_it(
    server: SecuredServer, settings: Settings
) -> None:
    heard: list[str] = []

    async def hear(msg: Msg) -> None:
        heard.append(msg.subject)

    alice, bob = await server.connect("alice"), await server.connect("bob")
    await alice.subscribe("_INBOX_alice.>", cb=hear)
    await alice.subscribe("gen.result.>", cb=hear)
    await flushed(alice)
    for reply in ("_INBOX_alice.x", f"gen.result.layout.{_VICTIM}"):
        await bob.publish("gen.requested.layout.bob-1", _body(), reply=reply)
        await bob.publish(f"$JS.API.DIRECT.GET.{REQUESTS}.gen.requested.layout.bob-1", b"", reply=reply)
    await flushed(bob)
    await _settle(server)
    await flushed(alice)
    assert heard == []
    await alice.close()
    await bob.close()


async def test_the_broker_refuses_a_key_that_it_does_not_know(server: SecuredServer) -> None:
    with pytest.raises(nats_errors.Error):
        await nats.connect(server.url, allow_reconnect=False, max_reconnect_attempts=0)

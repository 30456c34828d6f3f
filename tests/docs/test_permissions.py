"""Does the server configuration in docs/operations.md keep results for stages alone?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError, NoStreamResponseError
from understudy_client import Client
from understudy_client.connection import flushed
from understudy_client.result import ContentRef, Result

from contracts import pipeline
from contracts.result import Status
from infra.app.wiring import assemble
from infra.nats import server_config, topology
from infra.nats.connection import dial
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings.settings import Settings, load
from infra.stores.assets import Assets
from tests.docs.pages import fences

_WAIT_S = 60.0


class Server:
    """A nats-server as the page configures it, with the topology."""

    def __init__(self, port: int) -> None:
        self.stages = f"nats://understudy:for-stages@127.0.0.1:{port}"
        self.client = f"nats://client:for-clients@127.0.0.1:{port}"


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    (said,) = fences("nats-server.conf")
    text = said.text.replace("$UNDERSTUDY_PASSWORD", "for-stages").replace("$CLIENT_PASSWORD", "for-clients")
    config = tmp_path / "nats-server.conf"
    config.write_text(
        f"{text}\nhost: 127.0.0.1\nport: -1\nports_file_dir: '{tmp_path}'\njetstream {{ store_dir: '{tmp_path}' }}\n"
    )
    process = await asyncio.create_subprocess_exec(
        server_config.find_binary(),
        "-c",
        config,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Server(await _port(process))
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), _WAIT_S)


async def _port(process: asyncio.subprocess.Process) -> int:
    """Read the port from the server's log, once it is ready."""
    assert process.stderr is not None
    port = 0
    async with asyncio.timeout(_WAIT_S):
        async for line in process.stderr:
            if b"Listening for client connections on" in line:
                port = int(line.rpartition(b":")[2])
            if b"Server is ready" in line:
                return port
    pytest.fail("the server ended")


@pytest_asyncio.fixture
async def settings(server: Server, tmp_path: Path) -> Settings:
    found = load(nats_url=server.stages, data_dir=tmp_path / "data")
    await topology.apply_at(server.stages, found)
    return found


async def test_a_client_gets_its_result_and_stages_need_no_more(server: Server, settings: Settings) -> None:
    stages = tuple(stage for stage in pipeline.STAGES if stage != "audit")
    application = assemble(settings, stages)
    life = asyncio.create_task(application.run())
    await asyncio.wait_for(application.ready.wait(), _WAIT_S)
    try:
        async with Client.connect(server.client) as client:
            answer = await client.generate("layout", prompt="a forest with three coins", timeout_s=_WAIT_S)
            cancelled = await client.cancel(answer.result.request_id)
    finally:
        application.app.exit()
        status = await asyncio.wait_for(life, _WAIT_S)
    assert answer.result.status == Status.CACHED_FALLBACK
    assert cancelled is not None
    assert status == 0


@pytest.mark.parametrize(
    "event", [row.event for row in pipeline.ROWS if pipeline.CLIENT not in row.published_by and row.stream]
)
@pytest.mark.usefixtures("settings")
async def test_a_client_cannot_publish_what_stages_publish(server: Server, event: str) -> None:
    refused: asyncio.Queue[Exception] = asyncio.Queue()
    nc = await nats.connect(server.client, error_cb=refused.put)
    with pytest.raises((NoStreamResponseError, TimeoutError, nats.errors.Error)):
        await nc.jetstream().publish(f"gen.{event}.layout.forged-1", b"{}", timeout=1)
    error = await asyncio.wait_for(refused.get(), _WAIT_S)
    await nc.close()
    assert f'permissions violation for publish to "gen.{event}.layout.forged-1"' in str(error).lower()


async def test_a_client_reads_large_content(server: Server, settings: Settings) -> None:
    body = b'"' + b"x" * 700_000 + b'"'
    stages = await dial(settings.nats_url or "", name="test")
    wire = RequestMultiplexer()
    await wire.open(stages)
    reference = await Assets(wire).put(body)
    large = ContentRef(object=reference.object, sha256=reference.sha256, size=reference.size)
    result = Result(request_id="x", kind="custom", status="success", origin="live", content_ref=large)
    async with Client.connect(server.client) as client:
        assert await client.document(result) == "x" * 700_000
    await wire.close()
    await stages.close()


@pytest.mark.parametrize("event", ["requested", "cancelled"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "gen.result.layout.victim"},
        {"Nats-Rollup": "all"},
        {"Nats-Rollup": "sub"},
        {"Nats-TTL": "1s"},
    ],
)
@pytest.mark.usefixtures("settings")
async def test_a_client_has_the_broker_do_nothing_for_it(
    server: Server, event: str, headers: dict[str, str]
) -> None:
    nc = await nats.connect(server.client)
    with pytest.raises(APIError):
        await nc.jetstream().publish(f"gen.{event}.layout.x", b"{}", headers=headers)
    await nc.close()


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("gen.requested.layout.asking-1", b'{"prompt": "a wood"}'),
        ("$JS.API.DIRECT.GET.REQUESTS.gen.requested.layout.stored-1", b""),
        ("$JS.API.DIRECT.GET.REQUESTS", b'{"last_by_subj": "gen.requested.layout.stored-1"}'),
        ("$JS.API.STREAM.INFO.REQUESTS", b""),
    ],
)
@pytest.mark.parametrize("reply", ["gen.result.layout.victim", "gen.deadline.layout.victim"])
async def test_what_the_broker_answers_a_client_is_never_an_event(
    server: Server, settings: Settings, subject: str, body: bytes, reply: str
) -> None:
    """Nobody's permission is asked for a reply subject: only the border of two accounts keeps it out."""
    nc = await nats.connect(server.client)
    await nc.jetstream().publish("gen.requested.layout.stored-1", b'{"status": "success"}')
    await nc.publish(subject, body, reply=reply)
    await nc.publish(
        "$JS.API.DIRECT.GET.REQUESTS.gen.requested.layout.stored-1",
        b"",
        reply="$JS.API.STREAM.PURGE.REQUESTS",
    )
    # Answered behind both of them.
    await nc.jetstream().publish("gen.requested.layout.last-1", b"{}")
    await nc.close()
    stages = await dial(settings.nats_url or "", name="test")
    events, requests = [await topology.stream(stages, name) for name in ("EVENTS", "REQUESTS")]
    await stages.close()
    assert events is not None
    assert events["state"]["messages"] == 0
    assert requests is not None
    assert requests["state"]["first_seq"] == 1


@pytest.mark.usefixtures("settings")
async def test_a_client_cannot_have_a_consumer_deliver_for_it(server: Server) -> None:
    nc = await nats.connect(server.client, error_cb=_quiet)
    js = nc.jetstream(timeout=1)
    for stream in ("OBJ_assets", "REQUESTS", "EVENTS"):
        config = ConsumerConfig(deliver_subject="gen.result.layout.victim", ack_policy=AckPolicy.NONE)
        with pytest.raises((TimeoutError, nats.errors.Error)):
            await js.add_consumer(stream, config)
    await nc.close()


async def test_a_client_does_not_hear_what_stages_are_given(server: Server, settings: Settings) -> None:
    application = assemble(settings, ("context-build", "freeform-gen", "fallback"))
    life = asyncio.create_task(application.run())
    await asyncio.wait_for(application.ready.wait(), _WAIT_S)
    heard: list[str] = []
    spy = await nats.connect(server.client)

    async def hear(msg: Msg) -> None:
        heard.append(msg.subject + msg.data.decode(errors="replace"))

    await spy.subscribe("_INBOX.>", cb=hear)
    await flushed(spy)
    try:
        async with Client.connect(server.client) as client:
            await client.generate(
                "layout", prompt="a secret forest", timeout_s=_WAIT_S, request_id="secret-1"
            )
    finally:
        application.app.exit()
        await asyncio.wait_for(life, _WAIT_S)
    await spy.close()
    assert not [each for each in heard if "context_built" in each or '"brief"' in each]


async def _quiet(_: Exception) -> None:
    """Refusals are expected."""

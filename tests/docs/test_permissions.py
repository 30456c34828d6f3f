"""Does the command in docs/operations.md give a broker on which everything works, and results are of stages alone?"""

from __future__ import annotations

import asyncio
import os
import shlex
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
import pytest_asyncio
import trustme
from nats import errors as nats_errors
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg
from nats.js.errors import NoStreamResponseError
from understudy_client import AccessDenied, Client
from understudy_client.connection import flushed
from understudy_client.result import ContentRef, Result

from contracts import pipeline, roles
from contracts.result import Status
from infra.app.wiring import assemble
from infra.nats import topology
from infra.nats.connection import dial, reach
from infra.nats.multiplexer import RequestMultiplexer
from infra.security import keys
from infra.settings.settings import Settings, load
from infra.stores.assets import Assets
from tests.command_line import understudy
from tests.docs.pages import fences
from tests.security.servers import start_server

_WAIT_S = 60.0


class Server:
    """A nats-server as the page configures it."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"tls://127.0.0.1:{port}"
        self.keys = folder / "nats"
        self.ca = folder / "ca.pem"
        self.client_key = keys.file_of(self.keys, "shop")
        self.tls = ssl.create_default_context(cafile=str(self.ca))


@pytest_asyncio.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    (said,) = fences("secure")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "server.key")
    monkeypatch.chdir(tmp_path)
    program, *command = shlex.split(said.text)
    done = understudy(*command, environment=dict(os.environ))
    assert (program, done.status) == ("understudy", 0), done.err
    async with start_server(tmp_path, tmp_path / "nats" / "nats-server.conf") as port:
        yield Server(port, tmp_path)


@pytest_asyncio.fixture
async def settings(server: Server, tmp_path: Path) -> Settings:
    found = load(
        nats_url=server.url, data_dir=tmp_path / "data", nats={"keys": server.keys, "tls": {"ca": server.ca}}
    )
    await topology.apply_at(server.url, found)
    return found


def _as_role(settings: Settings, role: str) -> Settings:
    return settings.model_copy(update={"nats": reach(settings, role)[1]})


async def test_a_client_gets_its_result_and_stages_need_no_more(server: Server, settings: Settings) -> None:
    groups = [("freeform-gen", "structuring"), ("context-build", "validate-repair"), ("fallback",)]
    applications = [assemble(_as_role(settings, roles.name_of(group)), group) for group in groups]
    lives = [asyncio.create_task(each.run()) for each in applications]
    for each in applications:
        await asyncio.wait_for(each.ready.wait(), _WAIT_S)
    try:
        async with Client.connect(server.url, nkey=server.client_key, tls=server.tls) as client:
            answer = await client.generate("layout", prompt="a forest with three coins", timeout_s=_WAIT_S)
            cancelled = await client.cancel(answer.result.request_id)
    finally:
        for each in applications:
            each.app.exit()
        statuses = await asyncio.wait_for(asyncio.gather(*lives), _WAIT_S)
    assert answer.result.status == Status.CACHED_FALLBACK
    assert cancelled is not None
    assert set(statuses) == {0}


async def _plain(server: Server, refused: asyncio.Queue[Exception] | None = None) -> Connection:
    async def note(error: Exception) -> None:
        if refused is not None:
            await refused.put(error)

    return await nats.connect(
        server.url,
        nkeys_seed=str(server.client_key),
        inbox_prefix="_INBOX_shop",
        tls=server.tls,
        error_cb=note,
    )


@pytest.mark.parametrize(
    "event", [row.event for row in pipeline.ROWS if pipeline.CLIENT not in row.published_by and row.stream]
)
@pytest.mark.usefixtures("settings")
async def test_a_client_cannot_publish_what_stages_publish(server: Server, event: str) -> None:
    refused: asyncio.Queue[Exception] = asyncio.Queue()
    nc = await _plain(server, refused)
    with pytest.raises((NoStreamResponseError, TimeoutError, nats_errors.Error)):
        await nc.jetstream().publish(f"gen.{event}.layout.forged-1", b"{}", timeout=1)
    error = await asyncio.wait_for(refused.get(), _WAIT_S)
    await nc.close()
    assert f'permissions violation for publish to "gen.{event}.layout.forged-1"' in str(error).lower()


async def test_a_client_reads_large_content(server: Server, settings: Settings) -> None:
    body = b'"' + b"x" * 700_000 + b'"'
    stage = await dial(settings, name="test", role="validate-repair")
    wire = RequestMultiplexer()
    await wire.open(stage)
    reference = await Assets(wire).put(body)
    large = ContentRef(object=reference.object, sha256=reference.sha256, size=reference.size)
    result = Result(request_id="x", kind="custom", status="success", origin="live", content_ref=large)
    async with Client.connect(server.url, nkey=server.client_key, tls=server.tls) as client:
        assert await client.document(result) == "x" * 700_000
    await wire.close()
    await stage.close()


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("gen.requested.layout.asking-1", b'{"prompt": "a wood"}'),
        ("$JS.API.DIRECT.GET.REQUESTS.gen.requested.layout.stored-1", b""),
        ("$JS.API.DIRECT.GET.OBJ_assets", b'{"seq": 1}'),
    ],
)
@pytest.mark.parametrize("reply", ["gen.result.layout.victim", "$JS.API.STREAM.PURGE.REQUESTS"])
async def test_what_the_broker_answers_a_client_is_never_an_event(
    server: Server, settings: Settings, subject: str, body: bytes, reply: str
) -> None:
    """Nobody's permission is asked for a reply subject: only the border of two accounts keeps it out."""
    nc = await _plain(server)
    await nc.jetstream().publish("gen.requested.layout.stored-1", b'{"status": "success"}')
    await nc.publish(subject, body, reply=reply)
    # Answered behind it.
    await nc.jetstream().publish("gen.requested.layout.last-1", b"{}")
    await nc.close()
    operator = await dial(settings, name="test")
    events, requests = [await topology.stream(operator, name) for name in ("EVENTS", "REQUESTS")]
    await operator.close()
    assert events is not None
    assert events["state"]["messages"] == 0
    assert requests is not None
    assert requests["state"]["first_seq"] == 1


async def test_a_client_does_not_hear_what_stages_are_given(server: Server, settings: Settings) -> None:
    application = assemble(
        _as_role(settings, roles.ALL_STAGES), ("context-build", "freeform-gen", "fallback")
    )
    life = asyncio.create_task(application.run())
    await asyncio.wait_for(application.ready.wait(), _WAIT_S)
    heard: list[str] = []
    spy = await _plain(server)

    async def hear(msg: Msg) -> None:
        heard.append(msg.subject + msg.data.decode(errors="replace"))

    for subject in ("_INBOX.>", "_INBOX_shop.>", "gen.result.>"):
        await spy.subscribe(subject, cb=hear)
    await flushed(spy)
    try:
        async with Client.connect(server.url, nkey=server.client_key, tls=server.tls) as client:
            await client.generate(
                "layout", prompt="a secret forest", timeout_s=_WAIT_S, request_id="secret-1"
            )
    finally:
        application.app.exit()
        await asyncio.wait_for(life, _WAIT_S)
    await spy.close()
    assert heard != []
    assert not [each for each in heard if "context_built" in each or '"brief"' in each]


async def test_the_key_of_another_server_is_refused_at_once(server: Server, tmp_path: Path) -> None:
    other = keys.ensure(tmp_path / "other", ["shop"])["shop"]
    with pytest.raises(AccessDenied, match="role shop: its key is not the broker's"):
        async with Client.connect(server.url, nkey=other.file, tls=server.tls):
            pass

"""The client over HTTP and what only the gateway knows: tokens, workspaces, refused fields, streams that are left."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from understudy_client import AccessDenied, IdTaken, InvalidRequest
from understudy_client.http import HttpClient, SyncHttpClient

from contracts import events as ev
from infra.gateway.gateway import Gateway
from infra.gateway.token_desk import issue_token
from infra.nats import topology
from infra.stores import access_tokens
from tests.pipeline.conftest import PATIENCE_S, Configure, Observer, Start
from tests.pipeline.gateway.conftest import listening

FOREST = "a forest with three coins"


async def issue(gateway: Gateway, role: str, workspace: str | None) -> str:
    issued = issue_token(name=role, role=role, workspace=workspace, now_ms=gateway.now_ms())
    await gateway.update(lambda engine: access_tokens.add_token(engine, issued.stored))
    gateway.access.forget()
    return issued.token.text


async def test_an_id_is_a_key_in_the_workspace_of_the_token_and_its_role_decides(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    async with start(settings), listening(settings) as url, Gateway(settings) as desk:
        wanted = (("client", "red"), ("client", "blue"), ("client", None))
        tokens = [await issue(desk, role, workspace) for role, workspace in wanted]
        with pytest.raises(AccessDenied):
            async with HttpClient.connect(url):
                pass
        red, blue, anybody = (HttpClient.connect(url, token=token) for token in tokens)
        async with red, blue, anybody:
            submitted = await red.submit("layout", FOREST, request_id="mine")
            result = await red.wait(submitted, timeout_s=PATIENCE_S)
            again = await red.ask("layout", FOREST, request_id="mine", timeout_s=PATIENCE_S)
            theirs = await blue.ask("layout", FOREST, request_id="mine", timeout_s=PATIENCE_S)
            with pytest.raises(IdTaken, match="another body"):
                await red.submit("layout", "a desert", request_id="mine")
            hidden = [await red.look("mine"), await blue.look(submitted), await blue.cancel(submitted)]
            with pytest.raises(AccessDenied, match="operator"):
                await anybody.cancel(submitted)
            ended = await red.cancel(submitted)

    assert submitted.request_id == result.request_id == again.request_id != theirs.request_id
    assert submitted.request_id.startswith("ik-")
    assert submitted.trace_id is not None
    assert submitted.trace_id in client.events("requested", submitted.request_id)[0].headers["traceparent"]
    assert hidden == [None, None, None]
    assert ended is not None
    assert client.events("cancelled") == []


async def test_fields_that_the_pipeline_rejects_are_refused_before_anything_is_published(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    async with start(settings, ()), listening(settings) as url, HttpClient.connect(url) as asker:
        for ask in (asker.submit, asker.ask):
            with pytest.raises(InvalidRequest) as refused:
                await ask("layout", FOREST, params={"temperature": 9}, colour="red")
            assert refused.value.field == "colour"
            assert "| params.temperature: " in str(refused.value)
    assert client.events("requested") == []


async def test_a_stream_of_text_that_a_thread_leaves_is_closed(
    client: Observer, configure: Configure
) -> None:
    written = msgspec.json.encode(ev.Progress(stage="freeform-gen", attempt=1, index=0, text="Once "))
    settings = configure()
    await topology.apply(client.nc, settings)

    def read(url: str) -> tuple[str, object]:
        with SyncHttpClient.connect(url) as asker:
            asker.submit("layout", FOREST, request_id="a")
            pieces = asker.progress("a")
            piece = next(pieces)
            pieces.close()
            return piece.text, asker.look("a")

    async with listening(settings) as url, asyncio.timeout(PATIENCE_S):
        reading = asyncio.create_task(asyncio.to_thread(read, url))
        # Text is not stored: only who listens already hears it.
        while not reading.done():
            await client.nc.publish("gen.progress.layout.a", written)
            await asyncio.sleep(0.02)
    assert await reading == ("Once ", None)

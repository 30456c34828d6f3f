"""The official OpenAI client, unchanged, before a running pipeline."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from pydantic import BaseModel

from infra.gateway.app import create_app
from infra.gateway.gateway import Gateway
from infra.settings.settings import Settings
from tests.pipeline.conftest import Configure, Observer, Start

openai = pytest.importorskip("openai", reason="the official client is not installed")

MODEL = "understudy/layout"
FOREST = [{"role": "user", "content": "a forest with three coins"}]
BROKEN = [{"role": "user", "content": "broken"}]
LIVE = {"Understudy-Require": "live"}


class PriceTag(BaseModel):
    """A document of the client's own."""

    name: str
    price: int


@asynccontextmanager
async def connect(settings: Settings) -> AsyncGenerator[Any]:
    """A client of a gateway that listens."""
    async with Gateway(settings) as gateway:
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(gateway), lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as ai:
            yield ai
        server.should_exit = True
        await serving


async def test_the_official_client_reads_answers_labels_and_streams(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    async with start(settings), connect(settings) as ai:
        names = {each.id async for each in ai.models.list()}
        one = await ai.models.retrieve(MODEL)
        completion = await ai.chat.completions.create(model=MODEL, messages=FOREST, temperature=0.2, seed=4)
        raw = await ai.chat.completions.with_raw_response.create(model=MODEL, messages=FOREST)
        parsed = await ai.chat.completions.parse(
            model="understudy/custom", messages=FOREST, response_format=PriceTag
        )
        stream = await ai.chat.completions.create(
            model=MODEL, messages=FOREST, stream=True, stream_options={"include_usage": True}
        )
        chunks = [each async for each in stream]
        async with ai.chat.completions.stream(
            model="understudy/custom", messages=FOREST, response_format=PriceTag
        ) as helper:
            final = await helper.get_final_completion()
        response = await ai.responses.create(model=MODEL, input="a forest")
        typed = await ai.responses.parse(model="understudy/custom", input="a tag", text_format=PriceTag)
        async with ai.responses.stream(
            model="understudy/custom", input="a tag", text_format=PriceTag
        ) as events:
            streamed = await events.get_final_response()

    assert {MODEL, "scripted"} <= names
    assert one.id == MODEL
    assert completion.model == "scripted-1"
    assert completion.understudy["status"] == completion.model_extra["understudy"]["status"] == "success"
    assert completion.usage.total_tokens > 0
    assert raw.headers["Understudy-Status"] == "success"
    assert raw.parse().understudy["request_id"] == raw.headers["Understudy-Request-Id"]
    assert isinstance(parsed.choices[0].message.parsed, PriceTag)
    assert isinstance(final.choices[0].message.parsed, PriceTag)
    assert chunks[-1].usage.total_tokens > 0
    assert {each.understudy["status"] for each in chunks} == {"success"}
    assert response.output_text.startswith("{")
    assert response.understudy["origin"] == "scripted"
    assert isinstance(typed.output_parsed, PriceTag)
    assert isinstance(streamed.output_parsed, PriceTag)


async def test_the_official_client_raises_its_own_errors(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[{"do": "refuse"}])
    async with start(settings), connect(settings) as ai:
        stood_in = await ai.chat.completions.create(model=MODEL, messages=BROKEN)
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError) as refused:
                await ai.chat.completions.create(
                    model=MODEL, messages=BROKEN, stream=stream, extra_headers=LIVE
                )
            assert (refused.value.status_code, refused.value.code) == (503, "not_live")
        with pytest.raises(openai.BadRequestError) as several:
            await ai.chat.completions.create(model=MODEL, messages=FOREST, n=2)
        with pytest.raises(openai.NotFoundError) as unknown:
            await ai.chat.completions.create(model="gpt-4o", messages=FOREST)
        with pytest.raises(openai.BadRequestError) as remembered:
            await ai.responses.create(model=MODEL, input="x", previous_response_id="resp_1")
        headers = LIVE | {"Understudy-Stream": "raw"}
        chat = await ai.chat.completions.create(
            model=MODEL, messages=BROKEN, stream=True, extra_headers=headers
        )
        response = await ai.responses.create(model=MODEL, input="broken", stream=True, extra_headers=headers)
        for broken in (chat, response):
            with pytest.raises(openai.APIError, match="no model wrote"):
                assert [each async for each in broken] == []

    sample = stood_in.understudy["stand_in"]["name"]
    assert stood_in.model == f"understudy/golden_sample:{sample}"
    assert (several.value.param, unknown.value.code) == ("n", "model_not_found")
    assert remembered.value.param == "previous_response_id"

"""Does an id name one request, whatever is published under it?"""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from contracts.errors import ErrorCode
from contracts.result import Origin, Status
from infra.stores import samples
from tests.pipeline.conftest import FOREST, Configure, Observer, Start

HELLO = "gen.requested.layout.hello-1"


async def test_a_request_without_a_model_gets_one_labelled_sample(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure()
    async with start(settings):
        await client.publish(HELLO, FOREST)
        result = await client.result("hello-1")
        await client.settled()

    (told,) = client.events("result")
    assert told.subject == "gen.result.layout.hello-1"
    assert result.status is Status.CACHED_FALLBACK
    assert result.origin is Origin.GOLDEN_SAMPLE
    assert result.content in [one.content for one in samples.load(settings.samples_dir).of_kind("layout")]
    assert result.reason is not None
    assert "GEN_PROVIDER_DISABLED" in result.reason
    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_PROVIDER_DISABLED
    assert client.letters() == []


async def test_the_same_request_again_changes_nothing(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure()):
        await client.publish(HELLO, FOREST)
        await client.result("hello-1")
        await client.publish(HELLO, FOREST)
        await client.publish(HELLO, b'{ "prompt": "a forest with three coins" }')
        await client.settled()

    assert len(client.events("result")) == 1
    assert len(client.events("context_built")) == 1
    assert client.letters() == []


@pytest.mark.parametrize("again", [HELLO, "gen.requested.plot.hello-1"], ids=["body", "kind"])
async def test_an_id_used_for_something_else_is_one_dead_letter(
    client: Observer, configure: Configure, start: Start, again: str
) -> None:
    async with start(configure()):
        await client.publish(HELLO, FOREST)
        await client.result("hello-1")
        body = b'{"prompt":"a desert"}' if again == HELLO else FOREST
        sequence = await client.publish(again, body)
        await client.settled()

    (letter,) = client.letters()
    assert (letter.stream, letter.sequence, letter.subject) == ("REQUESTS", sequence, again)
    assert letter.body == body
    assert letter.code is ErrorCode.GEN_INVALID_REQUEST
    assert "id already used by gen.requested.layout.hello-1" in letter.reason
    assert len(client.events("result")) == 1


async def test_ten_at_once_get_one_result(client: Observer, configure: Configure, start: Start) -> None:
    async with start(configure(rules=[])):
        await asyncio.gather(*(client.publish(HELLO, FOREST) for _ in range(10)))
        result = await client.result("hello-1")
        await client.settled()

    assert result.status is Status.SUCCESS
    assert len(client.events("result")) == 1
    assert len(client.events("drafted")) == 1
    assert client.letters() == []


async def test_cancelling_an_unknown_id_writes_nothing(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure()):
        await client.publish("gen.cancelled.layout.nobody", b"{}")
        await client.publish(HELLO, FOREST)
        await client.publish("gen.cancelled.plot.hello-1", msgspec.json.encode({"reason": "another kind"}))
        await client.result("hello-1")
        await client.settled()

    assert [one.subject for one in client.events("result")] == ["gen.result.layout.hello-1"]
    assert client.letters() == []

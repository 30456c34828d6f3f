"""What does a result say when a server that speaks the OpenAI protocol wrote it, or did not?"""

from __future__ import annotations

import json
from datetime import datetime

from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.result import Origin, Status
from contracts.usage import Tokens
from infra.providers.scripted_text import document
from tests.pipeline.conftest import Configure, Observer, Start
from tests.providers.openai_server import Asked, FakeServer, Reply, Said, answer, refusal

LAYOUT = json.dumps(document("layout", "<<<\na forest\n>>>\n", "k", None))
WHY = ErrorCode.GEN_PROVIDER_UNAVAILABLE


def good(asked: Asked) -> Reply:
    """Prose, or a document where a format is asked for."""
    return answer(LAYOUT) if "response_format" in asked.body else answer("A forest ", "with coins.")


async def test_a_server_writes_and_the_result_is_live(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with FakeServer(good) as server, start(configure(rules=[], **_server(server), **_route("openai"))):
        result = await client.ask("live-1", seed=5)
    assert (result.status, result.origin, result.reason) == (Status.SUCCESS, Origin.LIVE, None)
    assert (result.meta.provider, result.meta.model) == ("openai", "served-1")
    assert not result.meta.deterministic
    assert Registry().faults("layout", result.content, None) == ()
    assert [(one.provider, one.model, one.code) for one in result.attempts] == [
        ("openai", "served-1", None),
        ("openai", "served-1", None),
    ]
    assert result.attempts[1].why == "structured the draft: asked with json_schema"
    assert result.meta.cost.tokens == Tokens(prompt=14, completion=3)
    assert len(server.asked) == 2


async def test_an_equal_request_is_answered_from_the_response_cache_and_says_so(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with FakeServer(good) as server, start(configure(rules=[], **_server(server), **_route("openai"))):
        first = await client.ask("first", seed=5)
        again = await client.ask("again", seed=5)
        other = await client.ask("other", seed=6)
    assert (again.status, again.origin, again.reason) == (Status.CACHED, Origin.CACHE, None)
    assert again.content == first.content
    assert again.attempts[1].why == "structured the draft: from the response cache"
    assert (again.meta.cost.tokens, again.meta.cost.amount) == (Tokens(prompt=0, completion=0), 0.0)
    # Its prose was asked for again; the document, with its fixed seed, follows from equal prose.
    assert (other.attempts[0].why, other.status) == ("wrote the draft", Status.CACHED)
    assert len(server.asked) == 3


async def test_a_chain_goes_on_and_the_result_tells_every_call(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with FakeServer(lambda _: refusal("wrong key", status=401)) as down, FakeServer(good) as up:
        variables = {
            **_server(down),
            "NARRATIVE__SERVERS": json.dumps({"backup": {"base_url": up.url, "model": "m2"}}),
            **_route('["openai", "backup"]'),
        }
        async with start(configure(rules=[], **variables)):
            result = await client.ask("chain-1")
    assert (result.status, result.meta.provider) == (Status.SUCCESS, "backup")
    assert [(one.provider, one.code) for one in result.attempts] == [
        ("openai", WHY),
        ("backup", None),
        ("openai", WHY),
        ("backup", None),
    ]
    assert "401: wrong key" in result.attempts[0].why


async def test_when_the_chain_ends_the_understudy_stands_in_and_every_call_is_told(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with FakeServer(lambda _: refusal("wrong key", status=401)) as server:
        variables = {**_server(server), **_route('["openai", "scripted"]')}
        rules = [{"match": {}, "do": "refuse", "text": "scripted: away"}]
        async with start(configure(rules=rules, **variables)):
            result = await client.ask("end-1")
    assert (result.status, result.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert [(one.provider, one.code) for one in result.attempts] == [("openai", WHY), ("scripted", WHY)]
    assert result.error is not None
    assert "wrong key" in result.error.message
    assert "scripted: away" in result.error.message


async def test_a_busy_server_is_asked_again_no_sooner_than_it_says(
    client: Observer, configure: Configure, start: Start
) -> None:
    busy = Said(status=429, body={"error": {"message": "slow down"}}, headers={"retry-after": "2"})
    turns: list[Reply] = [busy]
    async with (
        FakeServer(lambda asked: turns.pop() if turns else good(asked)) as server,
        start(configure(rules=[], **_server(server), **_route("openai"))),
    ):
        result = await client.ask("busy-1")
        (timer,) = [each for each in client.log if each.subject == "gen.timer.layout.busy-1.freeform-gen-2"]
    assert result.status is Status.SUCCESS
    assert [one.code for one in result.attempts] == [WHY, None, None]
    due = datetime.fromisoformat(timer.headers["Nats-Schedule"].removeprefix("@at "))
    assert due.timestamp() - timer.time_ms / 1000 > 1.5


def _server(server: FakeServer) -> dict[str, str]:
    return {"NARRATIVE__OPENAI__BASE_URL": server.url, "NARRATIVE__OPENAI__MODEL": "m1"}


def _route(route: str) -> dict[str, str]:
    return {"NARRATIVE__PROVIDERS__LAYOUT": route}

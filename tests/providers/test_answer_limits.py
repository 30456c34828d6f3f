"""Longest answers of small models: what replaces them, and where they reach a provider."""

from __future__ import annotations

import msgspec
import pytest

from infra.providers import route_checks, routing
from infra.providers.answer_limits import (
    FREEFORM,
    STRUCTURING,
    AnswerLimited,
    aim_to_end,
    limit_answer,
    small_model_limit,
)
from infra.providers.model_size import parameters_in
from infra.providers.openai import OpenAIProvider
from infra.settings.narrative import OpenAIServer
from infra.settings.settings import load
from tests.providers.openai_server import FakeServer, answer, ask, params, provider


@pytest.mark.parametrize(
    ("tokens", "stage", "limit", "allowed"),
    [
        (1500, FREEFORM, 300, 300),
        (750, FREEFORM, 300, 150),
        (4000, STRUCTURING, 800, 800),
        (4000, STRUCTURING, None, 4000),
        (4000, STRUCTURING, 5000, 4000),
        (1499, FREEFORM, 300, 1499),
        (60, FREEFORM, 300, 60),
        (4000, "check", 300, 4000),
    ],
)
def test_a_limit_replaces_the_default_and_nothing_that_was_chosen(
    tokens: int, stage: str, limit: int | None, allowed: int
) -> None:
    assert limit_answer(tokens, stage, limit) == allowed


def test_every_kind_has_limits_and_those_of_extensions_have_none() -> None:
    kinds = routing.chains(load())
    assert all(small_model_limit(kind, stage) for kind, _ in kinds for stage in (FREEFORM, STRUCTURING))
    assert small_model_limit("quest", FREEFORM) is None


def test_a_tiny_model_writes_half_a_draft_and_a_whole_document() -> None:
    assert small_model_limit("scene", FREEFORM, tiny=True) == 200
    assert small_model_limit("scene", STRUCTURING, tiny=True) == small_model_limit("scene", STRUCTURING)
    prompt = ask(stage=STRUCTURING)
    assert aim_to_end(prompt, 4000, parameters=1) is None
    assert aim_to_end(prompt, 800, parameters=7 * 10**9) is None
    assert aim_to_end(prompt, 800, parameters=10**9) == 800
    assert aim_to_end(prompt, 800, parameters=135_000_000) == 400
    assert aim_to_end(msgspec.structs.replace(prompt, reask=1), 800, parameters=10**9) == 400


def test_a_tuned_model_may_write_as_much_as_its_examples_have() -> None:
    assert small_model_limit("scene", FREEFORM, tiny=True, tuned=True) == 200
    assert small_model_limit("layout", STRUCTURING, tuned=True) == 550
    assert small_model_limit("custom", STRUCTURING, tuned=True) == small_model_limit("custom", STRUCTURING)
    assert small_model_limit("quest", STRUCTURING, tuned=True) is None


def test_the_house_model_has_limits_and_a_server_has_none() -> None:
    settings = load()
    assert routing.answer_limits(settings, "local")["layout", STRUCTURING] == 800
    assert routing.answer_limits(settings, "openai") == {}
    assert routing.answer_limits(settings, "nobody") == {}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("smollm2:135m", 135_000_000),
        ("Qwen2.5-0.5B-Instruct", 500_000_000),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", 135_000_000),
        ("gpt-oss:20b", 20_000_000_000),
        ("mixtral-8x7b", None),
        ("phi-3-mini-128k", None),
        ("gpt-4o", None),
    ],
)
def test_the_size_of_a_servers_model_is_in_its_name(name: str, parameters: int | None) -> None:
    assert parameters_in(name) == parameters


def test_a_server_with_a_small_model_has_limits_too() -> None:
    limits = {
        size: routing.answer_limits(load(narrative={"openai": {"model": f"m-{size}"}}), "openai")
        for size in ("135m", "0.5b", "7b")
    }
    assert limits["135m"]["scene", FREEFORM] * 2 == limits["0.5b"]["scene", FREEFORM] == 400
    assert limits["135m"]["scene", STRUCTURING] == limits["0.5b"]["scene", STRUCTURING] == 800
    assert limits["7b"] == {}


async def test_a_small_model_on_a_server_gets_a_schema_with_bounds() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}
    async with FakeServer(lambda _: answer("{}")) as server:
        for model in ("m-135m", "m-7b"):
            small = OpenAIProvider(OpenAIServer(base_url=server.url, model=model))
            await small.generate(ask(stage=STRUCTURING), params(max_tokens=800), schema)
    first, second = [each.body["response_format"]["json_schema"]["schema"] for each in server.asked]
    assert first["properties"]["a"]["maxItems"] == 6
    assert "maxItems" not in second["properties"]["a"]


async def test_a_limited_provider_asks_for_less() -> None:
    async with FakeServer(lambda _: answer("A forest.")) as server:
        limited = AnswerLimited(provider(server), limits={("layout", FREEFORM): 300})
        await limited.generate(ask(stage=FREEFORM), params(max_tokens=1500))
        await limited.generate(ask(stage=FREEFORM), params(max_tokens=900))
        await limited.generate(ask(stage=FREEFORM, kind="plot"), params(max_tokens=1500))
    assert [each.body["max_tokens"] for each in server.asked] == [300, 900, 1500]


async def test_a_servers_window_limits_the_answer_to_what_the_prompt_leaves() -> None:
    async with FakeServer(lambda _: answer("A forest.")) as server:
        small = provider(server, window=4096)
        await small.generate(ask("x" * 3000), params(max_tokens=4000))
        await small.generate(ask("x" * 30_000), params(max_tokens=4000))
        await small.generate(ask("x"), params(max_tokens=40))
    assert [each.body["max_tokens"] for each in server.asked] == [4096 - 1001 - 64, 2048, 40]


def test_limits_of_a_kind_that_does_not_exist_are_a_mistake() -> None:
    settings = load(narrative={"defaults": {"kinds": {"quest": {"freeform": {"max_tokens": 5}}}}})
    assert "names 'quest', which is no content kind; known are layout" in route_checks.check(settings)[0]

"""What stands in under each fallback mode?"""

from __future__ import annotations

from typing import Any

import pytest

from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.result import Origin, Status
from infra.stores import samples
from tests.pipeline.conftest import Configure, Observer, Start

REFUSE = {"match": {"stage": "freeform-gen"}, "do": "refuse"}


@pytest.mark.parametrize(
    ("fallback", "status", "origin"),
    [
        ({"mode": "golden_sample"}, Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE),
        (
            {"mode": "default_content", "default_content_id": "transition_01"},
            Status.FAIL_FALLBACK,
            Origin.DEFAULT_CONTENT,
        ),
        (
            {"mode": "default_content", "defaultContentId": "transition_01"},
            Status.FAIL_FALLBACK,
            Origin.DEFAULT_CONTENT,
        ),
        ({"mode": "skip"}, Status.SKIPPED, Origin.NONE),
        ({"mode": "placeholder"}, Status.PLACEHOLDER, Origin.PLACEHOLDER),
        ({"mode": "none"}, Status.FAILED, Origin.NONE),
    ],
    ids=lambda value: value.get("mode") if isinstance(value, dict) else None,
)
async def test_a_mode_decides_what_stands_in(
    client: Observer,
    configure: Configure,
    start: Start,
    fallback: dict[str, Any],
    status: Status,
    origin: Origin,
) -> None:
    settings = configure(rules=[REFUSE])
    async with start(settings):
        result = await client.ask("mode-1", "transition", fallback=fallback)
        await client.settled()

    assert (result.status, result.origin) == (status, origin)
    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
    assert result.reason is not None
    assert "GEN_PROVIDER_UNAVAILABLE" in result.reason
    store = samples.load(settings.samples_dir)
    match origin:
        case Origin.GOLDEN_SAMPLE:
            assert result.content in [one.content for one in store.of_kind("transition")]
        case Origin.DEFAULT_CONTENT:
            wanted = store.default_content("transition_01")
            assert wanted is not None
            assert result.content == wanted.content
        case Origin.PLACEHOLDER:
            assert Registry().faults("transition", result.content, None) == ()
        case _:
            assert result.content is None
    assert len(client.events("result")) == 1


async def test_default_content_without_a_wanted_model_is_cached_fallback(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure()):
        fallback = {"mode": "default_content", "default_content_id": "transition_01"}
        result = await client.ask("mode-2", "transition", fallback=fallback)

    assert (result.status, result.origin) == (Status.CACHED_FALLBACK, Origin.DEFAULT_CONTENT)
    assert result.stand_in is not None
    assert result.stand_in.name == "transition_01.json"


async def test_an_unknown_default_content_is_refused_at_once(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=[])):
        fallback = {"mode": "default_content", "default_content_id": "nobody"}
        result = await client.ask("mode-3", "transition", fallback=fallback)
        await client.settled()

    assert (result.status, result.origin) == (Status.REJECTED, Origin.NONE)
    assert result.error is not None
    assert "'nobody'" in result.error.message
    assert client.events("context_built") == []


@pytest.mark.parametrize(
    ("then", "status"),
    [("golden_sample", Status.FAIL_FALLBACK), ("skip", Status.SKIPPED), ("none", Status.FAILED)],
)
async def test_retry_makes_its_attempts_and_then_what_follows(
    client: Observer, configure: Configure, start: Start, then: str, status: Status
) -> None:
    fallback = {"mode": "retry", "retries": 2, "timeout_ms": 100, "then": then}
    async with start(configure(rules=[REFUSE])):
        result = await client.ask("retry-1", "plot", fallback=fallback)
        await client.settled()

    built = client.events("context_built")
    assert [one.json()["attempt"] for one in built] == [1, 2, 3]
    assert all("Nats-Scheduler" in one.headers for one in built[1:])
    assert len(client.events("failed")) == 3
    assert result.status is status
    assert len(result.attempts) == 3
    assert len(client.events("result")) == 1


async def test_retry_that_succeeds_is_a_success(client: Observer, configure: Configure, start: Start) -> None:
    fallback = {"mode": "retry", "retries": 3, "timeout_ms": 50}
    async with start(configure(rules=[{**REFUSE, "times": 1}])):
        result = await client.ask("retry-2", "plot", fallback=fallback)
        await client.settled()

    assert (result.status, result.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    assert [one.json()["attempt"] for one in client.events("context_built")] == [1, 2]
    assert len(result.attempts) == 3


async def test_no_model_is_not_retried(client: Observer, configure: Configure, start: Start) -> None:
    async with start(configure()):
        result = await client.ask("retry-3", fallback={"mode": "retry", "retries": 5, "timeout_ms": 50})
        await client.settled()

    assert result.status is Status.CACHED_FALLBACK
    assert len(client.events("context_built")) == 1


async def test_mode_none_says_where_validation_gave_up(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "structuring"}, "do": "answer", "text": '{"wrong": true}'}
    async with start(configure(rules=[rule])):
        result = await client.ask("none-1", fallback={"mode": "none"})

    assert (result.status, result.origin) == (Status.FAIL_VALIDATION, Origin.NONE)
    assert result.error is not None
    assert result.error.stage == "validate-repair"


async def test_a_cancelled_request_gets_nothing_but_the_word(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 60_000}
    async with start(configure(rules=[rule])):
        await client.publish("gen.requested.layout.off-1")
        await client.until(lambda: bool(client.events("context_built", "off-1")))
        await client.publish("gen.cancelled.layout.off-1", b'{"reason":"changed my mind"}')
        result = await client.result("off-1")
        await client.settled()

    assert (result.status, result.origin) == (Status.CANCELLED, Origin.NONE)
    assert result.content is None
    assert result.reason is not None
    assert "changed my mind" in result.reason
    assert len(client.events("result")) == 1
    assert client.events("drafted") == []

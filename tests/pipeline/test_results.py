"""Which result does a request get, whatever its provider does?"""

from __future__ import annotations

import hashlib
import json

import pytest

from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.kinds import KINDS
from contracts.policy import fingerprint
from contracts.result import Origin, Status
from infra.stores.assets import Assets
from tests.pipeline.conftest import Configure, Observer, Start

SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "coins": {"type": "integer", "minimum": 1}},
    "required": ["title", "coins"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_scripted_provider_succeeds_with_every_kind_and_is_never_live(
    client: Observer, configure: Configure, start: Start, kind: str
) -> None:
    own = SCHEMA if kind == "custom" else None
    async with start(configure(rules=[])):
        result = await client.ask("ok-1", kind, seed=7, **({"schema": own} if own else {}))
        await client.settled()

    assert (result.status, result.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    assert result.kind == kind
    assert result.reason is not None
    assert Registry().faults(kind, result.content, own) == ()
    assert result.content_hash == fingerprint.digest(result.content)
    assert result.meta.provider == "scripted"
    assert result.meta.seed == 7
    assert set(result.meta.cost.time_ms) >= {"freeform-gen", "structuring", "validate-repair"}
    assert [one.code for one in result.attempts] == [None, None]
    assert len(client.events("result")) == 1
    assert client.letters() == []


@pytest.mark.parametrize(
    ("do", "stage", "code", "calls"),
    [
        ("refuse", "freeform-gen", ErrorCode.GEN_PROVIDER_UNAVAILABLE, 1),
        ("refuse", "structuring", ErrorCode.GEN_PROVIDER_UNAVAILABLE, 2),
        ("timeout", "freeform-gen", ErrorCode.GEN_TIMEOUT, 1),
        ("timeout", "structuring", ErrorCode.GEN_TIMEOUT, 2),
        ("empty", "freeform-gen", ErrorCode.GEN_EMPTY_OUTPUT, 2),
    ],
)
async def test_a_provider_that_fails_is_stood_in_for(
    client: Observer,
    configure: Configure,
    start: Start,
    do: str,
    stage: str,
    code: ErrorCode,
    calls: int,
) -> None:
    rule = {"match": {"stage": stage}, "do": do, "after_ms": 1}
    async with start(configure(rules=[rule])):
        result = await client.ask("bad-1", "scene")
        await client.settled()

    assert (result.status, result.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert result.error is not None
    assert (result.error.code, result.error.stage) == (code, stage)
    assert len(result.attempts) == calls
    assert result.attempts[-1].code is code
    assert result.stand_in is not None
    (failed,) = client.events("failed")
    assert failed.json()["code"] == code


async def test_an_empty_document_is_asked_for_again_and_then_given_up(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure(rules=[{"match": {"stage": "structuring"}, "do": "empty"}])):
        result = await client.ask("empty-1", "plot")
        await client.settled()

    assert result.status is Status.FAIL_FALLBACK
    assert result.error is not None
    assert (result.error.code, result.error.stage) == (ErrorCode.GEN_EMPTY_OUTPUT, "validate-repair")
    assert len(client.events("invalid")) == 1
    assert len(result.attempts) == 3
    (letter,) = client.letters()
    assert (letter.code, letter.stage) == (ErrorCode.GEN_EMPTY_OUTPUT, "validate-repair")


async def test_an_empty_draft_is_written_again_colder(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "freeform-gen"}, "do": "empty", "times": 1}
    async with start(configure(rules=[rule])):
        result = await client.ask("colder-1")

    assert result.status is Status.SUCCESS
    assert [one.code for one in result.attempts] == [ErrorCode.GEN_EMPTY_OUTPUT, None, None]
    assert result.attempts[1].why == "again, colder and shorter"


@pytest.mark.parametrize("kind", ["layout", "plot", "dialogue", "transition"])
async def test_malformed_json_is_repaired(
    client: Observer, configure: Configure, start: Start, kind: str
) -> None:
    async with start(configure(rules=[{"match": {"stage": "structuring"}, "do": "malformed"}])):
        result = await client.ask("mend-1", kind)
        await client.settled()

    assert (result.status, result.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    assert any("was repaired" in line for line in result.meta.warnings)
    assert Registry().faults(kind, result.content, None) == ()
    assert client.letters() == []


async def test_an_invalid_document_is_asked_for_again_with_its_errors(
    client: Observer, configure: Configure, start: Start
) -> None:
    wrong = json.dumps({"scene_name": "Forest", "entities": [{"id": "d", "type": "dragon", "x": 1, "y": 1}]})
    rule = {"match": {"stage": "structuring"}, "do": "answer", "text": wrong, "times": 1}
    async with start(configure(rules=[rule])):
        result = await client.ask("again-1")
        await client.settled()

    assert (result.status, result.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    (invalid,) = client.events("invalid")
    assert any("dragon" in line and "entities.0" in line for line in invalid.json()["errors"])
    assert [one.json().get("reask", 0) for one in client.events("structured")] == [0, 1]
    assert result.attempts[-1].why == "re-ask 1, with the errors"


async def test_a_document_that_stays_invalid_is_a_letter_and_a_stand_in(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "structuring"}, "do": "answer", "text": '{"scene_name": 5}'}
    async with start(configure(rules=[rule])):
        result = await client.ask("never-1")
        await client.settled()

    assert result.status is Status.FAIL_FALLBACK
    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_SCHEMA_INVALID
    assert "scene_name" in result.error.message
    (letter,) = client.letters()
    assert letter.evidence == '{"scene_name": 5}'


async def test_a_busy_provider_is_asked_again_by_the_brokers_schedule(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "freeform-gen"}, "do": "busy", "times": 2}
    async with start(configure(rules=[rule])):
        result = await client.ask("busy-1")
        await client.settled()

    assert (result.status, result.origin) == (Status.SUCCESS, Origin.SCRIPTED)
    assert [one.json()["attempt"] for one in client.events("context_built")] == [1, 2, 3]
    busy = ErrorCode.GEN_PROVIDER_UNAVAILABLE
    assert [one.code for one in result.attempts] == [busy, busy, None, None]
    built = client.events("context_built")
    assert all("Nats-Scheduler" in one.headers for one in built[1:])
    assert built[2].time_ms - built[1].time_ms > built[1].time_ms - built[0].time_ms


async def test_a_provider_that_stays_busy_fails_after_its_attempts(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "structuring"}, "do": "busy"}
    async with start(configure(rules=[rule], MAX_ATTEMPTS="2")):
        result = await client.ask("busy-2", "dialogue")
        await client.settled()

    assert result.status is Status.FAIL_FALLBACK
    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
    assert "given up after 2 attempts" in result.error.message
    assert [one.json()["attempt"] for one in client.events("drafted")] == [1, 2]


async def test_a_failed_custom_request_gets_a_placeholder_that_fits_its_schema(
    client: Observer, configure: Configure, start: Start
) -> None:
    async with start(configure()):
        result = await client.ask("custom-1", "custom", schema=SCHEMA)
        await client.settled()

    assert (result.status, result.origin) == (Status.PLACEHOLDER, Origin.PLACEHOLDER)
    assert Registry().faults("custom", result.content, SCHEMA) == ()
    assert "placeholder" in json.dumps(result.content).lower()
    assert result.stand_in is None


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        ("custom", {}, "schema"),
        ("layout", {"schema": {"type": "object"}}, "schema"),
        ("custom", {"schema": {"type": "dragon"}}, "schema"),
        ("layout", {"propmt": "typo"}, "propmt"),
        ("layout", {"params": {"temperature": 9}}, "params.temperature"),
        ("layout", {"rules": {}}, "rules"),
        ("layout", {"node": {"style": {"pacing": "brisk"}}}, "node.style.pacing"),
    ],
)
async def test_a_wrong_request_is_rejected_with_the_field_at_fault(
    client: Observer, configure: Configure, start: Start, kind: str, fields: dict[str, object], field: str
) -> None:
    async with start(configure(rules=[])):
        result = await client.ask("wrong-1", kind, **fields)
        await client.settled()

    assert (result.status, result.origin) == (Status.REJECTED, Origin.NONE)
    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_INVALID_REQUEST
    assert result.error.message.startswith(field)
    (letter,) = client.letters()
    assert letter.reason == result.error.message
    assert len(client.events("result")) == 1


async def test_content_too_large_for_a_message_is_referred_to(
    client: Observer, configure: Configure, start: Start
) -> None:
    # A document is read up to 200,000 characters; three bytes each make it large enough.
    content = {"title": "珠" * 190_000, "coins": 3}
    text = json.dumps(content, ensure_ascii=False)
    rule = {"match": {"stage": "structuring"}, "do": "answer", "text": text}
    async with start(configure(rules=[rule])) as application:
        result = await client.ask("large-1", "custom", schema=SCHEMA)
        await client.settled()
        assert result.content_ref is not None
        body = await Assets(application.adapters.wire).get(result.content_ref)

    assert result.status is Status.SUCCESS
    assert result.content is None
    assert len(body) == result.content_ref.size > 512 * 1024
    assert hashlib.sha256(body).hexdigest() == result.content_ref.sha256
    assert json.loads(body) == content
    assert result.content_hash == fingerprint.digest(json.loads(body))

"""The client's own decisions: time-outs, ids, types that agree with the pipeline's, and what it does without extras."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import msgspec
import pytest
import understudy_client
from understudy_client import (
    Answer,
    Client,
    InvalidRequest,
    MissingExtra,
    Result,
    Unreadable,
    errors,
    new_id,
    protocol,
)
from understudy_client import result as client_result
from understudy_client.http import HttpClient
from understudy_client.models import MODELS as CLIENT_MODELS
from understudy_client.timeouts import MARGIN_S, wait_s

from contracts import events as ev
from contracts import request, result, subjects
from contracts.content.registry import MODELS
from contracts.kinds import BUILT_IN
from infra.settings.shipped import SAMPLES
from infra.stores import samples

PROMPT = {"prompt": "x"}


@pytest.mark.parametrize(
    ("fields", "deadline_ms"),
    [
        ({}, 60_000),
        ({"deadline_ms": 5000}, 5000),
        ({"deadlineMs": 5000}, 5000),
        ({"node": {"fallback": {"timeoutMs": 7000}}}, 7000),
        ({"node": {"fallback": {"timeout_ms": 7000}}}, 7000),
        ({"fallback": {"timeout_ms": 8000}, "node": {"fallback": {"timeout_ms": 7000}}}, 8000),
        ({"deadline_ms": 5000, "fallback": {"timeout_ms": 8000}}, 5000),
        ({"fallback": {"mode": "retry", "retries": 1, "timeout_ms": 8000}}, 60_000),
        ({"fallback": {"mode": "skip"}, "node": {"fallback": {"mode": "retry", "timeoutMs": 7000}}}, 7000),
    ],
)
def test_a_wait_follows_the_deadline_that_the_pipeline_will_set(
    fields: dict[str, Any], deadline_ms: int
) -> None:
    body = msgspec.json.encode(PROMPT | fields)
    assert wait_s(body) == deadline_ms / 1000 + MARGIN_S
    plan = request.plan_fallback(request.read(body, "layout"))
    assert plan.deadline_ms == deadline_ms


def test_the_pipelines_own_setting_is_the_default() -> None:
    assert wait_s(b'{"prompt": "x"}', default_ms=10_000) == 10 + MARGIN_S


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"deadline_ms": "soon"}',
        b'{"deadline_ms": -1}',
        b'{"node": 5}',
        b"[" * 100_000,
        b'{"deadline_ms": true, "fallback": {"timeout_ms": 1e300}}',
    ],
)
def test_a_body_that_will_be_rejected_waits_as_one_without_a_deadline(body: bytes) -> None:
    assert wait_s(body) == 60 + MARGIN_S


def refusals(**given: Any) -> list[str]:
    """What each client says of a request that it must not send."""
    name = "nats://127.0.0.1:1"
    calls = (
        lambda: asyncio.run(Client.connect(name).submit("layout", **given)),
        lambda: asyncio.run(Client.connect(name).generate("layout", **given)),
        lambda: asyncio.run(HttpClient.connect("http://127.0.0.1:1").submit("layout", **given)),
        lambda: asyncio.run(HttpClient.connect("http://127.0.0.1:1").generate("layout", **given)),
    )
    said: list[str] = []
    for call in calls:
        with pytest.raises(InvalidRequest) as refused:
            call()
        said.append(str(refused.value))
    return said


def test_a_body_with_prompt_or_fields_beside_it_is_refused() -> None:
    (said,) = set(refusals(body=b'{"prompt": "x"}', prompt="y", seed=7, tags=None))
    assert said == "body: is the whole request: put prompt, seed into it, or leave body out"


def test_ids_are_uuids_of_version_7_in_order() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", each)
        for each in ids
    )


def test_the_wire_is_that_of_the_pipeline() -> None:
    assert protocol.KINDS == BUILT_IN
    assert protocol.REQUEST_ID.pattern == subjects.REQUEST_ID.pattern
    assert protocol.MAX_BODY == request.MAX_BODY
    assert set(client_result.Status) == set(result.Status)
    assert set(client_result.Origin) == set(result.Origin)
    assert client_result.USABLE == result.USABLE


def _fields(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Names and defaults of a struct and of those inside it."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        made = None if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        default = made if field.default is msgspec.NODEFAULT else msgspec.to_builtins(field.default)
        found[field.encode_name] = (field.required, default)
        for inner in _structs(field.type):
            found |= {f"{field.encode_name}.{name}": value for name, value in _fields(inner).items()}
    return found


def _structs(hint: Any) -> list[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    return [each for part in getattr(hint, "__args__", ()) for each in _structs(part)]


@pytest.mark.parametrize(("own", "pipelines"), [(Result, ev.Result), (client_result.Progress, ev.Progress)])
def test_a_result_has_every_field_of_the_pipelines(own: Any, pipelines: Any) -> None:
    assert _fields(own) == _fields(pipelines)


def test_a_later_pipelines_result_can_be_read() -> None:
    body = b'{"request_id": "a", "kind": "quest", "status": "dreamt", "origin": "dream", "mood": {"new": 1}}'
    read = msgspec.json.decode(body, type=Result)
    assert (read.status, read.usable) == ("dreamt", False)


@pytest.mark.parametrize(
    "sample", [each for kind in MODELS for each in samples.load(SAMPLES).of_kind(kind)], ids=str
)
def test_the_models_read_what_the_pipelines_models_accept(sample: Any) -> None:
    own = CLIENT_MODELS[sample.kind].model_validate(sample.content)
    theirs = MODELS[sample.kind].model_validate(sample.content)
    assert own.model_dump(mode="json") == theirs.model_dump(mode="json")


def _answer(kind: str, document: Any) -> Answer:
    return Answer(
        result=Result(request_id="a", kind=kind, status="success", origin="live"), document=document
    )


def test_content_without_a_model_stays_plain() -> None:
    assert _answer("custom", {"a": 1}).content == {"a": 1}
    assert _answer("quest", {"a": 1}).content == {"a": 1}
    assert _answer("layout", None).content is None


def test_content_that_does_not_fit_says_so() -> None:
    with pytest.raises(Unreadable, match="model Layout"):
        _ = _answer("layout", {"scene_name": 5}).content


def test_without_pydantic_the_document_is_there_and_the_model_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    monkeypatch.delitem(sys.modules, "understudy_client.models")
    answer = _answer("layout", {"scene_name": "Wood"})
    assert answer.document == {"scene_name": "Wood"}
    with pytest.raises(MissingExtra, match=r"pip install 'pydantic>=") as missing:
        _ = answer.content
    assert missing.value.extra == "models"


def test_every_error_is_public_has_a_text_and_is_a_client_error() -> None:
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(found) > 8
    for each in found:
        assert issubclass(each, errors.ClientError)
        assert getattr(understudy_client, each.__name__) is each
        assert each.__doc__
    assert str(errors.NotSetUp()).startswith("The broker lacks the pipeline's streams")

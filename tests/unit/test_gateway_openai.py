"""OpenAI's API at the gateway: what its bodies mean, and the form of its errors, without a broker."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from contracts.request import RequestError
from infra.app.pipeline_client import check
from infra.gateway.app import create_app
from infra.gateway.gateway import Gateway
from infra.gateway.openai_api import chat_input, responses_input
from infra.gateway.openai_api.chat_input import read_chat
from infra.gateway.openai_api.model_call import encode_fields
from infra.gateway.openai_api.model_names import choose_kind, list_models
from infra.gateway.openai_api.responses_input import read_response_call
from infra.gateway.problems import Problem
from infra.settings.settings import Settings, load
from infra.telemetry.dispatch import Telemetry
from tests.docs.pages import ROOT

HELLO = [{"role": "user", "content": "a forest"}]
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}


@pytest.fixture
def settings() -> Settings:
    return load(
        nats_url="nats://127.0.0.1:1",
        use_local_model=True,
        narrative={
            "servers": {"box": {"base_url": "http://127.0.0.1:1/v1", "model": "qwen-x"}},
            "providers": {"scene": ["box", "local"], "custom": "box"},
        },
    )


@pytest_asyncio.fixture
async def http(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    emitted: list[object] = []
    app = create_app(Gateway(settings, telemetry=Telemetry(emitted.append)))

    @app.get("/v1/defect")
    async def defect() -> None:
        raise ZeroDivisionError

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


def read(settings: Settings, body: dict[str, Any], *, response: bool = False) -> Any:
    def choose(model: str, schema: bool, object_only: bool) -> str:  # noqa: FBT001 - as the type has it
        return choose_kind(settings, model, schema=schema, object_only=object_only)

    return (read_response_call if response else read_chat)(msgspec.json.encode(body), choose)


@pytest.mark.parametrize(
    ("model", "more", "kind"),
    [
        ("understudy/layout", {}, "layout"),
        ("understudy/plot", {"response_format": {"type": "json_object"}}, "plot"),
        ("understudy/layout", {"response_format": FORMAT}, "custom"),
        ("understudy/custom", {"response_format": {"type": "json_object"}}, "custom"),
        ("understudy", {}, "layout"),
        ("qwen-x", {}, "scene"),
        ("box", {"response_format": FORMAT}, "custom"),
    ],
)
def test_the_model_and_the_format_choose_the_kind(
    settings: Settings, model: str, more: dict[str, Any], kind: str
) -> None:
    call = read(settings, {"model": model, "messages": HELLO} | more)
    assert call.kind == kind
    assert ("schema" in call.fields) == (kind == "custom")


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        (HELLO, "a forest"),
        ([{"role": "developer", "content": "Short."}, *HELLO], "Short.\n\na forest"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
            "a\nb",
        ),
        (
            [
                {"role": "system", "content": "Short."},
                *HELLO,
                {"role": "assistant", "content": "{}", "refusal": None, "tool_calls": None},
                {"role": "user", "content": "darker"},
            ],
            "Short.\n\nUser: a forest\n\nAssistant: {}\n\nUser: darker",
        ),
    ],
)
def test_messages_are_one_prompt(settings: Settings, messages: list[Any], prompt: str) -> None:
    assert read(settings, {"model": "understudy/layout", "messages": messages}).fields["prompt"] == prompt


def test_the_parameters_of_a_chat_completion(settings: Settings) -> None:
    call = read(
        settings,
        {
            "model": "understudy/scene",
            "messages": HELLO,
            "temperature": 0.5,
            "top_p": 0.9,
            "max_completion_tokens": 100_000,
            "seed": 7,
            "n": 1,
            "stop": None,
            "tools": [],
            "presence_penalty": 0,
            "user": "u-1",
            "stream": True,
            "stream_options": {"include_usage": True},
            "understudy": {"deadlineMs": 9000, "tags": ["night"]},
        },
    )
    assert call.fields == {
        "prompt": "a forest",
        "params": {"temperature": 0.5, "top_p": 0.9, "max_tokens": 32_000},
        "seed": 7,
        "deadline_ms": 9000,
        "tags": ["night"],
    }
    assert call.stream
    assert call.stream_usage
    assert call.name_parameter("params.max_tokens") == "max_completion_tokens"
    assert call.name_parameter("prompt") == "messages"
    assert call.name_parameter("tags[0]") == "understudy.tags[0]"


def test_the_parameters_of_a_response(settings: Settings) -> None:
    call = read(
        settings,
        {
            "model": "understudy/custom",
            "instructions": "Short.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "a tag"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "{}"}]},
                {"role": "user", "content": "cheaper"},
            ],
            "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}},
            "max_output_tokens": 50,
            "store": True,
        },
        response=True,
    )
    assert call.kind == "custom"
    assert call.fields == {
        "prompt": "Short.\n\nUser: a tag\n\nAssistant: {}\n\nUser: cheaper",
        "schema": SCHEMA,
        "params": {"max_tokens": 50},
    }


CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [
        (CHAT, {"messages": HELLO}, 400, "model", "missing_required_parameter"),
        (CHAT, {"model": "gpt-4o", "messages": HELLO}, 404, "model", "model_not_found"),
        (CHAT, {"model": "understudy/poem", "messages": HELLO}, 404, "model", "model_not_found"),
        (
            CHAT,
            {"model": "local", "messages": HELLO, "response_format": FORMAT},
            400,
            "model",
            "invalid_value",
        ),
        (CHAT, {"model": "understudy/custom", "messages": HELLO}, 400, "response_format", "invalid_value"),
        (CHAT, {"messages": []}, 400, "messages", "missing_required_parameter"),
        (CHAT, {"messages": [{"role": "tool", "content": ""}]}, 400, "messages.0.role", "unsupported_value"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "messages.0.content.0.type",
            "unsupported_value",
        ),
        (CHAT, {"n": 2}, 400, "n", "unsupported_parameter"),
        (CHAT, {"n": True}, 400, "n", "unsupported_parameter"),
        (CHAT, {"tools": [{"type": "function"}]}, 400, "tools", "unsupported_parameter"),
        (CHAT, {"logprobs": True}, 400, "logprobs", "unsupported_parameter"),
        (CHAT, {"stop": "x"}, 400, "stop", "unsupported_parameter"),
        (CHAT, {"top_k": 4}, 400, "top_k", "unknown_parameter"),
        (CHAT, {"temperature": 3}, 400, "temperature", "GEN_INVALID_REQUEST"),
        (CHAT, {"max_tokens": 0}, 400, "max_tokens", "GEN_INVALID_REQUEST"),
        (CHAT, {"seed": -1}, 400, "seed", "GEN_INVALID_REQUEST"),
        (CHAT, {"stream": "yes"}, 400, "stream", "invalid_type"),
        (CHAT, {"understudy": {"provider": "box"}}, 400, "understudy.provider", "unknown_parameter"),
        (CHAT, {"understudy": {"deadline_ms": 0}}, 400, "understudy.deadline_ms", "GEN_INVALID_REQUEST"),
        (CHAT, {}, 503, None, "broker_unavailable"),
        (
            "/v1/responses",
            {"previous_response_id": "resp_1"},
            400,
            "previous_response_id",
            "unsupported_parameter",
        ),
        ("/v1/responses", {"background": True}, 400, "background", "unsupported_parameter"),
        ("/v1/responses", {"input": ""}, 400, "input", "missing_required_parameter"),
        ("/v1/responses", {"text": {"format": {"type": "xml"}}}, 400, "text.format.type", "invalid_value"),
        ("/v1/responses", {}, 503, None, "broker_unavailable"),
    ],
)
async def test_refusals_have_the_form_of_openai(
    http: httpx2.AsyncClient, path: str, body: dict[str, Any], status: int, param: str | None, code: str
) -> None:
    usual: dict[str, Any] = {"messages": HELLO} if path == CHAT else {"input": "a forest"}
    if body != {"messages": HELLO}:
        usual["model"] = "understudy/layout"
    answer = await http.post(path, json=usual | body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code), error
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert error["message"]
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/v1/nothing", {}, 404),
        ("GET", "/v1", {}, 404),
        ("DELETE", "/v1/models", {}, 405),
        ("GET", "/v1/models/gpt-4o", {}, 404),
        ("POST", CHAT, {"content": b"{}"}, 415),
        ("POST", CHAT, {"json": {}, "headers": {"Origin": "https://evil.example"}}, 403),
        ("GET", "/v1/models", {"headers": {"Host": "evil.example"}}, 421),
        ("POST", CHAT, {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", CHAT, {"content": b"[" * 5000, "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", CHAT, {"json": {"n": 1}, "headers": {"Idempotency-Key": ""}}, 400),
        ("GET", "/v1/defect", {}, 500),
    ],
)
async def test_every_error_below_v1_has_that_form(
    http: httpx2.AsyncClient, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = await http.request(method, path, **options)
    assert answer.status_code == status
    assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}
    assert "problem" not in answer.headers["content-type"]


async def test_other_headers_have_few_values(http: httpx2.AsyncClient) -> None:
    body = {"model": "understudy/layout", "messages": HELLO}
    for name, value in (("Understudy-Require", "cache"), ("Understudy-Stream", "cooked")):
        answer = await http.post(CHAT, json=body, headers={name: value})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


_TEXTS = st.text(max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    [
        "model",
        "messages",
        "response_format",
        "stream",
        "stream_options",
        "n",
        "stop",
        "temperature",
        "seed",
        "input",
        "instructions",
        "text",
        "max_tokens",
        "max_output_tokens",
        "understudy",
        "metadata",
        "tools",
    ]
)
_BODIES = st.dictionaries(_NAMES, _JSON, max_size=5) | _JSON
_ROLES = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": _JSON})


@given(body=_BODIES, messages=st.lists(_ROLES, max_size=2), valid=st.booleans(), response=st.booleans())
def test_whatever_a_body_is_it_is_read_or_refused(
    body: Any, messages: list[Any], *, valid: bool, response: bool
) -> None:
    settings = load(nats_url="nats://127.0.0.1:1")
    if valid and isinstance(body, dict):
        body = {"model": "understudy/layout", "input" if response else "messages": messages} | body

    def choose(model: str, schema: bool, object_only: bool) -> str:  # noqa: FBT001 - as the type has it
        return choose_kind(settings, model, schema=schema, object_only=object_only)

    with contextlib.suppress(Problem, RequestError):
        call = (read_response_call if response else read_chat)(json.dumps(body).encode(), choose)
        assert call.fields["prompt"].strip()
        asked = check(call.kind, "r-1", encode_fields(call.fields))
        assert asked.prompt == call.fields["prompt"]


async def test_half_a_surrogate_pair_is_refused(http: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (
        rb'{"model":"understudy/layout","messages":[{"role":"user","content":"\ud800"}]}',
        rb'{"model":"\ud800","messages":[{"role":"user","content":"x"}]}',
        rb'{"\ud800":1}',
    ):
        answer = await http.post(CHAT, content=body, headers=headers)
        assert answer.status_code in (400, 404), answer.text
        assert answer.json()["error"]["message"]


def test_models_are_kinds_and_routed_models(settings: Settings) -> None:
    found = {each["id"]: each["understudy"]["kinds"] for each in list_models(settings)}
    assert found["understudy/layout"] == ("layout",)
    assert found["qwen-x"] == ("scene", "custom")
    assert not {"qwen-x", "box"} & {each["id"] for each in list_models(load(use_local_model=False))}


@pytest.mark.parametrize("module", [chat_input, responses_input])
def test_every_parameter_is_documented(module: Any) -> None:
    page = (ROOT / "docs" / "openai.md").read_text(encoding="utf-8")
    named = {*module.KNOWN, *module.IGNORED, *module.IDLE}
    assert {each for each in named if not re.search(rf"`[^`]*\b{each}\b[^`]*`", page)} == set()

"""How is a server of the OpenAI protocol asked for JSON, and what if it refuses the format?"""

import pytest

from contracts.errors import ErrorCode
from contracts.ports import CallRefused
from infra.providers.request_mapping import JsonMode
from tests.providers.openai_server import (
    FakeServer,
    Said,
    answer,
    ask,
    params,
    provider,
    refusal,
)

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
DOCUMENT = '{"name": "x"}'


def picky(*refused: str, message: str = "response_format type {0} is not supported"):
    """A server that refuses some response formats."""

    def reply(asked):
        wanted = asked.body.get("response_format", {})
        name = wanted.get("type", "none") + ("+schema" if "schema" in wanted else "")
        return refusal(message.format(name)) if name in refused else answer(DOCUMENT)

    return reply


async def test_a_schema_is_sent_as_json_schema() -> None:
    async with FakeServer(picky()) as server:
        done = await provider(server).generate(ask(), params(), SCHEMA)
    assert done.text == DOCUMENT
    assert server.asked[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "layout", "strict": True, "schema": SCHEMA},
    }
    assert done.note == "asked with json_schema"


@pytest.mark.parametrize(
    ("refused", "found", "calls"),
    [
        (("json_schema",), JsonMode.JSON_OBJECT_SCHEMA, 2),
        (("json_schema", "json_object+schema"), JsonMode.JSON_OBJECT, 3),
        (("json_schema", "json_object+schema", "json_object"), JsonMode.PROMPT, 4),
    ],
)
async def test_a_refused_format_is_stepped_down_once_and_remembered(refused, found, calls) -> None:
    async with FakeServer(picky(*refused)) as server:
        made = provider(server)
        first = await made.generate(ask(), params(), SCHEMA)
        second = await made.generate(ask(), params(), SCHEMA)
    assert first.text == second.text == DOCUMENT
    assert len(server.asked) == calls + 1
    assert made.dialect.format is found
    assert [each.code for each in first.attempts] == [ErrorCode.GEN_PROVIDER_UNAVAILABLE] * (calls - 1)
    assert "400: response_format type json_schema is not supported" in first.attempts[0].why
    assert f"asked again with {found} for " in first.attempts[-1].why
    assert second.attempts == ()
    assert second.note == f"asked with {found}"


@pytest.mark.parametrize("status", [422, 500])
async def test_other_statuses_that_name_the_format_count_too(status: int) -> None:
    def reply(asked):
        wanted = asked.body.get("response_format", {}).get("type")
        if wanted == "json_schema":
            return Said(status=status, body={"detail": [{"loc": ["body", "response_format", "type"]}]})
        return answer(DOCUMENT)

    async with FakeServer(reply) as server:
        done = await provider(server).generate(ask(), params(), SCHEMA)
    assert done.text == DOCUMENT


async def test_one_schema_that_cannot_be_compiled_says_nothing_about_the_next() -> None:
    def reply(asked):
        wanted = asked.body.get("response_format", {})
        if "pattern" in str(wanted):
            return refusal("Invalid schema for response_format 'layout'", param="response_format")
        return answer(DOCUMENT)

    hard = {**SCHEMA, "properties": {"name": {"type": "string", "pattern": "^x$"}}}
    async with FakeServer(reply) as server:
        made = provider(server)
        first = await made.generate(ask(), params(), hard)
        second = await made.generate(ask(), params(), SCHEMA)
    assert (first.note, second.note) == ("asked with json_object", "asked with json_schema")
    assert len(first.attempts) == 2
    assert made.dialect.format is JsonMode.JSON_SCHEMA


async def test_a_format_that_was_set_is_not_given_up() -> None:
    async with FakeServer(picky("json_schema")) as server:
        with pytest.raises(CallRefused):
            await provider(server, mode="json_schema").generate(ask(), params(), SCHEMA)
        done = await provider(server, mode="prompt").generate(ask(), params(), SCHEMA)
    assert len(server.asked) == 2
    assert "response_format" not in server.asked[1].body
    assert done.note == "asked with prompt"


async def test_a_server_that_ignores_the_format_is_found_out() -> None:
    async with FakeServer(lambda _: answer("Sure! Here is the layout.")) as server:
        made = provider(server)
        done = await made.generate(ask(), params(), SCHEMA)
        await made.generate(ask(), params(), SCHEMA)
    assert done.note == "the server ignored json_schema"
    assert "response_format" not in server.asked[1].body


@pytest.mark.parametrize(
    ("name", "message", "param"),
    [
        ("stream_options", "Extra inputs are not permitted: stream_options", None),
        ("seed", "Unsupported parameter: 'seed'", None),
        ("temperature", "only the default value is supported", "temperature"),
    ],
)
async def test_a_refused_parameter_is_left_out_and_told(name, message, param) -> None:
    def reply(asked):
        return refusal(message, param=param) if name in asked.body else answer("ok")

    async with FakeServer(reply) as server:
        made = provider(server)
        first = await made.generate(ask(), params())
        second = await made.generate(ask(), params())
    assert len(server.asked) == 3
    assert first.attempts[0].why.endswith(f"asked again without {name}")
    assert second.note == ("" if name == "stream_options" else f"without {name}")


async def test_the_newer_name_of_the_limit_is_learned() -> None:
    def reply(asked):
        if "max_tokens" in asked.body:
            return refusal(
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                param="max_tokens",
            )
        return answer("ok")

    async with FakeServer(reply) as server:
        await provider(server).generate(ask(), params(max_tokens=12))
    assert server.asked[1].body["max_completion_tokens"] == 12

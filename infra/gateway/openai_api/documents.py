"""Documents: what OpenAPI says of OpenAI's API."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

Responses = dict[int | str, dict[str, Any]]

_SCHEMAS: Final = "#/components/schemas"
_TEXT: Final = {"type": "string"}
_PROMPT: Final = "a forest with three coins"
#: Refusals of access.
_ACCESS: Final = (401, 403, 429)
_ERRORS: Final = (400, *_ACCESS, 404, 408, 409, 413, 415, 502, 503, 504)


def _json(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"{_SCHEMAS}/{name}"}}


def _errors(*statuses: int) -> Responses:
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": _json("OpenAIError")},
        }
        for status in statuses
    }


def _answers(name: str, what: str) -> Responses:
    labels = {
        "Understudy-Request-Id": "The request's id.",
        "Understudy-Status": "How it ended; missing on a stream that began before the end.",
        "Understudy-Origin": "Where the content comes from: `live` and `cache` are a model's own.",
        "Understudy-Reason": "Why the content is not a model's own, percent-encoded.",
        "Understudy-Stand-In": "The prepared content that stood in, percent-encoded.",
    }
    return {
        200: {
            "description": what,
            "content": {"application/json": _json(name), "text/event-stream": {"schema": _TEXT}},
            "headers": {key: {"description": said, "schema": _TEXT} for key, said in labels.items()},
        },
        **_errors(*_ERRORS),
    }


def _call(name: str, examples: dict[str, Any]) -> dict[str, Any]:
    def header(title: str, values: list[str], said: str) -> dict[str, Any]:
        return {
            "name": title,
            "in": "header",
            "required": False,
            "schema": {"type": "string", "enum": values},
            "description": said,
        }

    return {
        "parameters": [
            header("Understudy-Require", ["live"], "503 instead of content that no model wrote."),
            header(
                "Understudy-Stream",
                ["checked", "raw"],
                "`raw`: a stream sends the model's text before it is checked, and ends with an error where it fails.",
            ),
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "The same key and the same call are one request.",
            },
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": _json(name) | {"examples": examples}},
        },
    }


MODELS: Final[Responses] = {
    200: {"description": "The models.", "content": {"application/json": _json("OpenAIModelList")}},
    **_errors(*_ACCESS),
}
MODEL: Final[Responses] = {
    200: {"description": "The model.", "content": {"application/json": _json("OpenAIModel")}},
    **_errors(*_ACCESS, 404),
}
COMPLETION: Final = _answers("ChatCompletion", "The completion; with `stream`, its chunks.")
RESPONSE: Final = _answers("OpenAIResponse", "The response; with `stream`, its events.")
CHAT_CALL: Final = _call(
    "ChatCall",
    {
        "kind": {
            "summary": "Content of a kind",
            "value": {"model": "understudy/layout", "messages": [{"role": "user", "content": _PROMPT}]},
        },
        "schema": {
            "summary": "Content by a schema of your own",
            "value": {
                "model": "understudy/custom",
                "messages": [{"role": "user", "content": "a price tag for a lantern"}],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "tag",
                        "schema": {
                            "type": "object",
                            "properties": {"price": {"type": "integer"}},
                            "required": ["price"],
                        },
                    },
                },
            },
        },
    },
)
RESPONSE_CALL: Final = _call(
    "ResponseCall",
    {"kind": {"summary": "Content of a kind", "value": {"model": "understudy/scene", "input": _PROMPT}}},
)


def _object(required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


#: Any object.
_OPEN: Final = {"type": "object", "additionalProperties": True}
_MESSAGE: Final = _object(
    "role",
    role=_TEXT,
    content={"anyOf": [_TEXT, {"type": "array", "items": _OPEN}, {"type": "null"}]},
)
_FIELDS: Final = _OPEN | {"description": "Fields of the pipeline's request, such as `deadline_ms`."}
_LABELS: Final = _object(
    "request_id status origin reason stand_in",
    request_id=_TEXT,
    status=_TEXT,
    origin=_TEXT,
    reason={"type": ["string", "null"]},
    stand_in={"anyOf": [{"$ref": f"{_SCHEMAS}/StandIn"}, {"type": "null"}]},
)
_MODEL: Final = _object(
    "id object created owned_by",
    id=_TEXT,
    object={"const": "model"},
    created={"type": "integer"},
    owned_by=_TEXT,
)
#: Schemas that the references of this module mean.
SCHEMAS: Final[dict[str, Any]] = {
    "OpenAIError": _object(
        "error",
        error=_object(
            "message type param code",
            message=_TEXT,
            type=_TEXT,
            param={"type": ["string", "null"]},
            code={"type": ["string", "null"]},
            understudy=_OPEN,
        ),
    ),
    "OpenAIModel": _MODEL,
    "OpenAIModelList": _object(
        "object data", object={"const": "list"}, data={"type": "array", "items": _MODEL}
    ),
    "ChatCall": _object(
        "model messages",
        model=_TEXT,
        messages={"type": "array", "minItems": 1, "items": _MESSAGE},
        response_format=_object("type", type=_TEXT, json_schema=_OPEN),
        temperature={"type": "number", "minimum": 0, "maximum": 2},
        top_p={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        max_tokens={"type": "integer", "minimum": 1, "maximum": 32_000},
        seed={"type": "integer", "minimum": 0},
        stream={"type": "boolean"},
        understudy=_FIELDS,
    ),
    "ChatCompletion": _object(
        "id object created model choices usage understudy",
        id=_TEXT,
        object={"const": "chat.completion"},
        created={"type": "integer"},
        model={"type": "string", "description": "What wrote the content, or what stood in for it."},
        choices={
            "type": "array",
            "items": _object(
                "index message finish_reason",
                index={"type": "integer"},
                message=_object("role content", role=_TEXT, content={"type": ["string", "null"]}),
                finish_reason=_TEXT,
            ),
        },
        usage={"anyOf": [_OPEN, {"type": "null"}]},
        understudy=_LABELS,
    ),
    "ResponseCall": _object(
        "model input",
        model=_TEXT,
        input={"anyOf": [_TEXT, {"type": "array", "minItems": 1, "items": _MESSAGE}]},
        instructions=_TEXT,
        text=_OPEN,
        temperature={"type": "number", "minimum": 0, "maximum": 2},
        top_p={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        max_output_tokens={"type": "integer", "minimum": 1, "maximum": 32_000},
        stream={"type": "boolean"},
        understudy=_FIELDS,
    ),
    "OpenAIResponse": _object(
        "id object created_at model output usage understudy",
        id=_TEXT,
        object={"const": "response"},
        created_at={"type": "integer"},
        model={"type": "string", "description": "What wrote the content, or what stood in for it."},
        output={"type": "array", "items": _OPEN},
        usage={"anyOf": [_OPEN, {"type": "null"}]},
        understudy=_LABELS,
    ),
}

"""Documents: what OpenAPI says of the bodies and answers that routes read and write themselves."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, cast

from contracts.kinds import KINDS
from contracts.request import GenerationRequest
from infra.gateway import (
    answer_schemas,
    node_documents,
    observe_documents,
    ops_documents,
    review_documents,
)
from infra.gateway.openai_api import documents as openai_documents
from infra.gateway.problems import MEDIA_TYPE
from infra.gateway.roles import ROLES

Responses = dict[int | str, dict[str, Any]]

_SCHEMAS: Final = "#/components/schemas"
_LABELS: Final = {
    "Understudy-Request-Id": "The request's id.",
    "Understudy-Status": "How it ended.",
    "Understudy-Origin": "Where the content comes from: `live` and `cache` are a model's own.",
    "Understudy-Reason": "Why the content is not a model's own, percent-encoded.",
}
#: The prompt of all examples.
_PROMPT: Final = "a forest with three coins"


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"{_SCHEMAS}/{name}"}


def _headers(said: dict[str, str]) -> dict[str, Any]:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in said.items()}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}


def problems(*statuses: int) -> Responses:
    """The problems that a route may answer with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
        }
        for status in statuses
    }


#: A result that can be used.
RESULT: Final[Responses] = {
    200: {"description": "The result.", "content": _json("Result"), "headers": _headers(_LABELS)}
}
CREATED: Final[Responses] = {
    201: {
        "description": "The result, which came in time.",
        "content": _json("Result"),
        "headers": _headers(_LABELS | {"Location": "Where the request's state is."}),
    }
}
ACCEPTED: Final[Responses] = {
    202: {
        "description": "Accepted; the result is at the address in `Location` as soon as there is one.",
        "content": _json("Accepted"),
        "headers": _headers(
            {
                "Location": "Where the request's state is.",
                "Retry-After": "Seconds after which to look.",
                "Preference-Applied": "What of `Prefer` was applied.",
            }
        ),
    }
}
JOB: Final[Responses] = {
    200: {
        "description": "The state of the request, whatever it is.",
        "content": _json("Job"),
        "headers": _headers(
            _LABELS
            | {
                "ETag": "Hash of the content; only once there is a result.",
                "Retry-After": "Seconds after which to look again; only before the result.",
            }
        ),
    },
    304: {"description": "The result is the one that `If-None-Match` names."},
}
HEALTH: Final[Responses] = {
    200: {"description": "Yes.", "content": _json("Health")},
    503: {"description": "No; the list says why.", "content": _json("Health")},
}
STATE: Final[Responses] = {
    200: {
        "description": "The state; `degraded` where something is missing.",
        "content": _json("GatewayState"),
    }
}
STREAM: Final[Responses] = {
    200: {
        "description": "Server-sent events; the data of each is one object, as of `understudy tail --json`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
STREAM_OF_ONE: Final[Responses] = STREAM | {
    204: {"description": "The request has its result, and `Last-Event-ID` is after it: do not connect again."}
}
PROBLEM_TYPE: Final[Responses] = {
    200: {"description": "Its title and meaning.", "content": _json("ProblemType")}
}
PAGE: Final[Responses] = {
    200: {
        "description": "A page.",
        "content": _json("GenerationPage"),
        "headers": _headers({"Link": "The next page, `rel=next`; missing on the last one."}),
    }
}
CONTENT: Final[Responses] = {
    200: {
        "description": "The document, which fits the schema of its kind.",
        "content": _json("Content"),
        "headers": _headers(_LABELS | {"ETag": "Hash of the content."}),
    },
    304: {"description": "The content is the one that `If-None-Match` names."},
}
WHY: Final[Responses] = {
    200: {"description": "As `understudy why --json`.", "content": _json("Explanation")},
    410: {
        "description": "Only the audit has the request.",
        "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
    },
}
CANCELLED: Final[Responses] = {
    200: {"description": "The request has ended.", "content": _json("CancelAnswer")},
    202: {"description": "The cancellation is published.", "content": _json("CancelAnswer")},
}
RERUN: Final[Responses] = {
    200: {"description": "What would run.", "content": _json("RerunAnswer")},
    202: {
        "description": "The shadow is published.",
        "content": _json("RerunAnswer"),
        "headers": _headers({"Location": "Where the shadow's state is."}),
    },
}
REPORT: Final[Responses] = {200: {"description": "The findings.", "content": _json("ValidationReport")}}
SOCIAL_CONTEXT: Final[Responses] = {200: {"description": "The context.", "content": _json("SocialSetting")}}
_TOKEN_LIST: Final = {"application/json": {"schema": {"type": "array", "items": _ref("AccessToken")}}}
_CHANGE_LIST: Final = {"application/json": {"schema": {"type": "array", "items": _ref("Change")}}}
TOKENS: Final[Responses] = {200: {"description": "The tokens.", "content": _TOKEN_LIST}}
TOKEN: Final[Responses] = {200: {"description": "The token.", "content": _json("AccessToken")}}
TOKEN_CREATED: Final[Responses] = {
    201: {
        "description": "The token, which is shown this once.",
        "content": _json("IssuedToken"),
        "headers": _headers({"Location": "Where the token's state is."}),
    }
}
CHANGES: Final[Responses] = {
    200: {
        "description": "The changes.",
        "content": _CHANGE_LIST,
        "headers": _headers({"Link": "The next page, `rel=next`."}),
    }
}
SESSION: Final[Responses] = {200: {"description": "Who this is.", "content": _json("Session")}}
SESSION_OPENED: Final[Responses] = {
    200: {
        "description": "Who this is; the cookie has the session.",
        "content": _json("Session"),
        "headers": _headers({"Set-Cookie": "`HttpOnly; SameSite=Strict`, and `Secure` over HTTPS."}),
    }
}

_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": (
        "The same key and the same body are one request, however often it is sent: each call gets its result.  As in "
        "draft-07 of the header; a key of the form of a request id is the id where the token has no workspace."
    ),
}
#: Header of a route that streams events.
LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The `id` of the last event that the client has: the stream continues after it.",
    "example": "R812.E90311.D4",
}
_KIND: Final = {
    "name": "kind",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "enum": list(KINDS)},
    "description": "Content kind; default: the node's or template's, else `layout`.  It may also be in the body.",
}
_PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "`wait=N`: seconds to wait for the result, at most 60; `respond-async`: do not wait (RFC 7240).",
    "example": "wait=10",
}
#: What a route that takes a request for generation says of its input.
ORDER: Final[dict[str, Any]] = {
    "parameters": [_KIND, _KEY],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _ref("Order"),
                "examples": {
                    "smallest": {"summary": "The smallest request", "value": {"prompt": _PROMPT}},
                    "scene": {
                        "summary": "A scene, with a deadline and a stand-in",
                        "value": {
                            "kind": "scene",
                            "prompt": "two travellers meet at a well",
                            "deadline_ms": 20_000,
                            "tags": ["meeting"],
                        },
                    },
                },
            }
        },
    },
}
#: What a route that takes a node says of its input.
NODE: Final[dict[str, Any]] = {
    "parameters": [_KIND | {"description": "Content kind of the requests that use the node."}],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [_ref("Node"), {"type": "array", "items": _ref("Node")}]},
                "example": {
                    "generation_type": "scene",
                    "purpose": "gap_fill",
                    "strategy": "once",
                    "fallback": {"mode": "golden_sample"},
                },
            }
        },
    },
}
#: The same of one that also reads ``Prefer``.
ORDER_PREFER: Final[dict[str, Any]] = ORDER | {"parameters": [_KIND, _KEY, _PREFER]}


def component_schemas() -> dict[str, Any]:
    """The schemas that the references of this module mean."""
    asked = GenerationRequest.model_json_schema(by_alias=False, ref_template=f"{_SCHEMAS}/{{model}}")
    parts = cast("dict[str, Any]", asked.pop("$defs", {}))
    order = {
        **asked,
        "title": "Order",
        "description": "A request for generation; camelCase names are accepted too.",
        "properties": {
            **{name.removesuffix("_"): schema for name, schema in asked["properties"].items()},
            "kind": {"type": "string", "enum": list(KINDS), "description": "Content kind."},
            "node": {
                "anyOf": [asked["properties"]["node"], _TEXT],
                "description": "A node, or the id of a stored one.",
            },
        },
    }
    groups = (
        answer_schemas.build_results(),
        parts,
        {"Order": order},
        _OWN,
        answer_schemas.complete(observe_documents.component_schemas()),
        answer_schemas.complete(review_documents.component_schemas()),
        answer_schemas.complete(ops_documents.component_schemas(), sparse=ops_documents.SPARSE),
        node_documents.component_schemas(),
        answer_schemas.SCHEMAS,
        openai_documents.SCHEMAS,
    )
    found: dict[str, Any] = {}
    for name, schema in (item for group in groups for item in group.items()):
        if found.setdefault(name, schema) != schema:
            raise ValueError(f"two schemas have the name {name}")
    return found


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_TEXT: Final = {"type": "string"}
_LINKS: Final = _object(self=_TEXT, events=_TEXT, cancel=_TEXT)
_HEALTH: Final = _object(ok={"type": "boolean"}, problems={"type": "array", "items": _TEXT})
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_ROLE: Final = {"type": "string", "enum": list(ROLES)}
_TOKEN_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "id": _TEXT,
    "name": _TEXT,
    "role": _ROLE,
    "workspace": _TEXT_OR_NULL,
    "require_live": {"type": "boolean"},
    "state": {"type": "string", "enum": ["valid", "expired", "revoked"]},
    "created": _TEXT,
    "created_by": _TEXT_OR_NULL,
    "expires": _TEXT_OR_NULL,
    "revoked": _TEXT_OR_NULL,
    "last_used": _TEXT_OR_NULL,
}
_OWN: Final[dict[str, Any]] = {
    "Job": _object(
        job_id=_TEXT,
        kind=_TEXT,
        status=_TEXT,
        links=_LINKS,
        result={"anyOf": [_ref("Result"), {"type": "null"}]},
    ),
    "Health": _HEALTH,
    "GatewayState": _object(
        status={"type": "string", "enum": ["ok", "degraded"]},
        problems={"type": "array", "items": _TEXT},
        version=_TEXT,
        broker=_object(connected={"type": "boolean"}),
        waiting={"type": "integer"},
    ),
    "CancelAnswer": _object(request_id=_TEXT, status={"anyOf": [_TEXT, {"type": "null"}]}),
    "AccessToken": _object(**_TOKEN_FIELDS),
    "IssuedToken": _object(
        token={"type": "string", "description": "`us_<id>_<43 characters>`; it is shown this once."},
        **_TOKEN_FIELDS,
    ),
    "Change": _object(
        at=_TEXT,
        via={"type": "string", "enum": ["token", "session", "local", "command"]},
        token_id=_TEXT_OR_NULL,
        workspace=_TEXT_OR_NULL,
        action=_TEXT,
        target=_TEXT,
        id={"type": "integer"},
    ),
    "Session": _object(
        role=_ROLE,
        workspace=_TEXT_OR_NULL,
        token_id=_TEXT_OR_NULL,
        via={"type": "string", "enum": ["token", "session", "local"]},
        expires=_TEXT_OR_NULL,
    ),
    "ProblemType": _object(type=_TEXT, title=_TEXT, detail=_TEXT),
}

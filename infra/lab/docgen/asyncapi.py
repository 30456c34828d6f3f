"""docs/asyncapi.json: channels, messages, senders and receivers.

From the table in contracts/pipeline.py.  FastStream's own document has one channel per consumer and
no senders, since stages publish through the runner (docs/adr/0001).
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from contracts import events as ev
from contracts import pipeline, request
from contracts.kinds import KINDS
from contracts.subjects import REQUEST_ID

_COMPONENTS: Final = "#/components/schemas/{name}"
_REQUEST: Final = "GenerationRequest"
_DEAD: Final = pipeline.Row(
    event="dead",
    published_by=pipeline.STAGES,
    consumed_by=("audit",),
    stream=pipeline.DEAD,
    body=ev.DeadLetter,  # pyright: ignore[reportArgumentType] - no event, but it has a body
    says="a message that a stage could not work on, with the reason",
)


def page() -> str:
    """The document, AsyncAPI 3.0 as JSON."""
    # A timer's body is whatever is to be published later.
    rows = [row for row in (*pipeline.ROWS, _DEAD) if row.event != "timer"]
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Understudy",
            "version": "1",
            "description": "A generation pipeline on NATS JetStream: every accepted request ends in exactly "
            "one labelled result.",
        },
        "defaultContentType": "application/json",
        "servers": {"broker": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": {row.event: _channel(row) for row in rows},
        "operations": dict(_operation(row, party, action) for row in rows for party, action in _parties(row)),
        "components": {
            "messages": {
                row.event: {"summary": row.says, "payload": {"$ref": _COMPONENTS.format(name=_body(row))}}
                for row in rows
            },
            "schemas": _schemas(rows),
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _channel(row: pipeline.Row) -> dict[str, Any]:
    first = "dead.{stage}" if row is _DEAD else f"gen.{row.event}"
    parameters: dict[str, Any] = {
        "kind": {"enum": [*KINDS, *(["unknown"] if row is _DEAD else [])]},
        "request_id": {"description": f"matches {REQUEST_ID.pattern}"},
    }
    if row is _DEAD:
        parameters["stage"] = {"enum": list(pipeline.STAGES)}
    channel = {
        "address": first + ".{kind}.{request_id}",
        "description": row.says,
        "messages": {row.event: {"$ref": f"#/components/messages/{row.event}"}},
        "parameters": parameters,
    }
    return channel | ({"x-stream": row.stream} if row.stream else {})


def _parties(row: pipeline.Row) -> list[tuple[str, str]]:
    receivers = [(party, "receive") for party in row.consumed_by]
    return [(party, "send") for party in row.published_by] + receivers


def _operation(row: pipeline.Row, party: str, action: str) -> tuple[str, dict[str, Any]]:
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{row.event}"},
        "messages": [{"$ref": f"#/channels/{row.event}/messages/{row.event}"}],
        "tags": [{"name": party}],
    }
    if action == "receive" and party in pipeline.STAGES:
        operation["x-durable"] = party
    return f"{party}.{action}.{row.event}", operation


def _body(row: pipeline.Row) -> str:
    return _REQUEST if row.body is None else row.body.__name__


def _schemas(rows: list[pipeline.Row]) -> dict[str, Any]:
    bodies = [row.body for row in rows if row.body is not None]
    _, found = msgspec.json.schema_components(bodies, ref_template=_COMPONENTS)
    model = request.GenerationRequest.model_json_schema(ref_template=_COMPONENTS.replace("{name}", "{model}"))
    asked: dict[str, Any] = model.pop("$defs")
    twice = set(found) & {_REQUEST, *asked}
    if twice:
        raise ValueError(f"request and events both have a type {', '.join(sorted(twice))}; rename one")
    return dict(sorted({**found, **asked, _REQUEST: model}.items()))

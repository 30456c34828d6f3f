"""JSON text of schemas: encoded once for a kind, and never mixed up."""

from __future__ import annotations

import json

from contracts.content import schema_text


def test_a_kept_schema_is_encoded_once() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    text = schema_text.encode(schema, keep=True)
    assert json.loads(text) == schema
    assert schema_text.encode(schema, keep=True) is text


def test_schemas_that_come_and_go_keep_their_own_text() -> None:
    # More than are kept, each one's memory free for the next.
    for number in range(1000):
        schema = {"const": number}
        assert json.loads(schema_text.encode(schema, keep=True)) == schema


def test_a_requests_own_schema_is_encoded_as_it_is_now() -> None:
    schema = {"const": 1}
    schema_text.encode(schema, keep=False)
    schema["const"] = 2
    assert json.loads(schema_text.encode(schema, keep=False)) == {"const": 2}

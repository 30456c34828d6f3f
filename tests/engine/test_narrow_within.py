"""Schemas for answers with a small limit: lists and texts end early, and a document is still possible."""

from __future__ import annotations

import json
import re

import pytest

from contracts.content.registry import Registry
from infra.engine.grammar_schema import bounded, shorten, within
from infra.engine.llguidance_json import compiles


@pytest.mark.parametrize("kind", ["layout", "plot", "scene", "dialogue", "transition"])
def test_the_kinds_documents_end_soon_and_are_possible(kind: str) -> None:
    narrowed = bounded(Registry().schema(kind, None))
    shorter = within(narrowed, 800)
    assert shorter != narrowed
    assert compiles(shorter)
    text = json.dumps(shorter)
    assert '"maxItems": 500' not in text
    assert '"maxLength": 600' not in text


def test_what_the_schema_asks_for_stays() -> None:
    schema = {
        "type": "object",
        "properties": {
            "steps": {"type": "array", "items": {"type": "string"}, "minItems": 20},
            "code": {"type": "string", "pattern": "^[a-z]{50}$"},
            "story": {"type": "string", "minLength": 500},
        },
        "required": ["steps", "code", "story"],
    }
    narrowed = bounded(schema)
    shorter = within(narrowed, 400)
    assert compiles(shorter)
    assert shorter["properties"]["steps"]["minItems"] == 20
    assert shorter["properties"]["steps"]["maxItems"] >= 20
    assert shorter["properties"]["story"]["maxLength"] >= 500


def test_a_text_cannot_count_without_end() -> None:
    text = within(
        bounded({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}), 400
    )
    pattern = text["properties"]["a"]["pattern"]
    assert re.search(pattern, "Room 12, 1999, and 3 lamps\nabove 4 doors.")
    assert not re.search(pattern, "-".join(str(number) for number in range(10, 17)))


def test_a_servers_schema_gets_bounds_and_no_new_words() -> None:
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": "^[a-z]{1,64}$"},
            "story": {"type": "string"},
            "coins": {"type": "array", "items": {"type": "string"}, "minItems": 9},
        },
    }
    shorter = shorten(schema, 400)["properties"]
    assert shorter["id"] == schema["properties"]["id"]
    assert 60 <= shorter["story"]["maxLength"] <= 200
    assert shorter["coins"]["minItems"] == shorter["coins"]["maxItems"] == 9

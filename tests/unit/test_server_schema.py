"""Schemas for servers: alternatives that only require fields are left to the check afterwards."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from contracts.content.registry import Registry
from infra.providers.server_schema import simplify_alternatives

ALTERNATIVES = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "integer"}},
    "required": ["c"],
    "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
}


def test_alternatives_that_only_require_fields_go() -> None:
    assert simplify_alternatives(ALTERNATIVES, require_first=False) == {
        "type": "object",
        "properties": ALTERNATIVES["properties"],
        "required": ["c"],
    }


def test_a_small_model_is_led_to_the_first() -> None:
    made = simplify_alternatives(ALTERNATIVES, require_first=True)
    assert made["required"] == ["c", "a"]
    assert "anyOf" not in made


@pytest.mark.parametrize("name", ["anyOf", "oneOf"])
def test_they_go_at_any_depth(name: str) -> None:
    inner = {**ALTERNATIVES, name: ALTERNATIVES["anyOf"]}
    made = simplify_alternatives(
        {"type": "array", "items": inner, "$defs": {"x": inner}}, require_first=False
    )
    assert name not in made["items"]
    assert name not in made["$defs"]["x"]


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, id="no properties beside"),
        pytest.param(
            {"properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {"type": "object", "maxProperties": 3}]},
            id="an alternative says more",
        ),
        pytest.param(
            {"properties": {"properties": {"type": "string"}, "anyOf": {"type": "array"}}},
            id="fields with the names of keywords",
        ),
        pytest.param({"properties": {"a": {}}, "anyOf": [{"required": True}]}, id="required is no list"),
        pytest.param({"properties": {"a": {}}, "anyOf": []}, id="no alternatives"),
        pytest.param({"const": {"properties": {}, "anyOf": [{"required": ["a"]}]}}, id="a literal"),
        pytest.param({"properties": {"a": True}, "items": [True, {"enum": [[{"anyOf": []}]]}]}, id="lists"),
    ],
)
def test_everything_else_stays(schema: dict[str, Any]) -> None:
    assert simplify_alternatives(schema, require_first=True) == schema


def test_a_layout_for_a_server_has_its_fields_at_the_root() -> None:
    schema = simplify_alternatives(Registry().schema("layout", None), require_first=False)
    assert not {"anyOf", "oneOf"} & set(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    made = simplify_alternatives(Registry().schema("layout", None), require_first=True)
    assert "entities" in made["required"]

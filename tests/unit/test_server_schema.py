"""Schemas for servers: alternatives that only require fields are left to the check; numbers get bounds."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.content.registry import Registry
from infra.providers.server_schema import bound_numbers, drop_inexact_bounds, simplify_alternatives

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


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"minimum": -5.5, "maximum": 100000}, {"type": "integer", "minimum": -5, "maximum": 100000}),
        ({"exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}),
        ({"exclusiveMaximum": 0.5}, {"type": "integer", "maximum": 0}),
        (
            {"minimum": 0, "maximum": 1},
            {"enum": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]},
        ),
        (
            {"type": ["number", "null"], "minimum": 0, "maximum": 600},
            {"type": ["integer", "null"], "minimum": 0, "maximum": 600},
        ),
    ],
)
def test_a_bounded_number_becomes_one_that_llama_cpp_bounds(
    schema: dict[str, Any], made: dict[str, Any]
) -> None:
    nested = {"type": "object", "properties": {"x": {"type": "number", "title": "X"} | schema}}
    assert bound_numbers(nested) == {"type": "object", "properties": {"x": {"title": "X"} | made}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number"},
        {"type": "number", "minimum": 0, "multipleOf": 0.5},
        {"type": "number", "minimum": 0, "enum": [0.5]},
        {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        {"type": "number", "maximum": 1e300},
        {"type": "integer", "minimum": 0, "maximum": 3},
        {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        {"type": "number", "minimum": 3, "maximum": 2},
        {"properties": {"type": {"type": "string"}, "minimum": {"type": "string"}}},
    ],
)
def test_other_numbers_stay(schema: dict[str, Any]) -> None:
    assert bound_numbers(schema) == schema


_BOUND = st.one_of(
    st.integers(-(10**6), 10**6), st.floats(-10, 10), st.floats(-1e-6, 1e-6), st.floats(-1e6, 1e6)
)


@given(
    st.dictionaries(
        st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]), _BOUND, min_size=1
    )
)
def test_whatever_the_narrowed_schema_allows_is_valid(bounds: dict[str, float]) -> None:
    schema = {"type": "number", **bounds}
    made = bound_numbers(schema)
    if made == schema:
        return
    low, high = made.get("minimum"), made.get("maximum")
    values = made.get("enum", [each for each in (low, high) if each is not None])
    assert values
    if "enum" not in made:
        assert made["type"] == "integer"
        assert low is None or high is None or low <= high
    validator = jsonschema.Draft202012Validator(schema)
    assert all(map(validator.is_valid, values))


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"maximum": 2**64 - 1, "minimum": 0}, {"minimum": 0}),
        ({"minimum": -(2**63), "maximum": 2**63 - 1}, {}),
        ({"exclusiveMaximum": 1e300, "exclusiveMinimum": -1e300}, {}),
        ({"maximum": 2**53, "exclusiveMaximum": True}, {}),
        ({"maximum": 9, "exclusiveMaximum": True}, {"maximum": 9, "exclusiveMaximum": True}),
        ({"maximum": -(2**60)}, {"maximum": -(2**60)}),
        ({"enum": [{"maximum": 2**60}]}, {"enum": [{"maximum": 2**60}]}),
    ],
)
def test_bounds_that_a_server_misreads_are_not_sent(given: dict[str, Any], sent: dict[str, Any]) -> None:
    schema = {"properties": {"maximum": given, "b": {"anyOf": [given, {"type": "null"}]}}}
    assert drop_inexact_bounds(schema) == {
        "properties": {"maximum": sent, "b": {"anyOf": [sent, {"type": "null"}]}}
    }

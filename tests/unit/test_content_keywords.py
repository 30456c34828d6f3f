"""Is each keyword of a request's schema enforced, known to ask nothing, or refused with what to write?"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from contracts import request
from contracts.content import keywords
from contracts.content.conformance import MAX_STEPS
from contracts.content.custom import usable
from contracts.content.registry import CONTENTS
from tests.profiles import examples


def of(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


def refusal(schema: dict[str, Any]) -> str:
    return CONTENTS.verdict(schema).refusal or ""


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ({"properties": {"a": None}}, "properties: 'a': null is no schema; write an object, true or false"),
        (of(v={"enum": []}), "properties.v.enum: is empty"),
        (
            of(v={"minLength": 1_000_000}),
            "properties.v.minLength: 1000000 is more than can be written; 10000",
        ),
        (of(v={"minItems": 100_000}), "properties.v.minItems: 100000 is more than can be written; 1000"),
        ({"minProperties": 1_000_000}, "minProperties: 1000000 is more than can be written; 500"),
        (of(v={"minimum": 10**400}), "properties.v.minimum: is a number of more than 64 bits"),
        (of(v={"maximum": -(10**30)}), "properties.v.maximum: is a number of more than 64 bits"),
        (
            of(v={"const": {"maximum": 10**30}}),
            "properties.v.const.maximum: is a number of more than 64 bits",
        ),
        (of(v={"maxItems": 10**30}), "properties.v.maxItems: is a number of more than 64 bits"),
        (of(v={"maximum": float("inf")}), "properties.v.maximum: is no number of JSON"),
        (of(v={"minItems": 1.5}), "properties.v.minItems: 1.5 is no count"),
        ({"required": [f"r{i}" for i in range(9000)]}, "required: lists 9000 names, and at most 500"),
        (
            of(e={"const": ["x" * 70_000]}),
            "properties.e.const: with it, all values of enum and const have 70004 bytes",
        ),
        (of(e={"enum": list(range(5000))}), "properties.e.enum: lists 5000 values, and at most 3000"),
        (
            {"patternProperties": {f"^p{i}_": {} for i in range(200)}},
            "patternProperties: has 200 regular expressions, and at most 16",
        ),
        (
            of(x={"type": "string", "allOf": [{"pattern": f".*a{i}.*"} for i in range(14)]}),
            "properties.x: holds a text against 14 regular expressions at once, and at most 4",
        ),
        ({"$defs": {"a": {"$anchor": "q"}, "b": {"$anchor": "q"}}}, "$defs.b.$anchor: 'q' is there twice"),
        (of(a={"$ref": "#"}), "schema: requires itself without end"),
        ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "schema: requires itself without end"),
        (
            {
                "$defs": {"a": of(b={"$ref": "#/$defs/b"}), "b": of(a={"$ref": "#/$defs/a"})},
                "$ref": "#/$defs/a",
            },
            "$defs.a: requires itself without end",
        ),
        (
            {**of(a={}), "required": ["a", "b"], "additionalProperties": False},
            "required: 'b' is not in properties, and",
        ),
        (
            of(n={"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6}),
            "properties.n.minimum: no multiple of 7",
        ),
        (
            of(n={"type": "number", "minimum": 3, "exclusiveMaximum": 3}),
            "properties.n.minimum: no number is between",
        ),
        (
            of(s={"type": "string", "minLength": 9, "maxLength": 2}),
            "properties.s.minLength: 9 is more than maxLength 2",
        ),
        (
            of(
                v={"type": "array", "minItems": 500, "items": {"type": "array", "minItems": 500, "items": {}}}
            ),
            "properties.v.minItems: with it, the smallest document has about 250501 values; 10000",
        ),
        ({"allOf": [False]}, "allOf: is false, and nothing follows it"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_what_cannot_be_kept_is_refused_with_its_path_and_what_to_write(schema, line) -> None:
    assert refusal(schema).startswith(line)
    assert CONTENTS.placeholder("custom", schema) is None


@pytest.mark.parametrize(
    "schema",
    [
        {**of(a={"type": "integer"}), "required": ["a", "b"]},
        {"type": "object", "required": [f"r{i}" for i in range(65)]},
        of(v={"type": "array", "minItems": 1.0}),
        {"type": "object", "minProperties": 2.0},
        of(v={"type": "array", "contains": {"type": "null"}, "minContains": 2.0}),
        of(v={"type": "string", "maxLength": 2.0}),
        of(v={"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
        of(n={"type": "integer", "multipleOf": 2.5, "minimum": 1, "maximum": 5}),
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"a": of(x={})},
            "$ref": "#/definitions/a",
        },
        {"$schema": "http://json-schema.org/draft/2020-12/schema", "type": "object", "x-order": 3},
        of(n={"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1}),
    ],
    ids=lambda schema: json.dumps(schema)[:60],
)
def test_what_can_be_followed_is_taken_and_gets_a_placeholder(schema) -> None:
    assert CONTENTS.verdict(schema).refusal is None
    assert CONTENTS.faults("custom", CONTENTS.placeholder("custom", schema), schema) == ()


def test_a_note_for_editors_is_taken_with_a_warning() -> None:
    verdict = CONTENTS.verdict(of(v={"markdownDescription": "**v**", "tsType": "V"}))
    assert verdict.refusal is None
    assert [line.split(" is ")[0] for line in verdict.warnings] == [
        "schema: markdownDescription",
        "schema: tsType",
    ]


@pytest.mark.parametrize(
    ("step", "good", "bad"),
    [
        (0.01, [19.99, 4.02, 1.11, 74.77, 0, 3, -0.07, 1e22], [19.995, 0.001]),
        (0.1, [0.3, 92.6], [0.35]),
        (1e-300, [1e300, 5], []),
        (1e300, [1e300, 0], [1, 1e-300]),
        (3, [9.0, 2**64 - 4], [1.5, True]),
    ],
)
def test_decimals_count_as_they_are_spelled(step, good, bad) -> None:
    schema = of(v={"multipleOf": step})
    assert [value for value in good if CONTENTS.faults("custom", {"v": value}, schema)] == []
    assert [value for value in bad if not CONTENTS.faults("custom", {"v": value}, schema)] == [
        value for value in bad if value is True
    ]
    made = CONTENTS.placeholder("custom", of(v={"type": "number", "multipleOf": step, "minimum": 0.005}))["v"]
    assert Fraction(repr(made)) % Fraction(repr(step)) == 0


def test_many_values_are_compared_by_what_they_are_and_not_each_with_each() -> None:
    unique = of(v={"type": "array", "uniqueItems": True})
    many = [{"a": index} for index in range(20_000)]
    assert CONTENTS.faults("custom", {"v": many}, unique) == ()
    assert CONTENTS.faults("custom", {"v": [*many, {"a": 7.0}]}, unique) == (
        "v.20000: {'a': 7.0} is there twice",
    )
    assert CONTENTS.faults("custom", {"v": [1, True, "1", [1], {"1": 1}]}, unique) == ()
    chosen = of(v={"type": "array", "items": {"enum": [f"v{index}" for index in range(2000)]}})
    assert CONTENTS.faults("custom", {"v": ["v1999"] * (MAX_STEPS // 4)}, chosen) == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**30, "\ud83d"])
def test_a_document_that_json_cannot_carry_is_told_with_its_path(value) -> None:
    (line,) = CONTENTS.faults("custom", {"a": [{"b": value}]}, {"type": "object"})
    assert line.startswith("a.0.b: ")


def test_formats_are_checked_and_not_annotations() -> None:
    schema = of(v={"type": "string", "format": "uri"})
    assert CONTENTS.faults("custom", {"v": "not a uri"}, schema) == ("v: 'not a uri' is not a 'uri'",)
    assert CONTENTS.faults("custom", {"v": 2**31}, of(v={"format": "int32"})) != ()


_LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.sampled_from(
        [2.0, 0.1, 1.5, 1e308, 5e-324, 10**30, -(10**400), 2**64 - 1, float("inf"), float("nan")]
    ),
    st.sampled_from(
        ["", "a", "^a", "(", "date", "uri", "#", "#/properties/a", "#/$defs/a", "string", "\ud83d"]
    ),
)
_VALUE = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*sorted(keywords.KNOWN), "a", "b", "^a"]), inner, max_size=3),
    ),
    max_leaves=6,
)
_DOCUMENTS: list[Any] = [{"a": 1}, {"a": "x", "b": [1, 1]}, [1, {"a": 2}], {"a": {"a": 19.99}}, {"b": None}]


#: The nearest double of the largest unsigned number of 64 bits, as JSON tools write it.
UINT64 = 18446744073709552000


@pytest.mark.parametrize(
    "bound",
    [
        {"maximum": UINT64},
        {"exclusiveMaximum": UINT64},
        {"minimum": -9223372036854776000},
        {"maximum": 10**400, "minimum": -(10**400)},
    ],
)
def test_a_bound_beyond_64_bits_is_none(bound: dict[str, Any]) -> None:
    number = {"type": "integer", **bound}
    schema = of(v=number, maximum={"anyOf": [number, {"type": "null"}]}) | {
        "components": {"schemas": {"Coin": number}}
    }
    assert CONTENTS.verdict(schema).refusal is None
    body = {"prompt": "x", "schema": schema}
    read = request.read(json.dumps(body).encode(), "custom").schema_
    assert read is not None
    assert read["properties"] == {
        "v": {"type": "integer"},
        "maximum": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    }
    for value in (2**64 - 1, -(2**63)):
        assert CONTENTS.faults("custom", {"v": value, "maximum": value}, schema) == ()


def test_a_bound_of_64_bits_is_exact() -> None:
    schema = of(v={"type": "integer", "maximum": 2**63 - 1, "minimum": -(2**63)})
    assert CONTENTS.faults("custom", {"v": 2**63 - 1}, schema) == ()
    assert CONTENTS.faults("custom", {"v": 2**63}, schema)


@examples(300)
@given(keyword=st.sampled_from(sorted(keywords.KNOWN)), value=_VALUE, deep=st.booleans(), also=_VALUE)
def test_every_keyword_with_every_value_is_taken_or_refused_with_a_path(keyword, value, deep, also) -> None:
    schema: dict[str, Any] = {keyword: value}
    if deep:
        schema = {"type": "object", "properties": {"a": schema, "b": {"enum": [also]}}, "required": ["a"]}
    said = refusal(schema)
    placeholder = CONTENTS.placeholder("custom", schema)
    if said:
        assert ": " in said
        assert len(said) < 1000
    else:
        Draft202012Validator.check_schema(usable(schema).root)
    for document in [*_DOCUMENTS, *([] if placeholder is None else [placeholder])]:
        found = CONTENTS.faults("custom", document, schema)
        assert all(": " in line for line in found)
        # Dynamic references, formats and decimals apart, the standard's own library says the same.
        if not said and not found and keyword not in {"$dynamicRef", "multipleOf", "$schema", "$id"}:
            assert Draft202012Validator(schema).is_valid(document)

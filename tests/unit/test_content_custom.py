"""JSON Schemas of requests: which are usable, what is checked with them, and their placeholders."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from contracts.content.pattern import fault, matches
from contracts.content.registry import CONTENTS
from tests.profiles import examples


def an_object(**more):
    return {"type": "object", **more}


def nested(levels):
    schema: dict = an_object()
    for _ in range(levels):
        schema = an_object(properties={"a": schema})
    return schema


DOUBLING = {
    "$defs": {
        **{f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)},
        "d40": {"type": "object"},
    },
    "$ref": "#/$defs/d0",
}
USABLE = [
    an_object(),
    an_object(properties={"name": {"type": "string"}}, required=["name"]),
    an_object(properties={"name": {"type": "string", "minLength": 40, "maxLength": 41}}, required=["name"]),
    an_object(properties={"name": {"type": "string", "maxLength": 3}}, required=["name"]),
    an_object(properties={"code": {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"}}, required=["code"]),
    an_object(properties={"hex": {"pattern": "^#[0-9a-fA-F]{6}$", "type": "string"}}, required=["hex"]),
    an_object(
        properties={"slug": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"}}, required=["slug"]
    ),
    an_object(properties={"at": {"type": "string", "format": "date-time"}}, required=["at"]),
    an_object(properties={"n": {"type": "integer", "exclusiveMinimum": 3, "multipleOf": 5}}, required=["n"]),
    an_object(
        properties={"n": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}}, required=["n"]
    ),
    an_object(properties={"n": {"type": "integer", "maximum": -4}}, required=["n"]),
    an_object(properties={"v": {"anyOf": [{"type": "null"}, {"type": "string"}]}}, required=["v"]),
    an_object(properties={"v": {"type": ["string", "null"]}}, required=["v"], additionalProperties=False),
    an_object(
        patternProperties={"^x_[a-z]+$": {"type": "integer"}}, additionalProperties=False, minProperties=1
    ),
    an_object(minProperties=3),
    an_object(
        properties={
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True}
        },
        required=["tags"],
    ),
    an_object(
        properties={"child": {"$ref": "#"}, "value": {"type": "integer", "minimum": 3}}, required=["value"]
    ),
    {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "items": False, "minItems": 2},
    {
        "oneOf": [
            an_object(properties={"t": {"const": "a"}, "x": {"type": "integer"}}, required=["t", "x"]),
            an_object(properties={"t": {"const": "b"}}, required=["t"]),
        ]
    },
    {"allOf": [an_object(properties={"a": {"type": "string"}}, required=["a"]), {"required": ["b"]}]},
    {
        "$ref": "#/$defs/card",
        "$defs": {"card": an_object(properties={"hp": {"minimum": 1}}, required=["hp"])},
    },
    {"$anchor": "top", "type": "object", "properties": {"a": {"$ref": "#top"}}},
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.org/x",
        "type": "object",
    },
    {"properties": {"$ref": {"type": "string"}}, "required": ["$ref"]},
    {"properties": {"a": {"default": {"$ref": "http://example.org"}, "type": "string"}}, "required": ["a"]},
]


#: Usable ones for which a text or a name would have to be written to an expression.
WITHOUT_PLACEHOLDER = [USABLE[4], USABLE[5], USABLE[13]]


@pytest.mark.parametrize("schema", WITHOUT_PLACEHOLDER, ids=json.dumps)
def test_a_schema_may_be_usable_and_have_no_placeholder(schema):
    assert CONTENTS.verdict(schema).refusal is None
    assert CONTENTS.placeholder("custom", schema) is None


@pytest.mark.parametrize(
    "schema", [each for each in USABLE if each not in WITHOUT_PLACEHOLDER], ids=json.dumps
)
def test_a_usable_schema_gets_a_placeholder_that_follows_it(schema):
    assert CONTENTS.verdict(schema).refusal is None
    document = CONTENTS.placeholder("custom", schema)
    assert document
    assert CONTENTS.faults("custom", document, schema) == ()
    Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        (
            an_object(properties={"a": {"type": "strin"}}),
            "properties.a.type: 'strin' is no type; write one of array",
        ),
        (an_object(required="a"), "required: 'a' is no list of names"),
        (
            {"$ref": "https://example.org/schema"},
            "$ref: 'https://example.org/schema' is outside of this schema",
        ),
        ({"$ref": "other.json#/a"}, "$ref: 'other.json#/a' is outside"),
        ({"$dynamicRef": "https://example.org#x"}, "$dynamicRef: 'https://example.org#x' is outside"),
        (
            an_object(properties={"a": {"$ref": "#/$defs/q"}}),
            "properties.a.$ref: '#/$defs/q' points to nothing",
        ),
        ({"$ref": "#nowhere"}, "$ref: '#nowhere' points to nothing"),
        ({"$ref": "#"}, "schema: refers to itself without end"),
        (an_object(properties={"a": {"allOf": [{"$ref": "#/properties/a"}]}}), "properties.a"),
        (an_object(properties={"a": {"pattern": "("}}), "properties.a.pattern: "),
        (an_object(patternProperties={"[": {}}), "patternProperties"),
        (an_object(properties={"a": {"pattern": "(?=a)b"}}), "properties.a.pattern: '(?=a)b' is no usable"),
        (an_object(properties={"a": {"pattern": "(a{900}){900}"}}), "properties.a.pattern: "),
        (
            {"$schema": "http://json-schema.org/draft-03/schema#"},
            "$schema: 'http://json-schema.org/draft-03/schema#' is not supported; write for https",
        ),
        (
            an_object(properties={f"p{i}": {"items": {"items": {}}} for i in range(1400)}),
            "schema: has more than 4000 subschemas",
        ),
        (nested(70), "schema: is nested more than 64 levels deep"),
        (nested(3000), "schema: is nested more than 200 levels deep"),
        (DOUBLING, "$defs.d29: holds each value against more than 5000 subschemas"),
        (an_object(additionalProperties=False), "schema: accepts the empty object alone"),
        (an_object(maxProperties=0), "schema: accepts the empty object alone"),
        (
            {"$ref": "#/$defs/e", "$defs": {"e": an_object(maxProperties=0)}},
            "schema: accepts the empty object",
        ),
        ({"type": "array", "maxItems": 0}, "maxItems: accepts the empty array alone"),
        ({"type": "string"}, "type: 'string' is no document; use an object"),
        ({"enum": [{}, [], None, "x", 3]}, "enum: allows no object with anything in it"),
        ({"const": {}}, "const: allows no object"),
    ],
)
def test_an_unusable_schema_is_refused_with_the_path(schema, line):
    found = CONTENTS.verdict(schema).refusal
    assert found is not None
    assert found.startswith(line)
    assert CONTENTS.placeholder("custom", schema) is None


@pytest.mark.parametrize(
    ("schema", "document", "line"),
    [
        (USABLE[1], {}, "document: is empty"),
        (USABLE[1], "text", "document: must be a JSON object, not 'text'"),
        (USABLE[1], {"nam": "x"}, "name: is missing"),
        (USABLE[1], {"name": 3}, "name: 3 is not of type 'string'"),
        (USABLE[12], {"v": None, "w": 1}, "w: unknown field"),
        (USABLE[4], {"code": "abc"}, "code: 'abc' does not match"),
        (USABLE[7], {"at": "soon"}, "at: 'soon' is not a 'date-time'"),
        (USABLE[13], {"x_a": "1"}, "x_a: '1' is not of type 'integer'"),
        (USABLE[16], {"value": 3, "child": {"value": 1}}, "child.value: 1 is less than the minimum of 3"),
        ({"$ref": "https://example.org"}, {"a": 1}, "schema: cannot be used: $ref: "),
        (DOUBLING, {"a": 1}, "schema: cannot be used: $defs.d29: holds each value"),
    ],
)
def test_a_document_that_does_not_follow_is_told_with_its_path(schema, document, line):
    found = CONTENTS.faults("custom", document, schema)
    assert found[0].startswith(line)


def test_a_pattern_made_to_hang_is_answered_at_once():
    schema = an_object(
        properties={"a": {"type": "string", "pattern": "^(a+)+$"}},
        patternProperties={"^(b+)+$": {}},
        additionalProperties=False,
    )
    found = CONTENTS.faults("custom", {"a": "a" * 5000 + "!", "b" * 5000 + "!": 1}, schema)
    assert len(found) == 2


def test_a_document_nested_without_end_is_refused():
    schema = an_object(properties={"a": {"$ref": "#"}})
    document: dict = {"a": {}}
    for _ in range(3000):
        document = {"a": document}
    assert CONTENTS.faults("custom", document, schema) == (
        "document: is nested more than 100 levels deep; make it flatter",
    )


def test_a_schema_that_nothing_can_follow_has_no_placeholder():
    schema = an_object(properties={"a": {"type": "string", "minLength": 9, "maxLength": 2}}, required=["a"])
    assert CONTENTS.placeholder("custom", schema) is None


JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])
LEAF = st.one_of(
    st.fixed_dictionaries({"type": TYPES}),
    st.builds(
        lambda low, size: {"type": "string", "minLength": low, "maxLength": low + size},
        st.integers(0, 20),
        st.integers(0, 20),
    ),
    st.builds(
        lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size},
        st.integers(-50, 50),
        st.integers(0, 9),
    ),
    st.builds(
        lambda values: {"enum": values}, st.lists(st.text(max_size=5), min_size=1, max_size=3, unique=True)
    ),
)
SCHEMA = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.builds(
            lambda fields, closed: an_object(
                properties=fields, required=sorted(fields)[:2], additionalProperties=not closed
            ),
            st.dictionaries(st.text("abcde", min_size=1, max_size=3), inner, max_size=3),
            st.booleans(),
        ),
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least},
            inner,
            st.integers(0, 3),
        ),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=6,
)


@examples(60)
@given(schema=SCHEMA, document=JSON_VALUE)
def test_any_schema_and_document_are_judged_as_the_standard_has_it(schema, document):
    refused = CONTENTS.verdict(schema).refusal
    found = CONTENTS.faults("custom", document, schema)
    if refused is None and isinstance(document, dict | list) and document:
        assert (found == ()) == Draft202012Validator(schema).is_valid(document)
    else:
        assert refused is not None or found
    placeholder = CONTENTS.placeholder("custom", schema)
    if placeholder is not None:
        assert Draft202012Validator(schema).is_valid(placeholder)


@examples(60)
@given(fields=st.dictionaries(st.text("abcde", min_size=1, max_size=3), LEAF, min_size=1, max_size=4))
def test_a_flat_object_always_gets_a_placeholder(fields):
    schema = an_object(properties=fields, required=sorted(fields), additionalProperties=False)
    assert CONTENTS.verdict(schema).refusal is None
    assert sorted(CONTENTS.placeholder("custom", schema)) == sorted(fields)


@examples(60)
@given(own=st.dictionaries(st.text(max_size=12), JSON_VALUE, max_size=4))
def test_any_json_object_is_judged_as_a_schema_and_never_crashes(own):
    assert CONTENTS.verdict(own).refusal is None or ": " in CONTENTS.verdict(own).refusal


@given(expression=st.text(max_size=30), text=st.text(max_size=5))
def test_any_text_is_judged_as_an_expression_and_never_crashes(expression, text):
    assert fault(expression) is None or not matches(expression, text)

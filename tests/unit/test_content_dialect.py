"""Schemas of older drafts: read by their own rules, and judged as the standard's library judges them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)

from contracts.content.registry import CONTENTS
from tests.profiles import examples

DRAFTS: dict[str, Any] = {
    "http://json-schema.org/draft-04/schema#": Draft4Validator,
    "http://json-schema.org/draft-06/schema#": Draft6Validator,
    "http://json-schema.org/draft-07/schema#": Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": Draft201909Validator,
    "https://json-schema.org/draft/2020-12/schema": Draft202012Validator,
}
D4, D6, D7, D19, D20 = DRAFTS


def verdict(schema: dict[str, Any]) -> Any:
    return CONTENTS.verdict(schema)


def fits(schema: dict[str, Any], document: Any) -> bool:
    return CONTENTS.faults("custom", document, schema) == ()


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"$schema": D4, "items": [{"type": "integer"}], "additionalItems": False}, [1], [1, 2]),
        ({"$schema": D7, "items": [{"type": "integer"}], "additionalItems": {"type": "null"}}, [1, None], [1, 2]),
        ({"$schema": D7, "items": [], "additionalItems": {"type": "null"}}, [None], [1]),
        ({"$schema": D7, "items": {"type": "null"}, "additionalItems": False}, [None], [1]),
        ({"$schema": D4, "properties": {"a": {"minimum": 3, "exclusiveMinimum": True}}}, {"a": 4}, {"a": 3}),
        ({"$schema": D4, "properties": {"a": {"maximum": 3, "exclusiveMaximum": False}}}, {"a": 3}, {"a": 4}),
        ({"$schema": D4, "properties": {"a": {"type": "integer"}}}, {"a": 1}, {"a": 1.0}),
        ({"$schema": D7, "dependencies": {"a": ["b"], "c": {"maxProperties": 1}}}, {"a": 1, "b": 2}, {"a": 1}),
        ({"$schema": D7, "dependencies": {"a": ["b"], "c": {"maxProperties": 1}}}, {"c": 1}, {"c": 1, "b": 2}),
        ({"$schema": D4, "id": "http://e.org/a", "definitions": {"q": {"type": "null"}},
          "properties": {"a": {"$ref": "http://e.org/a#/definitions/q"}}}, {"a": None}, {"a": 1}),
        ({"$schema": D7, "$id": "http://e.org/a.json", "definitions": {"q": {"$id": "b.json", "type": "null"}},
          "properties": {"a": {"$ref": "b.json"}}}, {"a": None}, {"a": 1}),
        ({"$schema": D7, "definitions": {"q": {"$id": "#q", "type": "null"}},
          "properties": {"a": {"$ref": "#q"}}}, {"a": None}, {"a": 1}),
        ({"$id": "urn:example:x", "$defs": {"q": {"type": "null"}},
          "properties": {"a": {"$ref": "urn:example:x#/$defs/q"}, "b": {"$ref": "#/$defs/q"}}}, {"b": None}, {"a": 1}),
        ({"$schema": D20.replace("https", "http"), "$defs": {"q": {"$schema": D20, "$id": "x", "type": "null"}},
          "properties": {"a": {"$ref": "x"}}}, {"a": None}, {"a": 1}),
        ({"components": {"schemas": {"P": {"type": "object", "properties": {"p": {"$ref": "#/components/schemas/P"}},
          "required": ["n"]}}}, "$ref": "#/components/schemas/P"}, {"n": 1, "p": {"n": 2}}, {"n": 1, "p": {}}),
        ({"properties": {"a": {"items": {"type": "null"}}, "b": {"$ref": "#/properties/a/items"}}}, {"b": None}, {"b": 1}),
        ({"$schema": D7, "$ref": "#/definitions/q", "definitions": {"q": {"required": ["a"]}}, "required": ["z"]}, {"a": 1}, {"z": 1}),
        ({"$schema": D19, "$recursiveAnchor": True, "properties": {"a": {"$recursiveRef": "#"}}, "required": ["n"]},
         {"n": 1, "a": {"n": 1}}, {"n": 1, "a": {}}),
        ({"$schema": D20, "$dynamicAnchor": "n", "properties": {"a": {"$dynamicRef": "#n"}}, "required": ["n"]},
         {"n": 1, "a": {"n": 1}}, {"n": 1, "a": {}}),
        ({"$schema": D7, "properties": {"a": {"$ref": "http://json-schema.org/draft-07/schema#"}}}, {"a": {"type": "string"}}, {"a": {"type": 3}}),
        ({"properties": {"a": {"divisibleBy": 2}}}, {"a": 2}, {"a": 3}),
        ({"properties": {"a": {"required": True}, "b": {"required": False}}}, {"a": 2}, {"b": 3}),
        ({"properties": {"a": {"type": "string", "nullable": True}}}, {"a": None}, {"a": 3}),
        ({"allOf": [{"properties": {"a": {}}}], "patternProperties": {"^x": {}}, "unevaluatedProperties": False}, {"a": 1, "x1": 2}, {"b": 1}),
        ({"prefixItems": [{}], "contains": {"const": 7}, "unevaluatedItems": False}, [1, 7], [1, 7, 2]),
    ],
)  # fmt: skip
def test_each_draft_is_read_by_its_own_rules(schema, good, bad) -> None:
    assert verdict(schema).refusal is None
    assert fits(schema, good)
    assert not fits(schema, bad)


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ({"$schema": D7, "$ref": "#/definitions/q", "definitions": {"q": {}}, "minProperties": 1}, "minProperties: has no effect beside $ref in draft-07"),
        ({"$schema": D4, "properties": {"a": {"const": 1}}}, "properties.a.const: is no keyword of draft-04; it is checked all the same"),
        ({"dependencies": {"a": ["b"]}}, "dependencies: is of an older draft; it is read as such, today's word is dependentRequired or dependentSchemas"),
        ({"properties": {"a": {"type": "string", "nullable": True}}}, 'properties.a.nullable: is OpenAPI\'s; it is read as "null" beside the type'),
        ({"properties": {"a": {"minLenght": 3}}}, "properties.a.minLenght: is no keyword, and nothing checks it; did you mean minLength?"),
        ({"propertes": {}}, "propertes: is no keyword, and nothing checks it; did you mean properties?"),
        ({"properties": {"a": {"format": "date_time"}}}, "properties.a.format: 'date_time' is not checked; did you mean 'date-time'?"),
        ({"properties": {"a": {"discriminator": {}}}}, "schema: discriminator is a note; it asks nothing of a document"),
        ({"$schema": "http://e.org/own"}, "$schema: is a dialect that is not known; it is read as https"),
        ({"definitely": 1}, "schema: definitely is no keyword, and nothing checks it"),
        ({"properties": {"a": {"required": True}}}, "properties.a.required: is of draft-03"),
    ],
)  # fmt: skip
def test_what_has_no_effect_or_another_one_is_a_warning_with_its_path(schema, line) -> None:
    found = verdict(schema)
    assert found.refusal is None
    assert found.warnings[0].startswith(line)


@pytest.mark.parametrize(
    "schema",
    [
        {
            "x-order": 1,
            "$comment": "c",
            "properties": {"a": {"format": "google-datetime", "x-nullable": True}},
        },
        {
            "$schema": D7,
            "$id": "http://e.org/a",
            "$ref": "#/definitions/q",
            "definitions": {"q": {"title": "t"}},
        },
        {"components": {"q": {"type": "object"}}, "$ref": "#/components/q"},
    ],
)
def test_annotations_are_no_warnings(schema) -> None:
    assert verdict(schema).warnings == ()


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "$schema: 'http://json-schema.org/draft-03/schema#' is not supported"),
        ({"$defs": {"a": {"$schema": "http://json-schema.org/draft-02/schema"}}}, "$defs.a.$schema: 'http://json-schema.org/draft-02/schema' is not supported"),
        ({"$id": "http://e.org/a", "properties": {"a": {"$ref": "b.json#/x"}}}, "properties.a.$ref: 'b.json#/x' is outside of this schema"),
        ({"properties": {"a": {"$ref": "#/$defs/q"}}}, "properties.a.$ref: '#/$defs/q' points to nothing"),
        ({"properties": {"a": {"$ref": "#/required"}}, "required": ["a"]}, "properties.a.$ref: '#/required' does not point to a subschema"),
        ({"properties": {"a": {"$ref": "#/x"}}, "x": {"type": "strin"}}, "x.type: 'strin' is no type"),
        ({"$defs": {"a": {"$anchor": "q"}, "b": {"$anchor": "q"}}}, "$defs.b.$anchor: 'q' is there twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_path(schema, line) -> None:
    assert (verdict(schema).refusal or "").startswith(line)


def _numbers(draft: int) -> Any:
    low = {"exclusiveMinimum": True, "minimum": 2} if draft == 0 else {"exclusiveMinimum": 2}
    return st.sampled_from([{"type": "integer"}, {"minimum": 2}, {"multipleOf": 2}, {"maximum": 3.5}, low])


def _schemas(draft: int) -> Any:
    """Schemas in the words of one draft, by its place in the list."""
    plain = st.one_of(
        _numbers(draft),
        st.sampled_from(
            [
                {},
                {"type": "string"},
                {"enum": [1, "a", None, {"a": 1}]},
                {"maxLength": 1},
                {"pattern": "^a"},
                {"type": ["null", "array"]},
            ]
        ),
        st.just({"$ref": "#/definitions/d", **({"maxLength": 0} if draft else {"minimum": 9})}),
        st.just({"$ref": "#"}),
    )

    def nest(inner: Any) -> Any:
        pairs = [
            st.builds(lambda a, b: {"properties": {"a": a, "b": b}}, inner, inner),
            st.builds(
                lambda a: {"properties": {"a": a}, "additionalProperties": False, "required": ["a"]}, inner
            ),
            st.builds(lambda a: {"patternProperties": {"^a": a}, "additionalProperties": a}, inner),
            st.builds(lambda a: {"items": a, "minItems": 1, "uniqueItems": True}, inner),
            st.builds(lambda a, b: {"allOf": [a, b]}, inner, inner),
            st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
            st.builds(lambda a, b: {"oneOf": [a, b]}, inner, inner),
            st.builds(lambda a: {"not": a}, inner),
        ]
        if draft < 4:
            pairs.append(st.builds(lambda a, b: {"items": [a], "additionalItems": b}, inner, inner))
        if draft < 3:
            pairs.append(st.builds(lambda a: {"dependencies": {"a": ["b"], "b": a}}, inner))
        if draft >= 1:
            pairs.append(st.builds(lambda a: {"contains": a, "propertyNames": {"maxLength": 1}}, inner))
        if draft >= 2:
            pairs.append(st.builds(lambda a, b, c: {"if": a, "then": b, "else": c}, inner, inner, inner))
        if draft >= 3:
            pairs.append(
                st.builds(lambda a: {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"b": a}}, inner)
            )
            pairs.append(
                st.builds(lambda a, b: {"anyOf": [a, b], "unevaluatedProperties": False}, inner, inner)
            )
            pairs.append(st.builds(lambda a: {"contains": a, "minContains": 0, "maxContains": 1}, inner))
        if draft == 4:
            pairs.append(st.builds(lambda a, b: {"prefixItems": [a], "items": b}, inner, inner))
            pairs.append(st.builds(lambda a: {"prefixItems": [a], "unevaluatedItems": False}, inner))
        return st.one_of(pairs)

    return st.recursive(plain, nest, max_leaves=5)


_VALUES = st.recursive(
    st.sampled_from([None, True, 0, 1, 2, 3, 4, 2.0, 2.5, "", "a", "ab", "b"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "ab", "c"]), inner, max_size=3),
    ),
    max_leaves=5,
)
_DOCUMENTS = st.one_of(
    st.lists(_VALUES, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "ab", "c"]), _VALUES, min_size=1, max_size=3),
)


#: Built once: that takes longer than to draw from them.
_BY_DRAFT = [_schemas(draft) for draft in range(5)]


@examples(60)
@given(data=st.data(), draft=st.integers(0, 4))
def test_documents_are_judged_as_the_drafts_own_validator_judges_them(data, draft) -> None:
    address, library = list(DRAFTS.items())[draft]
    own = data.draw(_BY_DRAFT[draft])
    defined = data.draw(_BY_DRAFT[draft])
    schema = {
        "$schema": address,
        "definitions": {"d": defined},
        "properties": {"a": own, "b": data.draw(_BY_DRAFT[draft])},
    }
    if verdict(schema).refusal is not None:
        return
    for document in data.draw(st.lists(_DOCUMENTS, min_size=3, max_size=3)):
        assert fits(schema, document) == library(schema).is_valid(document)

"""Does every document that a grammar let through follow its schema, and is what it cannot hold refused?"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from contracts.content.formats import FORMATS
from contracts.content.registry import MODELS, Registry
from contracts.content.verdict import Verdict
from infra.engine.engine import Engine
from infra.engine.grammar import check
from infra.engine.grammar_schema import AFTERWARDS, bounded
from infra.engine.task import EngineError, Task

CONTENTS = Registry()
#: What requests may bring, each with something that a grammar could get wrong.
OWN: dict[str, dict[str, Any]] = {
    "texts": {
        "properties": {"a": {"type": "string"}, "b": {"type": "string", "minLength": 3}},
        "required": ["a", "b"],
    },
    "pattern": {
        "properties": {"id": {"type": "string", "pattern": "^[a-z]{2}-[0-9]{3}$"}},
        "required": ["id"],
    },
    "pattern and length": {
        "properties": {"id": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5}},
        "required": ["id"],
    },
    "bounds": {"properties": {"n": {"type": "integer", "minimum": -3, "maximum": 12}}, "required": ["n"]},
    "exclusive": {
        "properties": {"n": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}},
        "required": ["n"],
    },
    "multiple": {"properties": {"n": {"type": "integer", "multipleOf": 7, "minimum": 1}}, "required": ["n"]},
    "no bounds": {"properties": {"n": {"type": "integer"}, "x": {"type": "number"}}, "required": ["n", "x"]},
    "enum": {"properties": {"e": {"enum": ["red", 3, None, True]}}, "required": ["e"]},
    "const": {"properties": {"c": {"const": {"fixed": [1, 2]}}}, "required": ["c"]},
    "list": {
        "properties": {"l": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4}},
        "required": ["l"],
    },
    "tuple": {
        "properties": {
            "t": {
                "type": "array",
                "prefixItems": [{"type": "string", "maxLength": 3}, {"type": "null"}],
                "items": False,
            }
        },
        "required": ["t"],
    },
    "optional": {"properties": {"a": {"type": "boolean"}, "b": {"type": "boolean"}}},
    "nested": {
        "properties": {"o": {"type": "object", "properties": {"k": {"type": "boolean"}}, "required": ["k"]}},
        "required": ["o"],
    },
    "reference": {
        "$defs": {"point": {"type": "object", "properties": {"x": {"enum": [1, 2]}}, "required": ["x"]}},
        "properties": {"p": {"$ref": "#/$defs/point"}, "q": {"$ref": "#/$defs/point"}},
        "required": ["p", "q"],
    },
    "recursion": {
        "properties": {"name": {"enum": ["leaf"]}, "inner": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
        "required": ["name", "inner"],
    },
    "choice": {
        "oneOf": [
            {
                "type": "object",
                "properties": {"kind": {"const": "a"}, "n": {"enum": [1]}},
                "required": ["kind", "n"],
            },
            {
                "type": "object",
                "properties": {"kind": {"const": "b"}, "s": {"enum": ["x"]}},
                "required": ["kind", "s"],
            },
        ]
    },
    "all of": {
        "properties": {"n": {"allOf": [{"type": "integer", "minimum": 2}, {"maximum": 5}]}},
        "required": ["n"],
    },
    "dates": {
        "properties": {"d": {"type": "string", "format": "date"}, "u": {"type": "string", "format": "uuid"}},
        "required": ["d", "u"],
    },
    "free values": {"additionalProperties": {"type": "boolean"}, "maxProperties": 2},
    "unicode": {"properties": {"schön": {"enum": ["größer", "雪"]}}, "required": ["schön"]},
    "two kinds": {"properties": {"v": {"type": ["boolean", "null"]}}, "required": ["v"]},
}


def own(name: str) -> dict[str, Any]:
    return (
        {"type": "object", "additionalProperties": False, **OWN[name]}
        if "oneOf" not in OWN[name]
        else OWN[name]
    )


def written(engine: Engine, schema: Any, count: int, **fields: Any) -> list[Any]:
    prompt = tuple(engine.loaded.tokenizer.encode("Write it."))
    futures = [
        engine.submit(
            Task(prompt=prompt, schema=schema, seed=seed, temperature=1.0, **{"max_tokens": 400, **fields})
        )
        for seed in range(count)
    ]
    return [future.result(120) for future in futures]


@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_compiles_and_all_its_keywords_are_enforced(kind) -> None:
    assert check(CONTENTS.schema(kind, None)) == Verdict()


@pytest.mark.parametrize("name", OWN)
def test_documents_of_random_weights_follow_a_requests_schema(engine: Engine, name) -> None:
    answers = written(engine, own(name), 4)
    ended = [answer for answer in answers if answer.finish_reason == "grammar"]
    # Random weights may write a text without end; what ended has to be right.
    assert ended or name in {"texts", "no bounds"}
    for answer in ended:
        jsonschema.validate(json.loads(answer.text), own(name))


@pytest.mark.parametrize("kind", MODELS)
def test_documents_of_random_weights_follow_their_kind_or_are_cut_off(engine: Engine, kind) -> None:
    schema = CONTENTS.schema(kind, None)
    for answer in written(engine, schema, 3):
        if answer.finish_reason == "grammar":
            jsonschema.validate(json.loads(answer.text), schema)
        else:
            assert answer.finish_reason == "length"
            with pytest.raises(json.JSONDecodeError):
                json.loads(answer.text)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"properties": {"a": {"type": "string", "not": {"const": ""}}}}, "properties.a.not"),
        ({"type": "array", "contains": {}}, "contains"),
        ({"if": {"properties": {"a": {"type": "string"}}}, "then": {"required": ["b"]}}, "if"),
        (
            {"properties": {"a": {"oneOf": [{"type": "object"}, {"type": "object", "maxProperties": 9}]}}},
            "properties.a.oneOf",
        ),
        ({"type": "array", "items": {"type": "string", "not": {"minLength": 3}}}, "items.not"),
        (
            {"properties": {"a": {"type": "string", "allOf": [{"pattern": f".*a.{{{n}}}b.*"} for n in (9, 8)]}}},
            "properties.a.allOf.1.pattern",
        ),
        ({"properties": {"a": {"pattern": "^(?!b)[a-z]$"}}}, "properties.a.pattern"),
        ({"properties": {"a": {"type": "number", "multipleOf": 1e-300}}}, "properties.a.multipleOf"),
        ({"patternProperties": {"^a": {"type": "integer"}, "b$": {"type": "string"}}}, "patternProperties"),
        ({"properties": {name: {} for name in "abcd"}, "maxProperties": 2}, "maxProperties"),
        ({"allOf": [{"properties": {"a": {}}, "unevaluatedProperties": False}, {"properties": {"b": {}}}]},
         "allOf.0.unevaluatedProperties"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"items": [{"type": "array", "uniqueItems": True}]}}},
         "properties.a.items.0.uniqueItems"),
    ],
)  # fmt: skip
def test_a_keyword_that_the_grammar_leaves_out_is_a_warning_with_its_path(schema, path) -> None:
    assert check(schema) == Verdict(warnings=(f"{path}: {AFTERWARDS}",))


def test_many_keywords_that_the_grammar_leaves_out_are_told_in_few_lines() -> None:
    fields = {f"p{index}": {"type": "array", "uniqueItems": True} for index in range(200)}
    found = check({"properties": fields}).warnings
    assert len(found) == 31
    assert found[-1] == "schema: has 170 more keywords that are checked after writing: uniqueItems"


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {}, "b": {}}},
        {"properties": {"a": {}, "b": {}, "c": {}}, "dependentRequired": {"a": ["b"]}, "required": ["c"]},
        {"properties": {"a": {}, "b": {}}, "not": {"required": ["a", "b"]}},
        {"properties": {"a": {"type": "object", "propertyNames": {"pattern": "^[a-z]{1,3}$"}}}},
        {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}], "unevaluatedProperties": False},
        {"properties": {"n": {"type": "integer", "multipleOf": 1000003}}},
        {"properties": {"n": {"type": "string", "format": "date", "maxLength": 10}}},
        {"properties": {f"p{index}": {"type": "integer"} for index in range(450)}},
        {
            "properties": {"kind": {"enum": ["x", "y"]}, "p": {"type": "integer"}},
            "if": {"properties": {"kind": {"const": "x"}}},
            "then": {"required": ["p"]},
            "required": ["kind"],
        },
        {
            "oneOf": [
                {"properties": {"t": {"const": name}, name: {}}, "required": ["t", name]} for name in "abc"
            ]
        },
    ],
)
def test_a_keyword_that_is_written_in_other_words_is_no_warning(schema) -> None:
    assert check(schema) == Verdict()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"a": {}}, "required": ["a"]}]},
        {"type": ["object", "null"], "properties": {"a": {}}},
        {"enum": [{"a": 1}, {}, 3]},
        {"$ref": "#/$defs/q", "$defs": {"q": {"type": ["object", "string"]}}},
        {"type": "array"},
        {},
    ],
)
def test_a_grammar_allows_neither_an_empty_document_nor_a_scalar(engine: Engine, schema) -> None:
    for answer in written(engine, schema, 6, max_tokens=60):
        assert answer.text[0] in "{["
        assert answer.text[:2] not in ("{}", "[]")


@pytest.mark.parametrize(
    "schema",
    [{"type": "string"}, {"enum": [{}, 3]}, {"type": "object", "maxProperties": 0}, {"allOf": [{"type": "array"}, {"type": "object"}]}],
)  # fmt: skip
def test_a_schema_without_a_document_has_no_grammar(schema) -> None:
    assert check(schema).refusal == "schema: no object with anything in it follows it; name its properties"


def test_no_blank_is_written_between_tokens_of_json(engine: Engine) -> None:
    (answer,) = written(engine, own("nested"), 1)
    assert answer.text in {'{"o":{"k":true}}', '{"o":{"k":false}}'}


def test_forced_tokens_are_most_of_a_rigid_document_and_change_nothing(engine: Engine, monkeypatch) -> None:
    (answer,) = written(engine, own("const"), 1)
    assert json.loads(answer.text) == {"c": {"fixed": [1, 2]}}
    assert answer.forced_tokens >= answer.completion_tokens / 2
    monkeypatch.setattr(engine.grammars, "forcing", False)
    (unforced,) = written(engine, own("const"), 1)
    assert (unforced.text, unforced.forced_tokens) == (answer.text, 0)


def test_a_document_that_is_cut_off_is_none(engine: Engine) -> None:
    (answer,) = written(engine, own("const"), 1, max_tokens=4)
    assert (answer.finish_reason, answer.completion_tokens) == ("length", 4)


def test_what_has_no_bound_gets_one_and_what_has_keeps_it() -> None:
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "list": {"type": "array", "items": {"type": "string", "maxLength": 3}},
            "count": {"type": "integer", "minimum": 2_000_000_000},
            "name": {"type": "string", "pattern": "^a$"},
            "type": {"enum": [{"type": "string"}]},
            "either": {"type": ["string", "null"]},
            "long": {"type": "string", "pattern": "^.{700,}$"},
            "open": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    assert bounded(schema)["additionalProperties"] is False
    assert bounded({"allOf": [schema]}) == bounded(schema)
    made = bounded(schema)["properties"]
    assert made["text"] == {"type": "string", "maxLength": 600}
    assert made["list"] == {
        "type": "array",
        "items": {"type": "string", "maxLength": 3},
        "maxItems": 64,
    }
    assert made["count"]["maximum"] >= made["count"]["minimum"] == 2_000_000_000
    assert made["name"] == {"type": "string", "pattern": "^a$", "maxLength": 600}
    assert made["type"] == schema["properties"]["type"]
    assert made["either"] == {"type": ["string", "null"], "maxLength": 600}
    assert made["long"]["maxLength"] == 800
    assert made["open"]["additionalProperties"]["maxLength"] == 600
    assert made["open"]["maxProperties"] == 64
    assert check(schema).refusal is None


def test_a_field_may_have_a_keywords_name() -> None:
    fields = {name: {"type": "string"} for name in ("type", "enum", "required", "properties", "maxLength")}
    made = bounded({"type": "object", "properties": fields})["properties"]
    assert made == {name: {"type": "string", "maxLength": 600} for name in fields}


def test_an_endless_schema_ends_as_length_or_document(engine: Engine) -> None:
    endless = {"$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n"}
    for answer in written(engine, endless, 4, max_tokens=60):
        assert answer.finish_reason in {"grammar", "length"}


def test_a_schema_that_cannot_be_used_fails_its_own_request(engine: Engine) -> None:
    with pytest.raises(EngineError, match="no object with anything in it follows it"):
        written(engine, {"type": "string"}, 1)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]},
        {"type": "object", "required": [f"r{index}" for index in range(65)]},
        {"type": "array", "items": {"type": "integer"}, "minItems": 1.0, "maxItems": 10**9},
        {"type": "array", "items": {"type": "integer"}, "uniqueItems": False, "minContains": 0},
        {"type": "object", "if": {}, "propertyNames": True, "dependentRequired": {}},
        {"type": "object", "$schema": "http://json-schema.org/draft-07/schema#", "markdownDescription": "x"},
        {"properties": {"n": {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1}}},
        {"properties": {"n": {"type": "number", "minimum": 0, "maximum": 1.7e308}}},
        {"properties": {"s": {"type": "string", "pattern": r"^\p{L}[a-z&&x]\d$", "maxLength": 3.0}}},
    ],
)
def test_what_the_validator_takes_is_made_a_grammar(schema) -> None:
    assert check(schema).refusal is None


def test_what_would_never_end_is_of_another_type_or_is_not_written() -> None:
    made = bounded({"properties": {"c": {"$ref": "#"}}, "required": ["c"]})
    assert "string" in made["$defs"]["d0"]["type"]
    endless = {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}
    made = bounded({"properties": {"a": {"const": 1}, "n": {"$ref": "#/$defs/n"}}, "$defs": {"n": endless}})
    assert list(made["properties"]) == ["a"]


def test_objects_are_closed_around_the_fields_that_all_parts_name() -> None:
    part = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    made = bounded(
        {"allOf": [part, {"$ref": "#/$defs/q"}], "$defs": {"q": {"properties": {"b": {"const": 1}}}}}
    )
    assert list(made["properties"]) == ["a", "b"]
    assert made["additionalProperties"] is False
    either = bounded(
        {**part, "anyOf": [{"properties": {"b": {"const": 1}}}, {"properties": {"c": {"const": 1}}}]}
    )
    assert [list(each["properties"]) for each in either["anyOf"]] == [["a", "b"], ["a", "c"]]


def test_a_field_that_is_required_and_nowhere_described_may_be_written() -> None:
    made = bounded({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]})
    assert made["additionalProperties"] is False
    assert made["properties"]["b"]["maxLength"] == 600


@pytest.mark.parametrize("name", FORMATS)
def test_documents_of_a_format_pass_the_validator_and_are_bounded(engine: Engine, name) -> None:
    schema = {
        "type": "object",
        "properties": {"v": {"type": "string", "format": name}},
        "required": ["v"],
        "additionalProperties": False,
    }
    for answer in written(engine, schema, 4, max_tokens=800):
        assert answer.finish_reason == "grammar"
        assert CONTENTS.faults("custom", json.loads(answer.text), schema) == ()

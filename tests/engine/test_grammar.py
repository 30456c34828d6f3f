"""Does every document that a grammar let through follow its schema, and is what it cannot hold refused?"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from contracts.content.formats import FORMATS
from contracts.content.registry import MODELS, Registry
from infra.engine.engine import Engine
from infra.engine.grammar import unsupported
from infra.engine.grammar_schema import bounded
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
    assert unsupported(CONTENTS.schema(kind, None)) is None


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
    ("schema", "said"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems: has no grammar; leave it out"),
        ({"not": {}}, "not: has no grammar; leave it out"),
        ({"type": "array", "contains": {}}, "contains: has no grammar; leave it out"),
        (
            {"type": "object", "dependentRequired": {"a": ["b"]}},
            "dependentRequired: has no grammar; leave it out",
        ),
        ({"if": {}, "then": {}}, "if: has no grammar; leave it out"),
        (
            {"type": "object", "propertyNames": {"maxLength": 3}},
            "propertyNames: has no grammar; leave it out",
        ),
        (
            {"type": "object", "unevaluatedProperties": False},
            "unevaluatedProperties: has no grammar; leave it out",
        ),
        (
            {"properties": {"a": {"oneOf": [{"type": "object"}, {"type": "object"}]}}},
            "properties.a.oneOf: the alternatives may overlap",
        ),
        ({"items": {"not": {}}}, "items.not: has no grammar"),
        (
            {"properties": {"n": {"type": "integer", "multipleOf": 1000003}}},
            "properties.n.multipleOf: 1000003 is too",
        ),
        (
            {"allOf": [{"pattern": ".*a.*"}, {"pattern": ".*b.*"}], "type": "string"},
            "allOf.0.pattern: combined with neighbouring parts it",
        ),
        ({"type": "string", "pattern": "(?=a)"}, "look-around"),
    ],
)
def test_what_a_grammar_cannot_hold_is_refused_by_name(schema, said) -> None:
    assert said in (unsupported(schema) or "")


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
    assert "additionalProperties" not in bounded({"allOf": [schema]})["allOf"][0]
    made = bounded(schema)["properties"]
    assert made["text"] == {"type": "string", "maxLength": 600}
    assert made["list"] == {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 64}
    assert made["count"]["maximum"] >= made["count"]["minimum"] == 2_000_000_000
    assert made["name"] == {"type": "string", "pattern": "^a$", "maxLength": 600}
    assert made["type"] == schema["properties"]["type"]
    assert made["either"] == {"type": ["string", "null"], "maxLength": 600}
    assert made["long"]["maxLength"] == 800
    assert made["open"]["additionalProperties"]["maxLength"] == 600
    assert made["open"]["maxProperties"] == 64
    assert unsupported(schema) is None


def test_a_field_may_have_a_keywords_name() -> None:
    fields = {name: {"type": "string"} for name in ("type", "enum", "required", "properties", "maxLength")}
    made = bounded({"type": "object", "properties": fields})["properties"]
    assert made == {name: {"type": "string", "maxLength": 600} for name in fields}


def test_an_endless_schema_ends_as_length_or_document(engine: Engine) -> None:
    endless = {"$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n"}
    for answer in written(engine, endless, 4, max_tokens=60):
        assert answer.finish_reason in {"grammar", "length"}


def test_a_schema_that_cannot_be_used_fails_its_own_request(engine: Engine) -> None:
    with pytest.raises(EngineError, match="uniqueItems"):
        written(engine, {"type": "array", "uniqueItems": True}, 1)


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
    assert unsupported(schema) is None


def test_the_word_all_of_changes_nothing_where_it_is_no_keyword() -> None:
    closed = {"type": "object", "properties": {"allOf": {"type": "integer"}}, "required": ["allOf"]}
    assert (
        bounded({**closed, "description": "see allOf", "examples": [{"allOf": 1}]})["additionalProperties"]
        is False
    )
    assert "additionalProperties" not in bounded({**closed, "allOf": [{"required": ["b"]}]})


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

"""Sketches of schemas, and the prompts that contain them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.content.registry import Registry
from contracts.content.sketch import sketch
from contracts.policy.quoting import extract_last_quote
from stages.structuring.prompts import compact_prompt, structuring_prompt

KINDS = Registry()
#: Tokens of each kind's compact prompt without a draft, by the tokenizer of SmolLM2, and its characters.
MEASURED = {
    "layout": (478, 1263),
    "plot": (186, 528),
    "scene": (209, 624),
    "dialogue": (194, 561),
    "transition": (180, 539),
}
#: That tokenizer was not installed when the test was written: characters stand for its tokens.
TOLERANCE = 1.04
NASTY = st.text(max_size=60) | st.text("<>{}%#\n \r\x00\x1b", max_size=60)


def fields(count: int) -> dict[str, object]:
    """Schema with fields that have the same pattern and the same union."""
    code = {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"}
    value = {"anyOf": [{"type": "object", "properties": {f"field_{each}": code}} for each in range(4)]}
    names = [f"a_long_name_of_field_{each}" for each in range(count)]
    return {"type": "object", "properties": {name: {"type": "array", "items": value} for name in names}}


@pytest.mark.parametrize(("kind", "measured"), MEASURED.items())
def test_the_prompt_of_a_kind_fits_a_small_window(kind: str, measured: tuple[int, int]) -> None:
    tokens, characters = measured
    assert tokens <= 500
    assert len(compact_prompt(kind, "", sketch(KINDS.schema(kind, None)))) <= characters * TOLERANCE


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "health": {"type": "integer", "minimum": 1, "maximum": 100},
                    "mood": {"enum": ["calm", "angry"]},
                    "loot": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
                },
                "required": ["name", "health", "loot"],
            },
            '{name: text, health: whole number 1-100, mood?: "calm"|"angry", loot: [text] 1-3}',
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text | null"),
        ({"type": ["number", "null"]}, "number|null"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "{any name: true|false}"),
        ({"prefixItems": [{"const": 1}], "items": False, "type": "array"}, "[1]"),
        (
            {"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": {"type": "null"}}}], "$defs": {"a": {"properties": {"x": {}}}}},
            "{x?: anything, y?: null}",
        ),
        ({"anyOf": [{"$ref": "#/anyOf/1"}, {"const": "x"}]}, '"x"'),
        ({"$ref": "#/nowhere"}, "anything"),
        ({}, "anything"),
    ],
)  # fmt: skip
def test_a_short_schema_is_one_line(schema: dict[str, object], expected: str) -> None:
    assert sketch(schema) == expected


def test_a_part_that_contains_itself_has_a_line() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    assert sketch({"$ref": "#/$defs/tree", "$defs": {"tree": tree}}) == "tree\ntree = {kids?: [tree]}"
    assert (
        sketch(tree | {"$defs": {"tree": {"$ref": "#"}}})
        == "{kids?: [Document]}\nDocument = {kids?: [Document]}"
    )


def test_descriptions_are_told_on_request() -> None:
    schema = {"properties": {"mood": {"type": "string", "description": " One word\nin French " + "x" * 99}}}
    assert sketch(schema) == "{mood?: text}"
    assert sketch(schema, described=True).startswith("{mood?: text (One word\nin French xxx")
    assert len(sketch(schema, described=True)) < 110


def test_a_long_sketch_tells_what_repeats_once() -> None:
    text = sketch(fields(12))
    first, union, *_ = text.split("\n")
    assert first.endswith("a_long_name_of_field_11?: [A_long_name_of_field_0]}")
    assert union.startswith("A_long_name_of_field_0 = {field_0?: field_0} | {field_1?: field_0}")
    assert text.endswith("\nfield_0 = text like ^[A-Z]{3}-[0-9]{4}$")
    assert text.count("[A-Z]") == 1


def test_neighbours_of_one_type_share_it_in_a_long_sketch() -> None:
    names = [f"name_of_a_number_{each}" for each in range(60)]
    schema = {"properties": {name: {"type": "number"} for name in names}, "required": names[1:]}
    assert sketch(schema) == f"{{name_of_a_number_0?, {', '.join(names[1:])}: number}}"


def test_branches_of_branches_are_not_multiplied() -> None:
    """A part that two unions name is told once, however deep they are nested."""
    parts = {
        f"p{each}": {
            "properties": {
                name: {"anyOf": [{"$ref": f"#/$defs/p{each + 1}"}, {"type": "null"}]} for name in "abcdefgh"
            }
        }
        for each in range(40)
    }
    assert len(sketch({"$ref": "#/$defs/p0", "$defs": parts})) < 10_000


SCHEMAS = st.recursive(
    st.sampled_from(
        [True, False, {}, {"type": "string"}, {"$ref": "#"}, {"$ref": "#/$defs/a"}, {"enum": [1]}]
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string", "number", ["object", "null"]]),
            "properties": st.dictionaries(st.text(max_size=3), inner, max_size=3),
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=4),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "$defs": st.fixed_dictionaries({"a": inner}),
        },
    ),
    max_leaves=12,
)


@given(SCHEMAS)
def test_every_schema_has_a_sketch(schema: object) -> None:
    assert sketch(schema if isinstance(schema, dict) else {}, described=True)


@given(kind=st.sampled_from(list(MEASURED)), draft=NASTY, text=NASTY, errors=st.lists(NASTY, max_size=2))
def test_nothing_that_others_wrote_leaves_its_markers(
    kind: str, draft: str, text: str, errors: list[str]
) -> None:
    made = compact_prompt(kind, draft, text, tuple(errors))
    assert (
        made.count("<<<\n")
        == made.count("\n>>>\n")
        == made.count("<<<")
        == made.count(">>>")
        == 2 + bool(errors)
    )
    assert extract_last_quote(made) == extract_last_quote(
        structuring_prompt(kind, draft, text, tuple(errors))
    )

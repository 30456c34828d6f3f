"""Which documents are valid content of a built-in kind, and how are the others refused?"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.content.registry import CONTENTS, MODELS, UnknownKindError
from contracts.kinds import KINDS

SAMPLES = Path(__file__).parents[2] / "golden_samples"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
#: Keywords that a grammar compiler refuses by name.
UNWANTED = {
    "uniqueItems",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "dependentRequired",
    "propertyNames",
    "oneOf",
}


def sample(name: str) -> dict:
    return json.loads((SAMPLES / f"sample_{name}.json").read_text(encoding="utf-8"))


def places(schema):
    yield schema
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for each in inner:
        yield from places(each)


def test_every_kind_but_custom_has_a_model():
    assert {*MODELS, "custom"} == set(KINDS)


@pytest.mark.parametrize("name", ["simple_geometry", "asset_intensive", "complex_structure"])
def test_the_first_golden_samples_are_layouts_as_they_are(name):
    assert [kind for kind in MODELS if not CONTENTS.faults(kind, sample(name), None)] == ["layout"]


@pytest.mark.parametrize("kind", MODELS)
def test_a_placeholder_is_valid_and_says_what_it_is(kind):
    document = CONTENTS.placeholder(kind, None)
    assert CONTENTS.faults(kind, document, None) == ()
    shown = {
        "scene_name",
        "title",
        "premise",
        "purpose",
        "name",
        "text",
        "narration",
        "outcome",
        "place",
        "mood",
    }
    texts = [
        value
        for place in places(document)
        if isinstance(place, dict)
        for key, value in place.items()
        if key in shown and isinstance(value, str)
    ]
    assert texts
    assert all("[placeholder]" in text for text in texts)


@pytest.mark.parametrize("kind", MODELS)
def test_a_placeholder_is_a_copy(kind):
    CONTENTS.placeholder(kind, None).clear()
    assert CONTENTS.placeholder(kind, None)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("document", [{}, [], "", None])
def test_an_empty_document_is_never_content(kind, document):
    assert CONTENTS.faults(kind, document, None) == ("document: is empty",)


@pytest.mark.parametrize("kind", MODELS)
def test_a_schema_holds_nothing_that_a_grammar_compiler_refuses(kind):
    keywords = {
        key for place in places(CONTENTS.schema(kind, None)) if isinstance(place, dict) for key in place
    }
    assert not keywords & UNWANTED


@pytest.mark.parametrize("kind", MODELS)
def test_every_text_and_list_of_a_schema_is_bounded(kind):
    for place in places(CONTENTS.schema(kind, None)):
        if not isinstance(place, dict):
            continue
        if place.get("type") == "string":
            assert {"maxLength", "pattern", "enum", "const"} & set(place), place
        if place.get("type") == "array":
            assert "maxItems" in place, place
        if place.get("type") == "object":
            assert place["additionalProperties"] is False, place


@pytest.mark.parametrize("kind", MODELS)
def test_an_accepted_document_follows_the_schema_too(kind):
    schema = CONTENTS.schema(kind, None)
    found = [sample(path.stem.removeprefix("sample_")) for path in SAMPLES.glob("sample_*.json")]
    mine = [document for document in found if not CONTENTS.faults(kind, document, None)]
    assert mine
    for document in mine:
        assert CONTENTS.faults("custom", document, schema) == ()


@pytest.mark.parametrize("kind", MODELS)
@given(document=ANY_JSON)
def test_any_json_is_judged_and_never_crashes(kind, document):
    lines = CONTENTS.faults(kind, document, None)
    assert lines
    assert all(": " in line for line in lines)


@given(extra=st.text(min_size=1, max_size=12), value=ANY_JSON)
def test_a_field_that_nobody_knows_is_named(extra, value):
    document = sample("simple_geometry")
    entity = document["entities"][0]
    if extra in CONTENTS.schema("layout", None)["$defs"]["Platform"]["properties"]:
        return
    entity[extra] = value
    assert CONTENTS.faults("layout", document, None) == (f"entities.0.{extra}: unknown field",)


@pytest.mark.parametrize(
    ("entity", "line"),
    [
        ({"id": "a", "type": "dragon"}, "entities.0.type: 'dragon' is unknown; use one of 'platform', "),
        ({"id": "a"}, "entities.0.type: is missing"),
        ({"type": "player", "x": 1, "y": 2}, "entities.0.id: is missing"),
        ({"id": "a", "type": "player", "x": "1", "y": 2}, "entities.0.x: should be a valid number, not '1'"),
        (
            {"id": "a", "type": "player", "x": True, "y": 2},
            "entities.0.x: should be a valid number, not True",
        ),
        ({"id": "a", "type": "player", "x": 1e9, "y": 2}, "entities.0.x: should be less than or equal to"),
        ({"id": "a", "type": "player", "x": float("nan"), "y": 2}, "entities.0.x: should be"),
        ({"id": "a b", "type": "player", "x": 1, "y": 2}, "entities.0.id: 'a b' does not match"),
        (
            {"id": "a", "type": "platform", "x": 1, "y": 2, "width": None},
            "entities.0.width: must not be null",
        ),
        ({"id": "a", "type": "background_color", "color": "blue"}, "entities.0.color: 'blue' does not match"),
        ({"id": "a", "type": "player", "x": 1, "y": 2, "player": 1}, "entities.0.player: unknown field"),
        (7, "entities.0: must be an object, not 7"),
    ],
)
def test_a_faulty_entity_is_told_with_its_path(entity, line):
    found = CONTENTS.faults("layout", {"scene_name": "x", "entities": [entity]}, None)
    assert found[0].startswith(line)
    assert len(found) == 1


def test_a_fault_inside_a_layer_is_told_with_its_path():
    document = sample("complex_structure")
    document["layers"][1]["entities"][0]["colour"] = "red"
    document["layers"][2]["opacity"] = 1
    assert CONTENTS.faults("layout", document, None) == (
        "layers.1.entities.0.colour: unknown field",
        "layers.2.opacity: unknown field",
    )


def test_ids_are_unique_across_layers():
    document = sample("complex_structure")
    document["layers"][1]["entities"][0]["id"] = "sky"
    assert CONTENTS.faults("layout", document, None) == (
        "document: entity id 'sky' is used twice; ids must be unique",
    )


@pytest.mark.parametrize("body", [{}, {"entities": []}, {"layers": []}])
def test_a_layout_without_anything_in_it_is_refused(body):
    assert CONTENTS.faults("layout", {"scene_name": "x", **body}, None) != ()


def test_the_faults_of_one_document_are_bounded():
    document = {"scene_name": "x", "entities": [{"id": "a", "type": "dragon" * 50}] * 400}
    found = CONTENTS.faults("layout", document, None)
    assert len(found) <= 20
    assert all(len(line) < 700 for line in found)


@pytest.mark.parametrize("tension", [0, 11, 5.5, "5", True])
def test_tension_is_a_whole_number_from_1_to_10(tension):
    document = sample("plot_lighthouse")
    document["beats"][1]["tension"] = tension
    (line,) = CONTENTS.faults("plot", document, None)
    assert line.startswith("beats.1.tension: ")


def test_a_choice_leads_to_a_line_that_exists():
    document = sample("dialogue_lost_key")
    document["lines"][1]["choices"][0]["goto"] = "nowhere"
    (line,) = CONTENTS.faults("dialogue", document, None)
    assert "'nowhere'" in line


def test_listed_speakers_are_all_who_speak():
    document = sample("dialogue_lost_key")
    document["lines"][0]["speaker"] = "A neighbour"
    (line,) = CONTENTS.faults("dialogue", document, None)
    assert line == "document: lines.0.speaker 'A neighbour' is not listed in speakers"


def test_beats_of_a_transition_stay_in_order_and_in_time():
    document = sample("transition_tide")
    document["beats"][0]["at_s"] = 7
    assert "before the beat ahead" in CONTENTS.faults("transition", document, None)[0]
    document["beats"] = [{"purpose": "Late.", "text": "Late.", "at_s": 99}]
    assert "after the end (18)" in CONTENTS.faults("transition", document, None)[0]


def test_blanks_are_no_text():
    document = sample("scene_greenhouse")
    document["narration"] = " \n "
    assert CONTENTS.faults("scene", document, None) == ("narration: must say something, not only blanks",)


@pytest.mark.parametrize("kind", ["song", "custom"])
def test_a_kind_without_a_model_is_told(kind):
    with pytest.raises(UnknownKindError, match="kinds with one are layout"):
        CONTENTS.model(kind)


def test_custom_needs_its_schema():
    with pytest.raises(UnknownKindError, match="needs the request's schema"):
        CONTENTS.faults("custom", {"a": 1}, None)

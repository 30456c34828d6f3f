"""Are the synthetic documents valid, true to their wishes, and the same for the same seed?"""

import hashlib
import json

import pytest

from contracts.content.registry import CONTENTS, CUSTOM, MODELS
from infra.lab.house_model.clues import What
from infra.lab.house_model.evaluate import HANDMADE, leaves, says, true_to
from infra.lab.house_model.generate import GRAMMARS, example
from infra.lab.house_model.wishes import STYLES
from infra.lab.house_model.words import HAZARDS, NAMES, NOUNS, held_out


def some(kind, count, *, unseen=False):
    return [example(77, index, kind=kind, unseen=unseen) for index in range(count)]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("unseen", [False, True])
def test_documents_are_valid(kind, unseen):
    faults = [CONTENTS.faults(kind, one.document, None) for one in some(kind, 300, unseen=unseen)]
    assert [each for each in faults if each] == []


@pytest.mark.parametrize("kind", MODELS)
def test_fields_are_in_the_order_of_the_schema(kind):
    def ordered(value, schema, root):
        while "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        if isinstance(value, list):
            return all(ordered(item, schema["items"], root) for item in value)
        if not isinstance(value, dict):
            return True
        for branch in schema.get("anyOf", []):
            if "$ref" in branch:
                inner = root["$defs"][branch["$ref"].rsplit("/", 1)[1]]
                kinds = inner["properties"]["type"]
                if value["type"] in (kinds.get("const"), *kinds.get("enum", [])):
                    return ordered(value, inner, root)
        known = [name for name in schema["properties"] if name in value]
        return known == list(value) and all(
            ordered(item, schema["properties"][name], root) for name, item in value.items()
        )

    schema = CONTENTS.schema(kind, None)
    assert all(ordered(one.document, schema, schema) for one in some(kind, 200))


def test_custom_documents_are_objects_with_something_in_them():
    assert all(one.document for one in some(CUSTOM, 200))


@pytest.mark.parametrize("kind", GRAMMARS)
def test_prose_keeps_what_the_wish_names(kind):
    lost = [
        (one.wish, fact)
        for one in some(kind, 300, unseen=True)
        for fact in one.facts
        if not says(one.prose, fact)
    ]
    assert lost == []


@pytest.mark.parametrize("kind", GRAMMARS)
def test_json_says_only_what_the_prose_says(kind):
    untrue = [
        (path, value, one.prose)
        for one in some(kind, 300)
        for path, value in leaves(one.document)
        if not true_to(one.prose, path, value)
    ]
    assert untrue == []


def test_one_seed_and_index_make_one_document_for_ever():
    text = "".join(one.wish + one.prose + one.json for one in (example(20, index) for index in range(200)))
    assert hashlib.sha256(text.encode()).hexdigest().startswith("a69f1a5bd46fc968")


def test_another_seed_makes_other_documents():
    assert [example(1, index).wish for index in range(20)] != [example(2, index).wish for index in range(20)]


def test_words_of_the_evaluation_are_never_trained_on():
    trained = {
        word
        for index in range(2000)
        for fact in example(20, index).facts
        if fact.what in (What.ELEMENT, What.AVOID)
        for word in (fact.text,)
        if word not in HAZARDS
    }
    assert trained
    assert [word for word in trained if held_out(word)] == []
    assert any(held_out(word) for word in NOUNS)
    assert any(held_out(word) for word in NAMES)


@pytest.mark.parametrize("style", STYLES)
def test_wishes_name_what_the_facts_say(style):
    for index in range(300):
        one = example(5, index, style=style)
        for fact in one.facts:
            if fact.what in (What.ELEMENT, What.AVOID):
                assert fact.text.lower() in one.wish.lower(), (one.wish, fact)


def test_json_is_compact():
    one = example(3, 3)
    assert json.loads(one.json) == one.document
    assert one.json == json.dumps(one.document, ensure_ascii=False, separators=(",", ":"))


def test_handmade_wishes_cover_every_built_in_kind():
    assert {one.kind for one in HANDMADE} == set(MODELS)

"""Do layers make the node that they should, and is it known which of them said what?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.kinds import KINDS
from contracts.nodes import layers
from contracts.nodes.field_aliases import resolve_aliases
from contracts.nodes.layers import ORDER, merge_layers
from contracts.nodes.node import Node
from infra.lab.docgen.nodes import EXAMPLE

_LEAVES = st.none() | st.booleans() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2)
_FIELDS = st.recursive(
    st.dictionaries(st.sampled_from("abc"), _LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), _LEAVES | inner, max_size=3),
    max_leaves=6,
)


def test_the_order_is_the_documented_one() -> None:
    assert ORDER == ("defaults", "template", "node", "rules", "request")


@pytest.mark.parametrize("layer", ORDER)
def test_each_layer_wins_over_those_below_it(layer: str) -> None:
    height = ORDER.index(layer)
    merged = merge_layers({each: {"purpose": each} for each in ORDER[: height + 1]})
    assert merged.values == {"purpose": layer}
    assert merged.set_by == {"purpose": layer}


def test_the_order_in_which_layers_are_given_does_not_matter() -> None:
    said = {layer: {"purpose": layer, layer: 1} for layer in ORDER}
    assert merge_layers(said) == merge_layers(dict(reversed(said.items())))


def test_fields_are_merged_however_deep() -> None:
    merged = merge_layers(
        {"template": {"style": {"pacing": "slow", "mood_to": "calm"}}, "node": {"style": {"pacing": "fast"}}}
    )
    assert merged.values == {"style": {"pacing": "fast", "mood_to": "calm"}}
    assert merged.set_by == {"style.pacing": "node", "style.mood_to": "template"}


def test_a_list_replaces_the_list_below_it() -> None:
    below, above = {"constraints": {"avoid_elements": ["a", "b"]}}, {"constraints": {"avoid_elements": ["c"]}}
    merged = merge_layers({"template": below, "node": above})
    assert merged.values == above
    assert merged.set_by == {"constraints.avoid_elements": "node"}


def test_null_takes_back_what_was_said_below() -> None:
    merged = merge_layers({"template": {"style": {"pacing": "slow"}}, "rules": {"style": None}})
    assert merged.values == {"style": None}
    assert merged.set_by == {"style": "rules"}


def test_what_comes_after_null_starts_anew() -> None:
    said = {
        "template": {"style": {"pacing": "slow"}},
        "node": {"style": None},
        "rules": {"style": {"mood_to": "x"}},
    }
    merged = merge_layers(said)
    assert merged.values == {"style": {"mood_to": "x"}}
    assert merged.set_by == {"style.mood_to": "rules"}


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(KeyError, match="no layer 'player'; layers are defaults, template"):
        merge_layers({"player": {}})


def test_the_documented_example_shows_every_rule() -> None:
    merged = merge_layers(EXAMPLE)
    assert merged.values["style"] == {"mood_from": None, "mood_to": "tense", "pacing": "fast"}
    assert merged.values["constraints"] == {"required_elements": ["phone_ring"]}
    assert set(merged.set_by.values()) == {"node", "rules", "request"}


def test_a_templates_name_is_no_nodes_name() -> None:
    assert layers.template_layer({"id": "t1", "version": 2}) == {"template_id": "t1", "version": 2}
    assert layers.template_layer({"version": 2}) == {"version": 2}


def test_every_kind_has_a_purpose_and_a_strategy_by_default() -> None:
    purposes = {kind: layers.default_layer(kind)["purpose"] for kind in KINDS}
    assert purposes == dict.fromkeys(KINDS, "original") | {"transition": "gap_fill"}
    assert {layers.default_layer(kind)["strategy"] for kind in (None, *KINDS)} == {"always"}


def test_a_purpose_that_is_taken_back_is_the_usual_one_again() -> None:
    merged = merge_layers(
        {
            "defaults": layers.default_layer("plot"),
            "template": {"purpose": "variation"},
            "node": {"purpose": None},
        }
    )
    assert (merged.values["purpose"], merged.set_by["purpose"]) == ("original", "defaults")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(ORDER, _FIELDS)))
def test_layers_stay_as_they_are_and_every_value_has_an_owner(said: dict[str, Any]) -> None:
    before = repr(said)
    merged = merge_layers(said)
    assert repr(said) == before
    for path, layer in merged.set_by.items():
        mine: Any = said[layer]
        whole: Any = merged.values
        for name in path.split("."):
            mine, whole = mine[name], whole[name]
        assert mine == whole


@given(_FIELDS)
def test_one_layer_alone_is_what_it_says(fields: dict[str, Any]) -> None:
    assert merge_layers({"node": fields}).values == fields


def test_both_spellings_are_read_at_every_level() -> None:
    camel = {"generationType": "scene", "fallback": {"timeoutMs": 5}}
    snake = {"generation_type": "scene", "fallback": {"timeout_ms": 5}}
    assert resolve_aliases(camel, Node).value == resolve_aliases(snake, Node).value == snake
    assert Node.model_validate(camel) == Node.model_validate(snake)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"fallback": {"timeoutMs": 5}}, "fallback.timeoutMs"),
        ({"fallback": {"timeout_ms": 5}}, "fallback.timeout_ms"),
        ({"generation_type": "scene"}, "fallback.timeout_ms"),
        ({"generationType": "scene"}, "fallback.timeoutMs"),
        ({}, "fallback.timeoutMs"),
    ],
)
def test_paths_are_spelled_as_their_author_does(node: Any, said: str) -> None:
    assert resolve_aliases(node, Node).path(("fallback", "timeout_ms")) == said


def test_a_path_can_always_be_printed() -> None:
    for bad in ("\ud800", "\x9b", "\u202e", "\n"):
        path = resolve_aliases({bad * 500: 1}, Node).path((bad * 500,))
        assert len(path) == 200
        assert path.isprintable()


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_can_generate_every_kind(kind: str) -> None:
    assert Node.model_validate({"generation_type": kind}).generation_type == kind


@pytest.mark.parametrize("kind", ["plots", 3, ["plot"]])
def test_a_node_cannot_generate_what_is_no_kind(kind: object) -> None:
    with pytest.raises(ValidationError, match="Input should be 'layout', 'plot'"):
        Node.model_validate({"generation_type": kind})

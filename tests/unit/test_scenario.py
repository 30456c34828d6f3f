"""Which requests does a file ask for, and what is said of a file that asks wrongly?"""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.outcome import Emit
from infra.app import warmup
from infra.authoring import workload
from infra.authoring.workload import WorkloadError, WorkloadItem, read
from tests.unit.test_context_build import TEMPLATES, built

SHIPPED = workload.THREE_SCENES.read_text(encoding="utf-8")
GRAPH = """\
scenes:
  - {id: a, mood: calm}
  - {id: b}
request:
  prompt: the way
  templateId: night_v1
  tags: [x]
transitions:
  - {from: a, to: b}
  - {from: b, to: a, prompt: the way back, template_id: day_v1}
"""


def order(wanted: WorkloadItem, **more: int) -> warmup.Order:
    return warmup.order(wanted, wanted.kind or "layout", templates=TEMPLATES, **more)


def test_three_scenes_are_bridged_by_one_node() -> None:
    wanted = read(SHIPPED)
    assert [(each.name, each.kind) for each in wanted] == [
        ("rooftop to stairwell", "transition"),
        ("stairwell to quay", "transition"),
    ]
    nodes = [each.body["node"] for each in wanted]
    assert nodes[0] == nodes[1]
    assert wanted[0].body["scene_to"] == wanted[1].body["scene_from"]
    for each, ends in zip(wanted, (("romantic", "tense"), ("tense", "calm")), strict=True):
        outcome = built("transition", **each.body)
        assert isinstance(outcome, Emit)
        (made,) = outcome.events
        assert f"mood from: {ends[0]}\nmood to: {ends[1]}" in made.brief.prompt
        assert made.trail.warnings == ()
        assert order(each).kept


def test_a_transition_says_what_all_say_and_its_own_goes_first() -> None:
    there, back = read(GRAPH)
    assert there.body == {
        "prompt": "the way",
        "template_id": "night_v1",
        "tags": ["x"],
        "scene_from": {"id": "a", "mood": "calm"},
        "scene_to": {"id": "b"},
    }
    assert (back.body["prompt"], back.body["template_id"]) == ("the way back", "day_v1")


LIST = [{"kind": "plot", "prompt": "a heist"}, {"prompt": "a forest", "templateId": "x"}]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(LIST),
        "\n".join(map(json.dumps, LIST)),
        "- {kind: plot, prompt: a heist}\n- {prompt: a forest, templateId: x}\n",
    ],
)
def test_a_list_is_json_yaml_or_json_lines(text: str) -> None:
    assert read(text) == (
        WorkloadItem(name="request 1", kind="plot", body={"prompt": "a heist"}),
        WorkloadItem(name="request 2", kind=None, body={"prompt": "a forest", "template_id": "x"}),
    )


def test_one_request_is_a_list_of_one() -> None:
    (only,) = read('{"prompt": "a forest"}')
    assert (only.name, only.body) == ("request 1", {"prompt": "a forest"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("[]", "it is empty"),
        ("{", "line 1, column 2: invalid JSON"),
        ("- 3", "request 1 is no object; write one such as {kind: plot, prompt: a heist}"),
        ('{"prompt": "x"}\n{"prompt": }', "line 2 is not JSON"),
        ("- {kind: 3, prompt: x}", "request 1: kind: Input should be a valid string"),
        (GRAPH.replace("to: b", "to: c"), "line 9, column 15: transitions.0.to: there is no scene 'c'; there are a, b"),
        (GRAPH.replace("{id: b}", "{id: a}"), "scene 'a' is used twice"),
        (GRAPH.replace("id: b", "name: b"), "scenes.1.id: Field required"),
        (GRAPH.replace("transitions:", "bridges:"), "transitions: Field required"),
        ("scenes: [{id: a}]\ntransitions: &t\n  - {from: a, to: a, x: *t}", "transitions.0.x"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        read(text)
    assert said in str(caught.value)


@given(st.text(max_size=80) | st.text(alphabet='{}[]:,-\n "abc', max_size=60))
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    with suppress(WorkloadError):
        assert read(text)


def test_a_player_is_named_for_all_whatever_the_file_says() -> None:
    (given_,) = read('[{"prompt": "x", "playerContext": {"playerId": "p-1", "choices": {"a": 1}}}]')
    made = workload.played(given_, player=None, playthrough="pt-9")
    assert made.body["player_context"] == {
        "player_id": "p-1",
        "choices": {"a": 1},
        "playthrough_id": "pt-9",
    }
    assert workload.played(given_, player=None, playthrough=None) is given_


def test_an_id_follows_from_what_is_asked_for() -> None:
    first, second = map(order, read(SHIPPED))
    assert first.stem != second.stem
    same = json.dumps(
        [dict(reversed(list(each.body.items()))) | {"kind": each.kind} for each in read(SHIPPED)]
    )
    assert [order(each).stem for each in read(same)] == [first.stem, second.stem]
    # Patience shapes nothing.
    assert order(read(SHIPPED)[0], deadline_ms=5).stem == first.stem
    assert order(read(SHIPPED.replace("target: 30", "target: 31"))[0]).stem != first.stem


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, False),
        ({"node": {"strategy": "once"}}, True),
        ({"node": {"strategy": "always"}}, False),
        ({"template_id": "arrival_scene_v1"}, True),
        ({"template_id": "aftermath_scene_v1"}, False),
        ({"template_id": "aftermath_scene_v1", "player_context": {"playthrough_id": "pt"}}, True),
        ({"node": {"strategy": "per_player"}, "player_context": {"playthrough_id": "pt"}}, False),
    ],
)  # fmt: skip
def test_it_is_known_what_no_cache_keeps(fields: dict[str, object], kept: bool) -> None:  # noqa: FBT001
    fields = {"prompt": "x", **fields}
    if "node" in fields:
        fields["node"] = {"generationType": "scene", "purpose": "original", **fields["node"]}
    assert order(WorkloadItem(name="x", kind="scene", body=fields)).kept is kept

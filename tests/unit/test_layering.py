"""Do template, node, rules and request come to what the documented order says, and is it known who said what?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events as ev
from contracts import request
from contracts.errors import ErrorCode
from contracts.nodes.node import (
    FILM_RATINGS,
    FallbackMode,
    Pacing,
    Rating,
    SeedSource,
    Strategy,
    TransitionType,
)
from contracts.nodes.rules import fields, limits
from contracts.outcome import Emit, Fail, Reject
from contracts.policy.quoting import extract_last_quote
from contracts.request import read
from infra.stores import templates
from stages.context_build.layering import merge_node
from tests import lives
from tests.unit.rules.written import EXAMPLE as RULES
from tests.unit.test_context_build import SAMPLES, TEMPLATES, WORLDS, built

FIRST = "romantic_to_action_transition_v1"
ACCEPTED = {"choices": {"quest_accept": True}}


def asked(kind: str = "transition", **fields: Any) -> Any:
    return built(kind, **fields)


def event(kind: str = "transition", **fields: Any) -> ev.ContextBuilt:
    outcome = asked(kind, **fields)
    assert isinstance(outcome, Emit), outcome
    *_, made = outcome.events
    assert isinstance(made, ev.ContextBuilt)
    return made


def told(made: ev.ContextBuilt) -> list[str]:
    """The lines below the wish."""
    return extract_last_quote(made.brief.prompt).splitlines()[1:]


def laid(**fields: Any) -> Any:
    body = json.dumps({"prompt": "x", **fields}).encode()
    return merge_node(
        read(body, "transition"), body, "transition", samples=SAMPLES, templates=TEMPLATES, worlds=WORLDS
    )


def refusal(kind: str = "transition", **fields: Any) -> str:
    outcome = asked(kind, **fields)
    assert isinstance(outcome, Reject), outcome
    assert outcome.code is ErrorCode.GEN_INVALID_REQUEST
    return outcome.message


def test_the_first_template_and_the_rule_example_come_to_what_both_say() -> None:
    made = event(template_id=FIRST, rules=RULES, player_context=ACCEPTED)
    assert told(made) == [
        "rating: romantic",
        "mood from: romantic",
        "mood to: determined",
        "pacing: fast",
        "transition type: gradual",
        "duration in seconds: 20-40, target 30",
        "required elements: phone_ring, kiss_callback",
        "avoid elements: violence",
        "content rules: build_tension_gradually, maintain_character_continuity",
    ]
    assert made.brief.required_elements == ("phone_ring", "kiss_callback")
    assert made.brief.avoid_elements == ("violence",)
    assert made.brief.deadline_at_ms == lives.START_MS + 4000
    assert made.brief.prompt_version == "transition@2"


def test_another_choice_is_another_branch() -> None:
    made = event(template_id=FIRST, rules=RULES, playerContext={"choices": {"quest_accept": False}})
    assert told(made)[2:4] == ["mood to: reflective", "pacing: slow"]


def test_each_decision_names_its_layer_and_a_rules_line() -> None:
    made = event(
        template_id=FIRST,
        node={"style": {"transitionType": "abrupt"}},
        rules=RULES + "INCLUDE door\n",
        player_context=ACCEPTED,
        fallback={"timeout_ms": 900},
    )
    by = {(each.field, each.by, each.line): each.value for each in made.decided}
    assert by["style.mood_from", "template", None] == "romantic"
    assert by["style.transition_type", "node", None] == "abrupt"
    assert by["style.mood_to", "rules", 2] == "determined"
    assert by["duration.min", "rules", 6] == 20
    assert by["constraints.required_elements", "template", None] == ["phone_ring", "kiss_callback"]
    assert by["constraints.required_elements", "rules", 8] == "door"
    assert by["fallback.timeout_ms", "request", None] == 900
    assert by["template_id", "template", None] == FIRST
    # The rules add what the template avoids already: the template keeps it.
    assert [each.by for each in made.decided if each.field == "constraints.avoid_elements"] == ["template"]
    (mood,) = (each for each in made.decided if each.field == "style.mood_to")
    assert mood.rule == 'moodTo = "determined" pacing = "fast"'
    assert mood.when == ("player_choice.quest_accept == true",)
    assert "defaults" not in {each.by for each in made.decided}


#: What each layer says of one field, and what comes of it; the request knows its fallback only.
ORDER = [
    ({}, None, "defaults"),
    ({"template_id": FIRST}, "default_content", "template"),
    ({"template_id": FIRST, "node": {"fallback": {"mode": "skip"}}}, "skip", "node"),
    (
        {"template_id": FIRST, "node": {"fallback": {"mode": "skip"}}, "rules": "fallback = none"},
        "none",
        "rules",
    ),
    (
        {
            "template_id": FIRST,
            "node": {"fallback": {"mode": "skip"}},
            "rules": "fallback = none",
            "fallback": {"mode": "placeholder"},
        },
        "placeholder",
        "request",
    ),
    ({"node": {"templateId": FIRST}, "rules": "fallback = none"}, "none", "rules"),
]


@pytest.mark.parametrize(("fields", "mode", "layer"), ORDER)
def test_the_later_layer_wins(fields: dict[str, Any], mode: str | None, layer: str) -> None:
    made = laid(**fields)
    plan = request.plan_fallback(
        read(json.dumps({"prompt": "x", **fields}).encode(), "transition"),
        around=made.around if made else None,
    )
    assert str(plan.mode) == (mode or "golden_sample")
    assert (made.by("fallback.mode") if made else "defaults").partition(",")[0] == layer


_PACES = st.none() | st.sampled_from(["slow", "medium", "fast"])
_TAGS = st.lists(st.sampled_from(["key", "door", "Phone_ring", "phone ring"]), max_size=3, unique=True)


@given(node=_PACES, rule=_PACES, mine=_TAGS, added=_TAGS)
def test_any_layers_come_to_the_highest_one_and_lists_to_all_of_them(
    node: str | None, rule: str | None, mine: list[str], added: list[str]
) -> None:
    rules = "\n".join([*([f"pacing = {rule}"] if rule else []), *(f'INCLUDE "{each}"' for each in added)])
    written = {"style": {"pacing": node}} if node else {}
    if mine:
        written = written | {"constraints": {"requiredElements": mine}}
    made = laid(template_id=FIRST, node=written, rules=rules)
    assert made.node.style.pacing == (rule or node or "medium")
    base = tuple(mine) or ("phone_ring", "kiss_callback")
    got = made.node.constraints.required_elements
    assert got[: len(base)] == base
    spelled = {each.lower().replace("_", " ") for each in (*base, *added)}
    assert {each.lower().replace("_", " ") for each in got} == spelled
    # What the rules repeat is not there twice.
    assert len(got) == len(base) + len(spelled - {each.lower().replace("_", " ") for each in base})
    by = {(each.field, each.by) for each in made.decided}
    assert ("style.pacing", "rules" if rule else "node" if node else "template") in by


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"template_id": "romantic_to_acton_transition_v1"},
            f"template_id: there is no template 'romantic_to_acton_transition_v1'; did you mean {FIRST!r}?",
        ),
        ({"template_id": "x"}, "template_id: there is no template 'x'; known are aftermath_scene_v1, "),
        (
            {"node": {"templateId": "calm_to_alarm"}},
            "node.templateId: there is no template 'calm_to_alarm'; did",
        ),
        (
            {"template_id": FIRST, "node": {"templateId": "arrival_scene_v1"}},
            f"template_id: is {FIRST!r}, and the node's templateId is 'arrival_scene_v1'; keep one",
        ),
        (
            {"template_id": "arrival_scene_v1"},
            "template_id 'arrival_scene_v1', generationType: TYP002 'scene' is not 'transition'",
        ),
        (
            {"template_id": FIRST, "rules": "PACING fast\nAVOID phone"},
            "rules line 2, constraints.requiredElements.0: CON001 'phone_ring' is required, and 'phone' is",
        ),
        (
            {"template_id": FIRST, "rules": "\nDURATION TARGET 90s"},
            "rules line 2, duration.target: DUR002 90 s is outside of 15 to 45 s",
        ),
        (
            {"template_id": FIRST, "node": {"duration": {"max": 20}}},
            "template_id 'romantic_to_action_transition_v1', duration.target: DUR002 30 s is outside",
        ),
        ({"template_id": FIRST, "rules": "PACING fats"}, "rules: line 1, column 8: "),
        ({"template_id": FIRST, "rules": "IF x THEN"}, "rules: line 1, column "),
        (
            {"template_id": FIRST, "rules": "strategy = nevr"},
            "rules: line 1, column 12: strategy cannot be 'nevr'",
        ),
        ({"rules": "strategy = once\npurpose = 5"}, "rules: line 2, column 11: "),
        (
            {"template_id": FIRST, "fallback": {"mode": "default_content", "defaultContentId": "gone"}},
            "fallback.default_content_id: no default content 'gone'",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_by_the_layer_that_said_it(
    fields: dict[str, Any], says: str
) -> None:
    assert refusal(**fields).startswith(says)


def test_warnings_tell_their_layer() -> None:
    made = event(template_id=FIRST, rules="IF player_choice.brave THEN PACING fast\nDURATION 1-2s TARGET 1s")
    lines = made.trail.warnings
    assert any(line.startswith("rules: DUR004 ") for line in lines)
    assert any("player_choice.brave is not in the context" in line and "(RUL301)" in line for line in lines)
    lines = event(template_id=FIRST, node={"constraints": {"avoidElements": []}}).trail.warnings
    assert any(line.startswith("node: CON003 ") for line in lines)


def test_rules_see_what_the_request_tells_of_the_player_and_the_world() -> None:
    rules = (
        'IF world == "academy" AND player_id == "p1" AND "storm" IN tags AND brave\n'
        "  THEN PACING fast\nELSE\n  THEN PACING slow\n"
    )
    made = event(
        template_id=FIRST,
        rules=rules,
        world="academy",
        tags=["storm"],
        player_context={"player_id": "p1", "choices": {"brave": True}},
    )
    assert "pacing: fast" in told(made)


def test_a_rule_can_disable_the_node_and_is_named() -> None:
    outcome = asked(template_id=FIRST, rules="PACING fast\nenabled = false")
    assert isinstance(outcome, Fail)
    assert outcome.code is ErrorCode.GEN_PROVIDER_DISABLED
    assert outcome.message == "the node is disabled (`enabled: false` in its rules, line 2)"


def test_a_template_that_is_lost_is_a_failure_that_a_golden_sample_answers(tmp_path: Path) -> None:
    file = tmp_path / f"{FIRST}.json"
    file.write_bytes((templates.FOLDER / file.name).read_bytes())
    store = templates.load(tmp_path)
    assert isinstance(built("transition", template_id=FIRST, templates_=store), Emit)
    file.unlink()
    outcome = built("transition", template_id=FIRST, templates_=store)
    assert isinstance(outcome, Fail)
    assert outcome.message == f"template {FIRST!r} is missing: its file existed at the start; restore it"


def test_a_version_that_cannot_tell_the_style_is_told() -> None:
    made = event(template_id=FIRST, prompt_config={"version": 1})
    assert [
        line
        for line in made.trail.warnings
        if line.startswith("transition@1 does not tell the writer mood_from, ")
    ]
    assert told(made) == [
        "rating: romantic",
        "required elements: phone_ring, kiss_callback",
        "avoid elements: violence",
    ]


def test_what_is_asked_is_part_of_the_input_hash() -> None:
    hashes = {
        event(**each).brief.input_hash
        for each in (
            {"template_id": FIRST},
            {"template_id": FIRST, "rules": "PACING fast"},
            {"template_id": FIRST, "player_context": {"player_id": "p1"}},
            {"template_id": FIRST, "player_context": {"player_id": "p2"}},
        )
    }
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("strategy", Strategy),
        ("seed_source", SeedSource),
        ("style.pacing", Pacing),
        ("style.transition_type", TransitionType),
        ("fallback.mode", FallbackMode),
        ("fallback.then", FallbackMode),
    ],
)
def test_the_words_of_rules_are_the_nodes_own(field: str, words: Any) -> None:
    assert fields.FIELDS[field].values == tuple(map(str, words))


def test_ratings_of_rules_are_the_nodes_own() -> None:
    assert {str(each) for each in Rating} | set(FILM_RATINGS) == set(fields.RATINGS)


def test_a_request_takes_rules_as_long_as_the_language_does() -> None:
    assert request.MAX_RULES == limits.TEXT

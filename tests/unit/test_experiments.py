"""Which arm does a request get, and what does the arm do with it?"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts import events as ev
from contracts.experiments import Experiment, PlannedArm, RunnableExperiment, assign
from contracts.outcome import Emit, Fail, Reject
from contracts.policy import experiments as policy
from contracts.request import read
from infra.inspect.experiment_math import BROKEN, check_ratio
from tests import lives
from tests.unit.test_context_build import handled

ARMS: list[dict[str, Any]] = [{"name": "a"}, {"name": "b", "set": ["params.temperature=0.2"]}]
#: A node whose content is kept.
NODE = {"id": "gate", "strategy": "once", "version": 1}


class Fixed:
    """Experiments that do not change."""

    def __init__(self, *plans: Experiment, **providers: str) -> None:
        self._plans = [
            RunnableExperiment(
                plan=plan,
                arms=tuple(
                    PlannedArm(arm=each, provider=providers.get(each.name), route=providers.get(each.name))
                    for each in plan.arms
                ),
            )
            for plan in plans
        ]

    def current(self) -> list[RunnableExperiment]:
        return self._plans


def plan(**fields: Any) -> Experiment:
    return Experiment.model_validate({"name": "tone", "unit": "request", "arms": ARMS} | fields)


def assigned(one: Experiment, body: dict[str, Any], request_id: str = "r-1", kind: str = "layout") -> Any:
    asked = read(json.dumps({"prompt": "a forest"} | body).encode(), kind)
    return assign(Fixed(one).current(), asked, kind, request_id)


def built(request_id: str, *plans: Experiment, providers: dict[str, str] | None = None, **body: Any) -> Any:
    raw = json.dumps({"prompt": "a forest with three coins", "node": NODE} | body).encode()
    received = lives.received(raw, kind="layout", sequence=3, request_id=request_id)
    return handled(received, routes={"layout": "local:house"}, experiments=Fixed(*plans, **(providers or {})))


def brief(request_id: str, *plans: Experiment, **options: Any) -> ev.Brief:
    return built(request_id, *plans, **options).events[-1].brief


def id_of(one: Experiment, arm: str) -> str:
    """A request that gets an arm."""
    weights = [each.weight for each in one.arms]
    names = [each.name for each in one.arms]
    return next(
        each
        for each in map("r-{}".format, range(1000))
        if names[policy.split(one.name, each, weights)] == arm
    )


@given(st.text(), st.text(), st.lists(st.integers(1, 1000), min_size=1, max_size=8))
def test_a_unit_always_gets_the_same_arm(salt: str, unit: str, weights: list[int]) -> None:
    index = policy.split(salt, unit, weights)
    assert 0 <= index < len(weights)
    assert policy.split(salt, unit, list(weights)) == index


def test_another_process_gives_the_same_arms() -> None:
    units = [f"player-{number}" for number in range(50)]
    code = (
        "import sys, json; from contracts.policy.experiments import split; "
        "print(json.dumps([split('tone', each, [1, 2, 3]) for each in json.loads(sys.argv[1])]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, json.dumps(units)], capture_output=True, check=True, text=True
    ).stdout
    assert json.loads(said) == [policy.split("tone", each, [1, 2, 3]) for each in units]


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.integers(1, 20), min_size=2, max_size=6), st.integers(0, 10_000))
def test_weights_are_respected(weights: list[int], salt: int) -> None:
    seen = [0] * len(weights)
    for number in range(2_000):
        seen[policy.split(str(salt), f"player-{number}", weights)] += 1
    p = check_ratio(seen, weights)
    # Twenty-five splits at 0.001 each: none of these seeds is the one of forty.
    assert p is None or p > BROKEN


def test_two_experiments_split_the_same_players_independently() -> None:
    both = [[0, 0], [0, 0]]
    for number in range(4_000):
        first, second = (policy.split(salt, f"p-{number}", [1, 1]) for salt in ("one", "two"))
        both[first][second] += 1
    assert (check_ratio([*both[0], *both[1]], [1, 1, 1, 1]) or 0) > BROKEN


@pytest.mark.parametrize(
    ("unit", "body", "same"),
    [
        ("player", {"player_context": {"player_id": "ada"}}, True),
        ("playthrough", {"player_context": {"playthrough_id": "game"}}, True),
        ("request", {}, False),
        # A plot's scenes and a request's replays are of the same unit.
        ("request", {"replay_of": "r-0"}, True),
    ],
)
def test_what_is_split_is_the_unit(unit: str, body: dict[str, Any], same: Any) -> None:
    found = {assigned(plan(unit=unit), body, f"r-{number}").treatment.given.unit for number in range(20)}
    assert (len(found) == 1) is same


def test_a_request_without_its_unit_is_in_no_arm_and_is_told() -> None:
    found = assigned(plan(unit="player"), {})
    assert found.treatment is None
    assert found.warnings == (
        "experiment tone needs player_context.player_id; without it the request is in no arm",
    )


@pytest.mark.parametrize(
    ("fields", "body", "inside"),
    [
        ({"kinds": ["layout"]}, {}, True),
        ({"kinds": ["plot"]}, {}, False),
        ({"nodes": ["gate"]}, {"node": {"id": "gate"}}, True),
        ({"nodes": ["gate"]}, {"node": {"id": "door"}}, False),
        ({"nodes": ["rest_stop_layout_v1"]}, {"template_id": "rest_stop_layout_v1"}, True),
        ({"nodes": ["gate"]}, {}, False),
        # An operator says what a shadow is made with.
        ({}, {"replay_of": "r-0", "shadow": True}, False),
    ],
)
def test_an_experiment_takes_the_requests_that_it_names(
    fields: dict[str, Any], body: dict[str, Any], inside: Any
) -> None:
    assert (assigned(plan(**fields), body).treatment is not None) is inside


def test_a_replay_gets_its_requests_arm_and_counts_for_none() -> None:
    first = assigned(plan(), {}, "r-0").treatment
    again = assigned(plan(), {"replay_of": "r-0"}, "r-9").treatment
    assert (again.given, again.counted) == (first.given, None)
    assert first.counted == first.given


def test_a_stopped_experiment_gives_everybody_the_promoted_arm_and_counts_nobody() -> None:
    for fields, arm in ({"stopped": True}, "a"), ({"stopped": True, "promoted": "b"}, "b"):
        found = [assigned(plan(unit="player", **fields), {}, f"r-{each}").treatment for each in range(10)]
        assert {each.given.arm for each in found} == {arm}
        assert {each.counted for each in found} == {None}


def test_a_running_experiment_comes_before_a_stopped_one() -> None:
    asked = read(b'{"prompt": "a forest"}', "layout")
    plans = Fixed(plan(name="a-stopped", stopped=True), plan(name="b-running"))
    found = assign(plans.current(), asked, "layout", "r-1").treatment
    assert found is not None
    assert found.given.name == "b-running"


@pytest.mark.parametrize(
    "fields",
    [
        {"arms": [*ARMS, {"name": "c"}]},
        {"arms": [{"name": "a"}, {"name": "new", "set": ["params.temperature=0.2"]}]},
        {"arms": [{"name": "a", "weight": 2}, ARMS[1]]},
        {"arms": [{"name": "a"}, {"name": "b", "set": ["params.temperature=0.3"]}]},
        {"unit": "player"},
        {"salt": "again"},
        {"kinds": ["layout"]},
    ],
)
def test_what_changes_the_split_changes_its_version(fields: dict[str, Any]) -> None:
    assert plan(**fields).revision != plan().revision


@pytest.mark.parametrize("fields", [{"stopped": True}, {"minimum": 500}, {"goal": "p95"}, {"says": "more"}])
def test_what_does_not_change_the_split_leaves_its_version(fields: dict[str, Any]) -> None:
    assert plan(**fields).revision == plan().revision


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"arms": ARMS[:1]}, "at least 2"),
        ({"arms": [{"name": "a"}, {"name": "a"}]}, "two have the same name"),
        ({"arms": [{"name": "a"}, {"name": "b", "set": ["params.heat=1"]}]}, "'params.heat' is no key"),
        ({"arms": [{"name": "a"}, {"name": "b", "set": ["deadline_ms=5"]}]}, "cannot differ between arms"),
        ({"arms": [{"name": "a"}, {"name": "b", "set": ["node.fallback.mode=skip"]}]}, "cannot differ"),
        ({"arms": [{"name": "a"}, {"name": "b", "set": ["player_context.player_id=x"]}]}, "cannot differ"),
        ({"arms": [{"name": "a"}, {"name": "b", "weight": 0}]}, "greater than or equal to 1"),
        ({"control": "c"}, "no arm is called 'c'"),
        ({"promoted": "b"}, "still runs"),
        ({"minimum": 5}, "greater than or equal to 30"),
        ({"kinds": ["song"]}, "should be 'layout'"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        plan(**fields)


def test_an_arm_sets_what_a_rerun_would_and_leaves_seed_and_hash() -> None:
    one = plan()
    plain = brief(id_of(one, "b"))
    found = brief(id_of(one, "b"), one)
    assert (plain.freeform.temperature, found.freeform.temperature) == (0.8, 0.2)
    assert (found.freeform.seed, found.input_hash) == (plain.freeform.seed, plain.input_hash)
    assert found.experiment is not None
    assert found.experiment.given.arm == "b"


def test_no_arm_gets_the_content_of_another_one_nor_what_was_there_before() -> None:
    one = plan(arms=[{"name": "a"}, {"name": "b"}])
    keys = {
        str(brief(each, *plans).slot)
        for each, plans in (
            (id_of(one, "a"), (one,)),
            (id_of(one, "b"), (one,)),
            (id_of(one, "a"), ()),
        )
    }
    assert len(keys) == 3
    # Within an arm it is shared, and a promoted arm keeps what it has.
    others = [f"r-{each}" for each in range(40)]
    assert len({str(brief(each, one).slot) for each in others}) == 2
    stopped = plan(arms=[{"name": "a"}, {"name": "b"}], stopped=True, promoted="b")
    assert brief("r-1", stopped).slot == brief(id_of(one, "b"), one).slot


def test_a_model_of_an_arm_writes_and_is_part_of_the_key() -> None:
    one = plan(arms=[{"name": "a"}, {"name": "b", "set": ["model=backup"]}])
    found = brief(id_of(one, "b"), one, providers={"b": "backup"})
    assert found.provider == "backup"
    other = brief(id_of(one, "b"), one, providers={"b": "another"})
    assert None not in (found.slot, other.slot)
    assert found.slot != other.slot
    assert brief(id_of(one, "a"), one, providers={"b": "backup"}).provider is None


def test_an_arm_whose_settings_do_not_fit_fails_and_the_request_is_not_rejected() -> None:
    one = plan(arms=[{"name": "a"}, {"name": "b", "set": ["prompt=layout@99"]}])
    outcome = built(id_of(one, "b"), one)
    assert isinstance(outcome, Fail)
    assert outcome.message.startswith("experiment tone, arm b: its settings do not fit this request: ")
    assert isinstance(built(id_of(one, "a"), one), Emit)
    # A request that is wrong by itself is rejected as ever.
    rejected = built(id_of(one, "b"), one, world="nowhere")
    assert isinstance(rejected, Reject)
    assert rejected.message.startswith("world: ")


def test_a_brief_of_an_earlier_version_is_in_no_experiment() -> None:
    stored = msgspec.json.decode(msgspec.json.encode(brief("r-1")))
    del stored["experiment"]
    assert msgspec.convert(stored, ev.Brief).experiment is None

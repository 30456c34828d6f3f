"""Does everything that shapes content tell requests apart, and nothing else?"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts.nodes.node import Rating, Strategy
from contracts.policy import cache_key
from contracts.policy.cache_key import CacheKeyParts
from contracts.policy.rating import RatingInfo
from contracts.policy.social import Band, RelationshipEffect
from stages.context_build.cache_scope import NOT_SHAPING, CacheScope, assign_key, shaping_inputs
from tests import lives
from tests.unit.test_context_build import PARAMS, handled

NODE: dict[str, Any] = {
    "id": "n1",
    "generationType": "dialogue",
    "purpose": "adaptive",
    "strategy": "per_player",
    "seedSource": "player",
    "fallback": {"mode": "golden_sample"},
}
ADA = {"playerId": "ada", "playthroughId": "p-1"}
OTHER: dict[str, Any] = {
    "prompt_hash": "0" * 64,
    "prompt_version": "dialogue@9",
    "freeform": msgspec.structs.replace(PARAMS, temperature=0.1),
    "structuring": msgspec.structs.replace(PARAMS, max_tokens=7),
    "schema": {"type": "object"},
    "required_elements": ("key",),
    "avoid_elements": ("door",),
    "workspace": "w",
    "world": "w",
    "settled": {"pacing": {"const": "fast"}},
    "social": RelationshipEffect(world="w", tier="friends", level="none", band=Band.NONE, rating=Rating.SFW),
}


def built(
    request_id: str = "req-1", *, kind: str = "dialogue", route: str | None = "local:house", **fields: Any
) -> ev.ContextBuilt:
    body = json.dumps({"prompt": "two guards", "node": NODE, "player_context": ADA, **fields}).encode()
    received = lives.received(body, kind=kind, sequence=3, request_id=request_id)
    outcome = handled(received, routes={} if route is None else {kind: route})
    return outcome.events[-1]


def brief(*args: Any, **fields: Any) -> ev.Brief:
    return built(*args, **fields).brief


def key(*args: Any, **fields: Any) -> str:
    slot = brief(*args, **fields).slot
    assert slot is not None
    return slot.key


@pytest.mark.parametrize("field", sorted(set(ev.Brief.__struct_fields__) - NOT_SHAPING))
def test_every_field_of_a_brief_shapes_the_key_unless_it_is_listed(field: str) -> None:
    shared = CacheScope(seed=1, parts=CacheKeyParts(type="dialogue", strategy=Strategy.ONCE))
    made = lives.brief()
    other = msgspec.structs.replace(made, **{field: OTHER[field]})
    assert shaping_inputs(made, shared, "r") != shaping_inputs(other, shared, "r")


def test_a_restricted_result_never_reaches_an_sfw_player() -> None:
    shared = CacheScope(seed=1, parts=CacheKeyParts(type="dialogue", strategy=Strategy.ONCE))
    mild, strong = (
        assign_key(
            lives.brief(rating=RatingInfo(requested=Rating.RESTRICTED, effective=rating)),
            shared,
            route="r",
        )
        for rating in (Rating.SFW, Rating.RESTRICTED)
    )
    assert mild.slot is not None
    assert strong.slot is not None
    assert mild.slot.key != strong.slot.key


def test_spelling_order_deadline_fallback_tags_and_id_do_not_matter() -> None:
    plain = key()
    respelt = {
        "seed_source": "player",
        "strategy": "per_player",
        "purpose": "adaptive",
        "generation_type": "dialogue",
        "id": "n1",
        "fallback": {"mode": "skip"},
    }
    assert key("other", node=respelt, player_context={"playthrough_id": "p-1", "player_id": "ada"}) == plain
    assert key(deadline_ms=7, tags=["a"], fallback={"mode": "none"}) == plain
    assert key(params={"temperature": 0.8}) == plain


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "three guards"},
        {"seed": 7},
        {"params": {"temperature": 0.7}},
        {"player_context": {"playerId": "bob"}},
        {"node": NODE | {"version": 2}},
        {"node": NODE | {"id": "n2"}},
        {"node": NODE | {"purpose": "ambient"}},
        {"node": NODE | {"constraints": {"requiredElements": ["key"]}}},
        {"world": "academy"},
        {"workspace": "w"},
        {"route": "openai:x@y"},
    ],
    ids=str,
)
def test_what_asks_for_something_else_has_another_key(fields: dict[str, Any]) -> None:
    assert key(**fields) != key()


def by_template(**fields: Any) -> str:
    brave = {
        "node": None,
        "template_id": "romantic_to_action_transition_v1",
        "rules": "IF player_choice.brave\n  THEN PACING fast\nELSE\n  THEN PACING slow\n",
        "player_context": ADA | {"choices": {"brave": True}},
    }
    return key(kind="transition", **brave | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"player_context": {"playthroughId": "p-1", "choices": {"brave": True, "hat": "red"}}},
        {"rules": "# said in other words\nIF player_choice.brave == true THEN pacing = fast"},
        {"template_id": None, "node": {"templateId": "romantic_to_action_transition_v1"}},
        {"node": {"style": {"moodFrom": "romantic"}}},
    ],
    ids=str,
)
def test_template_rules_and_choices_that_come_to_the_same_share_it(fields: dict[str, Any]) -> None:
    assert by_template(**fields) == by_template()


@pytest.mark.parametrize(
    "fields",
    [
        {"player_context": ADA | {"choices": {"brave": False}}},
        {"player_context": {"playthroughId": "p-2", "choices": {"brave": True}}},
        {"rules": None},
        {"rules": "IF player_choice.brave THEN PACING fast\nAVOID rain"},
        {"rules": "IF player_choice.brave THEN PACING fast\nstrategy = once"},
        {"template_id": "calm_to_alarm_transition_v1"},
        {"node": {"style": {"moodFrom": "tired"}}},
        {"node": {"version": 2}},
    ],
    ids=str,
)
def test_template_rules_and_choices_that_come_to_something_else_do_not(fields: dict[str, Any]) -> None:
    assert by_template(**fields) != by_template()


@pytest.mark.parametrize(
    "fields",
    [
        {"node": None},
        {"node": {"constraints": {"avoidElements": ["gore"]}}},
        {"node": NODE | {"strategy": "always", "seedSource": "timestamp"}},
        {"player_context": None},
        {"player_context": {"playthroughId": "p-1"}},
        {"route": None},
        {"request_id": "sh-1", "replay_of": "r-1", "shadow": True},
        {"replay_of": "r-1", "provider": "b"},
    ],
    ids=str,
)
def test_what_nobody_shares_has_no_place(fields: dict[str, Any]) -> None:
    assert brief(**fields).slot is None


def test_what_is_missing_is_told() -> None:
    told = built(player_context=None).trail.warnings
    assert "strategy per_player needs player_context.player_id; without it nothing is kept" in told
    assert any(line.startswith("seed source player needs player_context.player_id") for line in told)
    assert not any("player_context" in line for line in built().trail.warnings)


def test_seeds_follow_their_source() -> None:
    assert brief().freeform.seed == brief("other", prompt="another wish").freeform.seed
    assert brief(player_context={"playerId": "bob"}).freeform.seed != brief().freeform.seed
    assert brief(node=NODE | {"version": 2}).freeform.seed != brief().freeform.seed
    assert brief(seed=7).freeform.seed == 7
    plain = brief(node=None)
    assert plain.freeform.seed == int(plain.input_hash[:13], 16)


def test_a_fresh_seed_is_the_requests_own_and_nothing_kept_answers_for_it() -> None:
    fresh = NODE | {"strategy": "always", "seedSource": "timestamp"}
    one, again, other = brief(node=fresh), brief(node=fresh), brief("other", node=fresh)
    assert one.freeform.seed == again.freeform.seed != other.freeform.seed
    assert (one.freeform.fresh, one.structuring.fresh, one.cache_key) == (True, True, None)
    assert not brief().freeform.fresh


def test_b4s_form_is_told_without_a_model_too() -> None:
    assert brief(route=None).cache_key == "dialogue|adaptive|||per_player|player:ada|1"


def test_a_scene_is_named_by_its_id_given_alone_or_with_more() -> None:
    made = brief(scene_from="s1", scene_to={"id": "s2", "title": "The quay"})
    assert made.cache_key == "dialogue|adaptive|s1|s2|per_player|player:ada|1"
    assert brief(scene_to="s2").cache_key == "dialogue|adaptive||s2|per_player|player:ada|1"


def test_keys_of_the_last_release_are_looked_for_too() -> None:
    def key_v0(parts: CacheKeyParts, shaping: Any) -> str:
        return f"v0.{len(shaping)}.{cache_key.escape(str(parts))}"

    shared = CacheScope(seed=1, parts=CacheKeyParts(type="dialogue", strategy=Strategy.ONCE))
    made = assign_key(lives.brief(), shared, route="r", schemes=(cache_key.key_v1, key_v0))
    assert made.slot is not None
    (older,) = made.slot.older
    assert older.startswith("v0.")

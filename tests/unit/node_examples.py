"""Which nodes are tried: the first template, and random ones that are nearly right."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st

from contracts.kinds import KINDS
from contracts.nodes.node import (
    FILM_RATINGS,
    FallbackMode,
    Pacing,
    Rating,
    SeedSource,
    Strategy,
    TransitionType,
)

TEMPLATE: Final = json.loads("""
{"id": "romantic_to_action_transition_v1", "generationType": "transition",
 "style": {"moodFrom": "romantic", "moodTo": "intense", "pacing": "medium", "transitionType": "gradual"},
 "duration": {"min": 15, "max": 45, "target": 30},
 "constraints": {"rating": "PG-13", "requiredElements": ["phone_ring", "kiss_callback"], "avoidElements": ["violence"],
   "contentRules": ["build_tension_gradually", "maintain_character_continuity"]},
 "strategy": "per_playthrough",
 "fallback": {"mode": "default_content", "defaultContentId": "transition_01", "timeoutMs": 4000},
 "enabled": true, "version": 1}
""")

JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "once", 10**400]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_JUNK: Final = st.sampled_from(
    [None, True, -1, 0, 1.5, 10**400, float("inf"), "", "x", "\ud800", [], [None], {}, {"x": 1}]
)


def _mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 49).flatmap(lambda draw: good if draw else _JUNK)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: _mostly(value) for name, value in fields.items()})


def _node(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    sound = st.fixed_dictionaries({name: _mostly(fields[name]) for name in ("purpose", "strategy")})
    return st.tuples(_some(**fields), st.integers(0, 9), sound).map(
        lambda drawn: drawn[0] | drawn[2] if drawn[1] else drawn[0]
    )


_ELEMENTS: Final = st.lists(
    st.sampled_from(["phone", "phone_ring", "Key", "key", "no_key", "avoid_phone", "sex", ">>>", "\n"]),
    max_size=4,
)
_SECONDS: Final = st.sampled_from([-1, 0, 1, 5, 20, 30.5, 400, 90_000])
#: Objects that look like nodes; about a third of them may run.
NODES: Final = _node(
    id=st.just("n1"),
    generationType=st.sampled_from(KINDS),
    generation_type=st.just("plot"),
    purpose=st.sampled_from(["gap_fill", "ambient", "original", "banter"]),
    style=_some(
        moodFrom=st.just("calm"),
        mood_to=st.just("tense"),
        pacing=st.sampled_from(list(map(str, Pacing))),
        transitionType=st.sampled_from(list(map(str, TransitionType))),
    ),
    duration=_some(min=_SECONDS, max=_SECONDS, target=_SECONDS),
    constraints=_some(
        rating=st.sampled_from([*map(str, Rating), *FILM_RATINGS]),
        requiredElements=_ELEMENTS,
        avoid_elements=_ELEMENTS,
        contentRules=_ELEMENTS,
    ),
    strategy=st.sampled_from(list(map(str, Strategy))),
    seedSource=st.sampled_from(list(map(str, SeedSource))),
    fallback=_some(
        mode=st.sampled_from(list(map(str, FallbackMode))),
        defaultContentId=st.sampled_from(["transition_01", "nowhere", "a b"]),
        retries=st.integers(0, 11),
        timeout_ms=st.sampled_from([1, 4000, 60_000]),
        then=st.sampled_from(list(map(str, FallbackMode))),
    ),
    budget=_some(tokens=st.sampled_from([-1, 0, 50_000]), cost=st.sampled_from([-1, 0, 2.5])),
    templateId=st.sampled_from(["t1", "side_quest_plot_v1", "arrival_scene_v1"]),
    enabled=st.booleans(),
    version=st.integers(0, 3),
)

"""Do requests share a key exactly when they ask for the same?"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.nodes.node import Strategy
from contracts.policy import cache_key
from contracts.policy.cache_key import LIFETIMES, CacheKeyParts, build_key, escape, key_v1, matches
from contracts.policy.fingerprint import canonical_json
from tests.docs.pages import fences

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
#: Long enough to be cut.
LONG = st.builds(lambda text, times: text * times, TEXT, st.integers(1, 12))
PARTS = st.builds(
    CacheKeyParts,
    type=st.sampled_from(["transition", "scene"]),
    purpose=LONG,
    from_scene=TEXT,
    to_scene=TEXT,
    strategy=st.sampled_from([Strategy.ONCE, Strategy.PER_PLAYER, Strategy.PER_PLAYTHROUGH]),
    owner=LONG,
    version=st.integers(1, 10**9),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
SHAPING = st.dictionaries(TEXT, JSON, max_size=2)
#: What NATS allows in a key of a bucket, and no empty token.
ALLOWED = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
SOME = CacheKeyParts(type="transition", purpose="gap_fill", strategy=Strategy.PER_PLAYTHROUGH, owner="p-1")


@given(PARTS, SHAPING, PARTS, SHAPING)
def test_different_requests_have_different_keys(
    one: CacheKeyParts, its: dict[str, Any], other: CacheKeyParts, its_own: dict[str, Any]
) -> None:
    same = one.tokens == other.tokens and canonical_json(its) == canonical_json(its_own)
    assert (key_v1(one, its) == key_v1(other, its_own)) == same


@given(LONG, LONG)
def test_different_parts_have_different_tokens(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@given(PARTS, SHAPING)
def test_keys_are_what_the_broker_takes_and_short(parts: CacheKeyParts, shaping: dict[str, Any]) -> None:
    key = key_v1(parts, shaping)
    assert ALLOWED.fullmatch(key)
    assert len(key.split(".")) == len(cache_key.TOKENS)
    assert len(key) < 8 * 121


@given(PARTS, SHAPING)
def test_the_order_of_keys_does_not_matter(parts: CacheKeyParts, shaping: dict[str, Any]) -> None:
    assert key_v1(parts, shaping) == key_v1(parts, dict(reversed(shaping.items())))


@given(PARTS, PARTS)
def test_b4s_form_tells_different_parts_apart(one: CacheKeyParts, other: CacheKeyParts) -> None:
    assert (str(one) == str(other)) == (one.tokens == other.tokens)


@given(PARTS, SHAPING)
def test_a_key_is_found_by_its_b4_form_its_own_and_its_first_parts(
    parts: CacheKeyParts, its: dict[str, Any]
) -> None:
    key = key_v1(parts, its)
    assert matches(key, str(parts))
    assert matches(key, key)
    assert matches(key, key, whole=True)
    assert matches(key, "|".join(str(parts).split("|")[:4]))
    assert matches(key, parts.type)
    assert not matches(key, parts.type, whole=True)


def test_a_purge_by_parts_takes_whole_parts() -> None:
    key = key_v1(SOME, {})
    assert not matches(key, "transition|gap")
    assert matches(key, "transition|gap_fill|||per_playthrough|pt:p-1")
    assert not matches(key, "transition|gap_fill|||per_playthrough|pt:p-10")
    assert not matches(key, "transition|gap_fill|||per_playthrough|pt:p-1|2")


def test_once_has_no_seed_part() -> None:
    parts = CacheKeyParts(
        type="scene", purpose="ambient", from_scene="a", strategy=Strategy.ONCE, owner="x", version=3
    )
    assert str(parts) == "scene|ambient|a||once|3"


def test_a_strategy_that_keeps_nothing_has_no_slot() -> None:
    with pytest.raises(KeyError):
        build_key(CacheKeyParts(type="scene", strategy=Strategy.ALWAYS), {}, node=None)


def test_lifetimes_are_those_of_the_page() -> None:
    assert {name: seconds // 86_400 for name, seconds in LIFETIMES.items()} == {
        Strategy.ONCE: 365,
        Strategy.PER_PLAYER: 180,
        Strategy.PER_PLAYTHROUGH: 90,
    }


def test_the_keys_on_the_page_hold() -> None:
    (fence,) = fences("key-vectors")
    vectors = json.loads(fence.text)
    assert len(vectors) >= 4
    for each in vectors:
        parts = CacheKeyParts(**each["parts"] | {"strategy": Strategy(each["parts"]["strategy"])})
        assert str(parts) == each["cache_key"]
        assert key_v1(parts, each["shaping"]) == each["key"]

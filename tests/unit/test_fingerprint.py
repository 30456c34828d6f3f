"""Do equal values have equal fingerprints, and other values others?"""

from __future__ import annotations

import hashlib
import json

from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.policy import fingerprint
from contracts.request import read
from tests.docs.pages import fences

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


def _reversed(value):
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_the_order_of_keys_does_not_matter(value) -> None:
    assert fingerprint.digest(_reversed(value)) == fingerprint.digest(value)


@given(VALUES, VALUES)
def test_another_value_has_another_digest(one, other) -> None:
    # As JSON, since True == 1 in Python.
    assume(json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
    assert fingerprint.digest(one) != fingerprint.digest(other)


@given(VALUES)
def test_the_canonical_form_is_the_value(value) -> None:
    assert json.loads(fingerprint.canonical_json(value)) == value


def test_a_digest_stays_what_it_is() -> None:
    # Stored rows and cache keys hold digests: a change of scheme must be seen.
    assert (
        fingerprint.digest({"b": [1, 2.5], "a": "ä"})
        == "56d36f6cee8ef0b43212ab8d23a085a065588ad5aacbce383c085d2280ff2c50"
    )
    assert (
        fingerprint.digest_text("a forest")
        == "c6f2848c4bd3eadec30d61a68219eaa2aa6461bf9138fe589a2ded7a02b30782"
    )


def test_the_hashes_on_the_page_hold() -> None:
    (fence,) = fences("hash-vectors")
    vectors = json.loads(fence.text)
    assert vectors
    for each in vectors:
        assert fingerprint.canonical_json(each["value"]).decode() == each["json"]
        assert fingerprint.digest(each["value"]) == each["hash"]


def test_the_page_says_enough_to_hash_in_other_code() -> None:
    (fence,) = fences("hash-vectors")
    vectors = json.loads(fence.text)
    assert vectors
    for each in vectors:
        said = json.dumps(each["value"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(said.encode()).hexdigest() == each["hash"]


def test_the_input_hashes_on_the_page_hold() -> None:
    (fence,) = fences("input-hash-vectors")
    vectors = json.loads(fence.text)
    assert vectors
    for each in vectors:
        asked = read(json.dumps(each["request"]).encode(), each["kind"])
        assert asked.input_hash(each["kind"]) == each["input_hash"]


@given(st.integers(1, 1000), st.lists(st.text(max_size=8), max_size=4))
def test_a_pick_is_below_its_size_and_repeats(size, parts) -> None:
    assert 0 <= fingerprint.pick(size, *parts) < size
    assert fingerprint.pick(size, *parts) == fingerprint.pick(size, *parts)


def test_picks_reach_every_index_and_tell_parts_apart() -> None:
    assert {fingerprint.pick(7, "seed", str(number)) for number in range(200)} == set(range(7))
    assert fingerprint.pick(10**9, "ab", "c") != fingerprint.pick(10**9, "a", "bc")

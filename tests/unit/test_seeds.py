"""Are seeds those that the page publishes, whatever else there is?"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts.nodes.node import SeedSource, Strategy
from contracts.policy.cache_key import CacheKeyParts
from contracts.policy.seeds import BELOW, default_source, derive
from tests.docs.pages import fences
from tests.import_path import IMPORT_PATH

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
SOURCES = st.sampled_from(SeedSource)
PARTS = st.builds(
    CacheKeyParts,
    type=TEXT,
    purpose=TEXT,
    from_scene=TEXT,
    to_scene=TEXT,
    strategy=st.sampled_from(Strategy),
    owner=TEXT,
    version=st.integers(1, 10**9),
)


def vectors() -> list[dict[str, Any]]:
    (fence,) = fences("seed-vectors")
    return json.loads(fence.text)


def derived(vector: dict[str, Any]) -> int:
    parts = CacheKeyParts(**vector["parts"] | {"strategy": Strategy(vector["parts"]["strategy"])})
    return derive(parts, SeedSource(vector["source"]), vector["owner"])


def test_the_seeds_on_the_page_hold() -> None:
    found = vectors()
    assert {one["source"] for one in found} == set(SeedSource)
    assert {one["parts"]["strategy"] for one in found} == set(Strategy)
    assert [derived(one) for one in found] == [one["seed"] for one in found]


def test_seeds_do_not_depend_on_the_process() -> None:
    code = (
        "from contracts.policy.cache_key import CacheKeyParts; from contracts.nodes.node import *; from contracts.policy.seeds import derive;"
        "print(derive(CacheKeyParts(type='scene', strategy=Strategy.ONCE), SeedSource.FIXED, ''))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": IMPORT_PATH, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert said == {f"{derive(CacheKeyParts(type='scene', strategy=Strategy.ONCE), SeedSource.FIXED, '')}\n"}


def test_the_page_says_enough_to_write_it_again() -> None:
    """The page's words in other code: netstrings, SHA-256, the first 53 bits."""
    assert len(vectors()) > 2
    for one in vectors():
        parts = one["parts"]
        owner = "" if one["source"] == "fixed" else one["owner"]
        named = ("purpose", "from_scene", "to_scene")
        said = [
            "understudy-seed-1",
            parts["strategy"],
            one["source"],
            owner,
            parts["type"],
            *(parts.get(name, "") for name in named),
            str(parts.get("version", 1)),
        ]
        raw = "".join(f"{len(each.encode())}:{each}," for each in said).encode()
        bits = f"{int(hashlib.sha256(raw).hexdigest(), 16):0256b}"
        assert int(bits[:53], 2) == one["seed"]


@given(PARTS, SOURCES, TEXT, PARTS, SOURCES, TEXT)
def test_seeds_differ_when_what_they_are_made_from_does(
    one: CacheKeyParts,
    source: SeedSource,
    owner: str,
    other: CacheKeyParts,
    its_source: SeedSource,
    its_owner: str,
) -> None:
    def made_from(parts: CacheKeyParts, of: SeedSource, by: str) -> Any:
        return msgspec.structs.replace(parts, owner=""), of, "" if of is SeedSource.FIXED else by

    same = made_from(one, source, owner) == made_from(other, its_source, its_owner)
    assert (derive(one, source, owner) == derive(other, its_source, its_owner)) == same


@given(PARTS, SOURCES, TEXT)
def test_every_json_reader_takes_a_seed(parts: CacheKeyParts, source: SeedSource, owner: str) -> None:
    assert 0 <= derive(parts, source, owner) < BELOW


def test_a_strategy_has_a_source_that_fits_it() -> None:
    assert {strategy: default_source(strategy) for strategy in Strategy} == {
        Strategy.ONCE: SeedSource.FIXED,
        Strategy.PER_PLAYTHROUGH: SeedSource.PLAYTHROUGH,
        Strategy.PER_PLAYER: SeedSource.PLAYER,
        Strategy.ALWAYS: SeedSource.TIMESTAMP,
    }

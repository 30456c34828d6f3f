"""Worlds: what a schema makes of a relationship, and files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.nodes.node import Rating
from contracts.policy.social import VALUES, Band, Social, World, classify
from infra.settings.settings import load
from infra.stores import worlds
from tests.command_line import understudy

SHIPPED = worlds.load(load().worlds_dir)
LEVELS = [
    {"name": "none", "band": "none"},
    {"name": "fond", "band": "light", "at_least": {"affinity": 20}},
    {"name": "close", "band": "deep", "at_least": {"affinity": 40}},
    {"name": "closer", "band": "deep", "at_least": {"affinity": 60}},
    {"name": "all", "band": "intense", "at_least": {"affinity": 80}, "at_most": {"tension": 50}},
]


def world(**changes: Any) -> World:
    plain = {"name": "w", "max_rating": "restricted", "tiers": [{"name": "any"}], "levels": LEVELS}
    return World.model_validate(plain | changes)


def level(reduce: bool = False, **values: float) -> tuple[str, Band, Rating]:  # noqa: FBT001, FBT002 - a switch
    social = Social.model_validate({**values, "preferences": {"reduce_intimacy": reduce}})
    found = classify(social, world())[0]
    return found.level, found.band, found.rating


@pytest.mark.parametrize(
    ("values", "name", "rating"),
    [
        ({}, "none", Rating.SFW),
        ({"affinity": 19.9}, "none", Rating.SFW),
        ({"affinity": 20}, "fond", Rating.ROMANTIC),
        ({"affinity": 79}, "closer", Rating.MATURE_IMPLIED),
        ({"affinity": 80}, "all", Rating.RESTRICTED),
        ({"affinity": 80, "tension": 51}, "closer", Rating.MATURE_IMPLIED),
    ],
)
def test_the_last_level_that_takes_the_values_counts(values, name, rating) -> None:
    found = level(**values)
    assert (found[0], found[2]) == (name, rating)


@pytest.mark.parametrize(("affinity", "name"), [(0, "none"), (20, "none"), (60, "fond"), (80, "closer")])
def test_a_user_who_wants_less_gets_the_next_band_below(affinity, name) -> None:
    assert level(reduce=True, affinity=affinity)[0] == name


@given(st.fixed_dictionaries({name: st.floats(-100, 100) for name in VALUES}), st.booleans())
def test_every_relationship_has_a_tier_and_a_level_in_every_shipped_world(values, reduce) -> None:
    social = Social.model_validate({**values, "preferences": {"reduceIntimacy": reduce}})
    for name in (None, "academy"):
        schema = SHIPPED.world(name)
        assert schema is not None
        found, tier, held = classify(social, schema)
        assert tier in schema.tiers
        assert held in schema.levels
        assert (found.world, found.tier, found.band) == (schema.name, tier.name, held.band)


@pytest.mark.parametrize(
    ("values", "tier", "name"),
    [
        ({}, "strangers", "distant"),
        ({"affinity": 40, "trust": 30}, "friends", "distant"),
        ({"affinity": 70, "trust": 60, "chemistry": 70}, "lovers", "intimate"),
        ({"affinity": 10, "tension": 80}, "rivals", "distant"),
        ({"affinity": -80, "trust": -20}, "enemies", "distant"),
    ],
)
def test_the_default_world_calls_relationships_what_people_do(values, tier, name) -> None:
    schema = SHIPPED.world(None)
    assert schema is not None
    found = classify(Social.model_validate(values), schema)[0]
    assert (found.tier, found.level) == (tier, name)


GOOD = """\
max_rating = "R"
[[tiers]]
name = "any"
[[levels]]
name = "plain"
band = "none"
"""


def written(folder: Path, text: str, name: str = "isle") -> str:
    (folder / "default.toml").write_text(GOOD)
    (folder / f"{name}.toml").write_text(text)
    with pytest.raises(worlds.WorldError) as error:
        worlds.load(folder)
    return str(error.value)


def test_a_file_is_a_world_under_its_own_name_and_its_rating_may_speak_the_film_scale(tmp_path) -> None:
    (tmp_path / "default.toml").write_text(GOOD)
    (tmp_path / "isle.toml").write_text(GOOD.replace("max_rating", "maxRating"))
    store = worlds.load(tmp_path)
    isle = store.world("isle")
    assert isle is not None
    assert (isle.name, isle.max_rating) == ("isle", Rating.MATURE_IMPLIED)
    assert store.world(None).name == "default"
    assert store.world("atlantis") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("R", "X"), "isle.toml: max_rating: 'X' is not a rating; use one of sfw, romantic"),
        (GOOD.removeprefix('max_rating = "R"\n'), "isle.toml: max_rating: is missing; add it"),
        (GOOD + "colour = 3\n", "isle.toml: levels.0.colour: unknown field; leave it out"),
        ("colour = 3\n" + GOOD, "isle.toml: colour: unknown field; a file has"),
        ('name = "x"\n' + GOOD, "isle.toml: name: is set by Understudy, not by the file; leave it out"),
        (
            GOOD.replace('"none"', '"warm"'),
            "isle.toml: levels.0.band: 'warm' is not allowed here: input should be",
        ),
        (
            GOOD.replace('"none"', '"deep"'),
            "levels: the first level applies to strangers; give it the band 'none'",
        ),
        (GOOD + "at_least = {trust = 1}\n", "isle.toml: levels: the first must match every relationship"),
        (
            GOOD + "[[levels]]\nname = 'b'\nband = 'deep'\n",
            "isle.toml: levels: 'b' matches every relationship",
        ),
        (
            GOOD + "[[levels]]\nname = 'Plain'\nband = 'deep'\nat_least = {trust = 1}\n",
            "isle.toml: levels: 'Plain' appears twice; rename",
        ),
        (
            GOOD + "[[levels]]\nname = 'b'\nband = 'deep'\nrating = 'NC-17'\nat_least = {trust = 1}\n",
            "isle.toml: levels: 'b' has rating 'restricted', above max_rating 'mature_implied'; lower",
        ),
        (
            GOOD + "[[levels]]\nname = 'b'\nband = 'deep'\nat_least = {trust = 9}\nat_most = {trust = 1}\n",
            "isle.toml: levels.1: no trust is both at least 9 and at most 1; change one of them",
        ),
        (
            GOOD + "at_least = {charm = 1}\n",
            "isle.toml: levels.0.at_least.charm: 'charm' is not allowed here",
        ),
        (GOOD + "at_least = {trust = 101}\n", "isle.toml: levels.0.at_least.trust: 101 is not allowed here"),
        ("[[tiers", "isle.toml: is not TOML"),
    ],
)
def test_a_world_that_cannot_be_used_is_refused_with_file_field_and_fix(tmp_path, text, says) -> None:
    assert says in written(tmp_path, text)


def test_a_worlds_name_is_its_files(tmp_path) -> None:
    assert "'a b' is not a world name" in written(tmp_path, GOOD, "a b")


def test_there_must_be_a_default_world(tmp_path) -> None:
    with pytest.raises(worlds.WorldError, match=r"no default\.toml in .*; add it"):
        worlds.load(tmp_path)


def test_a_check_has_a_row_for_every_file_and_names_each_fault(tmp_path) -> None:
    (tmp_path / "default.toml").write_text(GOOD)
    (tmp_path / "isle.toml").write_text("[[tiers")
    (tmp_path / "moor.toml").write_text(GOOD.replace('"none"', '"warm"'))
    rows = {row.name: row for row in worlds.check(tmp_path)}
    assert {name: row.ok for name, row in rows.items()} == {"default": True, "isle": False, "moor": False}
    assert rows["isle"].error.startswith("isle.toml: is not TOML")
    assert "'warm' is not allowed here" in rows["moor"].error
    (one,) = worlds.check(tmp_path / "isle.toml")
    assert one == rows["isle"]


def test_a_missing_default_world_is_a_row(tmp_path) -> None:
    (tmp_path / "isle.toml").write_text(GOOD)
    missing, isle = worlds.check(tmp_path)
    assert (missing.name, missing.ok, isle.ok) == ("default", False, True)
    assert "no default.toml in" in missing.error


def test_the_commands_list_and_check_worlds(tmp_path) -> None:
    (tmp_path / "default.toml").write_text(GOOD + "colour = 3\n")
    (tmp_path / "isle.toml").write_text(GOOD.replace("max_rating", "says = 'far out'\nmax_rating"))
    environment = {"UNDERSTUDY_WORLDS_DIR": str(tmp_path)}
    listed = understudy("worlds", "ls", environment=environment)
    assert listed.status == 0
    assert listed.out.splitlines()[1].split() == ["isle", "mature_implied", "1", "1", "far", "out"]
    assert "cannot be used: default" in listed.err
    assert "`understudy worlds check` says why" in listed.err
    checked = understudy("worlds", "check", environment=environment)
    assert checked.status == 1
    assert "wrong  default  default.toml: levels" in checked.out
    (row,) = json.loads(
        understudy("worlds", "check", str(tmp_path / "isle.toml"), "--json", environment={}).out
    )
    assert (row["ok"], row["error"], row["world"]["max_rating"]) == (True, None, "mature_implied")
    assert understudy("worlds", "check", "nowhere", environment={}).status == 2

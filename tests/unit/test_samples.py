"""Are the golden samples found, checked, and told apart from what cannot go on stage?"""

import json
import re
import shutil
from pathlib import Path

import pytest

from contracts.content.registry import MODELS
from contracts.nodes.node import Rating
from contracts.policy import fingerprint
from infra.stores import samples
from infra.stores.samples import SampleError
from stages.fallback.answer import choose

SHIPPED = Path(__file__).parents[2] / "golden_samples"
LEVEL = {"scene_name": "Test", "entities": [{"id": "p", "type": "player", "x": 1, "y": 2}]}


@pytest.fixture
def folder(tmp_path):
    shutil.copy(SHIPPED / "sample_simple_geometry.json", tmp_path)
    return tmp_path


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def test_the_shipped_samples_cover_every_kind():
    store = samples.load(SHIPPED)
    found = {kind: len(store.of_kind(kind)) for kind in MODELS}
    assert len(levels()) >= 4
    assert min(found.values()) >= 2


def test_the_shipped_samples_are_all_in_order():
    rows = samples.check(SHIPPED)
    assert [row.error for row in rows if not row.ok] == []
    assert {row.kind for row in rows} == set(MODELS)
    assert {row.rating for row in rows} == {"sfw"}
    assert all(re.fullmatch("[0-9a-f]{64}", row.hash or "") for row in rows)
    assert all(row.tags for row in rows)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("sample_simple_geometry.json", "2a5be1d6317432f9b5e464b2425525c0321d57fd6390484a3f03a104e47fcbd8"),
        ("sample_asset_intensive.json", "a206225ef8d4b5f41fba2884c5a0fbe03c01596b01c9ecbe0e1e770d14dc48ce"),
        ("sample_complex_structure.json", "17dd16dfdcf445d779137acb50e7d445d09393bf4d3bfd3ce9e772860cf82129"),
    ],
)
def test_the_first_three_are_unchanged_to_the_byte(name, digest):
    assert fingerprint.digest_text((SHIPPED / name).read_text(encoding="utf-8")) == digest


def test_the_first_three_show_the_format_and_stand_in_for_nobody():
    layouts = samples.load(SHIPPED).of_kind("layout")
    shown = {sample.name for sample in layouts if sample.last_resort}
    assert shown == {
        f"sample_{each}.json" for each in ("simple_geometry", "asset_intensive", "complex_structure")
    }
    for number in range(100):
        for tags in ((), ("blocks",), ("forest", "coin"), ("layers", "sky")):
            found = choose(layouts, max_rating=Rating.SFW, tags=tags, key=str(number))
            assert found is not None
            assert not found.last_resort
    only = tuple(sample for sample in layouts if sample.last_resort)
    assert choose(only, max_rating=Rating.SFW, tags=(), key="1") in only


#: What a player can do, pixels: somebody who stands has 30 below; a jump's height and width; an arm's length.
STANDS, HIGH, WIDE, REACH = 30, 120, 130, 90


def levels():
    return [sample for sample in samples.load(SHIPPED).of_kind("layout") if not sample.last_resort]


def entities(content):
    return [
        *content.get("entities", ()),
        *(each for layer in content.get("layers", ()) for each in layer["entities"]),
    ]


def stands_on(entity, platforms):
    """The platform below a place, if it is near enough."""
    for each in platforms:
        if each["x"] <= entity["x"] <= each["x"] + each["width"] and 0 <= each["y"] - entity["y"] <= REACH:
            return each["id"]
    return None


def reached(platforms, first):
    """Platforms that somebody gets to by walking, jumping and falling."""
    found, new = {first}, [first]
    by_id = {each["id"]: each for each in platforms}
    while new:
        here = by_id[new.pop()]
        for there in platforms:
            gap = max(there["x"] - here["x"] - here["width"], here["x"] - there["x"] - there["width"], 0)
            if there["id"] not in found and gap <= WIDE and here["y"] - there["y"] <= HIGH:
                found.add(there["id"])
                new.append(there["id"])
    return found


@pytest.mark.parametrize("sample", levels(), ids=lambda sample: sample.name)
def test_a_shipped_level_can_be_played_to_its_end(sample):
    every = entities(sample.content)
    platforms = [each for each in every if each["type"] == "platform"]
    (player,) = [each for each in every if each["type"] == "player"]
    (goal,) = [each for each in every if each["type"] == "goal"]
    start = stands_on(player, platforms)
    assert next(each["y"] for each in platforms if each["id"] == start) - player["y"] == STANDS
    ways = reached(platforms, start)
    assert ways == {each["id"] for each in platforms}
    for each in every:
        if each["type"] in ("collectible", "goal"):
            assert stands_on(each, platforms) in ways, each["id"]
    for hurt in (each for each in every if each["type"] == "hazard"):
        assert not hurt["x"] <= player["x"] <= hurt["x"] + hurt["width"], hurt["id"]
    assert goal["leads_to"]
    assert "uuid" not in json.dumps(sample.content)


def test_a_new_file_needs_no_code(folder):
    write(folder, "sample_anything.json", LEVEL)
    (folder / "sample_anything.toml").write_text('tags = ["night"]\nrating = "romantic"\nauthor = "Ada"\n')
    found = {sample.name: sample for sample in samples.load(folder).of_kind("layout")}
    made = found["sample_anything.json"]
    assert (made.kind, made.content, made.hash) == ("layout", LEVEL, fingerprint.digest(LEVEL))
    assert (made.tags, made.rating, made.author) == (("night",), Rating.ROMANTIC, "Ada")


def test_without_a_sidecar_the_defaults_hold(folder):
    (sample,) = samples.load(folder).of_kind("layout")
    assert (sample.tags, sample.rating, sample.author) == ((), Rating.SFW, None)


def test_samples_come_in_the_order_of_their_names(folder):
    for name in ("sample_z.json", "sample_a.json", "sample_m.json"):
        write(folder, name, LEVEL)
    names = [sample.name for sample in samples.load(folder).of_kind("layout")]
    assert names == sorted(names)


def test_a_default_content_is_found_by_its_id():
    store = samples.load(SHIPPED)
    found = store.default_content("transition_01")
    assert found is not None
    assert found.kind == "transition"
    assert found.name == "transition_01.json"
    assert store.default_content("transition_99") is None
    assert found not in store.of_kind("transition")


def test_a_kind_without_samples_has_none(folder):
    store = samples.load(folder)
    assert store.of_kind("plot") == ()
    assert store.of_kind("custom") == ()


@pytest.mark.parametrize("exists", [True, False])
def test_no_sample_at_all_is_told(tmp_path, exists):
    with pytest.raises(SampleError, match=r"no sample_\*\.json in .*add one"):
        samples.load(tmp_path if exists else tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "sample_x.json",
            {"scene_name": "x", "entities": [{"id": "a", "type": "ufo"}]},
            "sample_x.json: matches no kind; the closest is layout: entities.0.type: 'ufo' is unknown",
        ),
        ("sample_x.json", {**LEVEL, "weather": "rain"}, "closest is layout: weather: unknown field"),
        ("sample_x.json", {}, "document: is empty"),
        ("sample_x.json", b"{", "sample_x.json: is not JSON: "),
        ("sample_x.json", b"", "sample_x.json: is not JSON: "),
        ("sample_x.json", b'{"a": 1, "a": 2}', "field 'a' is given twice"),
        ("sample_x.json", b'{"a": NaN}', "NaN is no JSON number"),
        ("sample_x.json", b"[" * 100_000, "sample_x.json: is not JSON"),
        (
            "sample_x.json",
            b'{"scene_name": "\xff"}',
            "sample_x.json: is not UTF-8 at byte 16; save it as UTF-8",
        ),
        ("sample_x.json", b"\xef\xbb\xbf{}", "byte order mark; save it as UTF-8 without one"),
        ("sample_x.json", b" " * (512 * 1024 + 1), "sample_x.json: has more than 524288 bytes"),
        (
            "sample_simple_geometry.toml",
            b"mood = 'x'",
            "mood: unknown field; known are tags, rating, author, last_resort, promoted_from",
        ),
        ("sample_simple_geometry.toml", b"rating = 'PG'", "sample_simple_geometry.toml: rating: "),
        ("sample_simple_geometry.toml", b"tags = 'x'", "sample_simple_geometry.toml: tags: "),
        ("sample_simple_geometry.toml", b"tags = [", "sample_simple_geometry.toml: is not TOML: "),
        (
            "sample_simple_geometri.toml",
            b"",
            "there is no sample_simple_geometri.json beside it; rename or remove it",
        ),
        ("default_content/a b.json", LEVEL, "a b.json: 'a b' is no content id"),
        ("default_content/x.json", {"a": 1}, "x.json: matches no kind"),
    ],
)
def test_what_cannot_go_on_stage_is_told_with_file_and_field(folder, name, content, told):
    write(folder, name, content)
    with pytest.raises(SampleError) as error:
        samples.load(folder)
    assert told in str(error.value)
    (row,) = [row for row in samples.check(folder) if not row.ok]
    assert told in (row.error or "")


def test_a_folder_named_like_a_sample_is_told(folder):
    (folder / "sample_x.json").mkdir()
    with pytest.raises(SampleError, match=r"sample_x\.json: cannot be read"):
        samples.load(folder)


def test_a_file_that_fits_several_kinds_is_refused(folder, monkeypatch):
    monkeypatch.setattr(samples, "MODELS", {**MODELS, "level": MODELS["layout"]})
    monkeypatch.setattr(
        type(samples.CONTENTS), "model", lambda _, kind: {**MODELS, "level": MODELS["layout"]}[kind]
    )
    with pytest.raises(SampleError, match=r"fits several kinds \(layout, level\)"):
        samples.load(folder)


def test_check_goes_on_behind_a_broken_file(folder):
    write(folder, "sample_a.json", b"{")
    write(folder, "sample_b.json", LEVEL)
    rows = {row.file: row.ok for row in samples.check(folder)}
    assert rows == {"sample_a.json": False, "sample_b.json": True, "sample_simple_geometry.json": True}


def test_the_sample_of_the_documentation_is_one(tmp_path):
    page = (SHIPPED.parent / "docs" / "testing.md").read_text(encoding="utf-8")
    for kind, suffix in (("json sample", "json"), ("toml sidecar", "toml")):
        (tmp_path / f"sample_rooftop_run.{suffix}").write_text(
            page.partition(f"```{kind}\n")[2].partition("```")[0]
        )
    (sample,) = samples.load(tmp_path).of_kind("layout")
    assert (sample.tags, sample.rating, sample.author) == (("night", "city"), Rating.SFW, "Your Name")

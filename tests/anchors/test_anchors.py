"""Do requests come to what they came to before, and is nothing accepted that nobody looked at?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from contracts.kinds import KINDS
from contracts.nodes.field_aliases import model_of_field
from contracts.nodes.node import FILM_RATINGS, FallbackMode, Node, Rating, SeedSource, Strategy
from contracts.request import GenerationRequest, RequestError, read
from infra.settings.settings import Settings
from stages.context_build.handle import BriefPorts, build
from tests.anchors import keeping, making
from tests.anchors.__main__ import main
from tests.anchors.making import Fixture
from tests.anchors.patches import difference, patched
from tests.docs.pages import ROOT
from tests.import_path import IMPORT_PATH

JSON = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=2), JSON, max_size=3)


@pytest.mark.parametrize("name", keeping.names())
def test_a_request_comes_to_what_it_came_to(name: str) -> None:
    change = keeping.changed(name)
    assert not change, f"\n{change}\n{keeping.ADVICE}"


def fixtures() -> Iterator[Fixture]:
    for name in keeping.names():
        found = keeping.fixture(name)
        assert found is not None
        yield from (found, *making.reworded(found), *making.varied(found).values())


def accepted() -> list[GenerationRequest]:
    """The fixtures' requests that can be read."""
    found: list[GenerationRequest] = []
    for each in fixtures():
        if each.kind is not None:
            try:
                found.append(read(json.dumps(each.request).encode(), each.kind))
            except RequestError:
                continue
    return found


def fields(model: type[BaseModel]) -> set[str]:
    """Dotted paths of all fields of a model and of those below it."""
    found: set[str] = set()
    for name in model.model_fields:
        part = model_of_field(model, name)
        found |= {name} if part is None else {f"{name}.{inner}" for inner in fields(part)}
    return found


def said(model: BaseModel) -> set[str]:
    """Dotted paths of the fields that somebody has set."""
    found: set[str] = set()
    for name in model.model_fields_set:
        value = getattr(model, name)
        found |= {f"{name}.{inner}" for inner in said(value)} if isinstance(value, BaseModel) else {name}
    return found


def test_every_field_of_a_request_stands_in_a_fixture() -> None:
    assert fields(GenerationRequest) - set().union(*map(said, accepted())) == set()


def test_every_kind_strategy_source_mode_and_rating_stands_in_a_fixture() -> None:
    asked = accepted()
    nodes = [each.node or Node() for each in asked]
    assert {each.kind for each in fixtures()} - {None} == set(KINDS)
    assert {each.seed_source for each in nodes} - {None} == set(SeedSource)
    assert {each.strategy for each in nodes} - {None} == set(Strategy)
    modes = {each.fallback.mode for each in (*nodes, *asked) if each.fallback}
    assert modes - {None} == set(FallbackMode)
    written = {
        rating
        for each in fixtures()
        if (rating := (each.request.get("node") or {}).get("constraints", {}).get("rating"))
    }
    assert written == {*Rating, *FILM_RATINGS}


def test_every_world_makes_something_of_a_relationship() -> None:
    told = {each.world or "default" for each in accepted() if each.social and each.social.tells}
    assert {path.stem for path in (ROOT / "worlds").glob("*.toml")} <= told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy, to change."""
    copy = tmp_path / "requests"
    shutil.copytree(keeping.FOLDER, copy)
    return copy


def run(folder: Path, *arguments: str) -> int:
    return main([*arguments, "--folder", str(folder)])


def reword(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_difference_is_shown_and_accepted_on_demand(folder: Path, capsys: Any) -> None:
    reword(folder, "smallest", "three coins", "four coins")
    assert run(folder) == 1
    shown, advice = capsys.readouterr()
    assert "smallest.json (kept)" in shown
    assert '-      "a forest with three coins",' in shown
    assert '+      "a forest with four coins",' in shown
    assert "@@ variants / dialogue / brief" in shown
    assert "strategies.json" not in shown
    assert advice.startswith(f"1 of {len(keeping.names())} anchors differ\n")
    assert "just anchors --accept" in advice
    assert run(folder) == 1, "looking has accepted it"
    capsys.readouterr()
    assert run(folder, "--accept") == 0
    assert capsys.readouterr().out == shown
    assert run(folder) == 0
    assert capsys.readouterr().out == ""


def test_named_anchors_alone_are_accepted(folder: Path) -> None:
    reword(folder, "smallest", "three coins", "four coins")
    reword(folder, "keys", "the innkeeper remembers", "the innkeeper sings")
    assert run(folder, "--accept", "keys") == 0
    assert run(folder, "keys") == 0
    assert run(folder, "smallest") == 1


def test_a_change_of_the_code_is_a_difference(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    def colder(received: Any, ports: BriefPorts) -> Any:
        writing = msgspec.structs.replace(ports.freeform, temperature=0.1)
        return build(received, msgspec.structs.replace(ports, freeform=writing))

    monkeypatch.setattr(making, "build", colder)
    assert run(folder, "scenes_on_both_sides") == 1
    shown = capsys.readouterr().out
    assert '-      "temperature": 0.8' in shown
    assert '-    "slot": {"key": "transition.gap_fill.s1.s2.' in shown


def test_a_request_without_an_anchor_and_an_anchor_without_a_request_differ(folder: Path) -> None:
    (folder / "smallest.json").unlink()
    (folder / "keys.yaml").unlink()
    assert run(folder, "smallest") == run(folder, "keys") == 1
    assert run(folder, "--accept") == run(folder) == 0
    assert (folder / "smallest.json").is_file()
    assert not (folder / "keys.json").exists()


def test_another_spelling_that_comes_to_something_else_is_never_accepted(folder: Path, capsys: Any) -> None:
    had = (folder / "prompts.json").read_bytes()
    reword(folder, "prompts", "promptConfig: {versionId: transition@1}", "seed: 1")
    assert run(folder, "--accept", "prompts") == 1
    assert "prompts.yaml: number 1 of 'same' comes to something else" in capsys.readouterr().err
    assert (folder / "prompts.json").read_bytes() == had


def test_a_fixture_that_cannot_be_read_is_named(folder: Path, capsys: Any) -> None:
    reword(folder, "smallest", "variants:", "varaints:")
    assert run(folder, "smallest") == 1
    assert "smallest.yaml: Object contains unknown field `varaints`" in capsys.readouterr().err


def test_a_name_that_nobody_has_is_wrong_usage(folder: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(folder, "smalest")
    assert exit_.value.code == 2
    assert "there is no anchor 'smalest'; there are custom_schema, " in capsys.readouterr().err


def test_nothing_of_the_machine_reaches_into_anchors(tmp_path: Path) -> None:
    """Settings of the user's, in files and variables, another working directory, another order of sets."""
    (tmp_path / "config.yaml").write_text(
        "deadline_ms: 5\nnarrative: {defaults: {freeform: {temperature: 0}}}\n"
    )
    settings = {
        f"UNDERSTUDY_{name.upper()}": str(tmp_path) for name in Settings.model_fields if "_dir" in name
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.anchors"],
        cwd=tmp_path,
        env=os.environ
        | settings
        | {"UNDERSTUDY_DEADLINE_MS": "7", "USE_LOCAL_MODEL": "true", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
        | {"PYTHONPATH": IMPORT_PATH, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@given(OBJECTS, OBJECTS)
def test_a_difference_makes_the_one_the_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    patch = difference(one, other)
    assert keeping.text(patched(one, patch)) == keeping.text(other)
    assert (patch == {}) == (keeping.text(one) == keeping.text(other))


@given(JSON)
def test_an_anchor_is_json_whose_order_of_keys_does_not_matter(value: Any) -> None:
    def turned(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {name: turned(inner[name]) for name in reversed(inner)}
        return [turned(each) for each in inner] if isinstance(inner, list) else inner

    assert json.loads(keeping.text(value)) == value
    assert keeping.text(turned(value)) == keeping.text(value)

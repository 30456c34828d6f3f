"""Rubrics and instructions: files that can be used, and what is said about the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.kinds import BUILT_IN
from infra.app import start_checks
from infra.app.enhancement import InstructionsError, enhancer_limits, read_instructions
from infra.settings.settings import load
from infra.stores import rubrics
from stages.freeform_gen.enhancer import INSTRUCTIONS
from tests.command_line import understudy

SCALE = 'scale = ["a", "b", "c", "d", "e"]\n'
ONE = '[[criteria]]\nname = "fits"\nquestion = "Does it fit?"\n'
JUDGED = {"providers": {"evaluation": "scripted"}}


def written(folder: Path, text: str, name: str = "own.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_rubric_that_ships_has_criteria_for_every_kind() -> None:
    rubric = rubrics.load("default")
    assert rubric.name == "default"
    assert all(len(rubric.for_kind(kind)) >= 3 for kind in BUILT_IN)
    assert [each.ok for each in rubrics.check(rubrics.path_of("default").parent)] == [True]


def test_a_rubric_is_known_by_its_content(tmp_path: Path) -> None:
    one = rubrics.load(str(written(tmp_path, SCALE + ONE)))
    same = rubrics.load(str(written(tmp_path, f"# A comment.\n{SCALE}{ONE}weight = 1\n", "same.toml")))
    other = rubrics.load(str(written(tmp_path, f"{SCALE}{ONE}weight = 2\n", "other.toml")))
    assert one.hash == same.hash != other.hash
    assert (one.name, other.name) == ("own", "other")


def test_criteria_are_for_their_kinds(tmp_path: Path) -> None:
    rubric = rubrics.load(str(written(tmp_path, f'{SCALE}{ONE}kinds = ["plot"]\n')))
    assert [each.name for each in rubric.for_kind("plot")] == ["fits"]
    assert rubric.for_kind("scene") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SCALE, "own.toml: criteria: is missing; add it"),
        (ONE, "own.toml: scale: is missing; add it"),
        ('scale = ["a", "b"]\n' + ONE, "own.toml: scale.2: is missing; add it"),
        (f"{SCALE}colour = 1\n{ONE}", "own.toml: colour: unknown field"),
        (f"{SCALE}{ONE}weight = 0\n", "own.toml: criteria.0.weight: 0 is not allowed here"),
        (f'{SCALE}{ONE}kinds = ["novel"]\n', "own.toml: criteria.0.kinds.0: 'novel' is not allowed here"),
        (SCALE + ONE.replace("fits", "Fits!"), "own.toml: criteria.0.name: 'Fits!' is not allowed here"),
        (SCALE + ONE + ONE, "own.toml: criteria: two are called 'fits'; give each a name of its own"),
        (f"{SCALE}name = 'x'\n{ONE}", "own.toml: name: is set by Understudy"),
        ("scale = [", "own.toml: is not TOML"),
    ],
)
def test_a_rubric_that_cannot_be_used_names_file_field_and_fix(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(rubrics.RubricError) as raised:
        rubrics.load(str(path))
    assert str(raised.value).startswith(said)
    (checked,) = rubrics.check(path)
    assert (checked.ok, checked.error) == (False, str(raised.value))


def test_a_name_that_no_rubric_has_says_how_to_name_a_file() -> None:
    with pytest.raises(
        rubrics.RubricError, match="there is no rubric 'strict'; those that ship are default; for a file"
    ):
        rubrics.load("strict")
    with pytest.raises(rubrics.RubricError, match=r"gone\.toml: cannot be read"):
        rubrics.load("gone.toml")


def test_the_start_looks_at_the_rubric_where_documents_are_judged(tmp_path: Path) -> None:
    broken = {"evaluation": {"rubric": str(written(tmp_path, SCALE))}}
    assert all(each.part != "rubric" for each in start_checks.look(load(narrative=broken)))
    (found,) = [each for each in start_checks.look(load(narrative=broken | JUDGED)) if each.part == "rubric"]
    assert (found.ok, found.detail) == (False, "own.toml: criteria: is missing; add it")


def test_the_command_lists_and_checks(tmp_path: Path) -> None:
    environment = {"UNDERSTUDY_NARRATIVE__EVALUATION__RUBRIC": str(written(tmp_path, SCALE))}
    ended = understudy("rubrics", "check", "--json", environment=environment)
    own, shipped = json.loads(ended.out)
    assert (ended.status, own["ok"], own["error"]) == (1, False, "own.toml: criteria: is missing; add it")
    assert (shipped["name"], shipped["ok"], shipped["hash"]) == (
        "default",
        True,
        rubrics.load("default").hash,
    )
    listed = understudy("rubrics", "ls", environment={})
    assert "fits_wish, coherent" in listed.out
    assert understudy("rubrics", "check", "nowhere", environment={}).status == 2


def test_instructions_come_from_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, "Make it rhyme.\n", "tell.txt")
    own = enhancer_limits(load(narrative={"enhancement": {"instructions": path}}))
    usual = enhancer_limits(load())
    assert (own.told, usual.told) == ("Make it rhyme.", INSTRUCTIONS["draft"])
    assert own.hash != usual.hash != enhancer_limits(load(narrative={"enhancement": {"of": "wish"}})).hash


@pytest.mark.parametrize(
    ("text", "said"), [(" \n", "is empty"), ("x" * 8001, "has 8001 characters"), (None, "cannot be read")]
)
def test_instructions_that_cannot_be_used(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "tell.txt"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InstructionsError, match=said):
        read_instructions(path)

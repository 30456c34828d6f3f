"""Evaluation sets: which files are refused, and what their refusals say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.app import evaluation_plan
from infra.settings import shipped
from infra.settings.settings import load
from infra.stores import evaluation_sets
from infra.stores.evaluation_sets import MAX_CASES, EvaluationSet, EvaluationSetError

CASE = '[[cases]]\nname = "gate"\nprompt = "a gate in the snow"\n'


def write(folder: Path, text: str, name: str = "nightly.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str) -> EvaluationSet:
    return evaluation_sets.read(write(folder, text))


def test_the_shipped_sets_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USE_LOCAL_MODEL", raising=False)
    files = sorted((shipped.ROOT / "library" / "evaluations").glob("*.toml"))
    assert files
    for file in files:
        found = evaluation_sets.read(file)
        kinds = {each.kind for each in evaluation_plan.plan_run(load(), found)}
        assert {"layout", "plot", "scene", "dialogue", "transition", "custom"} == kinds
        assert len(found.cases) == 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cases = [", "nightly.toml: is not TOML"),
        ("says = 'x'", "nightly.toml: cases: is missing; add it"),
        ("cases = []", "nightly.toml: cases: [] is not allowed here"),
        (f"{CASE}[more]\n", "nightly.toml: more: unknown field; a file has says, defaults, cases"),
        ('[[cases]]\nprompt = "x"\n', "nightly.toml: case 1: name: is missing; add it"),
        ('[[cases]]\nname = "a b"\n', "nightly.toml: case 1: name: 'a b' is not allowed here"),
        (CASE + CASE, "nightly.toml: two cases are called gate; rename one"),
        (f'{CASE}kind = "poem"\n', "nightly.toml: case gate: kind: 'poem' is not allowed here"),
        (f'{CASE}facts = ["--"]\n', "nightly.toml: case gate: facts.0.0: '--' has no letter or digit"),
        (f"{CASE}facts = [[]]\n", "nightly.toml: case gate: facts.0: [] is not allowed here"),
        (f"{CASE}facts = {json.dumps(['x'] * 51)}\n", "nightly.toml: case gate: facts: "),
        (f"{CASE}max_latency_ms = 0\n", "nightly.toml: case gate: max_latency_ms: 0 is not allowed here"),
        (
            f'{CASE}replay_of = "r-1"\n',
            "nightly.toml: case gate: replay_of: is set by Understudy, not by the file",
        ),
        (f"{CASE}shadow = true\n", "nightly.toml: case gate: shadow: is set by Understudy"),
        (
            f'{CASE}facts = [["gate", "old gate"]]\navoid = ["gate"]\n',
            "nightly.toml: case gate: facts: 'gate' has a term that avoid excludes; remove one of them",
        ),
        (f'[defaults]\nname = "x"\n{CASE}', "nightly.toml: defaults.name: each case has its own"),
    ],
)
def test_a_refusal_names_file_case_field_and_fix(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(EvaluationSetError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)


def test_a_file_is_bounded(tmp_path: Path) -> None:
    many = "\n".join(f'[[cases]]\nname = "c{each}"\nprompt = "x"' for each in range(MAX_CASES + 1))
    with pytest.raises(EvaluationSetError, match="at most 500"):
        read(tmp_path, many)
    with pytest.raises(EvaluationSetError, match="more than 524288 bytes"):
        read(tmp_path, CASE + "#" * 600_000)
    with pytest.raises(EvaluationSetError, match="is not the name of a set"):
        evaluation_sets.read(write(tmp_path, CASE, "a b.toml"))
    with pytest.raises(EvaluationSetError, match="more than 2,000 requests"):
        evaluation_plan.plan_run(load(), read(tmp_path, "\n".join(many.splitlines()[:90])), repeat=100)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ('prompt = "x"\nsead = 3\n', "case gate: sead"),
        ('prompt = " "\n', "case gate: prompt"),
        ('prompt = "x"\nkind = "custom"\n', "case gate: schema: is required for kind custom"),
        ('prompt = "x"\ntemplate_id = "no_such"\n', "case gate: template_id"),
        ('prompt = "x"\nprompt_config = { family = "layout", version = 99 }\n', "case gate: prompt_config"),
        ('prompt = "x"\nworld = "no_such"\n', "case gate: world"),
    ],
)
def test_what_the_pipeline_would_reject_is_found_before(tmp_path: Path, fields: str, said: str) -> None:
    found = read(tmp_path, f'[[cases]]\nname = "gate"\n{fields}')
    with pytest.raises(EvaluationSetError) as caught:
        evaluation_plan.plan_run(load(), found)
    assert f"nightly.toml: {said}" in str(caught.value)


def test_a_case_overrides_the_defaults_and_the_digest_follows_what_it_asks(tmp_path: Path) -> None:
    text = f'[defaults]\nkind = "plot"\navoid = ["gun"]\ndeadlineMs = 5\n{CASE}'
    first = read(tmp_path, text).cases[0]
    assert (first.kind, first.avoid, first.request["deadline_ms"]) == ("plot", ("gun",), 5)
    other = read(tmp_path, f'{text}kind = "scene"\ndeadline_ms = 6\n').cases[0]
    assert (other.kind, other.request["deadline_ms"]) == ("scene", 6)
    renamed = read(tmp_path, text.replace('"gate"', '"door"')).cases[0]
    assert first.digest == renamed.digest != other.digest


def test_repeats_differ_in_their_seed_alone_and_are_the_same_in_every_run(tmp_path: Path) -> None:
    found = read(tmp_path, CASE + CASE.replace("gate", "door"))
    first, second = (evaluation_plan.plan_run(load(), found, repeat=3) for _ in range(2))
    assert first == second
    assert [(each.case.name, each.repeat) for each in first] == [
        (name, repeat) for repeat in (1, 2, 3) for name in ("gate", "door")
    ]
    bodies = [json.loads(each.body) for each in first if each.case.name == "gate"]
    seeds = [each.pop("seed", None) for each in bodies]
    assert bodies[0] == bodies[1] == bodies[2]
    # The first is the request as it is.
    assert seeds[0] is None
    assert len(set(seeds)) == 3
    assert bodies[0]["shadow"] is True

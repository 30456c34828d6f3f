"""Files of experiments: read again when they change, and changed without losing what people wrote."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from contracts.experiments import Experiment
from infra.app import experiment_plans, experiment_trials
from infra.settings.settings import load as load_settings
from infra.stores import experiments
from infra.stores.experiments import ExperimentError, ExperimentStore, ExperimentUnknown

FILE = """\
# The tone of layouts.
says = "warmer layouts"
unit = "player"   # a player keeps the tone
kinds = [
  "layout",
]

[[arms]]
name = "as-is"

[[arms]]
name = "warm"
set = ["params.temperature=0.9"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tone.toml").write_text(FILE, encoding="utf-8")
    return tmp_path


def test_a_stop_keeps_comments_and_order(folder: Path) -> None:
    assert experiments.stop(folder, "tone").stopped
    text = (folder / "tone.toml").read_text(encoding="utf-8")
    assert text == FILE.replace(
        ']\n\n[[arms]]\nname = "as-is"', ']\nstopped = true\n\n[[arms]]\nname = "as-is"'
    )
    assert experiments.stop(folder, "tone", promoted="warm").promoted == "warm"
    again = experiments.stop(folder, "tone")
    assert (again.stopped, again.promoted) == (True, None)
    assert (folder / "tone.toml").read_text(encoding="utf-8") == text


def test_a_value_keeps_the_comment_behind_it(folder: Path) -> None:
    path = folder / "tone.toml"
    path.write_text(f"stopped = false  # runs until May\n{FILE}", encoding="utf-8")
    experiments.stop(folder, "tone")
    assert path.read_text(encoding="utf-8").splitlines()[0] == "stopped = true  # runs until May"


def test_a_file_that_is_not_written_plainly_is_left_alone(folder: Path) -> None:
    (folder / "odd.toml").write_text(
        'arms = [\n  { name = "a" },\n  { name = "b" },\n]\n"stopped" = false\n', encoding="utf-8"
    )
    before = (folder / "odd.toml").read_bytes()
    with pytest.raises(ExperimentError, match="add stopped = true yourself"):
        experiments.stop(folder, "odd")
    assert (folder / "odd.toml").read_bytes() == before


def test_what_is_not_there_is_said_with_what_is(folder: Path) -> None:
    with pytest.raises(ExperimentUnknown, match="there are: tone"):
        experiments.stop(folder, "../tone")
    with pytest.raises(ExperimentUnknown, match="use one of as-is, warm"):
        experiments.stop(folder, "tone", promoted="cold")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 'x'\n", "is set by Understudy"),
        ("unit = 'planet'\n", "unit: 'planet' is not allowed here"),
        ("arms = 1", "arms: 1 is not allowed here"),
        ("winner = 'b'\n" + FILE, "winner: unknown field"),
        ("unit =", "is not TOML"),
    ],
)
def test_a_fault_names_the_file_and_the_field(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "tone.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ExperimentError, match=rf"tone\.toml: .*{said}"):
        experiments.load(tmp_path)
    assert [each.ok for each in experiments.check(tmp_path)] == [False]


class Files:
    """A store, its clock and what it complains about."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        self.problems: list[str] = []
        self.store = ExperimentStore(
            folder, prepare=self.prepare, on_problem=self.problems.append, clock=lambda: self.now_s
        )

    def prepare(self, plan: Experiment) -> Any:
        return plan

    def later(self) -> list[Any]:
        self.now_s += experiments.LOOK_S
        return list(self.store.current())


def test_files_are_read_again_when_they_change(folder: Path) -> None:
    files = Files(folder)
    experiments.stop(folder, "tone")
    assert [each.stopped for each in files.store.current()] == [False]
    assert [each.stopped for each in files.later()] == [True]
    (folder / "tone.toml").unlink()
    assert files.later() == []


def test_files_that_cannot_be_used_change_nothing(folder: Path) -> None:
    files = Files(folder)
    (folder / "tone.toml").write_text("unit =", encoding="utf-8")
    assert [each.name for each in files.later()] == ["tone"]
    assert [each.name for each in files.later()] == ["tone"]
    (problem,) = files.problems
    assert problem.startswith("tone.toml: is not TOML")
    (folder / "tone.toml").write_text(FILE, encoding="utf-8")
    assert len(files.later()) == 1


def test_a_start_with_files_that_cannot_be_used_is_refused(folder: Path) -> None:
    (folder / "tone.toml").write_text("unit =", encoding="utf-8")
    with pytest.raises(ExperimentError):
        Files(folder)
    with pytest.raises(ExperimentError, match="is not a folder"):
        Files(folder / "none")


def planned(**fields: Any) -> Experiment:
    return Experiment.model_validate(tomllib.loads(FILE) | {"name": "tone"} | fields)


def test_a_check_tries_every_arm() -> None:
    settings = load_settings()
    assert experiment_trials.find_problems(settings, planned()) == []
    for assignment, said in (
        ("prompt=layout@99", "arm warm: kind layout: "),
        ("params.temperature=9", "arm warm: kind layout: params.temperature: "),
        ("model=nobody", "arm warm: no provider or model is called 'nobody'"),
    ):
        wrong = planned(arms=[{"name": "as-is"}, {"name": "warm", "set": [assignment]}])
        (found,) = experiment_trials.find_problems(settings, wrong)
        assert said in found


def test_overlaps_are_told() -> None:
    other = planned(name="other", kinds=["plot"])
    assert experiment_plans.find_overlaps([planned(), other]) == []
    both = planned(name="wide", kinds=[])
    assert experiment_plans.find_overlaps([planned(), both]) == [
        "tone and wide are about the same requests: those of both are in tone alone"
    ]
    assert experiment_plans.find_overlaps([planned(stopped=True), both]) == []

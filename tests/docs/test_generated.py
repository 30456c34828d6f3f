"""Generated pages: what the code says."""

from __future__ import annotations

import os
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest

from infra.lab.docgen.__main__ import PAGES, main, stale, write
from infra.lab.docgen.settings import every
from infra.settings import config_file
from infra.settings.config_file import SettingsError
from infra.settings.settings import Settings, load
from tests.docs.pages import ROOT
from tests.import_path import IMPORT_PATH


def test_pages_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, f"write them with `just docs`:\n{capsys.readouterr().out}"


def test_writing_makes_them_current_and_a_stale_page_is_shown_with_its_difference(tmp_path: Path) -> None:
    assert write(tmp_path) == tuple(PAGES)
    assert write(tmp_path) == ()
    page = tmp_path / "docs/subjects.md"
    page.write_text(page.read_text().replace("GEN_POISON", "GEN_POISONED"))
    difference = stale(tmp_path)
    assert "-| `GEN_POISONED` |" in difference
    assert "+| `GEN_POISON` |" in difference
    page.write_text(page.read_text().replace("GEN_POISONED", "GEN_POISON"))
    assert stale(tmp_path) == ""


def test_other_arguments_are_wrong_usage() -> None:
    assert main(["--chekc"]) == 2


def test_pages_do_not_depend_on_the_environment() -> None:
    env = os.environ | {
        "UNDERSTUDY_ACK_WAIT": "3",
        "UNDERSTUDY_BROKER__REPLICAS": "3",
        "PYTHONPATH": IMPORT_PATH,
    }
    done = subprocess.run(
        [sys.executable, "-m", "infra.lab.docgen", "--check"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_example_configuration_is_the_defaults(monkeypatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_CONFIG", str(ROOT / "config.yaml.example"))
    assert load().model_dump() == Settings.model_construct().model_dump()


@pytest.mark.parametrize(
    ("line", "changed", "path", "value"),
    [
        ("max_reasks: 1", "max_reasks: 2", "max_reasks", 2),
        ("  replicas: 1", "  replicas: 3", "broker.replicas", 3),
        ("use_local_model: false", "use_local_model: true", "use_local_model", True),
    ],
)
def test_a_value_in_the_example_that_is_not_the_default_would_be_noticed(
    tmp_path: Path, monkeypatch, line, changed, path, value
) -> None:
    text = (ROOT / "config.yaml.example").read_text(encoding="utf-8")
    assert f"\n{line}\n" in text
    (tmp_path / "config.yaml").write_text(text.replace(f"\n{line}\n", f"\n{changed}\n"))
    monkeypatch.setenv("UNDERSTUDY_CONFIG", str(tmp_path / "config.yaml"))
    assert attrgetter(path)(load()) == value != attrgetter(path)(Settings.model_construct())


def test_the_example_configuration_has_every_setting_once() -> None:
    shown = config_file.read(ROOT / "config.yaml.example").lines
    assert len(shown) > len(every()) / 2
    hidden = {each.path for each in every() if isinstance(each.default, Path) and each.default.is_absolute()}
    for setting in every():
        assert (tuple(setting.path.split(".")) in shown) is (setting.path not in hidden), setting.path


@pytest.mark.parametrize(
    ("line", "slipped"),
    [("budgets:", "budget:"), ("deadline_ms:", "deadlinems:"), ("  replicas: 1", "  replica: 1")],
)
def test_a_name_in_the_example_that_is_no_setting_would_be_noticed(
    tmp_path: Path, monkeypatch, line, slipped
) -> None:
    text = (ROOT / "config.yaml.example").read_text(encoding="utf-8")
    assert f"\n{line}" in text
    (tmp_path / "config.yaml").write_text(text.replace(f"\n{line}", f"\n{slipped}"))
    monkeypatch.setenv("UNDERSTUDY_CONFIG", str(tmp_path / "config.yaml"))
    with pytest.raises(SettingsError, match=f"there is no setting .*{slipped.split(':')[0].strip()}"):
        load()

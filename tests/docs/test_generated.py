"""Are the generated pages what the code says?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.docgen.__main__ import PAGES, main, stale, write
from infra.settings import Settings, load
from tests.docs.pages import ROOT


def test_pages_are_current() -> None:
    assert stale() == "", "write them with `just docs`"


def test_writing_makes_them_current(tmp_path: Path) -> None:
    assert write(tmp_path) == tuple(PAGES)
    assert stale(tmp_path) == ""
    assert write(tmp_path) == ()


def test_a_stale_page_is_shown_with_its_difference(tmp_path: Path) -> None:
    write(tmp_path)
    page = tmp_path / "docs/subjects.md"
    page.write_text(page.read_text().replace("GEN_POISON", "GEN_POISONED"))
    difference = stale(tmp_path)
    assert "-| `GEN_POISONED` |" in difference
    assert "+| `GEN_POISON` |" in difference


def test_check_exits_0_when_current() -> None:
    assert main(["--check"]) == 0


def test_other_arguments_are_wrong_usage() -> None:
    assert main(["--chekc"]) == 2


def test_pages_do_not_depend_on_the_environment() -> None:
    env = os.environ | {
        "UNDERSTUDY_ACK_WAIT": "3",
        "UNDERSTUDY_BROKER__REPLICAS": "3",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "infra.docgen", "--check"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_example_configuration_is_the_defaults(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_CONFIG", str(ROOT / "config.yaml.example"))
    assert load().model_dump() == Settings.model_construct().model_dump()

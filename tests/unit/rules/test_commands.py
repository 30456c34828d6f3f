"""What do `understudy rules check|format|compile` print, and how do they end?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.unit.rules.written import EXAMPLE


def _rules(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: PLW1510 - the status is what is tested
        [sys.executable, "-m", "infra.cli", "rules", *args],
        input=stdin,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
        timeout=60,
    )


def test_check_lists_findings_with_their_places() -> None:
    done = _rules("check", "-", stdin="pacing = fats\nIF false\n  PACING slow\n")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "1:10: error RUL102: pacing cannot be 'fats'; did you mean fast?",
        "2:1: warning RUL201: this branch is never taken: false never holds; leave it out",
    ]


def test_check_prints_one_object_for_programs(tmp_path: Path) -> None:
    file = tmp_path / "node.rules"
    file.write_text(EXAMPLE)
    done = _rules("check", str(file), "--json")
    assert (done.returncode, json.loads(done.stdout)) == (
        0,
        {"ok": True, "errors": [], "warnings": [], "suggestions": []},
    )
    done = _rules("check", "-", "--json", stdin="IF a = 1")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (1, False)
    (error,) = found["errors"]
    assert (error["code"], error["line"], error["column"]) == ("RUL001", 1, 6)


def test_format_prints_or_changes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "node.rules"
    file.write_text("pacing fast   # so\n")
    assert _rules("format", str(file)).stdout == 'pacing = "fast"  # so\n'
    assert json.loads(_rules("format", str(file), "--write", "--json").stdout)["changed"] is True
    assert file.read_text() == 'pacing = "fast"  # so\n'
    assert json.loads(_rules("format", str(file), "--json").stdout)["changed"] is False


def test_format_leaves_what_it_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "node.rules"
    file.write_text("pacing =")
    done = _rules("format", str(file), "--write")
    assert (done.returncode, file.read_text()) == (1, "pacing =")
    assert ":1:9: error RUL001" in done.stdout


def test_compile_prints_overrides_and_tells_the_rest_apart(tmp_path: Path) -> None:
    context = tmp_path / "context.json"
    context.write_text('{"player_choice": {"quest_accept": true}}')
    done = _rules("compile", "-", "--context", str(context), stdin=EXAMPLE)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["style"] == {"mood_to": "determined", "pacing": "fast"}
    done = _rules("compile", "-", stdin=EXAMPLE)
    assert json.loads(done.stdout)["style"] == {"mood_to": "reflective", "pacing": "slow"}
    assert "1:4: warning RUL301" in done.stderr
    printed = json.loads(_rules("compile", "-", "--json", stdin=EXAMPLE).stdout)
    assert [each["code"] for each in printed["warnings"]] == ["RUL301"]
    assert printed["trace"][0]["line"] == 4


def test_compile_refuses_rules_with_errors() -> None:
    done = _rules("compile", "-", stdin="pacing = fats")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("1:10: error RUL102")


@pytest.mark.parametrize(
    ("args", "stdin", "says"),
    [
        (("check", "/nowhere"), "", "/nowhere"),
        (("check", "/"), "", "cannot read /"),
        (("format", "-", "--write"), "", "--write"),
        (("compile", "-", "--context", "-"), "", "standard input"),
        (("compile", "-", "--context", "/nowhere"), "", "/nowhere"),
        (("compile", str(ROOT / "pyproject.toml"), "--context", "-"), "[1]", "player_choice"),
        (("compile", str(ROOT / "pyproject.toml"), "--context", "-"), "{", "not JSON"),
    ],
)
def test_wrong_usage_exits_2_and_names_the_value(args: tuple[str, ...], stdin: str, says: str) -> None:
    done = _rules(*args, stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr

"""Does the command tell people, programs and editors what is wrong with a node?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts.nodes.validation.check import SOUND
from infra.cli import console
from infra.cli.app import app
from tests.unit.node_examples import TEMPLATE

BAD = {**SOUND, "strategy": "per_plyer", "enabled": False}


def ran(*args: str, stdin: str | bytes = "") -> Any:
    return CliRunner().invoke(app, ["validate", *args], input=stdin)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.json"
    path.write_text(json.dumps(TEMPLATE))
    return path


def test_the_first_template_is_in_order(file: Path) -> None:
    done = ran(str(file), "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 0
    assert set(told) == {"ok", "errors", "warnings", "suggestions"}
    assert (told["ok"], told["errors"], told["warnings"]) == (True, [], [])


def test_an_error_exits_1_and_has_the_five_fields() -> None:
    done = ran("-", "--json", stdin=json.dumps(BAD))
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert told["ok"] is False
    (error,) = told["errors"]
    assert set(error) == {"code", "severity", "path", "message", "suggestion"}
    assert (error["code"], error["severity"], error["path"]) == ("ENU001", "error", "strategy")
    assert [each["code"] for each in told["warnings"]] == ["ENA001"]


def test_warnings_alone_exit_0() -> None:
    done = ran("-", "--json", stdin=json.dumps({**SOUND, "enabled": False}))
    assert (done.exit_code, json.loads(done.stdout)["ok"]) == (0, True)


def test_people_read_place_code_and_fix(tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text("- generationType: dialogue\n  purpose: ambient\n  strategy: per_plyer\n- 7\n")
    done = ran(str(path))
    assert done.exit_code == 1
    assert (
        f"{path}:3:3 error ENU001 0.strategy: 'per_plyer' is unknown → did you mean 'per_player'?"
        in done.stdout
    )
    assert f"{path}:4:3 error NOD001 1: 7 is not a node" in done.stdout
    assert "2 nodes, 2 errors, 0 warnings, 1 suggestion" in done.stdout
    assert "skipped" not in done.stdout


def test_default_contents_are_looked_for(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_SAMPLES_DIR", str(tmp_path))
    done = ran(str(file), "--json")
    assert [each["code"] for each in json.loads(done.stdout)["errors"]] == ["FBK004"]


def test_text_that_cannot_be_parsed_is_a_finding_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": 1,\n  "b": }')
    told = ran(str(path), "--json")
    assert told.exit_code == 1
    (error,) = json.loads(told.stdout)["errors"]
    assert error["code"] == "FIL001"
    assert error["message"].startswith("line 2, column 8: invalid JSON")
    assert f"{path}:2:8 error FIL001" in ran(str(path)).stdout
    log = json.loads(ran(str(path), "--format", "sarif").stdout)
    (result,) = log["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": path.as_uri()},
        "region": {"startLine": 2, "startColumn": 8},
    }


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_every_format_exits_1_with_an_error(form: str) -> None:
    done = ran("-", "--format", form, stdin="{}")
    assert done.exit_code == 1
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    ("args", "stdin", "says"),
    [
        (("/nowhere.json",), "", "/nowhere.json cannot be read: No such file or directory"),
        (("-",), b"a: 1\nb: \xff", "standard input is not UTF-8 at line 2, column 4"),
        (("-",), b"a" * (1024 * 1024 + 1), "has more than 1048576 bytes"),
    ],
)
def test_what_cannot_be_read_is_wrong_usage(args, stdin, says) -> None:
    done = ran(*args, stdin=stdin)
    assert isinstance(done.exception, console.Usage)
    assert console.status_of(done.exception) == console.USAGE
    assert says in str(done.exception)

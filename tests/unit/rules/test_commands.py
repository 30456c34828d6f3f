"""Output and exit codes of `understudy rules check|format|compile`."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.unit.conftest import Understudy
from tests.unit.rules.written import EXAMPLE


@pytest.fixture
def rules(understudy: Understudy) -> Understudy:
    """``understudy rules ARGS``."""
    return functools.partial(understudy, "rules")


def test_check_lists_findings_with_their_places(rules: Understudy) -> None:
    done = rules("check", "-", stdin="pacing = fats\nIF false\n  PACING slow\n")
    assert done.status == 1
    assert done.out.splitlines() == [
        "1:10: error RUL102: pacing cannot be 'fats'; did you mean fast?",
        "2:1: warning RUL201: this branch is never taken: false never holds; leave it out",
    ]


def test_check_prints_one_object_for_programs(rules: Understudy, tmp_path: Path) -> None:
    file = tmp_path / "node.rules"
    file.write_text(EXAMPLE)
    done = rules("check", str(file), "--json")
    assert (done.status, json.loads(done.out)) == (
        0,
        {"ok": True, "errors": [], "warnings": [], "suggestions": []},
    )
    done = rules("check", "-", "--json", stdin="IF a = 1")
    found = json.loads(done.out)
    assert (done.status, found["ok"]) == (1, False)
    (error,) = found["errors"]
    assert (error["code"], error["line"], error["column"]) == ("RUL001", 1, 6)


def test_format_prints_or_changes_a_file(rules: Understudy, tmp_path: Path) -> None:
    file = tmp_path / "node.rules"
    file.write_text("pacing fast   # so\n")
    assert rules("format", str(file)).out == 'pacing = "fast"  # so\n'
    assert json.loads(rules("format", str(file), "--write", "--json").out)["changed"] is True
    assert file.read_text() == 'pacing = "fast"  # so\n'
    assert json.loads(rules("format", str(file), "--json").out)["changed"] is False


def test_format_leaves_what_it_cannot_read(rules: Understudy, tmp_path: Path) -> None:
    file = tmp_path / "node.rules"
    file.write_text("pacing =")
    done = rules("format", str(file), "--write")
    assert (done.status, file.read_text()) == (1, "pacing =")
    assert ":1:9: error RUL001" in done.out


def test_compile_prints_overrides_and_tells_the_rest_apart(rules: Understudy, tmp_path: Path) -> None:
    context = tmp_path / "context.json"
    context.write_text('{"player_choice": {"quest_accept": true}}')
    done = rules("compile", "-", "--context", str(context), stdin=EXAMPLE)
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["style"] == {"mood_to": "determined", "pacing": "fast"}
    done = rules("compile", "-", stdin=EXAMPLE)
    assert json.loads(done.out)["style"] == {"mood_to": "reflective", "pacing": "slow"}
    assert "1:4: warning RUL301" in done.err
    printed = json.loads(rules("compile", "-", "--json", stdin=EXAMPLE).out)
    assert [each["code"] for each in printed["warnings"]] == ["RUL301"]
    assert printed["trace"][0]["line"] == 4


def test_compile_refuses_rules_with_errors(rules: Understudy) -> None:
    done = rules("compile", "-", stdin="pacing = fats")
    assert (done.status, done.err) == (1, "")
    assert done.out.startswith("1:10: error RUL102")


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
def test_wrong_usage_exits_2_and_names_the_value(
    rules: Understudy, args: tuple[str, ...], stdin: str, says: str
) -> None:
    done = rules(*args, stdin=stdin)
    assert (done.status, done.out) == (2, "")
    assert says in done.err
    assert "Traceback" not in done.err

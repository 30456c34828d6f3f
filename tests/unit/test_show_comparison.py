"""Comparisons on a terminal of 80 columns: no line is longer, and no value can control the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from infra.cli.show_comparison import estimate_text, show_many, show_one
from infra.inspect.comparison import compare, summarise
from infra.replay.rerun_estimate import RequestUsage, estimate
from tests.unit.test_comparison import changed, outcome, pairs


@pytest.fixture
def out() -> Console:
    return Console(file=io.StringIO(), width=80, highlight=False, emoji=False)


def shown(out: Console) -> list[str]:
    file = out.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_a_pair_shows_figures_and_changes_within_80_columns(out: Console) -> None:
    long = changed(scene_name="A very long name \x1b[2J of a scene " * 20, concept={"x" * 100: 1})
    found = compare(
        outcome("r-1"),
        outcome("sh-a-1", long, body={"params": {"temperature": 0.2}}, ms=300, prompt_version="layout@2"),
    )
    show_one(out, found)
    lines = shown(out)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "the contents differ in 2 places" in text
    assert "+ /params" in text
    assert "~ /scene_name  changed" in text
    assert any("latency" in line and "+200.0 ms (+200%)" in line for line in lines)
    assert any("prompt version" in line and "≠" in line for line in lines)


def test_equal_and_missing_contents_are_named(out: Console) -> None:
    show_one(out, compare(outcome("r-1"), outcome("r-2")))
    show_one(out, pairs()[3])
    text = "\n".join(shown(out))
    assert "the contents are equal" in text
    assert "no result yet" in text
    assert "one of the two has none" in text


def test_many_pairs_show_totals_and_fields_within_80_columns(out: Console) -> None:
    show_many(out, summarise(pairs()))
    lines = shown(out)
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("4 pairs; in 3 the model wrote both contents, 1 of them equal")
    assert any("/entities/*/x" in line and "33%" in line for line in lines)
    assert any("valid" in line and "-25.0%" in line for line in lines)


def test_an_estimate_says_its_band_and_what_is_not_known() -> None:
    used = RequestUsage(prompt_tokens=600, completion_tokens=400, cost=2.0)
    found = estimate([("layout", used), ("plot", None)])
    assert estimate_text(found) == (
        "2 requests, about 1,000 tokens (750 to 1,250), about 2 in money (1.5 to 2.5); "
        "nothing is known of what 1 of them take"
    )

"""Does the command print the seed and the key that a request would get?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.cli import console
from infra.cli.app import app
from tests.unit.test_seeds import vectors


@pytest.fixture(autouse=True)
def _model_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_LOCAL_MODEL", "true")
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDERS__SCENE", "scripted")


def seed(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["seed", *words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_pages_first_vector_comes_out() -> None:
    wanted = vectors()[0]
    words = ["--strategy", "per_playthrough", "--playthrough", "p-1", "--from", "s1", "--to", "s2"]
    assert seed(*words) == {
        "seed": wanted["seed"],
        "seed_source": "playthrough",
        "cache_key": "transition|gap_fill|s1|s2|per_playthrough|pt:p-1|1",
        "key": None,
    }


def test_always_has_no_key_and_a_fresh_seed() -> None:
    told = seed("--strategy", "always")
    assert (told["cache_key"], told["seed_source"]) == (None, "timestamp")


def test_a_whole_request_has_a_key_in_the_bucket(tmp_path: Path) -> None:
    node = {
        "generationType": "scene",
        "purpose": "ambient",
        "strategy": "once",
        "seedSource": "fixed",
        "fallback": {"mode": "golden_sample"},
    }
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"prompt": "a market", "node": node}), encoding="utf-8")
    told = seed("--file", str(file), "--kind", "scene")
    assert told["cache_key"] == "scene|ambient|||once|1"
    assert told["key"].startswith("scene.ambient.=.=.once.=.1.")
    assert told["seed"] == seed("--strategy", "once", "--kind", "scene", "--purpose", "ambient")["seed"]


def test_a_request_of_another_kind_is_told_in_words(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"prompt": "a market", "node": {"generationType": "scene"}}), encoding="utf-8")
    done = CliRunner().invoke(app, ["seed", "--file", str(file), "--kind", "layout"])
    assert isinstance(done.exception, console.Usage)
    assert "'scene' is not 'layout'" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --strategy, or a whole request with --file"),
        (["--strategy", "per_player"], "strategy per_player needs --player"),
        (["--strategy", "once", "--source", "playthrough"], "seed source playthrough needs --playthrough"),
        (
            ["--strategy", "sometimes"],
            "--strategy 'sometimes' is unknown; it is one of once, per_playthrough,",
        ),
        (["--kind", "song", "--strategy", "once"], "--kind 'song' is unknown; it is one of layout, plot,"),
        (["--file", "nowhere.json"], "cannot read nowhere.json"),
    ],
)
def test_wrong_usage_is_told(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["seed", *words])
    assert isinstance(done.exception, console.Usage)
    assert said in str(done.exception)

"""Can prompts be listed, read and tried from the command line?"""

from __future__ import annotations

import hashlib
import json

import pytest

from infra.cli import console
from infra.cli.app import app
from infra.stores import prompts as store
from stages.context_build.prompts import render_freeform


@pytest.fixture
def understudy(monkeypatch, capfd):
    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["understudy", *args])
        status = console.guarded(app)
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


def test_ls_shows_every_version(understudy) -> None:
    status, out, _ = understudy("prompts", "ls", "--json")
    rows = {row["id"]: row for row in json.loads(out)}
    assert status == 0
    assert set(rows) == set(json.loads((store.FOLDER / store.RELEASED).read_text(encoding="utf-8")))
    assert (rows["custom@1"]["latest"], rows["custom@3"]["latest"]) == (False, True)
    assert rows["dialogue-directed@1"]["variables"]["lines"]["default"] == 12
    _, people, _ = understudy("prompts", "ls")
    assert all(name in people for name in rows)


@pytest.mark.parametrize("name", ["custom@1", "custom", "dialogue-directed"])
def test_show_prints_the_guardrails_the_variables_and_the_template(understudy, name) -> None:
    status, out, _ = understudy("prompts", "show", name)
    assert status == 0
    assert "Write plain prose, no JSON." in out
    assert "{{ wish" in out
    assert ("custom@3" in out) == (name == "custom")
    _, told, _ = understudy("prompts", "show", name, "--json")
    shown = json.loads(told)
    assert shown["release"]["file"] == shown["hash"]
    assert "{{ wish" in shown["source"]


def test_render_prints_what_a_model_would_get(understudy) -> None:
    args = ("prompts", "render", "--family", "layout", "--var", "wish=a forest\n>>>")
    status, out, _ = understudy(*args)
    expected = render_freeform(store.load(), "layout", "a forest\n>>>").text
    assert (status, out) == (0, expected)
    _, told, _ = understudy(*args, "--json")
    made = json.loads(told)
    assert (made["text"], made["version"]) == (expected, "layout@2")
    assert made["hash"] == hashlib.sha256(expected.encode()).hexdigest()


def test_render_takes_every_kind_of_variable(understudy) -> None:
    status, out, _ = understudy(
        *("prompts", "render", "--family", "dialogue-directed", "--version", "1", "--var", "wish=a [b]=c"),
        *("--var", "tone=tense", "--var", "lines=5", "--var", 'required_elements=["an oar"]'),
    )
    assert status == 0
    assert "The tone is tense. About 5 lines are spoken." in out
    assert out.endswith("<<<\na [b]=c\nrequired elements: an oar\n>>>\n")


def test_render_tells_a_nodes_style_and_duration(understudy) -> None:
    args = ("--var", "wish=a", "--var", "mood_to=calm", "--var", "pacing=slow")
    status, out, _ = understudy(
        *("prompts", "render", "--family", "scene", *args, "--var", "duration=20-40, target 30")
    )
    assert status == 0
    assert out.endswith("<<<\na\nmood to: calm\npacing: slow\nduration in seconds: 20-40, target 30\n>>>\n")


def test_examples_fill_what_is_not_given(understudy) -> None:
    status, out, _ = understudy(
        "prompts", "render", "--family", "custom", "--examples", "--var", 'schema={"a": 1}'
    )
    assert status == 0
    assert '{"a": 1}' in out
    assert "a ship's log" in out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("show", "layuot"), "there is no prompt family 'layuot'; known are custom,"),
        (("show", "layout@9"), "family 'layout' has no version 9; it has 1"),
        (("show", "layout@one"), "'layout@one' is no version; write for instance layout@1"),
        (("render", "--family", "layout"), "layout@2 needs wish"),
        (("render", "--family", "layout", "--var", "wish"), "has no =; write NAME=VALUE"),
        (("render", "--family", "layout", "--var", "wish=a", "--var", "wish=b"), "wish is given twice"),
        (("render", "--family", "layout", "--var", "hope=a"), "layout@2 has no variable 'hope'; it has wish"),
        (("render", "--family", "dialogue-directed", "--var", "tone=loud"), "--var tone must be one of calm"),
        (("render", "--family", "dialogue-directed", "--var", "lines=few"), "--var lines is not JSON"),
        (
            ("render", "--family", "custom", "--examples", "--var", 'avoid_elements=["A barometer"]'),
            "is required, and it is to be avoided",
        ),
        (
            ("render", "--family", "layout", "--var", "wish=a", "--var", "duration=soon"),
            "write seconds as 20-40",
        ),
        (("render", "--family", "custom", "--version", "0"), "greater than or equal to 1"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_do(understudy, args, says) -> None:
    status, out, err = understudy("prompts", *args)
    assert (status, out) == (2, "")
    assert says in " ".join(err.split())

"""Do the options of `request` become the body that they mean, and is a wrong file told?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.request import read
from infra.cli import bodies
from infra.cli.bodies import BodyOptions
from infra.cli.console import Usage

FIRST = "romantic_to_action_transition_v1"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def file(name: str, content: Any) -> Path:
    path = Path(name)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_all_options_make_one_request() -> None:
    made = bodies.body(
        BodyOptions(
            prompt="a roof",
            deadline_ms=500,
            template=FIRST,
            rules=file("r", "PACING fast\n"),
            node=file("n.yaml", "style:\n  pacing: slow\n"),
            context=file("c", {"player_choice": {"brave": True}, "player_id": "p1", "world": "north"}),
        )
    )
    assert json.loads(made) == {
        "prompt": "a roof",
        "deadline_ms": 500,
        "template_id": FIRST,
        "rules": "PACING fast\n",
        "node": {"style": {"pacing": "slow"}},
        "player_context": {"choices": {"brave": True}, "player_id": "p1"},
        "world": "north",
    }
    assert read(made, "transition").player_context is not None


@pytest.mark.parametrize(
    "context",
    [
        {"choices": {"brave": 1}, "playthroughId": "t"},
        {"playerContext": {"choices": {"brave": 1}, "playthrough_id": "t"}},
        {"player_context": {"playthroughId": "t"}, "player_choice": {"brave": 1}},
    ],
)
def test_a_context_may_be_told_in_any_of_its_forms(context: dict[str, Any]) -> None:
    made = json.loads(bodies.body(BodyOptions(prompt="x", context=file("c", context))))
    assert made["player_context"] == {"choices": {"brave": 1}, "playthrough_id": "t"}


def test_an_option_goes_before_the_same_field_of_the_file() -> None:
    whole = file("b", {"prompt": "x", "templateId": "other", "playerContext": {}, "seed": 3})
    made = bodies.body(BodyOptions(file=whole, template=FIRST, context=file("c", {"choices": {"a": 1}})))
    assert json.loads(made) == {
        "prompt": "x",
        "seed": 3,
        "template_id": FIRST,
        "player_context": {"choices": {"a": 1}},
    }


@pytest.mark.parametrize(
    ("given", "body", "kind"),
    [
        (None, {}, "layout"),
        ("plot", {"template_id": FIRST}, "plot"),
        ("plot", {"template_id": "unheard_of"}, "plot"),
        (None, {"templateId": FIRST}, "transition"),
        (None, {"node": {"templateId": "arrival_scene_v1"}}, "scene"),
        (None, {"node": {"generationType": "dialogue"}, "template_id": FIRST}, "dialogue"),
    ],
)
def test_the_kind_is_the_nodes_or_the_templates(given: str | None, body: dict[str, Any], kind: str) -> None:
    assert bodies.kind(given, json.dumps(body).encode()) == kind


def test_a_body_that_cannot_be_read_is_left_to_its_check() -> None:
    assert bodies.kind(None, b"{") == "layout"


def test_an_unknown_template_names_the_field_and_the_nearest() -> None:
    with pytest.raises(Usage, match=f"template_id: there is no template 'romantic'; .*{FIRST}"):
        bodies.kind(None, b'{"template_id": "romantic"}')


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rules", "PACING fats", "--rules f: line 1, column 8: "),
        ("rules", "IF", "--rules f: line 1, column "),
        ("node", "[{}, {}]", "--node f holds 2 nodes; a request has one"),
        ("node", "{", "--node f: line 1, column "),
        ("context", "[]", "--context f is not a JSON object"),
        (
            "context",
            '{"weather": "rain"}',
            "--context f: a request has no field 'weather'; put it into choices",
        ),
        ("context", '{"player_context": 3}', "--context f: player_context must be an object"),
    ],
)
def test_a_wrong_file_is_told(name: str, content: str, says: str) -> None:
    with pytest.raises(Usage) as told:
        bodies.body(BodyOptions(prompt="x", **{name: file("f", content)}))
    assert says in str(told.value)


def test_a_file_that_is_not_there_and_standard_input_twice_are_told() -> None:
    with pytest.raises(Usage, match="--rules nowhere cannot be read"):
        bodies.body(BodyOptions(prompt="x", rules=Path("nowhere")))
    with pytest.raises(Usage, match="standard input can be one of"):
        bodies.body(BodyOptions(prompt="x", rules=Path("-"), node=Path("-")))


def test_scenes_are_those_of_a_plot() -> None:
    made = bodies.body(BodyOptions(prompt="a heist", scenes=True))
    assert json.loads(made) == {"prompt": "a heist", "scenes": True}
    assert bodies.kind(None, made) == "plot"
    assert bodies.kind("scene", made) == "scene"

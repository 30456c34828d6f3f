"""Templates: the shipped ones, the place of what is wrong in a bad one, and the commands that show both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import pytest

from contracts.kinds import KINDS
from contracts.nodes.validation import Severity
from infra.settings.settings import load
from infra.stores import templates
from infra.stores.templates import TemplateError
from tests.unit.conftest import Understudy
from tests.unit.node_examples import TEMPLATE

FIRST = "romantic_to_action_transition_v1"
DEFAULT_CONTENTS = frozenset(path.stem for path in (load().samples_dir / "default_content").glob("*.json"))
SHIPPED = templates.check(templates.FOLDER, default_contents=DEFAULT_CONTENTS)


@pytest.mark.parametrize("checked", SHIPPED, ids=lambda each: each.id)
def test_every_shipped_template_is_sound_to_the_validator(checked: templates.CheckedTemplate) -> None:
    assert [str(each) for each in checked.report.errors + checked.report.warnings] == []


def test_the_library_has_at_least_nine_templates_over_all_kinds() -> None:
    library = templates.load()
    assert len(library.ids()) >= 9
    kinds = {library.find(each)["generation_type"] for each in library.ids()}  # pyright: ignore[reportOptionalSubscript]
    assert kinds == set(KINDS)


def test_the_first_template_is_the_one_that_was_asked_for() -> None:
    assert json.loads((templates.FOLDER / f"{FIRST}.json").read_bytes()) == TEMPLATE
    found = templates.load().find(FIRST)
    assert found is not None
    assert found["style"]["mood_from"] == "romantic"


def write(folder: Path, name: str, **changes: Any) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(TEMPLATE | {"id": name} | changes, indent=1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"id": "other"},
            "t1.json: line 2, column 2: TPL003 id: the id is 'other'; the file name says 't1'",
        ),
        (
            {"templateId": "t2"},
            "TPL003 templateId: a template cannot have a template of its own; leave it out",
        ),
        ({"strategy": "per_plyer"}, "ENU001 strategy: 'per_plyer' is unknown; did you mean 'per_player'?"),
        ({"duration": {"min": 9, "max": 3}}, "DUR001 duration.min: 9 s is more than the maximum of 3 s"),
    ],
)
def test_a_template_that_cannot_be_used_stops_the_start_with_its_place(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    write(tmp_path, "t1", **changes)
    with pytest.raises(TemplateError) as told:
        templates.load(tmp_path)
    assert says in str(told.value)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "FIL001"),
        (b'{"id": "t1", "id": "t1"}', "FIL002"),
        (b"[]", "FIL003"),
        (b"[{}]", "TPL003 the file holds a list"),
        (b"3", "NOD001 3 is not a node"),
        (b'"\xff"', "TPL003 the file is not UTF-8 at byte 1"),
        (b" " * (templates.MAX_SIZE + 1), "TPL003 the file has more than"),
    ],
)
def test_a_file_that_is_no_template_is_told(tmp_path: Path, body: bytes, says: str) -> None:
    (tmp_path / "t1.json").write_bytes(body)
    with pytest.raises(TemplateError) as told:
        templates.load(tmp_path)
    assert says in str(told.value)


def test_one_that_is_broken_leaves_the_others_to_whoever_must_go_on(tmp_path: Path) -> None:
    write(tmp_path, "good")
    write(tmp_path, "bad", strategy="never")
    library = templates.load(tmp_path, strict=False)
    assert library.ids() == ("good",)
    assert (library.find("bad"), library.lost("good")) == (None, None)
    assert "template 'bad' cannot be used: bad.json: line" in (library.lost("bad") or "")
    assert library.find("unheard_of") is library.lost("unheard_of") is None


def test_one_whose_file_is_gone_is_lost_until_it_is_back(tmp_path: Path) -> None:
    file = write(tmp_path, "t1")
    library = templates.load(tmp_path)
    body = file.read_bytes()
    file.unlink()
    assert library.find("t1") is None
    assert "is missing" in (library.lost("t1") or "")
    file.write_bytes(body)
    assert library.find("t1") is not None


def test_no_folder_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="is not a folder"):
        templates.load(tmp_path / "nowhere")


class Shell(Protocol):
    """``understudy ARGS`` in a folder: status, standard output, standard error."""

    def __call__(self, *args: str, folder: Path, **environment: str) -> tuple[int, str, str]: ...


@pytest.fixture
def shell(understudy: Understudy) -> Shell:
    def run(*args: str, folder: Path, **environment: str) -> tuple[int, str, str]:
        done = understudy(*args, folder=folder, **environment)
        return done.status, done.out, done.err

    return run


def test_ls_lists_the_library(shell: Shell, tmp_path: Path) -> None:
    status, out, _ = shell("templates", "ls", "--json", folder=tmp_path)
    rows = {row["id"]: row for row in json.loads(out)}
    assert status == 0
    assert rows[FIRST]["ok"] is True
    told = {
        name: rows[FIRST][name] for name in ("kind", "purpose", "mood", "strategy", "fallback", "version")
    }
    assert told == {
        "kind": "transition",
        "purpose": "gap_fill",
        "mood": "romantic → intense",
        "strategy": "per_playthrough",
        "fallback": "default_content",
        "version": 1,
    }
    status, out, _ = shell("templates", "ls", folder=tmp_path)
    assert (status, FIRST in out) == (0, True)


def test_ls_says_which_cannot_be_used(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text("{", encoding="utf-8")
    status, _, err = shell("templates", "ls", folder=tmp_path, UNDERSTUDY_TEMPLATES_DIR=str(tmp_path))
    assert (status, "cannot be used: half" in err) == (0, True)


def test_show_tells_what_the_defaults_add_and_an_unknown_id_the_nearest(shell: Shell, tmp_path: Path) -> None:
    status, out, _ = shell("templates", "show", FIRST, "--json", folder=tmp_path)
    shown = json.loads(out)
    assert (status, shown["template"]) == (0, TEMPLATE)
    assert (shown["node"]["purpose"], shown["node"]["constraints"]["rating"]) == ("gap_fill", "romantic")
    status, out, _ = shell("templates", "show", FIRST, folder=tmp_path)
    assert status == 0
    assert any(line.split() == ["style.pacing", "medium", "template"] for line in out.splitlines())
    status, out, err = shell("templates", "show", "romantic_to_action", folder=tmp_path)
    assert (status, out) == (2, "")
    assert f"did you mean {FIRST!r}?" in err


def test_check_exits_1_with_the_place_of_what_is_wrong(shell: Shell, tmp_path: Path) -> None:
    file = write(
        tmp_path, "t1", strategy="never", fallback={"mode": "default_content", "defaultContentId": "x"}
    )
    status, out, _ = shell("templates", "check", str(file), folder=tmp_path)
    assert status == 1
    assert "ENU001 strategy: 'never' is unknown" in out
    status, out, _ = shell("templates", "check", folder=tmp_path, UNDERSTUDY_TEMPLATES_DIR=str(tmp_path))
    assert (status, "cannot be used" in out) == (1, True)
    status, out, _ = shell("templates", "check", "--json", folder=tmp_path)
    rows = json.loads(out)
    assert status == 0
    assert all(row["ok"] and row["errors"] == [] for row in rows)
    status, _, err = shell("templates", "check", "nowhere", folder=tmp_path)
    assert (status, "no file or folder" in err) == (2, True)


def test_validate_knows_the_library(shell: Shell, tmp_path: Path) -> None:
    node = tmp_path / "node.json"
    node.write_text(json.dumps({"templateId": FIRST, "style": {"pacing": "fast"}}))
    status, out, _ = shell("validate", str(node), "--json", folder=tmp_path)
    assert (status, json.loads(out)["errors"]) == (0, [])
    node.write_text(json.dumps(TEMPLATE | {"id": "n1", "templateId": "romantic"}))
    status, out, _ = shell("validate", str(node), "--json", folder=tmp_path)
    (error,) = json.loads(out)["errors"]
    assert (status, error["code"], error["severity"], error["path"]) == (
        1,
        "TPL002",
        Severity.ERROR,
        "templateId",
    )

"""Pages: everything that people can use appears in them, and nothing else."""

from __future__ import annotations

import re
import tomllib

import pytest

from contracts import pipeline
from contracts.errors import ErrorCode
from contracts.kinds import KINDS
from contracts.nodes.node import FallbackMode
from contracts.result import ORIGINS_OF, Origin, Status
from infra.lab.docgen import commands, settings
from tests.docs.pages import PAGES, ROOT, anchors, everything, fences, links

_README = (ROOT / "README.md").read_text(encoding="utf-8")
_OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def test_stage_folders_agree_with_the_table() -> None:
    folders = {
        folder.name.replace("_", "-")
        for folder in (ROOT / "stages").iterdir()
        if (folder / "handle.py").is_file()
    }
    assert folders == set(pipeline.STAGES)


@pytest.mark.parametrize("row", pipeline.ROWS, ids=lambda row: row.event)
def test_every_event_is_explained(row: pipeline.Row) -> None:
    assert f"`{row.event}`" in (ROOT / "docs/subjects.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("stage", pipeline.STAGES)
def test_every_stage_is_in_the_readmes_diagram(stage: str) -> None:
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", _README, re.DOTALL)
    assert f"[{stage}]" in diagram


@pytest.mark.parametrize("name", commands.every())
def test_every_command_is_explained(name: str) -> None:
    assert f"## {name}\n" in (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert commands.every()[name].help, "a command without a docstring"


@pytest.mark.parametrize("setting", settings.every(), ids=lambda setting: setting.variable)
def test_every_setting_is_explained(setting: settings.SettingDoc) -> None:
    assert f"`{setting.variable}`" in (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    common = setting.path.startswith(("concurrency.", "narrative.providers."))
    assert setting.meaning or common, "write a `#:` line above it"


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_says_what_to_do(code: ErrorCode) -> None:
    assert re.search(rf"^\|[^|]*`{code}`[^|]*\|", _OPERATIONS, re.MULTILINE)


@pytest.mark.parametrize("word", [*Status, *Origin, *FallbackMode, *KINDS])
def test_the_readme_explains_every_status_origin_mode_and_kind(word: str) -> None:
    assert f"`{word}`" in _README or f'"{word}"' in _README


def test_the_readme_lists_only_endings_that_exist() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ((?:`\w+`(?:, )?)+) \|", _README, re.MULTILINE)
    said = {
        (status, origin)
        for statuses, origins in rows
        for status in re.findall(r"`(\w+)`", statuses)
        for origin in re.findall(r"`(\w+)`", origins)
    }
    assert said == {(str(status), str(origin)) for status, some in ORIGINS_OF.items() for origin in some}


def test_no_page_names_a_setting_or_command_that_does_not_exist() -> None:
    text = everything()
    variables = {setting.variable for setting in settings.every()} | {
        "UNDERSTUDY_CONFIG",
        "UNDERSTUDY_PASSWORD",
    }
    parts = {variable.rpartition("__")[0] for variable in variables}
    named = set(re.findall(r"\bUNDERSTUDY_\w+\b", text)) - parts
    assert {name for name in named if not name.startswith("UNDERSTUDY_TEST_")} <= variables
    known = {name.split(" ")[0] for name in commands.every()}
    assert set(re.findall(r"`understudy ([a-z]+)", text)) <= known


def test_the_diagram_shows_what_the_table_says() -> None:
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", _README, re.DOTALL)
    names = {found[0]: found[1] for found in re.findall(r"(\w+)\[\(?([\w' -]+?)\)?\]", diagram)}
    names |= {"client": pipeline.CLIENT, "broker": pipeline.BROKER}
    arrows = re.findall(r"([\w &]+?)(?:[\[(]+[^\])]*[\])]+)* -- (\w+) --> (\w+)", diagram)
    assert {event for _, event, _ in arrows} == {
        row.event
        for row in pipeline.ROWS
        if row.event not in {"timer", "clamped", "shadowed", "revised", "progress", "shadow_progress"}
    }
    for sources, event, target in arrows:
        row = pipeline.ROW_OF[event]
        assert {names[source] for source in sources.replace("&", " ").split()} <= set(row.published_by)
        assert names[target] in row.consumed_by


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} does not exist"
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_the_readmes_commands_are_recipes() -> None:
    recipes = set(re.findall(r"^([a-z-]+)(?: \*args)?:", (ROOT / "justfile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bjust ([a-z]+(?:-[a-z]+)*)", everything())) <= recipes
    for command in ("demo", "test"):
        assert f"\npip install rust-just && just {command}\n" in _README


def test_the_changelog_has_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_there_are_examples_that_run() -> None:
    assert {fence.language for fence in fences("run")} == {"bash", "js", "python"}

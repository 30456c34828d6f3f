"""Which anchors are kept, and which of them does the code not hold any more?"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from tests.anchors.making import Fixture, Unequal, made

#: The requests, and beside each what it came to.
FOLDER: Final = Path(__file__).parent / "requests"
#: What to do about a difference.
ADVICE: Final = """\
Not meant: the change that did it is a mistake.  Meant: `just anchors --accept`, and say why in the commit.
Before that, think of what is kept: under another key nothing is found again, another seed draws other content, and
neither the seed function (docs/seeds.md) nor a prompt version that was released (docs/prompts.md) ever changes.
"""
_HUNK: Final = re.compile(r"@@ -(\d+)")
_OPENS: Final = re.compile(r'( *)"(.*)": [\[{]$')
#: Columns of an anchor's lines, where values can be broken.
_WIDTH: Final = 120


class FixtureError(Exception):
    """A fixture that cannot be used; the text names the file and what is wrong."""


def names(folder: Path = FOLDER) -> list[str]:
    """Names of all that has a fixture or an anchor."""
    return sorted({path.stem for path in folder.iterdir() if path.suffix in (".yaml", ".json")})


def kept(name: str, folder: Path = FOLDER) -> str:
    """An anchor's text; empty where there is none yet."""
    path = folder / f"{name}.json"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def fixture(name: str, folder: Path = FOLDER) -> Fixture | None:
    """What is asked for; ``None`` where an anchor is left without it.

    Raises:
        FixtureError: it cannot be read.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        return None
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Fixture)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise FixtureError(f"{path.name}: {error}") from None


def current(name: str, folder: Path = FOLDER) -> str:
    """What the code makes of a fixture, as an anchor's text; empty where the fixture is gone.

    Raises:
        FixtureError: it cannot be read, or what should be the same is not.
    """
    found = fixture(name, folder)
    if found is None:
        return ""
    try:
        return text(made(found))
    except (msgspec.ValidationError, Unequal) as error:
        raise FixtureError(f"{name}.yaml: {error}") from None


def changed(name: str, folder: Path = FOLDER) -> str:
    """The difference between an anchor and what the code does, as a unified diff; empty where it holds.

    Raises:
        FixtureError: as :func:`current`.
    """
    had, now = (found.split("\n") for found in (kept(name, folder), current(name, folder)))
    lines = list(difflib.unified_diff(had, now, f"{name}.json (kept)", f"{name}.json (now)", lineterm=""))
    for index, line in enumerate(lines):
        begun = _HUNK.match(line)
        if begun:
            same = itertools.takewhile(lambda each: each.startswith(" "), lines[index + 1 :])
            lines[index] = f"{line} {_place(had, int(begun[1]) - 1 + sum(1 for _ in same))}".rstrip()
    return "".join(f"{line}\n" for line in lines)


def accept(name: str, folder: Path = FOLDER) -> None:
    """Keep what the code does."""
    now, path = current(name, folder), folder / f"{name}.json"
    if now:
        path.write_text(now, encoding="utf-8", newline="\n")
    else:
        path.unlink()


def text(value: Any) -> str:
    """A value as JSON with sorted keys; what fits into a line is one line."""
    return f"{_lines(value, '')}\n"


def _lines(value: Any, indent: str) -> str:
    line = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, dict | list):
        return line
    inner = f"{indent}  "
    if isinstance(value, list):
        parts, (first, last) = [_lines(each, inner) for each in value], "[]"
    else:
        parts = [
            f"{json.dumps(name, ensure_ascii=False)}: {_lines(value[name], inner)}" for name in sorted(value)
        ]
        first, last = "{}"
    return "".join([first, "\n", ",\n".join(f"{inner}{part}" for part in parts), f"\n{indent}", last])


def _place(had: list[str], at: int) -> str:
    """The path to a line, such as ``variants / PG / brief``: variants have the same fields."""
    path: list[str] = []
    indent = len(had[at]) - len(had[at].lstrip()) if 0 <= at < len(had) else 0
    for above in reversed(had[: max(at, 0)]):
        opened = _OPENS.match(above)
        if opened and len(opened[1]) < indent:
            path.insert(0, opened[2])
            indent = len(opened[1])
    return " / ".join(path)

"""The console's built files: how much a browser loads for what it shows, and how much the package carries."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Final

from infra.gateway.console import FOLDER

_KB: Final = 1000
_ASSETS: Final = FOLDER / "assets"
#: What a module needs before it runs: its own imports, without those that it loads later.
_IMPORT: Final = re.compile(r'(?:\bfrom|\bimport)"\./([^"]+)"')


def _compressed(*files: Path) -> int:
    """Bytes on the wire; fonts are compressed already."""
    return sum(
        file.stat().st_size if file.suffix == ".woff2" else len(gzip.compress(file.read_bytes(), 6))
        for file in files
    )


def _first() -> set[Path]:
    """Code and style of the first screen, as its page names them."""
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    return {FOLDER / path for path in re.findall(r'(?:src|href)="/(assets/[^"]+\.(?:js|css))"', page)}


def _needed(name: str) -> set[Path]:
    """Code of a part that is loaded when it is opened, and of all that it imports, beyond the first screen."""
    (start,) = _ASSETS.glob(f"{name}-*.js")
    found, waiting = set[Path](), {start}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= {_ASSETS / each for each in _IMPORT.findall(file.read_text(encoding="utf-8"))} - found
    return found - _first()


def test_the_first_screen_is_small() -> None:
    first = _first()
    (entry,) = (file for file in first if file.name.startswith("index-") and file.suffix == ".js")
    # The page names all that the entry imports: nothing is found out late.
    assert {_ASSETS / each for each in _IMPORT.findall(entry.read_text(encoding="utf-8"))} <= first
    # A browser loads the font's subset of the characters that the page shows.
    (font,) = _ASSETS.glob("inter-latin-wght-*.woff2")
    assert _compressed(FOLDER / "index.html", *first, font) <= 180 * _KB


def test_the_editor_and_the_canvas_are_loaded_apart_and_small() -> None:
    assert 50 * _KB < _compressed(*_needed("JsonEditor")) <= 160 * _KB
    assert _compressed(*_needed("Nodes")) <= 90 * _KB


def test_the_files_are_few_megabytes_without_source_maps() -> None:
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 1.5 * _KB * _KB
    assert {file.suffix for file in files} == {".html", ".js", ".css", ".svg", ".woff2"}
    assert not [file.name for file in files if b"sourceMappingURL" in file.read_bytes()]


def test_hashed_names_alone_are_kept_for_ever() -> None:
    assert [file.name for file in _ASSETS.iterdir() if not re.search(r"-[\w-]{8}\.\w+$", file.name)] == []

"""What stands in the pages that people read?"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PAGES = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Fence(msgspec.Struct, frozen=True, kw_only=True):
    """A block of code, and what is said about it behind its language."""

    page: str
    #: Of its first line.
    line: int
    language: str
    says: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def fences(says: str) -> list[Fence]:
    """The blocks that say this, such as ``run`` for a block that begins with three backquotes and ``bash run``."""
    found: list[Fence] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            language, _, about = match[2].strip().partition(" ")
            if about == says:
                line = text.count("\n", 0, match.start()) + 2
                name = str(page.relative_to(ROOT))
                found.append(Fence(page=name, line=line, language=language, says=about, text=match[3]))
    return found


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Where a page refers to."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for line in prose(page).splitlines():
        if line.startswith("#"):
            title = line.lstrip("#").strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return found


def everything() -> str:
    """All pages in one."""
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

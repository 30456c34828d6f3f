"""Markdown tables, code and references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def notice(source: str) -> str:
    """The line that keeps people from editing a generated page."""
    return f"<!-- Generated from {source} by `python -m infra.lab.docgen`: edit those, not this page. -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def code(text: str) -> str:
    """Inline code."""
    return f"`{text}`"


def codes(texts: Iterable[str]) -> str:
    """Several pieces of inline code."""
    return ", ".join(map(code, texts))


def page(*parts: str) -> str:
    """Parts with an empty line between them."""
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _cell(text: str) -> str:
    # Tables end a cell at every bar, inside inline code too.
    return text.replace("|", "\\|").replace("\n", " ")

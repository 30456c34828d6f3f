"""Sheet of a text drawing: lines of a terminal, within its width."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len

from infra.pictures.typesetting import cut_by, wrap_by

#: Lines of one drawing.
MOST_LINES: Final = 400
#: What takes the place of a sign where the terminal has ASCII alone; each is as wide as the sign.
_PLAIN: Final = str.maketrans("─│├└●·…→█░“”‘’–", "-||`o.~>#.\"\"''-")  # noqa: RUF001 - signs of documents


def cells(text: str) -> float:
    """Columns that a clean line takes."""
    return cell_len(text)


class TextSheet:
    """Lines that are drawn one below the other; whatever they are given, they fit.

    Args:
        width: characters of a line, at most.
        most: lines, at most.
    """

    def __init__(self, width: int, *, most: int = MOST_LINES) -> None:
        self.width = width
        self._most = most
        self._lines: list[str] = []
        self._cut = False

    @property
    def full(self) -> bool:
        """Whether nothing more is drawn."""
        return len(self._lines) >= self._most

    def add(self, *lines: str) -> None:
        """Draw clean lines; one that is too wide is cut."""
        room = max(0, self._most - len(self._lines))
        self._lines += [cut_by(line.rstrip(), self.width, cells) for line in lines[:room]]
        self._cut = self._cut or len(lines) > room

    def space(self) -> None:
        """An empty line, unless there is one."""
        if self._lines and self._lines[-1]:
            self.add("")

    def both(self, left: str, right: str) -> None:
        """A line with a clean text at each end, or two lines; the left one is cut for the right one."""
        room = self.width - cells(right) - 2
        if room < min(cells(left), self.width / 3):
            self.add(left)
            self.paragraph(right)
            return
        first = cut_by(left, room, cells)
        self.add(first + " " * round(self.width - cells(first) - cells(right)) + right)

    def paragraph(self, text: str, *, indent: int = 0, first: str = "", most: int = 4) -> None:
        """A foreign text in lines.

        Args:
            text: the text; nothing is drawn for an empty one.
            indent: columns on its left.
            first: clean text before its first line, in the columns on the left.
            most: its lines, at most.
        """
        lines = wrap_by(text, max(self.width - indent, 10), cells, most=most)
        for number, line in enumerate(lines):
            before = first if number == 0 else ""
            self.add(before + " " * max(0, indent - round(cells(before))) + line)

    def quote(self, text: str) -> None:
        """A foreign text with a line on its left."""
        self.add(*(f"│ {line}" for line in wrap_by(text, self.width - 2, cells, most=12)))

    def heading(self, text: str) -> None:
        """A clean text above a part."""
        self.space()
        self.add(text)

    def finish(self, *, plain: bool) -> list[str]:
        """All lines, in ASCII alone where ``plain`` is set."""
        lines = [*self._lines, "…"] if self._cut else self._lines
        if not plain:
            return lines
        return [line.translate(_PLAIN).encode("ascii", "replace").decode() for line in lines]

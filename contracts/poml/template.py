"""Templates: compiled documents with what can be done with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from contracts.poml import markdown, speakers
from contracts.poml.compiler import ReadInclude, compile_tree
from contracts.poml.evaluation import MARK, Evaluation, Printer, print_plain
from contracts.poml.fault import PomlError, Unfit
from contracts.poml.parts import Part
from contracts.poml.tree import CompiledTree, InlineUse

_FOREIGN: Final = re.compile(f"{MARK}([0-9]+){MARK}")


class PomlMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message; the speaker is ``system``, ``human`` or ``ai``."""

    speaker: str
    content: str


class PomlTemplate:
    """A compiled document."""

    def __init__(self, tree: CompiledTree, file: str) -> None:
        self._tree, self._file = tree, file

    @property
    def names(self) -> frozenset[str]:
        """Names that it reads and does not make itself."""
        return self._tree.names

    @property
    def inline(self) -> tuple[InlineUse, ...]:
        """Expressions where no block can stand."""
        return self._tree.inline

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """JSON Schema of its ``<output-schema>``; ``None`` if it has none."""
        return self._tree.schema

    @property
    def included(self) -> Mapping[str, str]:
        """Texts of the files that it includes, by their names."""
        return self._tree.included

    def messages(self, values: Mapping[str, Any]) -> tuple[PomlMessage, ...]:
        """Render the messages, as POML's own renderer does.

        Raises:
            PomlError: the values do not fit, or a text stands beside messages and would be in none.
        """
        root, box, _ = self._render(values, print_plain, None)
        made = speakers.messages(root, box)
        said = "".join("".join(content.split()) for _, content in made)
        if said != "".join(box.text.split()):
            raise PomlError(
                self._file, self._tree.root.line, "a text beside messages is in none of them; put it into <p>"
            )
        return tuple(PomlMessage(speaker=speaker, content=content) for speaker, content in made)

    def text(
        self,
        values: Mapping[str, Any],
        printer: Printer = print_plain,
        quote: Callable[[str], str] | None = None,
    ) -> str:
        """Render one text; messages follow each other.

        Args:
            values: of the names that it reads.
            printer: what is printed of a value.
            quote: makes a block of a table with values in it; none: the table is printed as it is.

        Raises:
            PomlError: the values do not fit, or too much is made of them.
        """
        _, box, foreign = self._render(values, printer, quote)
        if not foreign:
            return box.text
        return _FOREIGN.sub(lambda found: foreign[int(found[1])], box.text)

    def _render(
        self, values: Mapping[str, Any], printer: Printer, quote: Callable[[str], str] | None
    ) -> tuple[Part, markdown.Box, list[str]]:
        evaluation = Evaluation(printer, quote)
        root = evaluation.run(self._tree.root, values)
        try:
            return root, markdown.write(root, evaluation.allowance), evaluation.foreign
        except Unfit as error:
            raise PomlError(self._file, self._tree.root.line, str(error)) from None


def compile(  # noqa: A001 - a module's verb, as in `re.compile`
    source: str, *, file: str, first_line: int = 1, include: ReadInclude | None = None
) -> PomlTemplate:
    """Compile a document.

    Args:
        source: the POML.
        file: its name, which errors and ``include`` get.
        first_line: line of the file that the source begins at.
        include: reader of other files; none: an include is refused.

    Raises:
        PomlError: it is none of the subset, or too large.
    """
    return PomlTemplate(compile_tree(source, file=file, first_line=first_line, include=include), file)

"""Prompts in POML, and the files that they include."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from contracts import poml
from contracts.policy.prompts import PromptVersion, VariableType
from contracts.policy.quoting import quote
from infra.stores.prompt_values import OwnWord, PromptError, own_words

#: Largest file that may be included, bytes.
_MOST: Final = 1_048_576
#: Types of variables that are printed without markers.
_PLAIN: Final = (VariableType.CHOICE, VariableType.INTEGER, VariableType.NUMBER, VariableType.BOOLEAN)


class PomlPrompt:
    """A compiled document; implements :class:`infra.stores.prompts.CompiledPrompt`."""

    def __init__(self, name: str, source: str, first_line: int, folder: Path) -> None:
        try:
            self._template = poml.compile(
                source, file=name, first_line=first_line, include=_Includes(folder).read
            )
        except poml.PomlError as error:
            raise PromptError(str(error)) from None
        if self._template.schema is not None:
            raise PromptError(
                f"{name}: <output-schema> has no use in a prompt family: the schema is the content kind's, or the "
                "request's, which is the variable 'schema'; leave it out"
            )
        self.names = self._template.names
        self.included = self._template.included

    def check(self, version: PromptVersion) -> None:
        """Check that only what has no markers is printed where a block cannot stand.

        Raises:
            PromptError: another value is.
        """
        for use in self._template.inline:
            variable = version.variables.get(use.expression.name)
            if not use.expression.numeric and (variable is None or variable.type not in _PLAIN):
                raise PromptError(
                    f"{use.file}: line {use.line}: {use.where} prints a value that needs a block between markers; "
                    "print only a choice, a number or a boolean there"
                )

    def fill(self, version: PromptVersion, values: Mapping[str, Any]) -> str:
        """Render it as one text.

        Raises:
            PromptError: it cannot work with these values.
        """
        given = dict(values) | own_words(version, values)
        try:
            return f"{self._template.text(given, _printed, _quoted)}\n"
        except (poml.PomlError, TypeError, ValueError, RecursionError) as error:
            raise PromptError(f"{version.id} cannot be rendered: {error}") from error


def _printed(value: Any, allowance: poml.Allowance) -> str | poml.Foreign | None:
    """Format a value that a document prints."""
    match value:
        case OwnWord():
            return str(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return poml.print_plain(value, allowance)
        case str():
            return poml.Foreign(_quoted(value))
        case list() | tuple():
            items = cast("Sequence[Any]", value)
            allowance.characters(sum(3 + len(each) for each in items if isinstance(each, str)))
            lines = (each if isinstance(each, str) else poml.print_plain(each, allowance) for each in items)
            return poml.Foreign(_quoted("\n".join(f"- {each}" for each in lines)))
        case dict():
            return poml.Foreign(_quoted(poml.print_plain(value, allowance) or ""))
        case _:
            raise ValueError('it prints a value that may be null; put it into an element with if="… != null"')


def _quoted(text: str) -> str:
    return quote(text).removesuffix("\n")


class _Includes:
    """Files of one folder of families."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def read(self, within: str, src: str) -> tuple[str, str]:
        """Read the file that ``src`` names in the file ``within``; both are relative to the folder.

        Raises:
            poml.IncludeRefused: it is outside of the folder, no document, too large or not there.
        """
        if not src.endswith(".poml") or "\\" in src or "\0" in src or Path(src).is_absolute():
            raise poml.IncludeRefused(
                f"<include> of {src!r} is not in our subset; write a relative path to a .poml"
            )
        path = ((self._folder / within).parent / src).resolve()
        if not path.is_relative_to(self._folder):
            raise poml.IncludeRefused(
                f"<include> of {src!r} is outside of the folder of families; copy the file into it"
            )
        try:
            if not path.is_file() or path.stat().st_size > _MOST:
                raise poml.IncludeRefused(
                    f"<include> of {src!r}: there is no such file, or it has more than {_MOST} bytes"
                )
            return path.relative_to(self._folder).as_posix(), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise poml.IncludeRefused(f"<include> of {src!r} cannot be read: {error}") from None

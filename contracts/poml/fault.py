"""Errors of POML documents."""

from __future__ import annotations

from contracts.errors import UnderstudyError


class PomlError(UnderstudyError):
    """A document that cannot be used, or values that it cannot be rendered with.

    Attributes:
        file: name of the document or of what it includes.
        line: line of the fault, from 1.
        problem: the fault and its correction, without the place.
    """

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(f"{file}: line {line}: {problem}")
        self.file, self.line, self.problem = file, line, problem


class IncludeRefused(UnderstudyError):  # noqa: N818 - names what happened to the include
    """A file that a document may not include, or that is not there; the text says why."""


class Unfit(Exception):  # noqa: N818 - names the value's state
    """A value that an expression cannot work with; whoever knows the place makes a :class:`PomlError` of it."""


def outside(what: str, hint: str = "") -> str:
    """The problem of something that POML has and this subset has not."""
    return f"{what} is not in our subset{hint and f'; {hint}'}"

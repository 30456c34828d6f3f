"""How does a designer say, in words, what a node asks of which player?

The language's page is docs/rules.md.  :func:`parse` reads a text, :func:`lint` says what is wrong with it,
:func:`format` writes it in one way, and :func:`compile` makes overrides of a node for one player.
"""

from __future__ import annotations

from stages.context_build.rules.canonical import format  # noqa: A004 - a module's verb, as in `re.compile`
from stages.context_build.rules.compiler import Compiled, Step, compile  # noqa: A004 - as above
from stages.context_build.rules.finding import Code, Finding, RulesError, Severity
from stages.context_build.rules.linter import lint
from stages.context_build.rules.parser import parse
from stages.context_build.rules.tree import Rules

__all__ = [
    "Code",
    "Compiled",
    "Finding",
    "Rules",
    "RulesError",
    "Severity",
    "Step",
    "compile",
    "format",
    "lint",
    "parse",
]

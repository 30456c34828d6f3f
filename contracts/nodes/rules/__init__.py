"""The rule language: changes to a node that depend on the player.

The language's page is docs/rules.md.  :func:`parse` reads a text, :func:`lint` reports problems,
:func:`format` writes it in one way, and :func:`compile` makes overrides of a node for one player.
"""

from __future__ import annotations

from contracts.nodes.rules.canonical import format  # noqa: A004 - a module's verb, as in `re.compile`
from contracts.nodes.rules.compiler import Compiled, CompiledStep, compile  # noqa: A004 - as above
from contracts.nodes.rules.finding import Code, RuleFinding, RulesError, RuleSeverity
from contracts.nodes.rules.linter import lint
from contracts.nodes.rules.parser import parse
from contracts.nodes.rules.tree import Rules

__all__ = [
    "Code",
    "Compiled",
    "CompiledStep",
    "RuleFinding",
    "RuleSeverity",
    "Rules",
    "RulesError",
    "compile",
    "format",
    "lint",
    "parse",
]

"""Prompts in Jinja, in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.environment import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from contracts.policy.prompts import PromptVersion
from contracts.policy.quoting import quote
from infra.stores.prompt_values import OwnWord, PromptError, own_words, to_json

#: Statements that a template may use; others could print something outside the markers.
_STATEMENTS: Final = (nodes.Output, nodes.If, nodes.For, nodes.Assign)


class JinjaPrompt:
    """A compiled template; implements :class:`infra.stores.prompts.CompiledPrompt`."""

    def __init__(self, name: str, source: str, first_line: int) -> None:
        environment = _environment()
        try:
            tree = environment.parse(source)
            self._template: Template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise PromptError(f"{name}: line {error.lineno + first_line - 1}: {error.message}") from None
        for statement in tree.find_all(nodes.Stmt):
            if not isinstance(statement, _STATEMENTS):
                what = type(statement).__name__
                raise PromptError(
                    f"{name}: {what} is not allowed in prompts; use only if, for, set and {{{{ … }}}}"
                )
        self.names = frozenset(meta.find_undeclared_variables(tree))
        self.included: Mapping[str, str] = {}

    def check(self, version: PromptVersion) -> None:
        """Nothing more: Jinja prints every text in a block."""

    def fill(self, version: PromptVersion, values: Mapping[str, Any]) -> str:
        """Render it.

        Raises:
            PromptError: it cannot work with these values.
        """
        try:
            return self._template.render(dict(values) | own_words(version, values))
        except (TemplateError, TypeError, ValueError) as error:
            raise PromptError(f"{version.id} cannot be rendered: {error}") from error


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        # A prompt is no HTML; _printed formats what is printed.
        autoescape=False,
        trim_blocks=True,
        finalize=_printed,
    )
    environment.globals.clear()
    return environment


def _printed(value: Any) -> str:
    """Format a value that a template prints."""
    match value:
        case OwnWord():
            return str(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case None:
            raise TemplateError("it prints a variable that may be null; put it into {% if … is not none %}")
        case list() | tuple():
            return quote("\n".join(f"- {each}" for each in value))
        case dict():
            return quote(to_json(value))
        case _:
            # An undefined value raises here and names itself.
            return quote(str(value))

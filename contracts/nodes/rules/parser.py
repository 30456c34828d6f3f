"""Parser: a text of rules to its syntax tree."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

from lark import Lark, UnexpectedInput

from contracts.nodes.rules import comments, limits
from contracts.nodes.rules.builder import Builder
from contracts.nodes.rules.finding import Code, RulesError, finding
from contracts.nodes.rules.layout import Indenter
from contracts.nodes.rules.mistake import explained
from contracts.nodes.rules.tree import Rules

_GRAMMAR: Final = "grammar.lark"


@lru_cache(maxsize=256)
def parse(text: str) -> Rules:
    """Parse a text of rules; the latest 256 are cached, because most requests of a node have the same rules.

    Args:
        text: at most 16,384 characters.

    Raises:
        RulesError: the text is invalid, with line, column, expected tokens and suggestion.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > limits.TEXT:
        raise RulesError(
            finding(
                Code.TOO_LARGE,
                1,
                1,
                f"the text has {len(text):,} characters; {limits.TEXT:,} are allowed",
                "split the node",
            )
        )
    text = text.rstrip(" \t\n")
    try:
        # With a line break in front, the first line begins like all others.
        parsed: Any = _grammar().parse(f"\n{text}")  # pyright: ignore[reportUnknownMemberType] - also takes bytes
    except UnexpectedInput as error:
        raise explained(error, text) from None
    rules: Rules = parsed  # what Builder.start returns
    return comments.attached(rules, comments.of(text))


@cache
def _grammar() -> Lark:
    """The compiled grammar; some 30 ms, once per process."""
    source = resources.files(__package__ or "").joinpath(_GRAMMAR).read_text(encoding="utf-8")
    return Lark(
        source,
        parser="lalr",
        lexer="contextual",
        postlex=Indenter(),
        transformer=Builder(),
        maybe_placeholders=False,
    )

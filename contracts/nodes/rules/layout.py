"""Blocks of rules by indentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lark import Token
from lark.lark import PostLex

from contracts.nodes.rules import limits
from contracts.nodes.rules.finding import Code, RuleFinding, RulesError, finding

_END: Final = "_NL"
_BEFORE_ELSE: Final = "_NL_ELSE"
_OPEN: Final = {"LPAR", "LSQB"}
_CLOSE: Final = {"RPAR", "RSQB"}
#: A line that ends in one of these continues on the next.
_GOES_ON: Final = {"AND", "OR", "NOT", "IN", "COMPARISON", "COMMA", "EQUAL"}


class Indenter(PostLex):
    """Puts ``_INDENT`` and ``_DEDENT`` between lines, as Python does; holds no state between texts."""

    always_accept = (_END, _BEFORE_ELSE)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens with those for blocks.

        Raises:
            RulesError: a line begins where no open block does; or there is too much of it.
        """
        levels: list[str] = []
        nested = 0
        before: Token | None = None
        for number, token in enumerate(stream):
            if number >= limits.TOKENS or nested > limits.BRACKETS:
                raise RulesError(_too_large(token, nested))
            if token.type in {_END, _BEFORE_ELSE}:
                if nested or (before is not None and before.type in _GOES_ON):
                    continue
                yield from _begin(token, levels)
            else:
                nested += (token.type in _OPEN) - (token.type in _CLOSE)
                yield token
            before = token
        if before is not None and before.type not in {_END, _BEFORE_ELSE}:
            yield Token.new_borrow_pos(_END, "", before)
        for _ in levels[1:]:
            yield Token.new_borrow_pos("_DEDENT", "", before) if before else Token("_DEDENT", "")


def _begin(token: Token, levels: list[str]) -> Iterator[Token]:
    """The tokens between two lines; updates ``levels``, the indentation of the open blocks."""
    start = token.rpartition("\n")[2]
    yield Token.new_borrow_pos(_END, "", token)
    if start.lstrip(" \t").startswith("#"):
        return  # the last line of all
    if not levels:
        levels.append(start)
    elif start.startswith(levels[-1]):
        if start != levels[-1]:
            levels.append(start)
            yield Token.new_borrow_pos("_INDENT", start, token)
    else:
        open_ones = tuple(levels)
        while len(levels) > 1 and start != levels[-1] and levels[-1].startswith(start):
            levels.pop()
            yield Token.new_borrow_pos("_DEDENT", start, token)
        # `THEN IF` with its ELSE below that IF opens no block in that column, and is clear all the same.
        if start != levels[-1] and not (token.type == _BEFORE_ELSE and start.startswith(levels[-1])):
            raise RulesError(_misplaced(token, start, open_ones))


def _too_large(token: Token, nested: int) -> RuleFinding:
    said, fix = f"the text has more than {limits.TOKENS:,} words and signs", "split the node"
    if nested > limits.BRACKETS:
        said, fix = f"more than {limits.BRACKETS} brackets are open", "leave out those that are not needed"
    return finding(Code.TOO_LARGE, max((token.line or 2) - 1, 1), token.column or 1, said, fix)


def _misplaced(token: Token, start: str, levels: tuple[str, ...]) -> RuleFinding:
    line, column = (token.end_line or 1) - 1, len(start) + 1
    if len({*start, *"".join(levels)}) > 1:
        return finding(
            Code.INDENTATION,
            line,
            column,
            "lines begin with tabs here and with spaces there",
            "use spaces alone",
        )
    columns = " or ".join(str(len(each) + 1) for each in levels)
    return finding(
        Code.INDENTATION,
        line,
        column,
        f"this line begins in column {column}, where no block does",
        f"begin it in column {columns}",
    )

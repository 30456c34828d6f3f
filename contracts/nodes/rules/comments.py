"""Comments of rules, and the statements that they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from contracts.nodes.rules.tree import (
    All,
    Branch,
    Compare,
    Condition,
    Conditional,
    Either,
    Literal,
    Name,
    Not,
    Rules,
    Statement,
)

#: A text in quotes, which may hold a ``#``; or a comment.
_PIECE: Final = re.compile(r"""\n|"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*'|#(?P<comment>[^\n]*)""")


class Comment(msgspec.Struct, frozen=True):
    """A comment without its ``#``, and its line."""

    line: int
    text: str


class _Slot:
    """A node of the tree that comments can belong to, in the order of the text."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last
        self.above: list[str] = []
        self.beside: str | None = None


def of(text: str) -> Iterator[Comment]:
    """Every comment of a text that follows the grammar."""
    line = 1
    for found in _PIECE.finditer(text):
        if found[0] == "\n":
            line += 1
        elif found["comment"] is not None:
            yield Comment(line, found["comment"].strip())


def attached(rules: Rules, comments: Iterable[Comment]) -> Rules:
    """Attach every comment to the rule or branch on its line, else to the next one."""
    slots = list(_slots(rules.statements))
    ends = {slot.last: slot for slot in slots}
    after: list[str] = []
    rest = iter(slots)
    upcoming = next(rest, None)
    for comment in comments:
        beside = ends.get(comment.line)
        if beside is not None:
            beside.beside = comment.text
            continue
        while upcoming is not None and upcoming.last <= comment.line:
            upcoming = next(rest, None)
        (upcoming.above if upcoming else after).append(comment.text)
    return Rules(statements=_dressed(rules.statements, iter(slots)), comments=tuple(after))


def _slots(statements: tuple[Statement, ...]) -> Iterator[_Slot]:
    for each in statements:
        if not isinstance(each, Conditional):
            yield _Slot(each.at.line, each.until.line)
            continue
        for branch in each.branches:
            first = branch.at.line
            yield _Slot(first, first if branch.condition is None else _last_line(branch.condition))
            yield from _slots(branch.body)


def _last_line(condition: Condition) -> int:
    match condition:
        case Name() | Literal():
            return condition.at.line
        case Compare():
            return condition.right.at.line
        case Not():
            return _last_line(condition.condition)
        case All() | Either():
            return _last_line(condition.conditions[-1])


def _dressed(statements: tuple[Statement, ...], slots: Iterator[_Slot]) -> tuple[Statement, ...]:
    return tuple(_dressed_one(each, slots) for each in statements)


def _dressed_one(statement: Statement, slots: Iterator[_Slot]) -> Statement:
    if isinstance(statement, Conditional):
        branches = tuple(_dressed_branch(each, slots) for each in statement.branches)
        return msgspec.structs.replace(statement, branches=branches)
    slot = next(slots)
    return msgspec.structs.replace(statement, comments=tuple(slot.above), remark=slot.beside)


def _dressed_branch(branch: Branch, slots: Iterator[_Slot]) -> Branch:
    slot = next(slots)
    return msgspec.structs.replace(
        branch, body=_dressed(branch.body, slots), comments=tuple(slot.above), remark=slot.beside
    )

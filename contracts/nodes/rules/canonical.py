"""Canonical form of rules: the formatter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, assert_never

from contracts.nodes.rules.tree import (
    All,
    Avoid,
    Branch,
    Compare,
    Condition,
    Conditional,
    Constraint,
    DurationClause,
    Either,
    Include,
    Literal,
    Name,
    Not,
    Pair,
    RuleClause,
    Rules,
    Scalar,
    Set,
    Simple,
    Statement,
    Term,
)

_WORD: Final = re.compile(r"[^\W\d][\w-]*")
_STEP: Final = "  "
_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def format(rules: Rules) -> str:  # noqa: A001 - a module's verb, as in `re.compile`
    """The rules in canonical form: one to a line, keywords in capitals, two spaces a level, comments kept.

    Parsing the output gives equal rules, and formatting those gives the same text.
    """
    lines = [*_block(rules.statements, ""), *_comments(rules.comments, "")]
    return "".join(f"{line}\n" for line in lines)


def condition_text(condition: Condition) -> str:
    """The text of a condition, with the necessary parentheses."""
    match condition:
        case Name():
            return condition.path
        case Literal():
            return _literal(condition)
        case Compare():
            return f"{_operand(condition.left)} {condition.operator} {_operand(condition.right)}"
        case Not():
            inner = condition.condition
            text = condition_text(inner)
            return f"NOT ({text})" if isinstance(inner, All | Either) else f"NOT {text}"
        case All():
            texts = [
                f"({condition_text(each)})" if isinstance(each, Either) else condition_text(each)
                for each in condition.conditions
            ]
            return " AND ".join(texts)
        case Either():
            return " OR ".join(condition_text(each) for each in condition.conditions)
        case _:
            assert_never(condition)


def rule_text(statement: Simple) -> str:
    """A rule on one line, without its comments."""
    match statement:
        case Set():
            return " ".join(f"{each.name} = {_scalar(each.value)}" for each in statement.pairs)
        case Constraint():
            pairs = [_dense(each) for each in statement.pairs]
            avoid = [f"AVOID {_items(statement.avoid)}"] if statement.avoid else []
            return " ".join(("CONSTRAINT", *pairs, *avoid))
        case Include():
            return f"INCLUDE {_items(statement.items)}"
        case Avoid():
            return f"AVOID {_items(statement.items)}"
        case RuleClause():
            return f"RULE {_items(statement.items)}"
        case DurationClause():
            return _duration(statement)
        case _:
            assert_never(statement)


def _block(statements: tuple[Statement, ...], indent: str, then: str = "") -> Iterator[str]:
    """The lines of a block; ``then`` precedes its first rule."""
    for number, each in enumerate(statements):
        if isinstance(each, Conditional):
            for index, branch in enumerate(each.branches):
                yield from _branch(branch, indent, first=index == 0)
        else:
            yield from _comments(each.comments, indent)
            lead = then if number == 0 else ""
            yield f"{indent}{lead}{rule_text(each)}{_remark(each.remark)}"


def _branch(branch: Branch, indent: str, *, first: bool) -> Iterator[str]:
    yield from _comments(branch.comments, indent)
    words = [] if first else ["ELSE"]
    if branch.condition is not None:
        words += ["IF", condition_text(branch.condition)]
    yield f"{indent}{' '.join(words)}{_remark(branch.remark)}"
    yield from _block(branch.body, indent + _STEP, "THEN ")


def _comments(comments: tuple[str, ...], indent: str) -> Iterator[str]:
    for each in comments:
        yield f"{indent}# {each}".rstrip()


def _remark(remark: str | None) -> str:
    return "" if remark is None else f"  # {remark}".rstrip()


def _operand(operand: Name | Literal) -> str:
    return operand.path if isinstance(operand, Name) else _literal(operand)


def _literal(literal: Literal) -> str:
    value = literal.value
    if isinstance(value, tuple):
        return f"[{', '.join(_scalar(each) for each in value)}]"
    return _scalar(value)


def _dense(pair: Pair) -> str:
    value = pair.value
    return f"{pair.name}={_bare(value) if isinstance(value, str) else _scalar(value)}"


def _items(items: tuple[Term, ...]) -> str:
    return ", ".join(_item(each) for each in items)


def _item(item: Term) -> str:
    if item.arguments is None:
        return _bare(item.text)
    return f"{item.text}({', '.join(_scalar(each) for each in item.arguments)})"


def _bare(text: str) -> str:
    """A text, without quotes if they are not needed."""
    return text if _WORD.fullmatch(text) and text.lower() not in {"true", "false"} else _scalar(text)


def _scalar(value: Scalar) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return f'"{"".join(_ESCAPES.get(each) or _visible(each) for each in value)}"'


def _visible(character: str) -> str:
    """A character as it is; a control character as its number."""
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x20 or 0x7F <= code < 0xA0 else character  # noqa: PLR2004 - C0 and C1


def _duration(duration: DurationClause) -> str:
    words = ["DURATION"]
    if duration.low is not None and duration.high is not None:
        words.append(f"{_plain(duration.low)}-{_plain(duration.high)}s")
    if duration.target is not None:
        words += ["TARGET", f"{_plain(duration.target)}s"]
    return " ".join(words)


def _plain(seconds: float) -> str:
    """A number without an exponent."""
    return f"{Decimal(repr(seconds)):f}"

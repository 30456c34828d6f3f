"""Builder of the syntax tree from the grammar's productions.

Called by the parser bottom-up while it reads, so no depth of text costs depth of calls; a part that has
become too deep is refused before it is put into another.
"""

# ruff: noqa: D102 - each method has the name of the grammar's rule that it is for

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final, cast

from lark import Token, Transformer

from contracts.nodes.rules import limits
from contracts.nodes.rules.finding import Code, RulesError, finding
from contracts.nodes.rules.tree import (
    All,
    At,
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
    Operator,
    Pair,
    RuleClause,
    Rules,
    Scalar,
    Set,
    Statement,
    Term,
)

_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_ESCAPED: Final = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\"}


class _Value:
    """A value and its position."""

    def __init__(self, value: Scalar, token: Token) -> None:
        self.value = value
        self.at = _at(token)


class Builder(Transformer[Token, Any]):
    """Builds :class:`Rules` from the parser's productions."""

    def start(self, parts: list[Any]) -> Rules:
        statements = tuple(cast("list[Statement]", parts))
        _bound(statements)
        return Rules(statements=statements)

    # Choices

    def choice(self, parts: list[Any]) -> Conditional:
        first, condition, body, *others = parts
        branches = (_branch(first, condition, body), *cast("list[Branch]", others))
        made = Conditional(branches=branches, at=_at(first), until=branches[-1].body[-1].until)
        if _depth(made) > limits.DEPTH:
            raise _too_large(
                made.at, f"IF is nested more than {limits.DEPTH} deep", "join conditions with AND"
            )
        return made

    def other_if(self, parts: list[Any]) -> Branch:
        first, _, condition, body = parts
        return _branch(first, condition, body)

    def other(self, parts: list[Any]) -> Branch:
        first, body = parts
        return _branch(first, None, body)

    def then(self, parts: list[Any]) -> list[Any]:
        return [part for part in parts if not isinstance(part, Token)]

    rest = then

    # Statements

    def assign(self, parts: list[Any]) -> Set:
        return Set(pairs=_listed(parts), at=parts[0].at, until=parts[-1].value_at)

    def style(self, parts: list[Any]) -> Set:
        return Set(pairs=_listed(parts[1:]), at=_at(parts[0]), until=parts[-1].value_at)

    def mood(self, parts: list[Any]) -> Set:
        texts = [each for each in parts if each.type in {"WORD", "STRING"}]
        names = ("moodFrom", "moodTo")[-len(texts) :]
        pairs = tuple(
            Pair(name=name, value=_text(each), at=_at(each), value_at=_at(each))
            for name, each in zip(names, texts, strict=True)
        )
        return Set(pairs=pairs, at=_at(parts[0]), until=_at(parts[-1]))

    def pacing(self, parts: list[Any]) -> Set:
        first, word = parts
        pair = Pair(name="pacing", value=_text(word), at=_at(first), value_at=_at(word))
        return Set(pairs=(pair,), at=_at(first), until=_at(word))

    def constraint(self, parts: list[Any]) -> Constraint:
        first, *others = parts
        pairs = [each for each in others if isinstance(each, Pair)]
        avoid = [item for each in others if isinstance(each, Avoid) for item in each.items]
        last = others[-1]
        return Constraint(
            pairs=_listed(pairs),
            avoid=_listed(avoid),
            at=_at(first),
            until=last.value_at if isinstance(last, Pair) else last.until,
        )

    def include(self, parts: list[Any]) -> Include:
        return Include(items=_listed(parts[1:]), at=_at(parts[0]), until=parts[-1].at)

    def avoid(self, parts: list[Any]) -> Avoid:
        return Avoid(items=_listed(parts[1:]), at=_at(parts[0]), until=parts[-1].at)

    def rule(self, parts: list[Any]) -> RuleClause:
        return RuleClause(items=_listed(parts[1:]), at=_at(parts[0]), until=parts[-1].at)

    def span(self, parts: list[Any]) -> DurationClause:
        first, low, _, high, *target = parts
        unit = _unit(high) if _unit(low) is None else None
        return DurationClause(
            low=_seconds(low, unit),
            high=_seconds(high),
            target=_seconds(target[-1]) if target else None,
            at=_at(first),
            until=_at(parts[-1]),
        )

    def about(self, parts: list[Any]) -> DurationClause:
        return DurationClause(target=_seconds(parts[-1]), at=_at(parts[0]), until=_at(parts[-1]))

    def pair(self, parts: list[Any]) -> Pair:
        name, value = parts
        return Pair(name=_path(name), value=value.value, at=_at(name), value_at=value.at)

    def item(self, parts: list[Any]) -> Term:
        (text,) = parts
        return Term(text=_text(text), at=_at(text))

    def call(self, parts: list[Any]) -> Term:
        name, *arguments = parts
        return Term(text=_text(name), arguments=_listed([each.value for each in arguments]), at=_at(name))

    def value(self, parts: list[Any]) -> _Value:
        (token,) = parts
        return _Value(_scalar(token), token)

    argument = value

    # Conditions

    def either(self, parts: list[Any]) -> Condition:
        return self._joined(Either, parts)

    def every(self, parts: list[Any]) -> Condition:
        return self._joined(All, parts)

    def _joined(self, kind: type[Either | All], parts: list[Any]) -> Condition:
        conditions: list[Condition] = []
        for each in parts:
            if not isinstance(each, Token):
                conditions += each.conditions if isinstance(each, kind) else [each]
        return _shallow(kind(conditions=tuple(conditions), at=conditions[0].at))

    def negated(self, parts: list[Any]) -> Condition:
        first, condition = parts
        return _shallow(Not(condition=condition, at=_at(first)))

    def compare(self, parts: list[Any]) -> Compare:
        left, *operator, right = parts
        return Compare(
            left=left,
            operator=Operator(" ".join(each.upper() for each in operator)),
            right=right,
            at=left.at,
        )

    def name(self, parts: list[Any]) -> Name:
        return Name(path=_path(parts[0]), at=_at(parts[0]))

    def truth(self, parts: list[Any]) -> Literal:
        return Literal(value=_scalar(parts[0]), at=_at(parts[0]))

    literal = truth

    def values(self, parts: list[Any]) -> Literal:
        first, *found = parts
        return Literal(value=_listed([each.value for each in found], _at(first)), at=_at(first))


def _at(token: Token) -> At:
    """The position of a token, without the line break that the parser prepends."""
    return At(line=(token.line or 2) - 1, column=token.column or 1)


def _branch(first: Token, condition: Condition | None, body: list[Statement]) -> Branch:
    return Branch(condition=condition, body=tuple(body), at=_at(first))


def _listed(parts: Sequence[Any], at: At | None = None) -> tuple[Any, ...]:
    if len(parts) > limits.LIST:
        where = at or parts[0].at
        raise _too_large(where, f"{len(parts)} in one list; {limits.LIST} are allowed", "write several rules")
    return tuple(parts)


def _path(token: Token) -> str:
    if token.count(".") >= limits.PARTS:
        raise _too_large(_at(token), f"a name of more than {limits.PARTS} parts", "shorten it")
    return _short(str(token), token)


def _text(token: Token) -> str:
    return _unquoted(token) if token.type == "STRING" else _short(str(token), token)


def _short(text: str, token: Token) -> str:
    if len(text) > limits.WORD:
        raise _too_large(_at(token), f"{len(text)} characters; {limits.WORD} are allowed here", "shorten it")
    return text


def _scalar(token: Token) -> Scalar:
    match token.type:
        case "TRUE":
            return True
        case "FALSE":
            return False
        case "NUMBER":
            return _number(token)
        case _:
            return _text(token)


def _unquoted(token: Token) -> str:
    def meant(found: re.Match[str]) -> str:
        escape = found[1]
        if escape in _ESCAPED:
            return _ESCAPED[escape]
        code = int(escape[1:], 16) if len(escape) > 1 else 0xD800
        if 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - the halves of surrogate pairs
            raise _unreadable(token, f"{found[0]} is not a valid escape", "write the character itself")
        return chr(code)

    return _short(_ESCAPE.sub(meant, token[1:-1]), token)


def _number(token: Token) -> int | float:
    whole = token.removeprefix("-").isdecimal()
    _few_digits(token, limits.DIGITS if whole else limits.FINE_DIGITS)
    if whole:
        return int(token)
    value = float(token)
    if math.isinf(value):
        raise _unreadable(token, f"{token} is too large a number", "write a smaller one")
    return value


def _unit(token: Token) -> str | None:
    return token.lstrip("-.0123456789").lower() or None


def _seconds(token: Token, unit: str | None = None) -> float:
    """A time in seconds, to the microsecond."""
    _few_digits(token, limits.FINE_DIGITS)
    number = float(token.rstrip("mMsS"))
    match _unit(token) or unit:
        case "ms":
            number /= 1000
        case "m":
            number *= 60
        case _:
            pass
    if abs(number) > limits.SECONDS:
        raise _too_large(_at(token), f"{token} is too long a time", "write seconds")
    number = round(number, 6)
    return int(number) if number.is_integer() else number


def _few_digits(token: Token, most: int) -> None:
    if sum(each.isdecimal() for each in token) > most:
        raise _too_large(_at(token), f"{token[:40]} has more than {most} digits", "write fewer")


def _bound(statements: tuple[Statement, ...]) -> None:
    count = _count(statements)
    if count > limits.STATEMENTS:
        raise _too_large(
            statements[0].at, f"{count} rules and branches; {limits.STATEMENTS} are allowed", "split the node"
        )


def _count(statements: tuple[Statement, ...]) -> int:
    return sum(
        sum(1 + _count(branch.body) for branch in each.branches) if isinstance(each, Conditional) else 1
        for each in statements
    )


def _depth(statement: Statement) -> int:
    if not isinstance(statement, Conditional):
        return 0
    return 1 + max(_depth(each) for branch in statement.branches for each in branch.body)


def _shallow(condition: Condition) -> Condition:
    if _height(condition) > limits.DEPTH:
        raise _too_large(
            condition.at, f"a condition is nested more than {limits.DEPTH} deep", "use several IF"
        )
    return condition


def _height(condition: Condition) -> int:
    match condition:
        case Not():
            return 1 + _height(condition.condition)
        case All() | Either():
            return 1 + max(_height(each) for each in condition.conditions)
        case _:
            return 0


def _too_large(at: At, message: str, suggestion: str) -> RulesError:
    return RulesError(finding(Code.TOO_LARGE, at.line, at.column, message, suggestion))


def _unreadable(token: Token, message: str, suggestion: str) -> RulesError:
    at = _at(token)
    return RulesError(finding(Code.UNREADABLE, at.line, at.column, message, suggestion))

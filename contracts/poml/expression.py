"""Expressions: the part of JavaScript that a document may use, compiled to functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final, cast

from lark import Lark, Token, Transformer, UnexpectedInput
from lark.exceptions import VisitError

from contracts.poml import limits, values
from contracts.poml.allowance import Allowance
from contracts.poml.fault import Unfit, outside

_GRAMMAR: Final = "grammar.lark"
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}
_LITERALS: Final = {"true": True, "false": False, "null": None, "undefined": values.UNDEFINED}
#: Words of JavaScript that are no names of values.
RESERVED: Final = frozenset(
    {"arguments", "async", "await", "break", "case", "catch", "class", "const", "continue", "debugger"}
    | {"default", "delete", "do", "else", "enum", "eval", "export", "extends", "finally", "for", "function"}
    | {"if", "import", "in", "instanceof", "let", "new", "of", "return", "static", "super", "switch", "this"}
    | {"throw", "try", "typeof", "var", "void", "while", "with", "yield", *_LITERALS}
)


@dataclass(frozen=True, slots=True)
class PomlScope:
    """What names mean at one place: a document's values, and those of the loops around it."""

    shared: dict[str, Any]
    allowance: Allowance
    local: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def find(self, name: str) -> Any:
        """Value of a name.

        Raises:
            Unfit: there is none.
        """
        for each in (self.local, self.shared):
            if name in each:
                return each[name]
        raise Unfit(f"{name!r} has no value")

    def within(self, local: Mapping[str, Any]) -> PomlScope:
        """The scope inside one turn of a loop."""
        return replace(self, local={**self.local, **local})


@dataclass(frozen=True, slots=True)
class PomlExpression:
    """A compiled expression."""

    evaluate: Callable[[PomlScope], Any]
    #: Names that it reads.
    names: frozenset[str] = frozenset()
    #: It is a number, whatever the values.
    numeric: bool = False
    #: The name that it is, if it is nothing else.
    name: str = ""
    depth: int = 1


@lru_cache(maxsize=512)
def parse(text: str) -> PomlExpression:
    """Compile an expression.

    Raises:
        Unfit: it is none of this subset; the text says at which character.
    """
    if len(text) > limits.EXPRESSION:
        raise Unfit(f"an expression has {len(text)} characters; at most {limits.EXPRESSION} are accepted")
    try:
        made: Any = _grammar().parse(text)  # pyright: ignore[reportUnknownMemberType] - also takes bytes
    except UnexpectedInput as error:
        found = text[error.pos_in_stream :].strip()[:20] if error.pos_in_stream is not None else ""
        what = repr(found) if found else "the end"
        raise Unfit(outside(f"{what} in the expression {text[:80]!r}", "docs/poml.md#expressions")) from None
    except VisitError as error:
        if isinstance(error.orig_exc, Unfit):
            raise error.orig_exc from None
        raise
    return cast("PomlExpression", made)


@cache
def _grammar() -> Lark:
    source = resources.files(__package__ or "").joinpath(_GRAMMAR).read_text(encoding="utf-8")
    return Lark(source, parser="lalr", transformer=_Builder(), maybe_placeholders=False)


def is_name(text: str) -> bool:
    """Whether a text can be the name of a value."""
    return re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", text) is not None and text not in RESERVED


def _unquote(token: Token) -> str:
    def replaced(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] == "u" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code not in _ESCAPED:
            raise Unfit(outside(f"the escape \\{code}", "use \\n, \\t, \\r, \\\\, \\', \\\" or \\u0000"))
        return _ESCAPED[code]

    return _ESCAPE.sub(replaced, token[1:-1])


def _constant(value: Any, *, numeric: bool = False) -> PomlExpression:
    return PomlExpression(lambda _: value, numeric=numeric)


def _made(
    evaluate: Callable[[PomlScope], Any], *parts: PomlExpression, numeric: bool = False, name: str = ""
) -> PomlExpression:
    """An expression of others; evaluating it is a step."""
    depth = 1 + max((each.depth for each in parts), default=0)
    if depth > limits.NESTED:
        raise Unfit(f"an expression is more than {limits.NESTED} deep; use <let> for parts of it")

    def counted(scope: PomlScope) -> Any:
        scope.allowance.step()
        return evaluate(scope)

    names = frozenset[str]().union(*(each.names for each in parts))
    return PomlExpression(counted, names | {name} if name else names, numeric, name, depth)


class _Builder(Transformer[Token, PomlExpression]):
    """Compiles the parser's productions bottom-up, so no length of text costs depth of calls."""

    def name(self, parts: list[Any]) -> PomlExpression:
        name = str(parts[0])
        if name in _LITERALS:
            return _constant(_LITERALS[name])
        if name in RESERVED:
            raise Unfit(outside(f"{name!r} in an expression", "docs/poml.md#expressions"))
        return _made(lambda scope: scope.find(name), name=name)

    def number(self, parts: list[Any]) -> PomlExpression:
        text = str(parts[0])
        value = int(text) if text.isdigit() else float(text)
        values.number(value)
        return _constant(value, numeric=True)

    def minus(self, parts: list[Any]) -> PomlExpression:
        positive = self.number(parts).evaluate
        return _made(lambda scope: -positive(scope), numeric=True)

    def string(self, parts: list[Any]) -> PomlExpression:
        return _constant(_unquote(parts[0]))

    def group(self, parts: list[Any]) -> PomlExpression:
        return _made(parts[0].evaluate, parts[0], numeric=parts[0].numeric)

    def array(self, parts: list[Any]) -> PomlExpression:
        return _made(lambda scope: [each.evaluate(scope) for each in parts], *parts)

    def object(self, parts: list[Any]) -> PomlExpression:
        pairs = cast("list[tuple[str, PomlExpression]]", parts)
        return _made(
            lambda scope: {name: each.evaluate(scope) for name, each in pairs}, *(each for _, each in pairs)
        )

    def pair(self, parts: list[Any]) -> tuple[str, PomlExpression]:
        token, value = parts
        name = _unquote(token) if token.type == "STRING" else str(token)
        return _own(name), value

    def field(self, parts: list[Any]) -> PomlExpression:
        value, name = parts[0], _own(str(parts[1]))
        counted = name == "length" or (value.name == "loop" and name == "index")
        return _made(lambda scope: values.field(value.evaluate(scope), name), value, numeric=counted)

    def item(self, parts: list[Any]) -> PomlExpression:
        value, index = parts
        return _made(lambda scope: values.item(value.evaluate(scope), index.evaluate(scope)), *parts)

    def join(self, parts: list[Any]) -> PomlExpression:
        value, between = parts[0], _unquote(parts[2])
        return _made(lambda scope: _joined(value.evaluate(scope), between, scope.allowance), value)

    def not_(self, parts: list[Any]) -> PomlExpression:
        return _made(lambda scope: not values.truth(parts[0].evaluate(scope)), *parts)

    def plus(self, parts: list[Any]) -> PomlExpression:
        left, right = parts

        def added(scope: PomlScope) -> Any:
            one, other = left.evaluate(scope), right.evaluate(scope)
            scope.allowance.characters(sum(len(each) for each in (one, other) if isinstance(each, str)))
            return values.total(one, other)

        return _made(added, *parts, numeric=left.numeric and right.numeric)

    def comparison(self, parts: list[Any]) -> PomlExpression:
        left, sign, right = parts
        return _made(
            lambda scope: values.ordered(left.evaluate(scope), str(sign), right.evaluate(scope)), left, right
        )

    def equality(self, parts: list[Any]) -> PomlExpression:
        left, sign, right = parts
        strict, wanted = len(sign) == len("==="), sign[0] == "="
        return _made(
            lambda scope: values.equal(left.evaluate(scope), right.evaluate(scope), strict=strict) is wanted,
            left,
            right,
        )

    def and_(self, parts: list[Any]) -> PomlExpression:
        left, right = parts

        def both(scope: PomlScope) -> Any:
            first = left.evaluate(scope)
            return right.evaluate(scope) if values.truth(first) else first

        return _made(both, *parts)

    def or_(self, parts: list[Any]) -> PomlExpression:
        left, right = parts

        def either(scope: PomlScope) -> Any:
            first = left.evaluate(scope)
            return first if values.truth(first) else right.evaluate(scope)

        return _made(either, *parts)

    def ternary(self, parts: list[Any]) -> PomlExpression:
        condition, yes, no = parts
        return _made(
            lambda scope: (yes if values.truth(condition.evaluate(scope)) else no).evaluate(scope),
            *parts,
            numeric=yes.numeric and no.numeric,
        )


def _own(name: str) -> str:
    if values.inherited(name):
        raise Unfit(outside(f"the field {name!r}", "docs/poml.md#expressions"))
    return name


def _joined(value: Any, between: str, allowance: Allowance) -> str:
    """``Array.prototype.join`` of texts and numbers."""
    if not isinstance(value, list | tuple):
        raise Unfit(outside(f"join of {values.kind(value)}", "join a list"))
    items = cast("list[Any]", value)
    allowance.step(len(items))
    for each in items:
        if values.kind(each) not in ("a text", "a number"):
            raise Unfit(outside(f"join of a list with {values.kind(each)}", "join texts and numbers"))
        allowance.characters(len(between) + (len(each) if isinstance(each, str) else 0))
    return between.join(each if isinstance(each, str) else values.number(each) for each in items)

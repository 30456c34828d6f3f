"""Conditions that are always true or always false."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_never

from contracts.nodes.rules.conditions import Judge
from contracts.nodes.rules.tree import All, Compare, Condition, Either, Literal, Name, Not, Operator


def constant(condition: Condition) -> bool | None:  # noqa: PLR0911 - one for each form
    """``True`` or ``False`` if a condition is constant; ``None`` if it depends on the context."""
    match condition:
        case Name():
            return None
        case Literal():
            return condition.value is True
        case Compare():
            if isinstance(condition.left, Literal) and isinstance(condition.right, Literal):
                return Judge({}).holds(condition)
            return None if possible(condition) else False
        case Not():
            inner = constant(condition.condition)
            return None if inner is None else not inner
        case All():
            inner = [constant(each) for each in condition.conditions]
            if False in inner or _excluded(condition):
                return False
            return True if all(inner) else None
        case Either():
            inner = [constant(each) for each in condition.conditions]
            if True in inner:
                return True
            return None if None in inner else False
        case _:
            assert_never(condition)


def possible(compare: Compare) -> bool:
    """Whether any value makes a comparison with a literal true."""
    left, right = compare.left, compare.right
    match compare.operator:
        case Operator.EQUAL | Operator.UNEQUAL:
            return True
        case Operator.IN | Operator.NOT_IN:
            if isinstance(right, Literal) and not isinstance(right.value, tuple):
                return False
            empty = isinstance(right, Literal) and right.value == ()
            return not (empty and compare.operator is Operator.IN)
        case _:
            written = [each.value for each in (left, right) if isinstance(each, Literal)]
            return not any(isinstance(each, bool | tuple) for each in written)


def compares(condition: Condition) -> Iterator[Compare]:
    """Every comparison of a condition."""
    match condition:
        case Compare():
            yield condition
        case Not():
            yield from compares(condition.condition)
        case All() | Either():
            for each in condition.conditions:
                yield from compares(each)
        case Name() | Literal():
            pass
        case _:
            assert_never(condition)


def asked(condition: Condition) -> Iterator[Name]:
    """Every name of a condition."""
    match condition:
        case Name():
            yield condition
        case Compare():
            yield from (each for each in (condition.left, condition.right) if isinstance(each, Name))
        case Not():
            yield from asked(condition.condition)
        case All() | Either():
            for each in condition.conditions:
                yield from asked(each)
        case Literal():
            pass
        case _:
            assert_never(condition)


def _excluded(condition: All) -> bool:
    """Whether one name would have to equal two values."""
    wanted: dict[str, Any] = {}
    for each in condition.conditions:
        if isinstance(each, Compare) and each.operator is Operator.EQUAL:
            match each.left, each.right:
                case (Name(path=path), Literal(value=value)) | (Literal(value=value), Name(path=path)):
                    if wanted.setdefault(path, value) != value:
                        return True
                case _:
                    pass
    return False

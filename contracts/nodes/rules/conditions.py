"""Evaluation of conditions for one player.

Nothing is executed: values are only looked up and compared.  A missing name and a
comparison of different types make a comparison false and give a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, assert_never, cast

from contracts.nodes.rules.canonical import condition_text
from contracts.nodes.rules.fields import snake
from contracts.nodes.rules.finding import Code, RuleFinding, finding
from contracts.nodes.rules.mistake import did_you_mean
from contracts.nodes.rules.tree import All, Compare, Condition, Either, Literal, Name, Not, Operator

#: Names of the player's choices, in a condition or in a context.
CHOICES: Final = ("player_choice", "player_choices", "choices", "choice")
_PLAYER: Final = "player_context"
#: Names of the context that are compared with an unknown one for a suggestion.
_NAMES_COMPARED: Final = 200


class _Missing:
    """The value of a name that the context lacks."""


_MISSING: Final = _Missing()


class Judge:
    """Evaluates conditions in one context.

    Args:
        context: choices under ``player_choice`` (or ``choices``, also within ``player_context``), and
            other values that conditions may use, by name.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._context = context
        self._player = _part(context, (_PLAYER,))
        found = _part(context, CHOICES)
        self._choices = _part(self._player, CHOICES) if found is None else found
        #: The warnings, in order, without duplicates.
        self.told: dict[RuleFinding, None] = {}

    def holds(self, condition: Condition) -> bool:
        """Whether the condition holds."""
        match condition:
            case Name() | Literal():
                return self._is_true(condition)
            case Compare():
                return self._compared(condition)
            case Not():
                return not self.holds(condition.condition)
            case All():
                return all(self.holds(each) for each in condition.conditions)
            case Either():
                return any(self.holds(each) for each in condition.conditions)
            case _:
                assert_never(condition)

    def _is_true(self, condition: Name | Literal) -> bool:
        value = self._value(condition)
        if isinstance(value, bool):
            return value
        if value is not _MISSING:
            self._tell(
                Code.UNLIKE_TYPES,
                condition,
                f"{condition_text(condition)} is {_kind(value)}, not true or false; it counts as false",
                "compare it with a value",
            )
        return False

    def _compared(self, condition: Compare) -> bool:
        left, right = self._value(condition.left), self._value(condition.right)
        if left is _MISSING or right is _MISSING:
            return False
        match condition.operator:
            case Operator.IN | Operator.NOT_IN:
                return self._contained(condition, left, right)
            case Operator.EQUAL | Operator.UNEQUAL:
                like = _like(left, right)
            case _:
                like = _like(left, right) and _kind(left) in {_NUMBER, _TEXT}
        if not like:
            self._unlike(condition, f"{_kind(left)} with {_kind(right)}")
            return False
        return _decided(condition.operator, left, right)

    def _contained(self, condition: Compare, left: Any, right: Any) -> bool:
        if _kind(right) != _LIST:
            self._unlike(condition, f"{_kind(left)} with {_kind(right)}, where IN needs a list")
            return False
        like = [each for each in cast("Sequence[Any]", right) if _like(left, each)]
        if right and not like:
            self._unlike(condition, f"{_kind(left)} with a list that has none")
            return False
        return (left in like) is (condition.operator is Operator.IN)

    def _unlike(self, condition: Compare, what: str) -> None:
        self._tell(
            Code.UNLIKE_TYPES,
            condition,
            f"{condition_text(condition)} compares {what}; it counts as false",
            "compare values of one type",
        )

    def _value(self, operand: Name | Literal) -> Any:
        if isinstance(operand, Literal):
            return operand.value
        parts = operand.path.split(".")
        value = self._found(parts)
        if value is None or value is _MISSING:
            self._tell(
                Code.MISSING_NAME,
                operand,
                f"{operand.path} is not in the context; the comparison counts as false",
                self._meant(operand.path),
            )
            return _MISSING
        return value

    def _found(self, parts: list[str]) -> Any:
        if snake(parts[0]) in CHOICES and len(parts) > 1:
            found = _walked(self._choices, parts[1:])
            if found is not _MISSING:
                return found
        for start in (self._context, self._player, self._choices):
            found = _walked(start, parts)
            if found is not _MISSING:
                return found
        return _MISSING

    def _meant(self, path: str) -> str:
        root, dot, rest = path.partition(".")
        choices = list(self._choices or ())[:_NAMES_COMPARED]
        if dot and snake(root) in CHOICES:
            return did_you_mean(rest, choices)
        known = [*list(self._context)[:_NAMES_COMPARED], *choices]
        return did_you_mean(path, known) or ("" if dot else f'if a text is meant, write "{path}"')

    def _tell(self, code: Code, where: Condition, message: str, suggestion: str) -> None:
        self.told.setdefault(finding(code, where.at.line, where.at.column, message, suggestion))


_NUMBER: Final = "a number"
_TEXT: Final = "a text"
_LIST: Final = "a list"


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return _NUMBER
        case str():
            return _TEXT
        case list() | tuple():
            return _LIST
        case _:
            return "a group of values"


def _like(left: Any, right: Any) -> bool:
    """Whether two values can be compared; lists only if they are flat."""
    kind = _kind(left)
    if kind != _kind(right):
        return False
    if kind == _LIST:
        return all(not isinstance(each, list | tuple | Mapping) for each in (*left, *right))
    return kind in {_NUMBER, _TEXT, "true or false"}


def _decided(operator: Operator, left: Any, right: Any) -> bool:
    if isinstance(left, list | tuple):
        left, right = _plain(left), _plain(right)
    match operator:
        case Operator.EQUAL:
            return left == right
        case Operator.UNEQUAL:
            return left != right
        case Operator.LESS:
            return left < right
        case Operator.AT_MOST:
            return left <= right
        case Operator.MORE:
            return left > right
        case Operator.AT_LEAST:
            return left >= right
        case _:
            raise AssertionError(operator)


def _plain(values: Any) -> list[tuple[str, Any]]:
    """A list whose equality respects types: 1 is not true."""
    return [(_kind(each), each) for each in values]


def _part(mapping: Mapping[str, Any] | None, keys: Sequence[str]) -> Mapping[str, Any] | None:
    """The first of some members that is a mapping, under either spelling of its name."""
    for key, value in () if mapping is None else mapping.items():
        if snake(key) in keys and isinstance(value, Mapping):
            return cast("Mapping[str, Any]", value)
    return None


def _walked(start: Mapping[str, Any] | None, parts: Sequence[str]) -> Any:
    """The value at a path; a member whose name contains dots is found too."""
    if start is None:
        return _MISSING
    for taken in range(len(parts), 0, -1):
        key = ".".join(parts[:taken])
        if key in start:
            value = start[key]
            if taken == len(parts):
                return value
            if isinstance(value, Mapping):
                return _walked(cast("Mapping[str, Any]", value), parts[taken:])
    return _MISSING

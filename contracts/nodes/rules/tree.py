"""Syntax tree of rules."""

from __future__ import annotations

from enum import StrEnum

import msgspec

Scalar = str | int | float | bool


class At(msgspec.Struct, frozen=True, eq=False):
    """A position, from 1; it is ignored in comparisons, so equal rules may be in different places."""

    line: int
    column: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, At)

    def __hash__(self) -> int:
        return 0


class Name(msgspec.Struct, frozen=True, kw_only=True, tag="name"):
    """A player's choice or a part of the context, such as ``player_choice.quest_accept``."""

    path: str
    at: At


class Literal(msgspec.Struct, frozen=True, kw_only=True, tag="literal"):
    """A literal value or list of values."""

    value: Scalar | tuple[Scalar, ...]
    at: At


class Operator(StrEnum):
    """How two values are compared."""

    EQUAL = "=="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    IN = "IN"
    NOT_IN = "NOT IN"


class Compare(msgspec.Struct, frozen=True, kw_only=True, tag="compare"):
    """Two values compared."""

    left: Name | Literal
    operator: Operator
    right: Name | Literal
    at: At


class Not(msgspec.Struct, frozen=True, kw_only=True, tag="not"):
    """True where the condition is false."""

    condition: Condition
    at: At


class All(msgspec.Struct, frozen=True, kw_only=True, tag="all"):
    """Conditions joined by AND, two or more; none of them is itself such a list."""

    conditions: tuple[Condition, ...]
    at: At


class Either(msgspec.Struct, frozen=True, kw_only=True, tag="either"):
    """Conditions joined by OR, two or more; none of them is itself such a list."""

    conditions: tuple[Condition, ...]
    at: At


#: A literal as a condition is ``true`` or ``false``.
Condition = Name | Literal | Compare | Not | All | Either


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """An element or a content rule: ``phone_ring``, ``callback_to_scene("kiss")``."""

    text: str
    #: ``None`` without a call.
    arguments: tuple[Scalar, ...] | None = None
    at: At


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A field and the value it gets."""

    name: str
    value: Scalar
    at: At
    value_at: At


class _Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A rule."""

    at: At
    #: Its last line.
    until: At
    #: Comments on lines of their own above it.
    comments: tuple[str, ...] = ()
    #: The comment at the end of its line.
    remark: str | None = None


class Set(_Statement, frozen=True, kw_only=True, tag="set"):
    """``moodTo = "determined" pacing = "fast"``."""

    pairs: tuple[Pair, ...]


class Constraint(_Statement, frozen=True, kw_only=True, tag="constraint"):
    """``CONSTRAINT rating=PG-13 AVOID violence``."""

    pairs: tuple[Pair, ...]
    avoid: tuple[Term, ...]


class Include(_Statement, frozen=True, kw_only=True, tag="include"):
    """``INCLUDE phone_ring, callback_to_scene("kiss")``."""

    items: tuple[Term, ...]


class Avoid(_Statement, frozen=True, kw_only=True, tag="avoid"):
    """``AVOID violence``."""

    items: tuple[Term, ...]


class RuleClause(_Statement, frozen=True, kw_only=True, tag="rule"):
    """``RULE build_tension_gradually``."""

    items: tuple[Term, ...]


class DurationClause(_Statement, frozen=True, kw_only=True, tag="duration"):
    """``DURATION 20-40s TARGET 30s``; all in seconds."""

    low: float | None = None
    high: float | None = None
    target: float | None = None


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """The rules under a condition, or under ELSE if it has none."""

    condition: Condition | None
    body: tuple[Statement, ...]
    at: At
    comments: tuple[str, ...] = ()
    remark: str | None = None


class Conditional(_Statement, frozen=True, kw_only=True, tag="choice"):
    """``IF … ELSE IF … ELSE …``: the first branch whose condition holds."""

    branches: tuple[Branch, ...]


Simple = Set | Constraint | Include | Avoid | RuleClause | DurationClause
Statement = Simple | Conditional


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """A whole text of rules."""

    statements: tuple[Statement, ...] = ()
    #: Comments after the last rule.
    comments: tuple[str, ...] = ()

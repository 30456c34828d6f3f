"""Effects of a single rule on a node, independent of the player."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, assert_never

import msgspec

from contracts.nodes.rules import fields
from contracts.nodes.rules.fields import Takes
from contracts.nodes.rules.finding import Code, RuleFinding, finding
from contracts.nodes.rules.mistake import did_you_mean
from contracts.nodes.rules.tree import (
    At,
    Avoid,
    Constraint,
    DurationClause,
    Include,
    Pair,
    RuleClause,
    Scalar,
    Set,
    Simple,
    Term,
)

REQUIRED: Final = "constraints.required_elements"
AVOIDED: Final = "constraints.avoid_elements"
CONTENT_RULES: Final = "constraints.content_rules"

_WORDS: Final = re.compile(r"[^\W_]+")


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A value for a field, or one more entry of a list."""

    path: str
    value: Scalar
    #: The field is a list, and the value is an entry to add.
    adds: bool = False
    at: At


def effects(statement: Simple) -> tuple[tuple[Effect, ...], tuple[RuleFinding, ...]]:
    """The effects of a rule, and the findings for its invalid parts."""
    done: list[Effect] = []
    wrong: list[RuleFinding] = []
    for each in _each(statement):
        (done if isinstance(each, Effect) else wrong).append(each)  # pyright: ignore[reportArgumentType] - the list is its own
    return tuple(done), tuple(wrong)


def alike(element: str) -> str:
    """An element in a form that ignores spelling: ``phone_ring`` and ``Phone ring`` are equal."""
    return " ".join(_WORDS.findall(element.casefold())) or element.casefold()


def broken(low: float | None, high: float | None, target: float | None) -> tuple[str, str] | None:
    """The fault of a duration in seconds and a suggestion; ``None`` if it is valid."""
    if any(each is not None and each < 0 for each in (low, high, target)):
        return "a duration below zero", "write seconds from 0"
    if any(each is not None and each > fields.DAY_S for each in (low, high, target)):
        return "a duration of more than a day", "write seconds up to 86400"
    if low is not None and high is not None and low > high:
        return (
            f"the shortest duration, {low:g} s, is above the longest, {high:g} s",
            f"write {high:g}-{low:g}s",
        )
    if high == 0 or target == 0:
        return "a duration of nothing", "write seconds above 0"
    if target is not None and ((low is not None and target < low) or (high is not None and target > high)):
        return f"the target, {target:g} s, is outside of its range", "write a target within the range"
    return None


def _each(statement: Simple) -> Iterator[Effect | RuleFinding]:
    match statement:
        case Set():
            yield from (_assigned(each, "") for each in statement.pairs)
        case Constraint():
            yield from (_assigned(each, "constraints.") for each in statement.pairs)
            yield from (_listed(each, AVOIDED) for each in statement.avoid)
        case Include():
            yield from (_listed(each, REQUIRED) for each in statement.items)
        case Avoid():
            yield from (_listed(each, AVOIDED) for each in statement.items)
        case RuleClause():
            yield from (_listed(each, CONTENT_RULES) for each in statement.items)
        case DurationClause():
            yield from _lasting(statement)
        case _:
            assert_never(statement)


def _assigned(pair: Pair, within: str) -> Effect | RuleFinding:
    path = fields.path_of(pair.name, within=within)
    if path is None:
        where = "is no constraint" if within else "is no field of a node"
        elsewhere = within and fields.path_of(pair.name) in fields.FIELDS
        advice = "write it on a line of its own" if elsewhere else fields.like(pair.name, within=within)
        return _finding(Code.UNKNOWN_FIELD, pair.at, f"{pair.name} {where}", advice)
    if path in fields.REFUSED:
        return _finding(
            Code.UNKNOWN_FIELD, pair.at, f"{pair.name} cannot be set with =", fields.REFUSED[path]
        )
    field = fields.FIELDS[path]
    value = fields.value_for(field, pair.value)
    if value is not None:
        return Effect(path=path, value=value, at=pair.at)
    return _refused(field, pair)


def _refused(field: fields.Field, pair: Pair) -> RuleFinding:
    shown = repr(pair.value) if isinstance(pair.value, str) else str(pair.value).lower()
    match field.takes:
        case Takes.RATING:
            return _finding(
                Code.UNKNOWN_RATING,
                pair.value_at,
                f"{shown} is no rating",
                _meant(pair.value, tuple(fields.RATINGS)),
            )
        case Takes.CHOICE:
            return _finding(
                Code.UNKNOWN_VALUE,
                pair.value_at,
                f"{pair.name} cannot be {shown}",
                _meant(pair.value, field.values),
            )
        case _:
            return _finding(
                Code.WRONG_VALUE, pair.value_at, f"{pair.name} cannot be {shown}", f"it takes {field.takes}"
            )


def _meant(value: Scalar, known: tuple[str, ...]) -> str:
    found = did_you_mean(str(value), known)
    return found or f"write one of {', '.join(known)}"


def _listed(item: Term, path: str) -> Effect | RuleFinding:
    text = item.text
    if item.arguments is not None:
        pattern = fields.FUNCTIONS.get(item.text) if path == REQUIRED else None
        if pattern is None:
            known = f"the functions of INCLUDE are {', '.join(fields.FUNCTIONS)}"
            near = did_you_mean(item.text, fields.FUNCTIONS) if path == REQUIRED else ""
            return _finding(
                Code.UNKNOWN_FUNCTION, item.at, f"there is no function {item.text} here", near or known
            )
        match item.arguments:
            case (str() as argument,):
                text = pattern.format(argument)
            case _:
                return _finding(
                    Code.WRONG_VALUE, item.at, f"{item.text} takes one text", f'write {item.text}("kiss")'
                )
    if not fields.text_ok(text):
        return _finding(
            Code.WRONG_VALUE,
            item.at,
            f"{text[:80]!r} is no element",
            "write 1 to 80 characters, on one line",
        )
    return Effect(path=path, value=text.strip(), adds=True, at=item.at)


def _lasting(duration: DurationClause) -> Iterator[Effect | RuleFinding]:
    wrong = broken(duration.low, duration.high, duration.target)
    if wrong:
        yield _finding(Code.BROKEN_DURATION, duration.at, *wrong)
        return
    parts = {"min": duration.low, "max": duration.high, "target": duration.target}
    for name, value in parts.items():
        if value is not None:
            yield Effect(path=f"duration.{name}", value=value, at=duration.at)


def _finding(code: Code, at: At, message: str, suggestion: str) -> RuleFinding:
    return finding(code, at.line, at.column, message, suggestion)

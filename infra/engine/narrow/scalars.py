"""Texts and numbers of a narrowed schema: every one is bounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, Final

from contracts.content import formats, keywords, pattern
from contracts.content.possible import exact
from infra.engine.narrow.parts import Part

#: Longest text and largest number if a schema sets no bound, so that every answer ends.
MAX_LENGTH: Final = 600
_MAX_NUMBER: Final = 1_000_000_000
#: The same if a schema sets a larger bound: no answer needs more.
_LONGEST: Final = keywords.MAX_LENGTH
_LARGEST: Final = 10**15
#: Largest step that a grammar counts; multiples of a larger one are listed, at most so many.
_MAX_STEP: Final = 10_000
_MAX_LISTED: Final = 200

#: Takes down a keyword that the grammar leaves out.
LeaveOut = Callable[[Part, str], None]
#: Whether a grammar can be made of a schema; ``None``: of one expression at a time.
Compiles = Callable[[dict[str, Any]], bool] | None


def text(parts: Iterable[Part], leave_out: LeaveOut, compiles: Compiles) -> dict[str, Any] | None:
    """The keywords of a text; ``None``: no text follows the parts.

    Args:
        parts: what holds at the same time.
        leave_out: takes down what the grammar does not enforce.
        compiles: asked about the expressions that a text follows.
    """
    parts = list(parts)
    least = max((part["minLength"] for part in parts if "minLength" in part), default=0)
    most = min((part["maxLength"] for part in parts if "maxLength" in part), default=None)
    if most is not None and least > most:
        return None
    made: dict[str, Any] = {"minLength": least} if least else {}
    expressions = _expressions(parts, leave_out)
    shortest = max((least_of for _, _, _, least_of in expressions), default=0)
    if most is not None:
        if shortest > most:
            return None
        made["maxLength"] = max(min(most, _LONGEST), least)
    elif not expressions:
        made["maxLength"] = max(MAX_LENGTH, least)
    elif any(keyword == "pattern" for _, keyword, _, _ in expressions):
        made["maxLength"] = max(MAX_LENGTH, least, shortest + (shortest > MAX_LENGTH) * 100)
    if made.get("maxLength", 0) >= MAX_LENGTH and expressions and expressions[0][1] == "format":
        # Every text of a format's expression is shorter.
        del made["maxLength"]
    for part, keyword, expression, _ in expressions:
        tried = _with(made, expression)
        if compiles({"type": "string", **tried}) if compiles is not None else "pattern" not in made:
            made = tried
        else:
            leave_out(part, keyword)
            made.setdefault("maxLength", max(MAX_LENGTH, least))
    return made


def _expressions(parts: list[Part], leave_out: LeaveOut) -> list[tuple[Part, str, str, int]]:
    """Part, keyword, expression in the syntax of Rust's ``regex``, characters of the shortest text."""
    found: dict[str, tuple[Part, str, str, int]] = {}
    for part in parts:
        if "pattern" in part:
            said = part["pattern"]
            # Look-around is left out of the grammar.
            if pattern.looks_around(said):
                leave_out(part, "pattern")
            found.setdefault(said, (part, "pattern", pattern.rust(said), pattern.least(said) or 0))
    for part in parts:
        name = part.get("format")
        if name in formats.FORMATS:
            found.setdefault(f"format {name}", (part, "format", f"^(?:{formats.FORMATS[name].grammar})$", 0))
    return list(found.values())


def _with(made: dict[str, Any], expression: str) -> dict[str, Any]:
    if "pattern" not in made:
        return {**made, "pattern": expression}
    return {**made, "allOf": [*made.get("allOf", []), {"pattern": expression}]}


def number(
    parts: Iterable[Part], leave_out: LeaveOut, compiles: Compiles, *, whole: bool
) -> dict[str, Any] | None:
    """The keywords of a number, or an ``enum``; ``None``: no number follows the parts.

    Args:
        parts: what holds at the same time.
        leave_out: takes down what the grammar does not enforce.
        compiles: asked about a step.
        whole: only integers.
    """
    parts = list(parts)
    step = _step(parts, whole=whole)
    lows, highs = _ends(parts)
    low, high = max(lows, default=None), min(highs, default=None)
    first, last = _range(low, high)
    if step is not None and step.numerator > _MAX_STEP:
        return _listed(step, first, last)
    if whole:
        return _whole(low, high, step)
    open_ends = (
        low is not None and low == (first, 1),
        high is not None and high == (last, 0),
    )
    if any(open_ends) and 0 < last - first < 1:
        # llguidance takes 2 for more than 2 and less than 3.
        inset = Fraction(1, 10 ** (1 + math.ceil(-math.log10(last - first))))
        first, last = first + open_ends[0] * inset, last - open_ends[1] * inset
        open_ends = (False, False)
    made: dict[str, Any] = {
        "exclusiveMinimum" if open_ends[0] else "minimum": _plain(first),
        "exclusiveMaximum" if open_ends[1] else "maximum": _plain(last),
    }
    if first > last or (first == last and not {"minimum", "maximum"} <= made.keys()):
        return None
    if step is not None:
        written = _plain(step)
        tried = {**made, "multipleOf": written}
        if exact(written) == step and (compiles is None or compiles({"type": "number", **tried})):
            made = tried
        else:
            for part in parts:
                if "multipleOf" in part:
                    leave_out(part, "multipleOf")
    return made


def _whole(
    low: tuple[Fraction, int] | None, high: tuple[Fraction, int] | None, step: Fraction | None
) -> dict[str, Any] | None:
    first, last = _range(low, high)
    lowest, highest = math.ceil(first), math.floor(last)
    if low is not None and low[0] == lowest and low[1]:
        lowest += 1
    if high is not None and high[0] == highest and not high[1]:
        highest -= 1
    made: dict[str, Any] = {"minimum": lowest, "maximum": highest}
    if step is not None and step != 1:
        made["multipleOf"] = step.numerator
        if math.floor(Fraction(highest, step.numerator)) * step.numerator < lowest:
            return None
    return made if lowest <= highest else None


def _step(parts: list[Part], *, whole: bool) -> Fraction | None:
    """The least common multiple of all steps."""
    steps = [exact(part["multipleOf"]) for part in parts if "multipleOf" in part]
    if not steps:
        return None
    step = steps[0]
    for each in steps[1:]:
        step = Fraction(
            math.lcm(step.numerator, each.numerator), math.gcd(step.denominator, each.denominator)
        )
    # Whole multiples of n/d, in lowest terms, are those of n.
    return Fraction(step.numerator) if whole else step


def _ends(parts: list[Part]) -> tuple[list[tuple[Fraction, int]], list[tuple[Fraction, int]]]:
    """Lower ends, 1 beside those that exclude the number; upper ends, 0 beside those."""
    lows: list[tuple[Fraction, int]] = []
    highs: list[tuple[Fraction, int]] = []
    for part in parts:
        lows += [
            (exact(part[key]), int(key != "minimum"))
            for key in ("minimum", "exclusiveMinimum")
            if key in part
        ]
        highs += [
            (exact(part[key]), int(key == "maximum"))
            for key in ("maximum", "exclusiveMaximum")
            if key in part
        ]
        bounds = formats.NUMBERS.get(part.get("format", ""))
        if bounds is not None:
            lows.append((Fraction(bounds[0]), 0))
            highs.append((Fraction(bounds[1]), 1))
    return lows, highs


def _range(low: tuple[Fraction, int] | None, high: tuple[Fraction, int] | None) -> tuple[Fraction, Fraction]:
    """The ends of what is written: a bound where there is none, a smaller one where it is larger than needed."""
    first = None if low is None else low[0]
    last = None if high is None else high[0]
    if first is not None and first < -_LARGEST and (last is None or last > -_LARGEST):
        first = Fraction(-_LARGEST)
    if last is not None and last > _LARGEST and (first is None or first < _LARGEST):
        last = Fraction(_LARGEST)
    if last is None:
        last = max(Fraction(0), first or Fraction(0)) + _MAX_NUMBER
    if first is None:
        first = min(Fraction(0), last) - _MAX_NUMBER
    return first, last


def _listed(step: Fraction, first: Fraction, last: Fraction) -> dict[str, Any] | None:
    """The multiples of a large step, those near zero."""
    start = max(math.ceil(first / step), min(0, math.floor(last / step)))
    count = min(math.floor(last / step) - start + 1, _MAX_LISTED)
    values = [_plain(step * (start + index)) for index in range(count)]
    return {"enum": values} if values else None


def _plain(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)

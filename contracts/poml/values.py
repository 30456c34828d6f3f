"""Values as JavaScript has them: truth, equality, sums and printing; what it would convert silently is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from contracts.poml import limits
from contracts.poml.allowance import Allowance
from contracts.poml.fault import Unfit, outside

#: A name that JavaScript sorts as a number.
_INDEX: Final = re.compile("0|[1-9][0-9]{0,8}")
#: Fields that every object has in JavaScript.
INHERITED: Final = frozenset(
    {"constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "prototype"}
    | {"toLocaleString", "toString", "valueOf"}
)


class Undefined:
    """What a field has that is not there; it differs from null in ``===`` alone."""

    __slots__ = ()


UNDEFINED: Final = Undefined()


class Verbatim(str):
    """Text that keeps its spaces, as a number's does."""

    __slots__ = ()


def kind(value: Any) -> str:  # noqa: PLR0911 - one case for each type
    """What a value is, in words for people."""
    match value:
        case None:
            return "null"
        case Undefined():
            return "undefined"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


def truth(value: Any) -> bool:
    """JavaScript's truth: empty lists and objects are true."""
    if isinstance(value, list | tuple | Mapping):
        return True
    return not isinstance(value, Undefined) and bool(value)


def length(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


def number(value: float) -> str:
    """A number as JavaScript prints it.

    Raises:
        Unfit: it is too large for JavaScript, or no number.
    """
    if isinstance(value, int):
        if abs(value) > limits.INTEGER:
            raise Unfit(f"a whole number beyond {limits.INTEGER} cannot be printed exactly")
        return str(value)
    if not math.isfinite(value):
        raise Unfit("a number that is not finite cannot be printed")
    if not value:
        return "0"
    digits, exponent = _digits(abs(value))
    return ("-" if value < 0 else "") + _decimal(digits, exponent)


def _digits(value: float) -> tuple[str, int]:
    """Shortest digits, and the place of the decimal point after the first of them."""
    mantissa, _, power = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits))
    return digits.rstrip("0"), point


def _decimal(digits: str, point: int) -> str:
    if not -6 < point <= 21:  # noqa: PLR2004 - where JavaScript turns to exponents
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{digits[0]}{fraction}e{point - 1:+d}"
    if point <= 0:
        return f"0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return digits.ljust(point, "0")
    return f"{digits[:point]}.{digits[point:]}"


def to_json(value: Any, allowance: Allowance, depth: int = 0) -> str:
    """A value as ``JSON.stringify`` writes it.

    Args:
        value: any JSON.
        allowance: what it costs is taken from it.
        depth: of the value in others.

    Raises:
        Unfit: it is nested too deep, too large, or has a number that JavaScript cannot print.
    """
    if depth > limits.VALUE_DEPTH:
        raise Unfit(f"a value is more than {limits.VALUE_DEPTH} deep")
    allowance.step()
    match value:
        case None | Undefined():
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number(value)
        case str():
            return _quoted(value, allowance)
        case list() | tuple():
            items = cast("list[Any]", value)
            return f"[{','.join(to_json(each, allowance, depth + 1) for each in items)}]"
        case Mapping():
            fields = cast("Mapping[str, Any]", value)
            inner = (
                f"{_quoted(name, allowance)}:{to_json(fields[name], allowance, depth + 1)}"
                for name in names(fields)
                if not isinstance(fields[name], Undefined)
            )
            return f"{{{','.join(inner)}}}"
        case _:
            raise Unfit(f"a value of type {type(value).__name__} is no JSON")


def _quoted(text: str, allowance: Allowance) -> str:
    allowance.characters(len(text))
    return json.dumps(text, ensure_ascii=False)


def names(fields: Mapping[str, Any]) -> list[str]:
    """Names of an object's fields in JavaScript's order: small whole numbers first."""
    return sorted(fields, key=lambda name: (0, int(name)) if _INDEX.fullmatch(name) else (1, 0))


def equal(left: Any, right: Any, *, strict: bool) -> bool:
    """Equality of texts, numbers, booleans and null; with null and undefined the same unless strict.

    Raises:
        Unfit: a list or an object is compared, or different types that JavaScript would convert.
    """
    nothing = (None, UNDEFINED)
    if left in nothing or right in nothing:
        return left is right if strict else left in nothing and right in nothing
    for each in (left, right):
        if isinstance(each, list | tuple | Mapping):
            raise Unfit(outside(f"comparing {kind(each)}", "compare its fields or its length"))
    if kind(left) != kind(right):
        if strict:
            return False
        raise Unfit(outside(f"comparing {kind(left)} with {kind(right)}", "compare values of one type"))
    return left == right


def ordered(left: Any, operator: str, right: Any) -> bool:
    """Order of two numbers or two texts.

    Raises:
        Unfit: they are anything else.
    """
    if kind(left) != kind(right) or kind(left) not in ("a number", "a text"):
        raise Unfit(outside(f"ordering {kind(left)} and {kind(right)}", "use two numbers or two texts"))
    if isinstance(left, str):
        left, right = (each.encode("utf-16-be", "surrogatepass") for each in (left, right))
    match operator:
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case _:
            return left >= right


def total(left: Any, right: Any) -> Any:
    """Sum of two numbers, or one text of texts and numbers.

    Raises:
        Unfit: they are anything else, or the number is too large.
    """
    kinds = {kind(left), kind(right)}
    if not kinds <= {"a number", "a text"}:
        raise Unfit(outside(f"adding {kind(left)} and {kind(right)}", "use texts and numbers"))
    if kinds == {"a number"}:
        added = left + right
        number(added)
        return added
    return "".join(str(each) if isinstance(each, str) else number(each) for each in (left, right))


def field(value: Any, name: str) -> Any:
    """A field of an object, or the length of a text or list; :data:`UNDEFINED` where an object has none.

    Raises:
        Unfit: the value has no fields.
    """
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(name, UNDEFINED)
    if name == "length" and isinstance(value, str):
        return length(value)
    if name == "length" and isinstance(value, list | tuple):
        return len(cast("list[Any]", value))
    raise Unfit(f"{kind(value)} has no field {name!r}")


def item(value: Any, index: Any) -> Any:
    """An entry of a list, or a field of an object.

    Raises:
        Unfit: the value has neither.
    """
    if isinstance(value, list | tuple) and isinstance(index, int) and not isinstance(index, bool):
        items = cast("list[Any]", value)
        return items[index] if 0 <= index < len(items) else UNDEFINED
    if isinstance(value, Mapping) and isinstance(index, str) and not inherited(index):
        return field(value, index)
    raise Unfit(f"{kind(value)} has no entry {str(index)[:60]!r}")


def inherited(name: str) -> bool:
    """Whether JavaScript would find the field in every object."""
    return name.startswith("__") or name in INHERITED

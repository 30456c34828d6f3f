"""Does a document follow the JSON Schema that a request brought?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final, cast

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, exceptions, validators
from referencing import Registry

from contracts.content import pattern
from contracts.content.custom import Usable
from contracts.content.fault import MAX_FAULTS

# The library's types are partial: these two are what is used of it.
_extend: Callable[..., Any] = cast("Any", validators).extend
_best_match: Callable[..., Any] = cast("Any", exceptions).best_match

#: Most keyword evaluations for one document.
MAX_STEPS: Final = 50_000


class TooMuchWork(Exception):  # noqa: N818 - names the validation's state
    """A validation that goes on and on: subschemas multiplied by references, or endless nesting."""

    def __init__(self) -> None:
        super().__init__(f"schema: takes more than {MAX_STEPS} steps to check; make it simpler")


def faults(schema: Usable, document: Any) -> tuple[str, ...]:
    """Why the document does not follow the schema, one line per fault; empty when it does.

    Raises:
        TooMuchWork: past :data:`MAX_STEPS`.
    """
    try:
        errors: list[Any] = list(islice(_validator(schema).iter_errors(document), MAX_FAULTS))
    except RecursionError:
        raise TooMuchWork from None
    lines = (line for error in errors for line in _explain(error))
    return tuple(dict.fromkeys(lines))[:MAX_FAULTS]


def _formats() -> FormatChecker:
    """The formats that need no further library; the others are annotations, as the standard has it."""
    formats = FormatChecker(formats=["date", "email", "uuid", "ipv4", "ipv6"])

    def is_date_time(value: object) -> bool:
        return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None

    formats.checks("date-time", raises=ValueError)(is_date_time)
    return formats


def _validator(schema: Usable) -> Any:
    left = MAX_STEPS

    def counted(keyword: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
        def evaluate(check: Any, value: Any, instance: Any, around: Any) -> Iterator[ValidationError]:
            nonlocal left
            left -= 1
            if left < 0:
                raise TooMuchWork
            yield from keyword(check, value, instance, around) or ()

        return evaluate

    keywords: dict[str, Callable[..., Any]] = {**Draft202012Validator.VALIDATORS, **_LINEAR}
    own = _extend(Draft202012Validator, {name: counted(each) for name, each in keywords.items()})
    # An empty registry: what is not in the schema does not exist, whatever its address.
    return own(schema.root, registry=Registry[Any](), format_checker=_formats())


def _pattern(_check: Any, expression: str, instance: Any, _around: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not pattern.matches(expression, instance):
        yield ValidationError(f"{instance!r:.80} does not match {expression!r}")


def _pattern_properties(
    check: Any, inner: dict[str, Any], instance: Any, _around: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for expression, subschema in inner.items():
        for name, value in cast("dict[str, Any]", instance).items():
            if pattern.matches(expression, name):
                yield from check.descend(value, subschema, path=name, schema_path=expression)


def _additional(check: Any, inner: Any, instance: Any, around: dict[str, Any]) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    known, expressions = around.get("properties", {}), around.get("patternProperties", {})
    for name, value in cast("dict[str, Any]", instance).items():
        if name in known or any(pattern.matches(each, name) for each in expressions):
            continue
        if inner is False:
            yield ValidationError("unknown field", path=[name])
        else:
            yield from check.descend(value, inner, path=name)


#: The stock ones search with Python's backtracking engine.
_LINEAR: Final[dict[str, Callable[..., Any]]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
}


def _explain(error: Any) -> list[str]:
    deepest = _best_match(iter([error])) or error
    path = [str(part) for part in deepest.absolute_path]
    if deepest.validator == "required":
        missing = [name for name in deepest.validator_value if name not in deepest.instance]
        return [_line([*path, name], "is missing") for name in missing]
    return [_line(path, str(deepest.message))]


def _line(path: list[str], message: str) -> str:
    return f"{'.'.join(path)[:200] or 'document'}: {message if len(message) <= 300 else message[:300] + '…'}"  # noqa: PLR2004 - a line
